//! Small models in folders as others publish them, and what NumPy computes with them
//! (`tests/data/published/reference.py`).

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::files::{Loaded, write_tensors};
use tinytorch::nn::Forward;

pub(crate) const WIDTH: usize = 32;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const LAYERS: usize = 2;
const HIDDEN: usize = 64;
pub(crate) const VOCAB: usize = 48;
pub(crate) const CONTEXT: usize = 64;

pub(crate) type Tensors = Vec<(String, Tensor)>;

/// Weights as `reference.py` draws them, in its order.
pub(crate) struct Weights(pub(crate) Tensors);

impl Weights {
    pub(crate) fn new() -> Weights {
        Weights(Vec::new())
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, shape: &[usize], scale: f64, plus: f64) {
        let (at, len) = (self.0.len() as f64, shape.iter().product::<usize>());
        let value = |i: usize| (plus + scale * (1.0 + 31.0 * at + 1.7 * i as f64).sin()) as f32;
        let values = Tensor::from_vec((0..len).map(value).collect(), shape).unwrap();
        self.0.push((name.into(), values));
    }

    pub(crate) fn norm(&mut self, name: String) {
        self.add(name, &[WIDTH], 0.1, 1.0);
    }
}

/// The tensors of the llama, by Hugging Face's names.
pub(crate) fn llama_tensors(with_head: bool) -> Tensors {
    decoder_tensors(with_head, Extra::None)
}

/// What decoders that are built like the llama have beside it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extra {
    None,
    /// Biases of queries, keys and values, as Qwen2.
    Biases,
    /// Norms of each head's queries and keys, and heads that are 12 wide, as a Qwen3 may have.
    HeadNorms,
}

/// The tensors of such a decoder.
pub(crate) fn decoder_tensors(with_head: bool, extra: Extra) -> Tensors {
    let mut w = Weights::new();
    let head = if extra == Extra::HeadNorms { 12 } else { WIDTH / HEADS };
    let (queries, keys) = (HEADS * head, KEY_HEADS * head);
    w.add("model.embed_tokens.weight", &[VOCAB, WIDTH], 1.0, 0.0);
    for i in 0..LAYERS {
        let name = |rest: &str| format!("model.layers.{i}.{rest}.weight");
        for (rest, shape) in [
            ("self_attn.q_proj", [queries, WIDTH]),
            ("self_attn.k_proj", [keys, WIDTH]),
            ("self_attn.v_proj", [keys, WIDTH]),
            ("self_attn.o_proj", [WIDTH, queries]),
            ("mlp.gate_proj", [HIDDEN, WIDTH]),
            ("mlp.up_proj", [HIDDEN, WIDTH]),
            ("mlp.down_proj", [WIDTH, HIDDEN]),
        ] {
            w.add(name(rest), &shape, 0.3, 0.0);
        }
        w.norm(name("input_layernorm"));
        w.norm(name("post_attention_layernorm"));
        for rest in ["q_norm", "k_norm"] {
            if extra == Extra::HeadNorms {
                w.add(name(&format!("self_attn.{rest}")), &[head], 0.1, 1.0);
            }
        }
        for (rest, width) in [("q_proj", WIDTH), ("k_proj", keys), ("v_proj", keys)] {
            if extra == Extra::Biases {
                w.add(format!("model.layers.{i}.self_attn.{rest}.bias"), &[width], 0.3, 0.0);
            }
        }
    }
    w.norm("model.norm.weight".to_string());
    if with_head {
        w.add("lm_head.weight", &[VOCAB, WIDTH], 0.3, 0.0);
    }
    w.0
}

/// The configuration of the llama.
pub(crate) fn llama_config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
        "hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": false
    })
}

/// The tensors of the encoder, by Hugging Face's names.
pub(crate) fn bert_tensors() -> Tensors {
    encoder_tensors(2)
}

