//! Tests of what decoders share.

use super::*;
use crate::int8::Encoding;
use crate::models::Model;
use crate::models::{Architecture, GptConfig, LlamaConfig};
use crate::nn::{Init, JoinedCache};
use crate::quant::{Activations, QuantConfig, quantize_model};
use crate::{Rng, Tensor};

fn llama() -> LlamaConfig {
    LlamaConfig {
        vocab: 11,
        context: 6,
        dim: 8,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 12,
        ..LlamaConfig::LLAMA2_C
    }
}

fn gpt() -> GptConfig {
    GptConfig {
        vocab: 11,
        context: 6,
        dim: 8,
        layers: 2,
        heads: 2,
        hidden: 12,
        dropout: 0.1,
        ..GptConfig::TALKS_GPT
    }
}

/// A tied and an untied llama, and a GPT.
fn decoders() -> Vec<Box<dyn Model>> {
    let untied = LlamaConfig { tied: false, ..llama() };
    [Architecture::Llama(llama()), Architecture::Llama(untied), Architecture::Gpt(gpt())]
        .map(|architecture| architecture.build(&mut Init::seed(1)).unwrap())
        .into()
}

fn ids(values: &[i64]) -> Var {
    Tensor::from_vec(values.to_vec(), [1, values.len()]).unwrap().into()
}

fn caches(blocks: usize) -> Vec<Box<dyn KeyValueCache>> {
    (0..blocks).map(|_| Box::<JoinedCache>::default() as Box<dyn KeyValueCache>).collect()
}

#[test]
fn a_cached_pass_continues_where_the_last_one_ended() {
    for model in decoders() {
        let decoder = model.as_decoder().unwrap();
        let whole = model.forward(&ids(&[3, 1, 4, 1, 5]), &mut Ctx::eval()).unwrap();
        let mut caches = caches(decoder.sizes().blocks);
        for (range, part) in [(0..3, ids(&[3, 1, 4])), (3..4, ids(&[1])), (4..5, ids(&[5]))] {
            let got = decoder.forward_cached(&part, &mut caches, &mut Ctx::eval()).unwrap();
            let want = whole.value().slice(1, range).unwrap();
            assert!(got.value().allclose(&want, 1e-5, 1e-6).unwrap());
        }
        assert!(caches.iter().all(|cache| cache.positions() == 5));
    }
}

#[test]
fn a_position_sees_only_itself_and_earlier_ones() {
    for model in decoders() {
        let scores = |values: &[i64]| model.forward(&ids(values), &mut Ctx::eval()).unwrap();
        let (a, b) = (scores(&[3, 1, 4, 1]), scores(&[3, 1, 9, 2]));
        let start = |scores: &Var| scores.value().slice(1, 0..2).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(start(&a), start(&b));
    }
}

#[test]
fn ids_out_of_range_and_sequences_beyond_the_context_are_errors() {
    for model in decoders() {
        let fail =
            |values: &[i64]| model.forward(&ids(values), &mut Ctx::eval()).unwrap_err().to_string();
        assert!(fail(&[0, 11]).contains("index 11 is outside 0..11"));
        assert!(fail(&[-1]).contains("index -1"));
        assert!(fail(&[0; 7]).contains("position 7, but there are 6"));
        let floats = Tensor::ones([1, 3]).unwrap().into();
        assert!(model.forward(&floats, &mut Ctx::eval()).is_err());
        let flat = Tensor::from_vec(vec![1i64], [1]).unwrap().into();
        assert!(model.forward(&flat, &mut Ctx::eval()).is_err());

        let decoder = model.as_decoder().unwrap();
        let mut full = caches(2);
        decoder.forward_cached(&ids(&[0; 5]), &mut full, &mut Ctx::eval()).unwrap();
        let beyond = decoder.forward_cached(&ids(&[0; 2]), &mut full, &mut Ctx::eval());
        assert!(beyond.unwrap_err().to_string().contains("position 7, but there are 6"));
        assert_eq!(full[0].positions(), 5, "a refused pass leaves the caches as they were");
    }
}

