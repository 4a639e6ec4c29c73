//! stories260K, a trained llama: read from both of its forms, it gives the reference's scores and text.

use std::path::{Path, PathBuf};
use tinytorch::autograd::{Ctx, Param};
use tinytorch::data::read_npy;
use tinytorch::files::{import_folder, load_llama2c};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Forward, Module};
use tinytorch::tensor::Tensor;

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K").join(name)
}

pub(crate) fn stories() -> Box<dyn Model> {
    import_folder(data("")).unwrap().model
}

pub(crate) fn reference_ids() -> Vec<i64> {
    read_npy(data("ref_greedy_ids.npy")).unwrap().to_vec().unwrap()
}

fn scores(model: &dyn Model, ids: &[i64]) -> Tensor {
    let ids = Tensor::from_vec(ids.to_vec(), [1, ids.len()]).unwrap();
    model.forward(&ids.into(), &mut Ctx::eval()).unwrap().into_value()
}

#[test]
fn both_forms_hold_the_same_model() {
    let (folder, bin) = (stories(), load_llama2c(data("stories260K.bin")).unwrap().model);
    assert_eq!(folder.architecture(), Architecture::preset("stories260K").ok());
    assert_eq!(folder.architecture(), bin.architecture());
    assert_eq!(folder.param_count(), 260_032);
    for ((name, a), (_, b)) in folder.named_params().into_iter().zip(bin.named_params()) {
        let values = |p: &Param| p.value().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(values(a), values(b), "{name}");
    }
}

#[test]
fn scores_are_those_of_the_reference() {
    let want = read_npy(data("ref_logits_first64.npy")).unwrap();
    let positions = want.shape()[0];
    let got = scores(&*stories(), &reference_ids()[..positions]).squeeze(0).unwrap();
    assert_eq!(got.shape(), want.shape());
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    let error = norm(&got.sub(&want).unwrap()) / norm(&want);
    println!("relative error {error:.1e}");
    assert!(error < 1e-5, "{error}");
    assert!(got.allclose(&want, 1e-4, 1e-4).unwrap());
}

#[test]
fn the_likeliest_tokens_are_the_reference_text() {
    let (model, want) = (stories(), reference_ids());
    let mut ids = vec![want[0]];
    while ids.len() < want.len() {
        let last = scores(&*model, &ids).slice(1, ids.len() - 1..ids.len()).unwrap();
        ids.push(last.argmax_last().unwrap().to_vec::<i64>().unwrap()[0]);
    }
    assert_eq!(ids, want);
}
