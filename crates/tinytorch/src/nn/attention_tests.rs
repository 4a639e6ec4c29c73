//! Attention against its definition.

use super::*;
use crate::Rng;
use crate::nn::{JoinedCache, Module};
use crate::ops::RopePairs;

const WIDTH: usize = 8;
const ROPE: Rope = Rope::new(10_000.0, RopePairs::Interleaved);

fn layer(config: AttentionConfig) -> MultiHeadAttention {
    MultiHeadAttention::new(config, &mut Init::seed(1)).unwrap()
}

fn input(batch: usize, length: usize) -> Tensor {
    Tensor::randn([batch, length, WIDTH], 1.0, &mut Rng::seed(7)).unwrap()
}

fn run(layer: &MultiHeadAttention, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let mask = mask.map(Var::from);
    let inputs = AttentionInputs { mask: mask.as_ref(), cache: None };
    layer.forward_with(&x.into(), inputs, &mut Ctx::eval()).unwrap().into_value()
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.shape() == b.shape() && a.allclose(b, 1e-4, 1e-5).unwrap()
}

/// Attention of one sequence `[length, WIDTH]`, by the formula, head by head.
fn by_hand(layer: &MultiHeadAttention, x: &Tensor, heads: usize, kv_heads: usize) -> Tensor {
    let project = |linear: &Linear| {
        let y = linear.forward(&x.into(), &mut Ctx::eval()).unwrap();
        y.into_value()
    };
    let (q, k, v) = (project(&layer.q_proj), project(&layer.k_proj), project(&layer.v_proj));
    let dim = WIDTH / heads;
    let columns = |t: &Tensor, head: usize| t.slice(1, head * dim..(head + 1) * dim).unwrap();
    let head = |h: usize| {
        let shared = h / (heads / kv_heads);
        let (q, k, v) = (columns(&q, h), columns(&k, shared), columns(&v, shared));
        let scores = q.matmul(&k.transpose(0, 1).unwrap()).unwrap();
        let scores = scores.scale(1.0 / (dim as f32).sqrt()).unwrap();
        let weights = Var::from(scores).softmax(1, &mut Ctx::eval()).unwrap();
        weights.value().matmul(&v).unwrap()
    };
    let joined = Tensor::cat::<f32>(&(0..heads).map(head).collect::<Vec<_>>(), 1).unwrap();
    layer.out_proj.forward(&joined.into(), &mut Ctx::eval()).unwrap().into_value()
}

#[test]
fn it_is_the_formula_for_every_sequence_of_a_batch() {
    for num_kv_heads in [4, 2, 1] {
        let layer = layer(AttentionConfig { num_kv_heads, ..AttentionConfig::new(WIDTH, 4) });
        let x = input(2, 3);
        let y = run(&layer, &x, None);
        for sequence in 0..2 {
            let want = by_hand(&layer, &x.select(0, sequence).unwrap(), 4, num_kv_heads);
            assert!(close(&y.select(0, sequence).unwrap(), &want), "{num_kv_heads} kv heads");
        }
    }
}

#[test]
fn a_causal_layer_does_not_see_the_future() {
    let layer = layer(AttentionConfig { causal: true, ..AttentionConfig::new(WIDTH, 2) });
    let x = input(1, 4);
    let whole = run(&layer, &x, None);
    let part = run(&layer, &x.slice(1, 0..2).unwrap(), None);
    assert!(close(&whole.slice(1, 0..2).unwrap(), &part));
    assert!(!close(&whole.slice(1, 3..4).unwrap(), &run(&layer, &x.slice(1, 3..4).unwrap(), None)));
}

#[test]
fn padding_is_as_if_it_were_not_there() {
    for num_kv_heads in [4, 2] {
        let layer = layer(AttentionConfig { num_kv_heads, ..AttentionConfig::new(WIDTH, 4) });
        let x = input(2, 3);
        let short = run(&layer, &x.slice(1, 0..2).unwrap(), None);
        let keep = Tensor::from_vec(vec![1.0, 1.0, 0.0], [1, 3]).unwrap();
        let masks = [
            keep.clone(),
            keep.broadcast_to([3, 3]).unwrap(),
            keep.broadcast_to([2, 1, 3]).unwrap(),
            keep.broadcast_to([1, 1, 1, 3]).unwrap(),
            keep.broadcast_to([2, 4, 3, 3]).unwrap(),
            keep.to_dtype::<i64>().unwrap().broadcast_to([2, 1, 3]).unwrap(),
        ];
        for mask in masks {
            let y = run(&layer, &x, Some(&mask));
            assert!(close(&y.slice(1, 0..2).unwrap(), &short), "{}", mask.shape());
        }
    }
}

