//! Architectures beyond ours in their published layouts: GPT-2, DistilBERT and RoBERTa give what NumPy
//! computes (`tests/data/published/reference.py`), before and after a file of our own.

use super::published_support::*;
use serde_json::{Value, json};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::files::{Embedder, import_folder, load_model, open_model, save_model};
use tinytorch::nn::Forward;

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
