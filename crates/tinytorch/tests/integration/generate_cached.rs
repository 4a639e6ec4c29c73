//! A cached pass gives the scores of an uncached one, whatever the model and the batch.

use crate::generate_support::{decoders, ids, int8};
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::data::read_npy;
use tinytorch::files::load_llama2c;
use tinytorch::generate::CacheKind;
use tinytorch::models::Model;
use tinytorch::nn::Forward;

/// `|a - b| / |b|`.
fn relative_error(a: &Tensor, b: &Tensor) -> f32 {
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    norm(&a.sub(b).unwrap()) / norm(b)
}

/// The scores of a sequence, computed a part at a time over a cache.
fn cached(model: &dyn Model, sequence: &Tensor, cuts: &[usize], kind: CacheKind) -> Tensor {
    let decoder = model.as_decoder().unwrap();
    let (batch, length) = (sequence.shape()[0], sequence.shape()[1]);
    let mut caches = kind.caches(decoder.sizes(), batch, length).unwrap();
    let mut ctx = Ctx::eval();
    let parts = cuts.windows(2).map(|cut| {
        let part = sequence.slice(1, cut[0]..cut[1]).unwrap().contiguous().unwrap();
        decoder.forward_cached(&part.into(), &mut caches, &mut ctx).unwrap().into_value()
    });
    Tensor::cat::<f32>(&parts.collect::<Vec<_>>(), 1).unwrap()
}

/// A prompt of 5 tokens, then one after the other; and parts of several.
const CUTS: [&[usize]; 2] = [&[0, 5, 6, 7, 8, 9, 10, 11, 12], &[0, 1, 4, 12]];

#[test]
fn an_f32_cache_changes_no_score() {
    for float in decoders() {
        for model in [int8(&*float), float] {
            for batch in [1, 3] {
                let sequence = ids(batch, 12);
                let whole = model.forward(&(&sequence).into(), &mut Ctx::eval()).unwrap();
                for cuts in CUTS {
                    let got = cached(&*model, &sequence, cuts, CacheKind::F32);
                    let error = relative_error(&got, whole.value());
                    println!("{:?} batch {batch}: {error:e}", model.architecture());
                    assert!(error <= 1e-5, "{error}");
                }
            }
        }
    }
}

#[test]
fn an_int8_cache_changes_scores_little() {
    for float in decoders() {
        // What the cache changes may change how an int8 layer rounds its input, which is as much again
        // as the int8 weights change.
        for (model, limit) in [(int8(&*float), 0.03), (float, 0.02)] {
            let sequence = ids(2, 12);
            let whole = model.forward(&(&sequence).into(), &mut Ctx::eval()).unwrap();
            for cuts in CUTS {
                let got = cached(&*model, &sequence, cuts, CacheKind::Int8);
                let error = relative_error(&got, whole.value());
                println!("{:?}: {error:e}", model.architecture());
                assert!(error > 0.0 && error <= limit, "{error}");
            }
        }
    }
}

/// Share of the positions at which both find the same token likeliest.
fn agreement(a: &Tensor, b: &Tensor) -> f64 {
    let [a, b] = [a, b].map(|t| t.argmax_last().unwrap().to_vec::<i64>().unwrap());
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    same as f64 / a.len() as f64
}

#[test]
fn a_trained_model_keeps_its_scores() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K");
    let float = load_llama2c(data.join("stories260K.bin")).unwrap().model;
    let sequence = read_npy(data.join("ref_greedy_ids.npy")).unwrap();
    let (length, sequence) = (sequence.len(), sequence.reshape([1, sequence.len()]).unwrap());
    let cuts: Vec<usize> = [0].into_iter().chain(10..=length).collect();
    // Between int8 layers a difference in the last bit of a float may round an input to the next level,
    // and over 200 positions some do.
    for (name, model, limits) in
        [("f32", &float, [1e-5, 0.03]), ("int8", &int8(&*float), [0.02, 0.03])]
    {
        let whole = model.forward(&(&sequence).into(), &mut Ctx::eval()).unwrap();
        for (kind, limit) in [CacheKind::F32, CacheKind::Int8].into_iter().zip(limits) {
            let got = cached(&**model, &sequence, &cuts, kind);
            let error = relative_error(&got, whole.value());
            let agreement = agreement(&got, whole.value());
            println!(
                "{name} weights, {kind:?} cache: error {error:.1e}, same top-1 {agreement:.3}"
            );
            assert!(error <= limit, "{error}");
            assert!(agreement >= 0.95, "{agreement}");
        }
    }
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    for model in decoders() {
        for kind in [CacheKind::F32, CacheKind::Int8] {
            let sequence = ids(3, 12);
            let together = cached(&*model, &sequence, CUTS[0], kind);
            for i in 0..3 {
                let alone = sequence.slice(0, i..i + 1).unwrap().contiguous().unwrap();
                let alone = cached(&*model, &alone, CUTS[0], kind);
                let error = relative_error(&together.slice(0, i..i + 1).unwrap(), &alone);
                assert!(error <= 1e-5, "{kind:?}: {error}");
            }
        }
    }
}
