//! Checkpoints as they are found: cut in pieces, wrapped, under older names, of other element types, with
//! heads that nobody needs. All of them hold the model of `published_support`, whose scores NumPy has
//! computed.

use super::published_support::*;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use tinytorch::autograd::Ctx;
use tinytorch::files::{Embedder, import_folder, open_model, write_tensors};
use tinytorch::nn::Forward;
use tinytorch::{Result, Tensor};

fn renamed(tensors: Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn import(folder: &Folder) -> Result<Vec<f32>> {
    Ok(last_scores(&import_folder(folder.root())?))
}

fn refused(folder: &Folder) -> String {
    import(folder).unwrap_err().to_string()
}

#[test]
fn names_with_and_without_their_wrappers_are_found() {
    let usual = |name: &str| name.to_string();
    let inner = |name: &str| name.strip_prefix("model.").unwrap_or(name).to_string();
    let wrapped = |name: &str| format!("module.{name}");
    let compiled = |name: &str| format!("_orig_mod.{name}");
    for rename in [&usual as &dyn Fn(&str) -> String, &inner, &wrapped, &compiled] {
        let folder = Folder::new(&llama_config(), &renamed(llama_tensors(true), rename));
        assert_reference(&import(&folder).unwrap(), "llama_10k");
    }
}

#[test]
fn a_checkpoint_in_pieces_is_read_by_its_index() {
    let tensors = llama_tensors(true);
    let folder = Folder::new(&llama_config(), &tensors);
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    let (first, second) = tensors.split_at(10);
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut map = BTreeMap::new();
    for (name, part) in names.into_iter().zip([first, second]) {
        write_tensors(folder.path(name), part, &BTreeMap::new()).unwrap();
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name)));
    }
    let index = |map: &BTreeMap<String, &str>| {
        folder.write("model.safetensors.index.json", &json!({"metadata": {}, "weight_map": map}));
    };
    index(&map);
    assert_reference(&import(&folder).unwrap(), "llama_10k");

    let mut wrong = map.clone();
    wrong.insert("lm_head.weight".to_string(), names[0]);
    index(&wrong);
    assert!(refused(&folder).contains("has no tensor \"lm_head.weight\""));
    wrong.insert("lm_head.weight".to_string(), "../model.safetensors");
    index(&wrong);
    assert!(refused(&folder).contains("no file of this folder"));
    index(&map);
    fs::remove_file(folder.path(names[1])).unwrap();
    let line = refused(&folder);
    assert!(line.contains(names[1]) && line.contains("missing"), "{line}");
}

#[test]
fn a_tied_head_may_be_repeated_or_stand_alone() {
    let config = {
        let mut config = llama_config();
        config["tie_word_embeddings"] = true.into();
        config
    };
    let plain = llama_tensors(false);
    let table = plain[0].1.clone();
    let with_head = |head: Tensor| {
        let mut tensors = plain.clone();
        tensors.push(("lm_head.weight".to_string(), head));
        Folder::new(&config, &tensors)
    };
    let alone = renamed(plain.clone(), |name| name.replace("model.embed_tokens", "lm_head"));
    for folder in [Folder::new(&config, &plain), with_head(table), Folder::new(&config, &alone)] {
        assert_reference(&import(&folder).unwrap(), "llama_tied");
    }
    let other = with_head(Tensor::ones([VOCAB, WIDTH]).unwrap());
    assert!(refused(&other).contains("there is an output head \"lm_head.weight\""));
    assert!(refused(&Folder::new(&llama_config(), &plain)).contains("there is no output head"));
}

