//! all-MiniLM-L6-v2, where it is at hand: `TINYTORCH_MINILM` names the folder with its files.

use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::data::Npz;
use tinytorch::files::Embedder;
use tinytorch::nn::Forward;
use tinytorch::text::{HfTokenizer, Padding, Tokenizer};

pub(crate) const SENTENCES: &str = include_str!("../data/minilm/ref_sentences.txt");

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TINYTORCH_MINILM").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: TINYTORCH_MINILM does not name a folder");
    }
    folder
}

pub(crate) fn minilm() -> Option<Embedder> {
    Some(Embedder::load(folder()?).unwrap())
}

#[rustfmt::skip]
const IDS: [[i64; 15]; 5] = [
    [101, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102, 0, 0, 0, 0, 0, 0],
    [101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102, 0, 0, 0],
    [101, 24110, 3775, 9276, 7341, 2613, 3616, 2000, 1022, 1011, 2978, 24028, 1012, 102, 0],
    [101, 2048, 6077, 2024, 2770, 2083, 1037, 20981, 2492, 1999, 1996, 2220, 2851, 1012, 102],
    [101, 7592, 102, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

#[test]
fn sentences_get_the_ids_the_model_was_trained_with() {
    let Some(folder) = folder() else { return };
    let tokenizer = HfTokenizer::load(folder.join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.vocab_size(), 30522);
    assert_eq!(tokenizer.truncation().unwrap().max_length, 128);
    let tokenizer = tokenizer.with_padding(Some(Padding::new(0, "[PAD]"))).unwrap();
    let batch = tokenizer.encode_batch(SENTENCES.lines()).unwrap();
    let expected = IDS.as_flattened();
    assert_eq!(batch.ids.shape().to_vec(), [5, 15]);
    assert_eq!(batch.ids.to_vec::<i64>().unwrap(), expected);
    let mask: Vec<i64> = expected.iter().map(|&id| i64::from(id != 0)).collect();
    assert_eq!(batch.attention_mask.to_vec::<i64>().unwrap(), mask);
    assert_eq!(batch.type_ids.to_vec::<i64>().unwrap(), [0; 75]);
    assert_eq!(tokenizer.decode(&IDS[0]).unwrap(), "a man is playing a guitar.");
}

/// An array of the reference: PyTorch's, for the sentences above.
fn reference(array: &str) -> Tensor {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/minilm/ref_io.npz");
    Npz::open(path).unwrap().read(array).unwrap()
}

/// Asserts a relative error of at most 1e-4, in all and of the largest value.
fn assert_near(got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape());
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    let error = norm(&got.sub(want).unwrap()) / norm(want);
    let largest = want.to_vec::<f32>().unwrap().iter().fold(0f32, |m, v| m.max(v.abs()));
    println!("relative error {error:.1e}");
    assert!(error < 1e-4 && got.allclose(want, 0.0, 1e-4 * largest).unwrap());
}

#[test]
fn vectors_of_tokens_are_those_of_the_reference() {
    let Some(embedder) = minilm() else { return };
    let ids = reference("input_ids").into();
    let hidden = embedder.encoder.bert.forward(&ids, &mut Ctx::eval()).unwrap();
    assert_near(hidden.value(), &reference("last_hidden_state"));
}

#[test]
fn vectors_of_sentences_are_those_of_the_reference() {
    let Some(embedder) = minilm() else { return };
    let sentences: Vec<&str> = SENTENCES.lines().collect();
    assert_near(&embedder.embed(&sentences).unwrap(), &reference("sentence_embedding"));
}