/// Those of an encoder with this number of kinds of sequences.
fn encoder_tensors(types: usize) -> Tensors {
    let mut w = Weights::new();
    w.add("embeddings.word_embeddings.weight", &[VOCAB, WIDTH], 1.0, 0.0);
    w.add("embeddings.position_embeddings.weight", &[CONTEXT, WIDTH], 0.3, 0.0);
    if types > 0 {
        w.add("embeddings.token_type_embeddings.weight", &[types, WIDTH], 0.3, 0.0);
    }
    let norm = |w: &mut Weights, name: String| {
        w.norm(format!("{name}.weight"));
        w.add(format!("{name}.bias"), &[WIDTH], 0.3, 0.0);
    };
    norm(&mut w, "embeddings.LayerNorm".to_string());
    for i in 0..LAYERS {
        let linear = |w: &mut Weights, name: &str, shape: [usize; 2]| {
            w.add(format!("encoder.layer.{i}.{name}.weight"), &shape, 0.3, 0.0);
            w.add(format!("encoder.layer.{i}.{name}.bias"), &shape[..1], 0.3, 0.0);
        };
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            linear(&mut w, &format!("attention.{name}"), [WIDTH, WIDTH]);
        }
        norm(&mut w, format!("encoder.layer.{i}.attention.output.LayerNorm"));
        linear(&mut w, "intermediate.dense", [HIDDEN, WIDTH]);
        linear(&mut w, "output.dense", [WIDTH, HIDDEN]);
        norm(&mut w, format!("encoder.layer.{i}.output.LayerNorm"));
    }
    w.0
}

/// The tensors of the encoder as DistilBERT's files name them, which has no kinds of sequences.
pub(crate) fn distilbert_tensors() -> Tensors {
    encoder_tensors(0)
        .into_iter()
        .map(|(name, tensor)| {
            let mut name = name.replace("encoder.layer.", "transformer.layer.");
            for (bert, own) in [
                ("attention.self.query.", "attention.q_lin."),
                ("attention.self.key.", "attention.k_lin."),
                ("attention.self.value.", "attention.v_lin."),
                ("attention.output.dense.", "attention.out_lin."),
                ("attention.output.LayerNorm.", "sa_layer_norm."),
                ("intermediate.dense.", "ffn.lin1."),
                (".output.dense.", ".ffn.lin2."),
                (".output.LayerNorm.", ".output_layer_norm."),
            ] {
                name = name.replace(bert, own);
            }
            (name, tensor)
        })
        .collect()
}

/// The configuration of that encoder.
pub(crate) fn distilbert_config() -> Value {
    json!({
        "model_type": "distilbert", "activation": "gelu", "dim": WIDTH, "hidden_dim": HIDDEN,
        "n_layers": LAYERS, "n_heads": HEADS, "vocab_size": VOCAB, "pad_token_id": 0,
        "max_position_embeddings": CONTEXT, "sinusoidal_pos_embds": false, "tie_weights_": true,
        "qa_dropout": 0.1, "seq_classif_dropout": 0.2
    })
}

/// The tensors of a RoBERTa, with its prefix.
pub(crate) fn roberta_tensors() -> Tensors {
    encoder_tensors(1)
        .into_iter()
        .map(|(name, tensor)| (format!("roberta.{name}"), tensor))
        .collect()
}

/// The configuration of a RoBERTa.
pub(crate) fn roberta_config() -> Value {
    let settings = [
        ("model_type", json!("roberta")),
        // RoBERTa's own is 1, which is among the ids of the reference.
        ("pad_token_id", json!(2)),
        ("type_vocab_size", json!(1)),
        ("layer_norm_eps", json!(1e-5)),
    ];
    changed(bert_config(), settings)
}

fn changed<const N: usize>(mut config: Value, settings: [(&str, Value); N]) -> Value {
    for (name, value) in settings {
        config[name] = value;
    }
    config
}

