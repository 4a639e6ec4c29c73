//! Trained transformers in int8, everything that is a weight included: how far their answers move.
//!
//! Errors are relative, in the L2 norm, after taking the mean of the float output off both sides.

use super::text_minilm::{SENTENCES, minilm};
use super::text_stories::stories;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::generate::{CacheKind, Generator, Limits, Sampler, Sampling};
use tinytorch::models::Model;
use tinytorch::nn::{Forward, Module};
use tinytorch::quant::{Activations, QuantConfig, Scheme, is_weight, quantize_model};
use tinytorch::{Result, Tensor};

/// The first 80 lines of more than four words of Shakespeare's plays.
const SHAKESPEARE: &str = include_str!("../data/minilm/shakespeare.txt");

/// Positions of each text that the model writes to be judged by.
const LENGTH: usize = 256;

/// The same model with int8 weights, without calibration.
fn int8<M: Forward<Output = Var> + Module + ?Sized>(model: &mut M, config: QuantConfig) {
    let config = config.knowingly();
    let none: [Result<Var>; 0] = [];
    quantize_model(model, none, &config).unwrap();
    for (name, param) in model.named_params() {
        assert_eq!(param.int8().is_some(), is_weight(param), "{name}");
    }
}

fn plain() -> QuantConfig {
    QuantConfig::new(Activations::Dynamic)
}

fn norm(t: &Tensor) -> f64 {
    t.to_vec::<f32>().unwrap().iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// The error of `got` against `want`, `[rows, columns]`.
fn error(got: &Tensor, want: &Tensor) -> f64 {
    let centered = want.sub(&want.mean_axis(0, true).unwrap()).unwrap();
    norm(&got.sub(want).unwrap()) / norm(&centered)
}

/// Texts that the model has written itself, `[texts, LENGTH]`, drawn from its own distribution.
fn own_texts(model: &dyn Model, texts: u64) -> Tensor {
    let decoder = model.as_decoder().unwrap();
    let mut ids = Vec::new();
    for seed in 0..texts {
        let sampler = Sampler::new(Sampling { seed, ..Sampling::default() }).unwrap();
        let limits = Limits { steps: LENGTH - 1, ends: vec![], cache: Some(CacheKind::F32) };
        let mut generator = Generator::new(decoder, &[1], sampler, limits).unwrap();
        assert_eq!(generator.by_ref().map(Result::unwrap).count(), LENGTH - 1);
        ids.extend_from_slice(generator.ids());
    }
    Tensor::from_vec(ids, [texts as usize, LENGTH]).unwrap()
}

/// A language model's scores of texts `[texts, length]`, as rows, and the perplexity of the texts.
fn judge(model: &dyn Model, ids: &Tensor) -> (Tensor, f64) {
    let scores = model.forward(&ids.into(), &mut Ctx::eval()).unwrap().into_value();
    let (length, vocab) = (ids.shape()[1], scores.shape().last_dim());
    let (rows, ids) = (scores.to_vec::<f32>().unwrap(), ids.to_vec::<i64>().unwrap());
    let mut losses = Vec::new();
    for (i, row) in rows.chunks(vocab).enumerate().filter(|(i, _)| (i + 1) % length != 0) {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|&s| f64::from(s - top).exp()).sum();
        losses.push(sum.ln() - f64::from(row[ids[i + 1] as usize] - top));
    }
    let perplexity = (losses.iter().sum::<f64>() / losses.len() as f64).exp();
    (scores.flatten(0, 1).unwrap(), perplexity)
}

/// Error, ratio of the perplexities, and share of positions with the same likeliest token.
fn compare(float: &dyn Model, int8: &dyn Model, ids: &Tensor) -> (f64, f64, f64) {
    let ((want, before), (got, after)) = (judge(float, ids), judge(int8, ids));
    let tops = |scores: &Tensor| scores.argmax_last().unwrap().to_vec::<i64>().unwrap();
    let (a, b) = (tops(&want), tops(&got));
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    (error(&got, &want), after / before, same as f64 / a.len() as f64)
}

#[test]
fn stories260k_keeps_its_scores_and_its_taste() {
    let float = stories();
    let ids = own_texts(&*float, 8);
    let usual = QuantConfig::for_architecture(&float.architecture().unwrap());
    let blocks = QuantConfig::new(Scheme::DYNAMIC_BLOCKS);
    for (what, config) in [("8 bits", plain()), ("8 bits, blocks", blocks), ("usual", usual)] {
        let mut model = float.clone();
        int8(&mut *model, config);
        let (error, perplexity, same) = compare(&*float, &*model, &ids);
        println!(
            "stories260K, {what}: error {:.2} %, perplexity x {perplexity:.4}, same top {:.1} %",
            100.0 * error,
            100.0 * same
        );
        assert!(perplexity <= 1.01 && same >= 0.97);
        assert!(error <= if what == "usual" { 0.02 } else { 0.04 });
    }
}

#[test]
fn minilm_keeps_its_embeddings() {
    let Some(float) = minilm() else { return };
    let lines: Vec<&str> = SENTENCES.lines().chain(SHAKESPEARE.lines()).collect();
    let want = float.embed(&lines).unwrap();
    let usual =
        QuantConfig::for_architecture(&(&float.encoder.bert as &dyn Model).architecture().unwrap());
    for (what, config) in [("8 bits", plain()), ("usual", usual)] {
        let mut embedder = float.clone();
        int8(&mut embedder.encoder, config);
        let got = embedder.embed(&lines).unwrap();
        // The vectors have length 1, so that a product is a cosine.
        let cosines = got.mul(&want).unwrap().sum_axis(1, false).unwrap();
        let cosine = f64::from(cosines.mean().unwrap());
        let error = error(&got, &want);
        println!("MiniLM, {what}: error {:.2} %, cosine {cosine:.5}", 100.0 * error);
        if what == "usual" {
            assert!(error <= 0.05 && cosine >= 0.9985);
        }
    }
}
