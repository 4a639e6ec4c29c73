//! Files that other programs have saved: other names, floats of other widths, and nothing that says
//! what the model is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use tinytorch::files::{
    ContentError, FileError, TensorFile, import_model, load_renamed, save_params, write_tensors,
};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::{Init, Linear, Module};
use tinytorch::{Result, Rng, Tensor};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, tensors: &[(&str, Tensor)]) -> PathBuf {
        let path = self.0.path().join("theirs.safetensors");
        write_tensors(&path, tensors, &BTreeMap::new()).unwrap();
        path
    }
}

fn content(result: Result<impl Sized>) -> ContentError {
    match result.err().expect("an error").downcast().unwrap() {
        FileError::Content { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

fn randn(shape: &[usize]) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Rng::seed(1)).unwrap()
}

/// Loads a layer of 2 outputs and 3 inputs that the file calls `dense`.
fn load_dense(layer: &mut Linear, path: &PathBuf) -> Result<()> {
    let file = TensorFile::open(path)?;
    load_renamed(layer, &file, |name| format!("dense.{name}"), |name| name == "step")
}

#[test]
fn names_are_mapped_and_known_extras_are_passed_over() {
    let folder = Folder::new();
    let (weight, bias) = (randn(&[2, 3]), randn(&[2]));
    let path = folder.write(&[
        ("dense.bias", bias.clone()),
        ("dense.weight", weight.clone()),
        ("step", Tensor::from_vec(vec![7i64], [1]).unwrap()),
    ]);
    let mut layer = Linear::new(3, 2, &mut Init::absent()).unwrap();
    load_dense(&mut layer, &path).unwrap();
    let values = |t: &Tensor| t.to_vec::<f32>().unwrap();
    assert_eq!(values(layer.weight.value().unwrap()), values(&weight));
    assert_eq!(values(layer.bias.as_ref().unwrap().value().unwrap()), values(&bias));
}

#[test]
fn a_file_that_does_not_fit_is_named_and_changes_nothing() {
    let folder = Folder::new();
    let (weight, bias) = (randn(&[2, 3]), randn(&[2]));
    let weight = || ("dense.weight", weight.clone());
    let bias = || ("dense.bias", bias.clone());
    let name = |name: &str| name.to_string();
    let mut layer = Linear::new(3, 2, &mut Init::seed(1)).unwrap();
    let before = layer.weight.value().unwrap().clone();
    let mut refused = |tensors: &[(&str, Tensor)]| {
        let problem = content(load_dense(&mut layer, &folder.write(tensors)));
        assert!(layer.weight.value().unwrap().shares_storage(&before));
        problem
    };
    assert_eq!(refused(&[weight()]), ContentError::Missing { tensor: name("dense.bias") });
    let extra = ("dense.gain", randn(&[2]));
    let unexpected = ContentError::Unexpected { tensor: name("dense.gain") };
    assert_eq!(refused(&[weight(), bias(), extra]), unexpected);
    let problem = refused(&[weight(), ("dense.bias", randn(&[3]))]);
    assert!(matches!(problem, ContentError::Shape { tensor, .. } if tensor == "dense.bias"));
    let whole = ("dense.bias", Tensor::from_vec(vec![1i64, 2], [2]).unwrap());
    let problem = refused(&[weight(), whole]);
    assert!(matches!(problem, ContentError::Dtype { tensor, .. } if tensor == "dense.bias"));
}

#[test]
fn an_architecture_is_imported_by_its_own_names() {
    let config = MlpConfig { inputs: 4, hidden: vec![3], outputs: 2 };
    let architecture = Architecture::Mlp(config);
    let model = architecture.build(&mut Init::seed(3)).unwrap();
    let folder = Folder::new();
    let path = folder.0.path().join("plain.safetensors");
    save_params(&path, &*model, &BTreeMap::new()).unwrap();
    let imported = import_model(&path, &architecture).unwrap().model;
    for ((name, theirs), (_, ours)) in model.named_params().iter().zip(imported.named_params()) {
        let values = |t: &Tensor| t.to_vec::<f32>().unwrap();
        assert_eq!(values(theirs.value().unwrap()), values(ours.value().unwrap()), "{name}");
    }
    let other = Architecture::Mlp(MlpConfig { inputs: 4, hidden: vec![], outputs: 2 });
    let problem = content(import_model(&path, &other));
    assert!(matches!(problem, ContentError::Shape { .. }), "{problem}");
}