/// The tensors of a GPT-2, its linear layers as one-dimensional convolutions.
pub(crate) fn gpt2_tensors() -> Tensors {
    let mut w = Weights::new();
    w.add("wte.weight", &[VOCAB, WIDTH], 1.0, 0.0);
    w.add("wpe.weight", &[CONTEXT, WIDTH], 0.3, 0.0);
    let norm = |w: &mut Weights, name: String| {
        w.norm(format!("{name}.weight"));
        w.add(format!("{name}.bias"), &[WIDTH], 0.3, 0.0);
    };
    for i in 0..LAYERS {
        let layer = |w: &mut Weights, name: &str, shape: [usize; 2]| {
            w.add(format!("h.{i}.{name}.weight"), &shape, 0.3, 0.0);
            w.add(format!("h.{i}.{name}.bias"), &shape[1..], 0.3, 0.0);
        };
        norm(&mut w, format!("h.{i}.ln_1"));
        layer(&mut w, "attn.c_attn", [WIDTH, 3 * WIDTH]);
        layer(&mut w, "attn.c_proj", [WIDTH, WIDTH]);
        norm(&mut w, format!("h.{i}.ln_2"));
        layer(&mut w, "mlp.c_fc", [WIDTH, HIDDEN]);
        layer(&mut w, "mlp.c_proj", [HIDDEN, WIDTH]);
    }
    norm(&mut w, "ln_f".to_string());
    w.0
}

/// The configuration of a GPT-2.
pub(crate) fn gpt2_config() -> Value {
    json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": VOCAB,
        "n_positions": CONTEXT, "n_ctx": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS,
        "n_head": HEADS, "n_inner": HIDDEN, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
        "summary_type": "cls_index", "bos_token_id": 0, "eos_token_id": 0
    })
}

/// The configuration of a Qwen3, whose heads are 12 wide.
pub(crate) fn qwen3_config() -> Value {
    let settings = [
        ("model_type", json!("qwen3")),
        ("head_dim", json!(12)),
        ("rope_theta", json!(1e6)),
        ("attention_bias", json!(false)),
        ("use_sliding_window", json!(false)),
        ("max_window_layers", json!(2)),
        ("tie_word_embeddings", json!(true)),
    ];
    changed(llama_config(), settings)
}

/// The configuration of the encoder.
pub(crate) fn bert_config() -> Value {
    json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": VOCAB,
        "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN, "hidden_act": "gelu", "max_position_embeddings": CONTEXT,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "position_embedding_type": "absolute"
    })
}

/// A tokenizer with fewer tokens than the models have.
pub(crate) fn tokenizer() -> Value {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "world"];
    let vocab: BTreeMap<&str, usize> = words.into_iter().zip(0..).collect();
    json!({
        "version": "1.0", "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": false},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab,
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    })
}

/// A file that PyTorch has written (`tests/data/torch/make.py`).
pub(crate) fn torch(name: &str) -> &'static [u8] {
    match name {
        "llama.bin" => include_bytes!("../data/torch/llama.bin"),
        "whole_model.pt" => include_bytes!("../data/torch/whole_model.pt"),
        "plain.pt" => include_bytes!("../data/torch/plain.pt"),
        other => panic!("there is no {other}"),
    }
}

/// A folder that goes when it is dropped.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(config: &Value, tensors: &[(String, Tensor)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("config.json", config);
        write_tensors(folder.path("model.safetensors"), tensors, &BTreeMap::new()).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, value: &Value) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value.to_string()).unwrap();
    }
}

/// The ids that the reference is computed for.
pub(crate) fn ids(count: usize) -> Tensor {
    let ids = (0..count as i64).map(|i| (7 * i * i + 3 * i + 1) % VOCAB as i64).collect();
    Tensor::from_vec(ids, [1, count]).unwrap()
}

/// What NumPy computes.
pub(crate) fn reference(name: &str) -> Vec<f32> {
    let all: Value =
        serde_json::from_str(include_str!("../data/published/reference.json")).unwrap();
    serde_json::from_value(all[name].clone()).unwrap()
}

/// The scores after 40 ids.
pub(crate) fn last_scores(loaded: &Loaded) -> Vec<f32> {
    let scores = loaded.model.forward(&ids(40).into(), &mut Ctx::eval()).unwrap().into_value();
    scores.select(0, 0).unwrap().select(0, 39).unwrap().to_vec().unwrap()
}

/// Asserts values that are the reference's, but for the rounding of 32-bit floats.
pub(crate) fn assert_reference(got: &[f32], name: &str) {
    let want = reference(name);
    assert_eq!(got.len(), want.len(), "{name}");
    let largest = want.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= 2e-5 * largest, "{name} {i}: {got} for {want}");
    }
}
