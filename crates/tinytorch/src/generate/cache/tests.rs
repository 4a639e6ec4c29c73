//! Both caches against attention without one.

use super::*;
use crate::Rng;
use crate::autograd::{Ctx, Var};
use crate::nn::{AttentionConfig, AttentionInputs, Init, JoinedCache, MultiHeadAttention};
use crate::ops::AttentionMask;
use std::ops::Range;

const CAUSAL: AttentionMask<'_> = AttentionMask { causal: true, keep: None };

/// 2 sequences, 2 key heads of 5 entries, 20 positions.
const SIZES: CacheSizes = CacheSizes { batch: 2, kv_heads: 2, head_dim: 5, capacity: 20 };

fn randn(heads: usize, positions: usize, std: f32, seed: u64) -> Tensor {
    let shape = [SIZES.batch, heads, positions, SIZES.head_dim];
    Tensor::randn(shape, std, &mut Rng::seed(seed)).unwrap()
}

fn both() -> [Box<dyn KeyValueCache>; 2] {
    [Box::new(F32Cache::new(SIZES).unwrap()), Box::new(Int8Cache::new(SIZES).unwrap())]
}

/// Queries, keys and values of a sequence.
struct Sequence([Tensor; 3]);

impl Sequence {
    fn new(heads: usize, std: f32) -> Sequence {
        let positions = SIZES.capacity;
        Sequence([
            randn(heads, positions, std, 1),
            randn(SIZES.kv_heads, positions, std, 2),
            randn(SIZES.kv_heads, positions, std, 3),
        ])
    }

    /// What the queries of these positions see, which follow those that the cache holds.
    fn run(&self, cache: &mut dyn KeyValueCache, positions: Range<usize>) -> Tensor {
        let [q, k, v] = self.0.each_ref().map(|t| t.slice(2, positions.clone()).unwrap());
        cache.append(&k, &v).unwrap();
        cache.attend(&q.into(), CAUSAL, &mut Ctx::eval()).unwrap().into_value()
    }

    /// The bound that [`Int8Cache`] states for the queries of these positions.
    fn bound(&self, positions: Range<usize>) -> f32 {
        let rows = |t: &Tensor| -> Vec<Vec<f32>> {
            let all = t.to_vec::<f32>().unwrap();
            all.chunks(SIZES.head_dim).map(<[f32]>::to_vec).collect()
        };
        let largest = |t: &Tensor| {
            let t = t.slice(2, 0..positions.end).unwrap();
            t.to_vec::<f32>().unwrap().iter().fold(0f32, |max, x| max.max(x.abs()))
        };
        let [q, k, v] = &self.0;
        let q = q.slice(2, positions.clone()).unwrap();
        let q1 = rows(&q).iter().map(|q| q.iter().map(|x| x.abs()).sum()).fold(0f32, f32::max);
        let e = q1 * largest(k) / (254.0 * (SIZES.head_dim as f32).sqrt());
        ((2.0 * e).exp() - 1.0) * largest(v) + largest(v) / 254.0
    }
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    let difference = a.sub(b).unwrap().to_vec::<f32>().unwrap();
    difference.iter().fold(0f32, |max, x| max.max(x.abs()))
}

#[test]
fn caches_give_what_attention_over_all_keys_gives() {
    for heads in [2, 6] {
        for std in [0.01, 1.0, 5.0] {
            let sequence = Sequence::new(heads, std);
            let [mut float, mut int8] = both();
            let mut joined = JoinedCache::default();
            for positions in [0..3, 3..4, 4..9, 9..10, 10..20] {
                let want = sequence.run(&mut joined, positions.clone());
                let got = sequence.run(&mut *float, positions.clone());
                assert!(got.allclose(&want, 1e-5, 1e-6 * std).unwrap(), "{positions:?}");
                let error = largest_difference(&sequence.run(&mut *int8, positions.clone()), &want);
                let bound = sequence.bound(positions.clone());
                assert!(error <= bound, "{positions:?}: {error} exceeds {bound}");
            }
            assert!([float, int8].iter().all(|cache| cache.positions() == 20));
        }
    }
}

