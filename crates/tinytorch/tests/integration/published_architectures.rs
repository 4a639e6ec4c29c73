//! Architectures beyond ours in their published layouts: GPT-2, DistilBERT and RoBERTa give what NumPy
//! computes (`tests/data/published/reference.py`), before and after a file of our own.

use super::published_support::*;
use serde_json::{Value, json};
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Stored};
use tinytorch::files::{Embedder, import_folder, load_model, open_model, save_model};
use tinytorch::models::{Bert, BertConfig};
use tinytorch::nn::{Forward, Init, Module};

/// The scores of the folder, read and read again from a file of our own.
fn scores(config: &Value, tensors: &Tensors, want: &str) {
    let folder = Folder::new(config, tensors);
    let loaded = open_model(folder.root()).unwrap();
    assert_reference(&last_scores(&loaded), want);
    let own = folder.path("own.safetensors");
    save_model(&own, &*loaded.model, &loaded.provenance).unwrap();
    assert_reference(&last_scores(&load_model(&own).unwrap()), want);
}

fn renamed(tensors: Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn extended(mut tensors: Tensors, name: &str, tensor: Tensor) -> Tensors {
    tensors.push((name.to_string(), tensor));
    tensors
}

#[test]
fn gpt2_gives_its_scores_in_every_spelling() {
    let plain = gpt2_tensors();
    let wrapped = renamed(plain.clone(), |name| format!("transformer.{name}"));
    let head = extended(wrapped.clone(), "lm_head.weight", plain[0].1.clone());
    // The triangles that old files hold.
    let triangle = Tensor::ones([1, 1, CONTEXT, CONTEXT]).unwrap();
    let triangle = extended(plain.clone(), "h.0.attn.bias", triangle);
    for tensors in [&plain, &wrapped, &head, &triangle] {
        scores(&gpt2_config(), tensors, "gpt2");
    }
    let mut relu = gpt2_config();
    relu["activation_function"] = "relu".into();
    relu["layer_norm_epsilon"] = json!(1e-3);
    scores(&relu, &plain, "gpt2_relu");
}

#[test]
fn what_would_change_a_gpt2_is_refused_by_name() {
    let tensors = gpt2_tensors();
    for (name, value) in [
        ("scale_attn_by_inverse_layer_idx", json!(true)),
        ("scale_attn_weights", json!(false)),
        ("activation_function", json!("tanh")),
        ("add_cross_attention", json!(true)),
        ("tie_word_embeddings", json!(false)),
        ("rotary_pct", json!(0.5)),
    ] {
        let mut config = gpt2_config();
        config[name] = value;
        let line = import_folder(Folder::new(&config, &tensors).root()).err().unwrap().to_string();
        assert!(line.contains(name), "{line}");
    }
    let transposed = extended(
        tensors.iter().filter(|(name, _)| name != "h.0.mlp.c_fc.weight").cloned().collect(),
        "h.0.mlp.c_fc.weight",
        Tensor::ones([64, WIDTH]).unwrap(),
    );
    let folder = Folder::new(&gpt2_config(), &transposed);
    let line = import_folder(folder.root()).err().unwrap().to_string();
    assert!(line.contains("h.0.mlp.c_fc.weight"), "{line}");
}

/// Ids none of which is that of padding.
fn without_padding(count: usize) -> Tensor {
    Tensor::full(5i64, [1, count]).unwrap()
}

#[test]
fn distilbert_and_roberta_give_their_vectors() {
    let bare = renamed(distilbert_tensors(), |name| format!("distilbert.{name}"));
    let bare = extended(bare, "vocab_transform.bias", Tensor::zeros([WIDTH]).unwrap());
    let roberta = roberta_tensors();
    let with_head = extended(roberta.clone(), "lm_head.bias", Tensor::zeros([VOCAB]).unwrap());
    for (config, tensors, want) in [
        (distilbert_config(), distilbert_tensors(), "distilbert_mean"),
        (distilbert_config(), bare, "distilbert_mean"),
        (roberta_config(), roberta, "roberta_mean"),
        (roberta_config(), with_head, "roberta_mean"),
    ] {
        let folder = Folder::new(&config, &tensors);
        folder.write("tokenizer.json", &tokenizer());
        let encoder = Embedder::load(folder.root()).unwrap().encoder;
        let vectors = encoder.forward(&ids(6).into(), &mut Ctx::eval()).unwrap();
        assert_reference(&vectors.value().to_vec::<f32>().unwrap(), want);
        let loaded = import_folder(folder.root()).unwrap();
        let own = folder.path("own.safetensors");
        save_model(&own, &*loaded.model, &loaded.provenance).unwrap();
        assert_eq!(load_model(&own).unwrap().model.architecture(), loaded.model.architecture());
    }
    // Three rows of the table stand before the first position.
    let folder = Folder::new(&roberta_config(), &roberta_tensors());
    let model = import_folder(folder.root()).unwrap().model;
    assert!(model.forward(&without_padding(CONTEXT - 3).into(), &mut Ctx::eval()).is_ok());
    let line = model
        .forward(&without_padding(CONTEXT - 2).into(), &mut Ctx::eval())
        .unwrap_err()
        .to_string();
    assert!(line.contains(&format!("there are {}", CONTEXT - 3)), "{line}");
}

/// transformers' `create_position_ids_from_input_ids`: tokens that are no padding are numbered from behind the id
/// of padding.
fn roberta_positions(ids: &[i64], pad: i64) -> Vec<i64> {
    let mut rank = 0;
    let mut position = |id: &i64| {
        rank += i64::from(*id != pad);
        if *id == pad { pad } else { rank + pad }
    };
    ids.iter().map(&mut position).collect()
}

#[test]
fn a_padded_roberta_takes_the_positions_of_transformers() {
    let config = BertConfig {
        vocab: 40,
        context: 10,
        types: 1,
        dim: 8,
        layers: 2,
        heads: 2,
        hidden: 16,
        norm_eps: 1e-5,
        pad: 1,
        first_position: 2,
    };
    let counted_from_0 = BertConfig { first_position: 0, ..config.clone() };
    let model = Bert::new(&config, &mut Init::seed(3)).unwrap();
    let params = model.named_params();
    let rows: [&[i64]; 3] =
        [&[0, 5, 6, 7, 8, 9, 2], &[0, 30, 2, 1, 1, 1, 1], &[0, 4, 4, 4, 2, 1, 1]];
    let run = |model: &Bert, rows: &[&[i64]]| {
        let ids = Tensor::from_vec(rows.concat(), [rows.len(), rows[0].len()]).unwrap();
        model.forward(&ids.into(), &mut Ctx::eval()).unwrap().value().to_vec::<f32>().unwrap()
    };
    let batch = run(&model, &rows);
    for (i, row) in rows.iter().enumerate() {
        let tokens = row.iter().take_while(|id| **id != 1).count();
        let positions = roberta_positions(row, 1);
        assert_eq!(positions[..tokens], (2..2 + tokens as i64).collect::<Vec<_>>());
        // The rows of the table that the formula names, put where a BERT looks for its own.
        let mut plain = Bert::new(&counted_from_0, &mut Init::absent()).unwrap();
        for ((name, param), (_, from)) in plain.named_params_mut().into_iter().zip(&params) {
            let value = from.value().unwrap();
            let named = || {
                let rows = positions.iter().chain(&[0; 3]).map(|&at| at as usize);
                let rows: Vec<Tensor> =
                    rows.map(|at| value.slice(0, at..at + 1).unwrap()).collect();
                Tensor::cat::<f32>(&rows, 0).unwrap()
            };
            let value = if name == "positions.weight" { named() } else { value.clone() };
            param.store(Stored::F32(value));
        }
        let alone = run(&plain, &[&row[..tokens]]);
        let padded = &batch[8 * row.len() * i..][..8 * tokens];
        for (got, want) in padded.iter().zip(&alone) {
            assert!((got - want).abs() < 1e-5, "row {i}: {got} {want}");
        }
    }
}