#[test]
fn caches_of_another_model_or_of_different_passes_are_errors() {
    for model in decoders() {
        let decoder = model.as_decoder().unwrap();
        let fail = |caches: &mut Vec<Box<dyn KeyValueCache>>| {
            let error = decoder.forward_cached(&ids(&[1]), caches, &mut Ctx::eval()).unwrap_err();
            error.to_string()
        };
        assert!(fail(&mut caches(1)).contains("1 key-value caches are given for 2 blocks"));
        let mut uneven = caches(2);
        let [keys, values] =
            [1, 2].map(|seed| Tensor::randn([1, 2, 3, 2], 1.0, &mut Rng::seed(seed)).unwrap());
        uneven[1].append(&keys, &values).unwrap();
        assert!(
            fail(&mut uneven).contains("block 1 holds 3 positions and that of block 0 holds 0")
        );
    }
}

#[test]
fn every_parameter_learns_and_a_tied_table_is_one_of_them() {
    for model in decoders() {
        let names: Vec<String> = model.named_params().into_iter().map(|(name, _)| name).collect();
        let tied = !names.iter().any(|name| name == "head.weight");
        assert_eq!(tied, !matches!(model.architecture(), Some(Architecture::Llama(c)) if !c.tied));
        let mut ctx = Ctx::train(Rng::seed(2));
        let scores = model.forward(&ids(&[3, 1, 4, 1, 5, 9]), &mut ctx).unwrap();
        let loss = scores.mul(&scores, &mut ctx).unwrap().mean(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        for (name, param) in model.named_params() {
            assert!(grads.of(param).is_some(), "{name}");
        }
        let (_, table) = model.named_params().swap_remove(0);
        let rows = grads.of(table).unwrap().to_vec::<f32>().unwrap();
        let learned = rows.chunks(8).filter(|row| row.iter().any(|&g| g != 0.0)).count();
        assert_eq!(learned, if tied { 11 } else { 5 }, "a head reaches every token's row");
    }
}

#[test]
fn settings_that_make_no_model_are_errors() {
    let fail = |architecture: Architecture| {
        architecture.build(&mut Init::absent()).map(drop).unwrap_err().to_string()
    };
    let llama = |change: fn(&mut LlamaConfig)| {
        let mut config = llama();
        change(&mut config);
        fail(Architecture::Llama(config))
    };
    assert!(llama(|c| c.vocab = 0).contains("the vocabulary is 0"));
    assert!(llama(|c| c.context = 1 << 25).contains("the context is 33554432"));
    assert!(llama(|c| c.layers = 1001).contains("the number of layers is 1001"));
    assert!(llama(|c| c.heads = 3).contains("3 heads do not divide"));
    assert!(llama(|c| c.kv_heads = 0).contains("0 key and value heads"));
    assert!(llama(|c| c.heads = 8).contains("even width"));
    assert!(llama(|c| c.rope.base = f32::NAN).contains("must be positive and finite"));
    assert!(llama(|c| c.norm_eps = -1.0).contains("the constant of the norms is -1"));
    let gpt = |change: fn(&mut GptConfig)| {
        let mut config = gpt();
        change(&mut config);
        fail(Architecture::Gpt(config))
    };
    assert!(gpt(|c| c.dim = 0).contains("the width is 0"));
    assert!(gpt(|c| c.heads = 0).contains("0 heads do not divide"));
    assert!(gpt(|c| c.hidden = usize::MAX).contains("the hidden width"));
    assert!(gpt(|c| c.dropout = 2.0).contains("probability is 2"));
}

#[test]
fn a_tied_table_is_quantized_once_and_multiplied_as_int8() {
    for activations in [Activations::Static, Activations::Dynamic] {
        for float in decoders() {
            let example = float.architecture().unwrap().example(2).unwrap();
            let mut int8 = float.clone();
            let config = QuantConfig::new(activations).knowingly();
            let calibration = [Ok((&example).into())];
            let report = quantize_model(&mut *int8, calibration, &config).unwrap();
            let tables = report.weights.iter().filter(|w| w.name == "tokens.weight");
            assert_eq!(tables.count(), 1);
            let (_, table) = int8.named_params().swap_remove(0);
            let input = table.int8().unwrap().input();
            let tied = report.weights.iter().all(|w| w.name != "head.weight");
            match activations {
                Activations::Dynamic => assert_eq!(input, Encoding::PerRow),
                _ => assert_eq!(matches!(input, Encoding::Static(_)), tied),
            }
            let scores = |model: &dyn Model| {
                model.forward(&(&example).into(), &mut Ctx::eval()).unwrap().into_value()
            };
            let (want, got) = (scores(&*float), scores(&*int8));
            let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
            let error = norm(&got.sub(&want).unwrap()) / norm(&want);
            assert!(error > 0.0 && error < 0.1, "{error}");
        }
    }
}