#[test]
fn int8_is_close_where_scores_are_moderate() {
    let sequence = Sequence::new(2, 1.0);
    let [mut float, mut int8] = both();
    let [want, got] = [&mut float, &mut int8].map(|cache| sequence.run(&mut **cache, 0..20));
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    let error = norm(&got.sub(&want).unwrap()) / norm(&want);
    assert!(error > 0.0 && error < 0.01, "{error}");
}

#[test]
fn a_cache_can_go_back() {
    let sequence = Sequence::new(2, 1.0);
    for mut cache in both() {
        sequence.run(&mut *cache, 0..4);
        let want = sequence.run(&mut *cache, 4..6);
        let other = randn(2, 3, 9.0, 8);
        cache.append(&other, &other).unwrap();
        cache.truncate(4);
        assert_eq!(cache.positions(), 4);
        cache.truncate(30);
        let again = sequence.run(&mut *cache, 4..6);
        assert_eq!(again.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    }
}

#[test]
fn a_mask_hides_the_padding_of_a_batch() {
    let config = AttentionConfig { causal: true, num_kv_heads: 2, ..AttentionConfig::new(10, 2) };
    let layer = MultiHeadAttention::new(config, &mut Init::seed(1)).unwrap();
    let x = Tensor::randn([2, 6, 10], 1.0, &mut Rng::seed(2)).unwrap();
    // The second sequence begins with two positions of padding.
    let keep = [[1.0; 6], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]].concat();
    let keep = Tensor::from_vec(keep, [2, 1, 6]).unwrap();
    let mut ctx = Ctx::eval();
    let mask = Var::from(&keep);
    let inputs = AttentionInputs { mask: Some(&mask), cache: None };
    let want = layer.forward_with(&(&x).into(), inputs, &mut ctx).unwrap().into_value();
    for mut cache in both() {
        for range in [0..3, 3..5, 5..6] {
            let mask = Var::from(keep.slice(2, 0..range.end).unwrap());
            let inputs = AttentionInputs { mask: Some(&mask), cache: Some(&mut *cache) };
            let part = x.slice(1, range.clone()).unwrap().into();
            let got = layer.forward_with(&part, inputs, &mut ctx).unwrap();
            let want = want.slice(1, range).unwrap();
            assert!(largest_difference(got.value(), &want) < 0.02);
        }
    }
    let wide = Var::from(Tensor::ones([2, 1, 7]).unwrap());
    let mut cache = F32Cache::new(SIZES).unwrap();
    let inputs = AttentionInputs { mask: Some(&wide), cache: Some(&mut cache) };
    let error = layer.forward_with(&(&x).into(), inputs, &mut ctx).unwrap_err().to_string();
    assert!(error.contains("mask must broadcast"), "{error}");
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let fitting = randn(2, 3, 1.0, 1);
    for mut cache in both() {
        cache.append(&fitting, &fitting).unwrap();
        let mut fail = |keys: &Tensor, values: &Tensor| {
            let error = cache.append(keys, values).unwrap_err().to_string();
            assert_eq!(cache.positions(), 3);
            error
        };
        for shape in [vec![2, 2, 3], vec![1, 2, 3, 5], vec![2, 1, 3, 5], vec![2, 2, 3, 4]] {
            let other = Tensor::zeros(&shape[..]).unwrap();
            assert!(fail(&other, &fitting).contains("[2, 2, new, 5]"));
            assert!(fail(&fitting, &other).contains("[2, 2, new, 5]"));
        }
        let long = randn(2, 18, 1.0, 1);
        assert!(fail(&long, &long).contains("18 positions after 3 exceed"));
        let bytes = fitting.to_dtype::<u8>().unwrap();
        assert!(fail(&fitting, &bytes).contains("u8"));
        let narrow = Var::from(Tensor::zeros([2, 2, 1, 4]).unwrap());
        assert!(cache.attend(&narrow, CAUSAL, &mut Ctx::eval()).is_err());
    }
    let mut int8 = Int8Cache::new(SIZES).unwrap();
    let bad = fitting.scale(f32::INFINITY).unwrap();
    assert!(int8.append(&fitting, &bad).unwrap_err().to_string().contains("finite"));
    assert_eq!(int8.positions(), 0);
    let huge = CacheSizes { capacity: usize::MAX, ..SIZES };
    assert!(F32Cache::new(huge).is_err() && Int8Cache::new(huge).is_err());
}
