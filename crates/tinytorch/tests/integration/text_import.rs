//! Model files of other programs that are damaged, or belong to another model.

use super::text_stories::data;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tinytorch::Tensor;
use tinytorch::files::{
    Provenance, TensorFile, import_folder, import_model, load_llama2c, load_model, save_model,
    write_tensors,
};
use tinytorch::models::{Architecture, LlamaConfig};
use tinytorch::nn::Init;

fn refused<T>(result: tinytorch::Result<T>) -> String {
    let text = result.err().expect("an error").to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

/// What is said of a llama2.c file with these bytes.
fn refused_bin(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.bin");
    fs::write(&path, bytes).unwrap();
    refused(load_llama2c(&path))
}

/// The beginning of a llama2.c file.
fn header(sizes: [i32; 7]) -> Vec<u8> {
    sizes.iter().flat_map(|size| size.to_le_bytes()).collect()
}

#[test]
fn a_llama2c_file_must_be_exactly_as_long_as_its_sizes_say() {
    let whole = fs::read(data("stories260K.bin")).unwrap();
    for damaged in [&whole[..whole.len() - 1], &[&whole[..], &[0]].concat(), &whole[..28]] {
        let line = refused_bin(damaged);
        assert!(line.contains("where its sizes ask for 28 and 264128 floats"), "{line}");
    }
    assert!(refused_bin(&whole[..27]).contains("27 bytes where the sizes alone take 28"));
    assert!(refused_bin(b"").contains("0 bytes"));
}

#[test]
fn sizes_that_make_no_llama_are_named_before_anything_is_allocated() {
    let cases = [
        ([64, 172, 5, 8, 4, 512, -1], "number 6 of its sizes is -1"),
        ([0, 172, 5, 8, 4, 512, 512], "the width is 0"),
        ([64, 172, 5, 7, 7, 512, 512], "7 heads do not divide"),
        ([64, 172, 5, 8, 0, 512, 512], "0 key and value heads"),
        ([64, 172, 1 << 20, 8, 4, 512, 512], "the number of layers"),
        ([1 << 24, 1 << 24, 1000, 8, 4, 1 << 24, 1 << 24], "where its sizes ask for"),
        ([64, 172, 5, 8, 4, i32::MIN, 512], "the vocabulary"),
        ([0x616b_3432, 2, 64, 172, 5, 8, 4], "version 2 of the format"),
    ];
    for (sizes, problem) in cases {
        let line = refused_bin(&header(sizes));
        assert!(line.contains(problem), "{line}");
    }
    assert!(refused(load_llama2c(data(""))).contains("not a regular file"));
}

/// A folder with stories260K's weights, changed, and a configuration.
fn folder(
    config: &serde_json::Value,
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) -> TempDir {
    let file = TensorFile::open(data("stories260K.safetensors")).unwrap();
    let mut tensors: BTreeMap<String, Tensor> =
        file.tensors().map(|(name, _)| (name.to_string(), file.tensor(name).unwrap())).collect();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    write_tensors(folder.path().join("m.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn stories_config() -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(data("config.json")).unwrap()).unwrap()
}

#[test]
fn a_head_that_is_tied_on_one_side_only_is_named() {
    let mut untied = stories_config();
    untied["shared"] = false.into();
    let line = refused(import_folder(folder(&untied, |_| {}).path()));
    assert!(line.contains("there is no output head \"output.weight\""), "{line}");
    let with_head = |tensors: &mut BTreeMap<String, Tensor>| {
        tensors.insert("output.weight".into(), tensors["tok_embeddings.weight"].clone());
    };
    // A head that is the token table once more says nothing else.
    assert!(import_folder(folder(&stories_config(), with_head).path()).is_ok());
    let with_another = |tensors: &mut BTreeMap<String, Tensor>| {
        let shape = *tensors["tok_embeddings.weight"].shape();
        tensors.insert("output.weight".into(), Tensor::ones(shape).unwrap());
    };
    let line = refused(import_folder(folder(&stories_config(), with_another).path()));
    assert!(line.contains("there is an output head \"output.weight\""), "{line}");
    assert!(import_folder(folder(&untied, with_head).path()).is_ok());
}

#[test]
fn a_file_of_our_own_is_held_to_the_same() {
    let config = LlamaConfig { tied: false, vocab: 20, layers: 1, ..LlamaConfig::LLAMA2_C };
    let model = Architecture::Llama(config).build(&mut Init::seed(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    save_model(&path, &*model, &Provenance::default()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let rewritten = |keep: fn(&str) -> bool, from: &str, to: &str| -> PathBuf {
        let names = file.tensors().map(|(name, _)| name).filter(|name| keep(name));
        let tensors: Vec<(&str, Tensor)> =
            names.map(|name| (name, file.tensor(name).unwrap())).collect();
        let mut metadata = file.metadata().clone();
        let architecture = metadata["architecture"].replace(from, to);
        metadata.insert("architecture".into(), architecture);
        let path = folder.path().join("changed.safetensors");
        write_tensors(&path, &tensors, &metadata).unwrap();
        path
    };
    let tied = rewritten(|_| true, "\"tied\":false", "\"tied\":true");
    assert!(refused(load_model(tied)).contains("there is an output head \"head.weight\""));
    let headless = rewritten(|name| name != "head.weight", "", "");
    assert!(refused(load_model(headless)).contains("there is no output head \"head.weight\""));
}

#[test]
fn weights_of_another_architecture_or_size_are_named() {
    let path = data("stories260K.safetensors");
    let gpt = Architecture::preset("talks-gpt").unwrap();
    assert!(refused(import_model(&path, &gpt)).contains("wte.weight\" is missing"));
    let config = |key: &str, value: serde_json::Value| {
        let mut config = stories_config();
        config[key] = value;
        config
    };
    let line = refused(import_folder(folder(&config("n_layers", 6.into()), |_| {}).path()));
    assert!(line.contains("\"layers.5."), "{line}");
    let line = refused(import_folder(folder(&config("n_layers", 4.into()), |_| {}).path()));
    assert!(line.contains("\"layers.4.") && line.contains("no part of the model"), "{line}");
    let line = refused(import_folder(folder(&config("hidden_dim", 170.into()), |_| {}).path()));
    assert!(line.contains("where the model needs [170, 64]"), "{line}");
    let line = refused(import_folder(folder(&config("n_heads", 3.into()), |_| {}).path()));
    assert!(line.contains("3 heads do not divide"), "{line}");
}

#[test]
fn folders_without_what_is_needed_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(import_folder(empty.path())).contains("config.json"));
    let no_json = folder(&"text".into(), |_| {});
    assert!(refused(import_folder(no_json.path())).contains("config.json: "));
    let good = folder(&stories_config(), |_| {});
    fs::copy(good.path().join("m.safetensors"), good.path().join("n.safetensors")).unwrap();
    assert!(refused(import_folder(good.path())).contains("2 .safetensors files"));
    fs::rename(good.path().join("n.safetensors"), good.path().join("model.safetensors")).unwrap();
    assert!(import_folder(good.path()).is_ok());
    let large = Path::new("config.json");
    fs::write(good.path().join(large), vec![b' '; 2 << 20]).unwrap();
    assert!(refused(import_folder(good.path())).contains("larger than"));
}
