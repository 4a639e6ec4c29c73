//! Models with published weights. Some of what they need is not part of the repository: `TINYTORCH_SHARED`
//! names a folder with `data/cifar10` and `models`, `TINYTORCH_MINILM` one with all-MiniLM-L6-v2.

use super::audits;
use super::battery::Case;
use super::quantizing::suited;
use super::support::{AnyModel, Embedder, Model, gradients, import_folder, import_model, preset};
use super::values::Values;
use std::path::{Path, PathBuf};
use tinytorch::data::{Examples, load, read_npy};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub(crate) fn resnet20() -> AnyModel {
    let weights = data("resnet20/resnet20-12fca82f.safetensors");
    import_model(weights, &preset("resnet20")).unwrap().model
}

pub(crate) fn stories() -> AnyModel {
    import_folder(data("stories260K")).unwrap().model
}

/// A text that it tells.
pub(crate) fn stories_ids() -> Vec<i64> {
    read_npy(data("stories260K/ref_greedy_ids.npy")).unwrap().to_vec().unwrap()
}

/// Photographs, if they are at hand.
pub(crate) fn photographs() -> Option<Examples> {
    let folder = PathBuf::from(std::env::var_os("TINYTORCH_SHARED")?).join("data/cifar10");
    folder.is_dir().then(|| load(folder).unwrap().train)
}

/// The folder of MiniLM, if it is at hand.
pub(crate) fn minilm() -> Option<PathBuf> {
    let shared =
        || Some(PathBuf::from(std::env::var_os("TINYTORCH_SHARED")?).join("models/minilm"));
    let folder = std::env::var_os("TINYTORCH_MINILM").map(PathBuf::from).or_else(shared)?;
    folder.join("model.safetensors").is_file().then_some(folder)
}

/// ResNet-20 on photographs.
pub(crate) fn resnet20_cifar10(values: &mut Values) {
    let photographs = photographs().unwrap();
    let part =
        |range: std::ops::Range<usize>| photographs.select(&range.collect::<Vec<_>>()).unwrap();
    let calibration = part(1000..1008);
    let case = Case {
        model: resnet20(),
        suited: suited(&preset("resnet20")),
        training: calibration.inputs().clone(),
        labels: calibration.labels().clone(),
        batch: 8,
        judged: [0..5, 5..9].map(|range| part(range).inputs().clone()),
    };
    let four = part(0..4);
    values.tensors("float/gradients", &gradients(&case.model, four.inputs(), four.labels()));
    case.outputs(values, "float", &case.model, false);
    case.int8(values, "suited", &case.suited, true);
    audits::short(&case, part(9..17), values);
}

/// MiniLM on sentences.
pub(crate) fn minilm_sentences(values: &mut Values) {
    let Embedder { encoder, tokenizer, .. } = Embedder::load(minilm().unwrap()).unwrap();
    let text = include_str!("../data/minilm/ref_sentences.txt");
    let sentences: Vec<&str> = text.lines().collect();
    let ids = |sentences: &[&str]| tokenizer.encode_batch(sentences.iter().copied()).unwrap().ids;
    let bert: &dyn Model = &encoder.bert;
    let architecture = bert.architecture().unwrap();
    let judged = [ids(&sentences[..3]), ids(&sentences[3..5])];
    let case = Case::new(encoder, suited(&architecture), ids(&sentences), 5, judged);
    case.outputs(values, "float", &case.model, true);
    case.int8(values, "suited", &case.suited, true);
}