/// The folder's weights as floats of 64 bits.
fn widened(folder: &Folder, tensors: &Tensors) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let values = tensor.to_vec::<f32>().unwrap().into_iter();
            let bytes = values.flat_map(|v| f64::from(v).to_le_bytes()).collect();
            (name.clone(), tensor.shape().dims().to_vec(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(folder.path("model.safetensors"), file).unwrap();
}

#[test]
fn weights_of_64_bits_are_rounded() {
    let tensors = llama_tensors(true);
    let folder = Folder::new(&llama_config(), &tensors);
    widened(&folder, &tensors);
    assert_reference(&import(&folder).unwrap(), "llama_10k");
}

#[test]
fn integers_are_no_weights() {
    let mut tensors = llama_tensors(true);
    tensors[0].1 = Tensor::from_vec(vec![1i64; VOCAB * WIDTH], [VOCAB, WIDTH]).unwrap();
    assert!(refused(&Folder::new(&llama_config(), &tensors)).contains("is I64 where F32"));
    let mut bias = llama_tensors(true);
    bias.push(("model.layers.0.self_attn.q_proj.bias".into(), Tensor::zeros([WIDTH]).unwrap()));
    let line = refused(&Folder::new(&llama_config(), &bias));
    assert!(line.contains("q_proj.bias\" is no part of the model"), "{line}");
}

#[test]
fn encoders_come_wrapped_with_old_norms_and_with_heads() {
    let with = |extra: &[(&str, &[usize])]| {
        let mut tensors = bert_tensors();
        for (name, shape) in extra {
            tensors.push((name.to_string(), Tensor::zeros(*shape).unwrap()));
        }
        tensors
    };
    let old = |name: &str| {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let wrap = |name: &str| match name.starts_with("cls.") {
        true => name.to_string(),
        false => format!("bert.{name}"),
    };
    let heads = with(&[("cls.predictions.bias", &[VOCAB]), ("pooler.dense.bias", &[WIDTH])]);
    for tensors in [
        renamed(with(&[]), old),
        renamed(with(&[]), |name| format!("bert.{name}")),
        renamed(heads, wrap),
        with(&[("classifier.weight", &[2, WIDTH]), ("embeddings.position_ids", &[1, CONTEXT])]),
    ] {
        let folder = Folder::new(&bert_config(), &tensors);
        folder.write("tokenizer.json", &tokenizer());
        let encoder = Embedder::load(folder.root()).unwrap().encoder;
        let vectors = encoder.forward(&ids(6).into(), &mut Ctx::eval()).unwrap();
        assert_reference(&vectors.value().to_vec::<f32>().unwrap(), "bert_mean");
    }
    let unknown = Folder::new(&bert_config(), &with(&[("gate.weight", &[2])]));
    assert!(refused(&unknown).contains("\"gate.weight\" is no part of the model"));
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let folder = Folder::new(&llama_config(), &llama_tensors(true));
    for (bytes, what) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a"[..], "pointer of Git LFS"),
        (b"<!DOCTYPE html><html><head><title>Not found</title></head></html>", "web page"),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", "GGUF file"),
        (b"PK\x03\x04\x14\0\0\0\0\0", "zip archive, as torch.save writes, and damaged"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.0.0", "ONNX model"),
        (b"just some text", "plain text"),
    ] {
        fs::write(folder.path("model.safetensors"), bytes).unwrap();
        let line = refused(&folder);
        assert!(line.contains(what) && line.contains("model.safetensors"), "{line}");
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a";
    for (name, read) in [("config.json", true), ("x.npz", false), ("x.csv", false)] {
        fs::write(folder.path(name), pointer).unwrap();
        let line = match read {
            true => refused(&folder),
            false => tinytorch::data::load(folder.path(name)).unwrap_err().to_string(),
        };
        assert!(line.contains(name) && line.contains("Git LFS"), "{line}");
    }
}

#[test]
fn a_state_dict_that_pytorch_has_saved_gives_its_scores() {
    let folder = Folder::new(&llama_config(), &llama_tensors(true));
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    fs::write(folder.path("pytorch_model.bin"), torch("llama.bin")).unwrap();
    assert_reference(&import(&folder).unwrap(), "llama_10k");
    for path in [folder.root().to_path_buf(), folder.path("pytorch_model.bin")] {
        assert_reference(&last_scores(&open_model(path).unwrap()), "llama_10k");
    }
    fs::write(folder.path("pytorch_model.bin"), torch("whole_model.pt")).unwrap();
    let line = refused(&folder);
    assert!(line.contains("an object of the kind \"torch.nn.modules"), "{line}");
}