#[test]
fn a_mask_of_each_head_reaches_its_head() {
    let layer = layer(AttentionConfig { num_kv_heads: 2, ..AttentionConfig::new(WIDTH, 4) });
    let x = input(1, 2);
    let mut keep = vec![1.0; 4 * 2 * 2];
    // Head 2 sees nothing, which must not make NaN.
    keep[8..12].fill(0.0);
    let y = run(&layer, &x, Some(&Tensor::from_vec(keep, [1, 4, 2, 2]).unwrap()));
    let mut silent = layer.clone();
    let head = 2 * 2..3 * 2;
    let weight = silent.out_proj.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap();
    weight.chunks_mut(WIDTH).for_each(|row| row[head.clone()].fill(0.0));
    assert!(close(&y, &run(&silent, &x, None)));
}

#[test]
fn a_cache_gives_what_the_whole_sequence_gives() {
    for rope in [None, Some(ROPE)] {
        let config = AttentionConfig {
            causal: true,
            rope,
            num_kv_heads: 2,
            ..AttentionConfig::new(WIDTH, 4)
        };
        let (layer, x) = (layer(config), input(2, 5));
        let whole = run(&layer, &x, None);
        let mut cache = JoinedCache::default();
        for range in [0..2, 2..3, 3..5] {
            let part = x.slice(1, range.clone()).unwrap();
            let inputs = AttentionInputs { mask: None, cache: Some(&mut cache) };
            let y = layer.forward_with(&part.into(), inputs, &mut Ctx::eval()).unwrap();
            assert!(close(y.value(), &whole.slice(1, range).unwrap()));
        }
        assert_eq!(cache.positions(), 5);
    }
}

#[test]
fn a_cache_in_a_recorded_pass_is_an_error() {
    let layer = layer(AttentionConfig::new(WIDTH, 2));
    for mut ctx in [Ctx::train(Rng::seed(0)), Ctx::trace()] {
        let mut cache = JoinedCache::default();
        let inputs = AttentionInputs { mask: None, cache: Some(&mut cache) };
        let err = layer.forward_with(&input(1, 2).into(), inputs, &mut ctx).unwrap_err();
        assert!(err.to_string().contains("inference alone"), "{err}");
        assert_eq!(cache.positions(), 0);
    }
}

#[test]
fn a_trace_fixes_neither_batch_nor_length() {
    for num_kv_heads in [4, 2] {
        let config = AttentionConfig {
            num_kv_heads,
            causal: true,
            rope: Some(ROPE),
            ..AttentionConfig::new(WIDTH, 4)
        };
        let layer = layer(config);
        let lowered = |batch: usize, length: usize| {
            let mut ctx = Ctx::trace();
            let x = ctx.input(&input(batch, length));
            let mask = ctx.input(&Tensor::ones([batch, 1, length]).unwrap());
            let inputs = AttentionInputs { mask: Some(&mask), cache: None };
            let y = layer.forward_with(&x, inputs, &mut ctx).unwrap();
            let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
            format!("{graph:?}")
        };
        assert_eq!(lowered(1, 2), lowered(3, 5));
    }
}

#[test]
fn heads_that_do_not_fit_and_inputs_of_another_width_are_errors() {
    let make = |config| MultiHeadAttention::new(config, &mut Init::seed(0));
    let plain = AttentionConfig::new(WIDTH, 4);
    assert!(make(AttentionConfig::new(WIDTH, 3)).is_err());
    assert!(make(AttentionConfig::new(WIDTH, 0)).is_err());
    assert!(make(AttentionConfig { num_kv_heads: 3, ..plain }).is_err());
    assert!(make(AttentionConfig { num_kv_heads: 0, ..plain }).is_err());
    assert!(make(AttentionConfig { rope: Some(ROPE), ..AttentionConfig::new(8, 8) }).is_err());
    assert!(make(AttentionConfig { dropout: 2.0, ..plain }).is_err());

    let layer = layer(plain);
    let mut ctx = Ctx::eval();
    for shape in [vec![2, WIDTH], vec![1, 2, WIDTH + 1]] {
        let x = Var::from(Tensor::ones(&shape[..]).unwrap());
        assert!(layer.forward(&x, &mut ctx).is_err());
    }
    let x = Var::from(input(2, 3));
    for shape in [vec![3], vec![3, 1, 3], vec![2, 3, 4], vec![1, 1, 1, 1, 3]] {
        let mask = Var::from(Tensor::ones(&shape[..]).unwrap());
        let inputs = AttentionInputs { mask: Some(&mask), cache: None };
        assert!(layer.forward_with(&x, inputs, &mut ctx).is_err(), "{shape:?}");
    }
}

#[test]
fn names_are_those_of_the_projections() {
    let layer = layer(AttentionConfig { bias: false, ..AttentionConfig::new(WIDTH, 2) });
    let names: Vec<String> = layer.named_params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight"]);
}
