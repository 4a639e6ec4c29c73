//! Layer normalization (Ba et al., 2016) and RMS normalization (Zhang and Sennrich, 2019).

use super::check_rows;
use crate::Isa;
use crate::f32::reduce::{Products, Term, Values, lane_sum};
use crate::f32::split::{Rows, in_pieces};
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;
use crate::threads;
use std::ops::Range;

/// What a row is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// The standard deviation, after the mean is subtracted.
    Layer,
    /// The root of the mean square.
    Rms,
}

/// A normalization of rows.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// What a row is divided by.
    pub kind: NormKind,
    /// Added to the variance or the mean square.
    pub epsilon: f32,
    /// The factors of the normalized values; their number is the width of a row.
    pub weight: &'a [f32],
    /// Added at the end.
    pub bias: Option<&'a [f32]>,
}

/// How a row was normalized: `(x - mean) * scale`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowStats {
    /// The row's mean; 0 for [`NormKind::Rms`].
    pub mean: f32,
    /// One over what the row was divided by.
    pub scale: f32,
}

/// The gradients of a normalization, all overwritten.
#[derive(Debug)]
pub struct NormGrads<'a> {
    /// With respect to the input.
    pub x: &'a mut [f32],
    /// With respect to the weight.
    pub weight: &'a mut [f32],
    /// With respect to the bias.
    pub bias: &'a mut [f32],
}

/// `out = (x - mean) * scale * weight + bias` for each row, whose mean and scale go to `stats`.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::rows::{Norm, NormKind, RowStats, norm_rows};
///
/// let norm = Norm { kind: NormKind::Layer, epsilon: 0.0, weight: &[1.0; 2], bias: None };
/// let (mut out, mut stats) = ([0.0; 2], [RowStats::default()]);
/// norm_rows(Isa::active(), norm, &[3.0, 7.0], &mut out, &mut stats);
/// assert_eq!(out, [-1.0, 1.0]);
/// assert_eq!(stats[0], RowStats { mean: 5.0, scale: 0.5 });
/// ```
///
/// # Panics
/// If the lengths do not fit.
pub fn norm_rows(isa: Isa, norm: Norm<'_>, x: &[f32], out: &mut [f32], stats: &mut [RowStats]) {
    let width = norm.weight.len();
    check_rows(x.len(), width);
    assert_eq!(x.len(), out.len(), "input and output must have the same length");
    assert_eq!(x.len() / width, stats.len(), "there must be statistics for each row");
    assert!(norm.bias.is_none_or(|bias| bias.len() == width), "the bias must be a row");
    let rows = (stats, Rows { values: out, width }, Rows { values: x, width });
    in_pieces(rows, threads::ROWS.items(width), &|(stats, out, x)| {
        isa.run(Forward { norm, x: x.values, out: out.values, stats });
    });
}

/// The gradients of [`norm_rows`] from the one after it. With z the normalized row and h = grad
/// weight, that of x is scale (h - mean(h) - z mean(h z)), without mean(h) for [`NormKind::Rms`].
///
/// # Panics
/// If the lengths do not fit.
pub fn norm_rows_backward(
    isa: Isa,
    norm: Norm<'_>,
    x: &[f32],
    stats: &[RowStats],
    grad: &[f32],
    out: NormGrads<'_>,
) {
    let width = norm.weight.len();
    check_rows(x.len(), width);
    assert_eq!(x.len(), grad.len(), "input and gradient must have the same length");
    assert_eq!(x.len(), out.x.len(), "input and its gradient must have the same length");
    assert_eq!(x.len() / width, stats.len(), "there must be statistics for each row");
    assert_eq!(out.weight.len(), width, "the weight's gradient must be a row");
    assert_eq!(out.bias.len(), width, "the bias's gradient must be a row");
    let rows = (
        stats,
        Rows { values: out.x, width },
        Rows { values: x, width },
        Rows { values: grad, width },
    );
    in_pieces(rows, threads::ROWS.items(width), &|(stats, out, x, grad)| {
        let (x, grad) = (x.values, grad.values);
        isa.run(BackwardOfInput { norm, x, stats, grad, out: out.values });
    });
    let (weight, bias) = (SharedOut::new(out.weight), SharedOut::new(out.bias));
    let least = threads::ROWS.items(stats.len()).max(64);
    in_pieces(0..width, least, &|columns: Range<usize>| {
        // SAFETY: the pieces are disjoint ranges of the columns.
        let piece = |of: SharedOut<f32>| unsafe {
            std::slice::from_raw_parts_mut(of.at(columns.start), columns.len())
        };
        let (weight, bias) = (piece(weight), piece(bias));
        let first = columns.start;
        isa.run(BackwardOfColumns { x, stats, grad, width, first, weight, bias });
    });
}

struct Forward<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
    stats: &'a mut [RowStats],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Norm { kind, epsilon, weight, bias } = self.norm;
        let width = weight.len();
        let rows = self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width));
        for ((x, out), stats) in rows.zip(self.stats) {
            let mean = match kind {
                NormKind::Layer => lane_sum(s, Values, x, x) / width as f32,
                NormKind::Rms => 0.0,
            };
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
            let variance = lane_sum(s, Products, out, out) / width as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            *stats = RowStats { mean, scale };
            out.iter_mut().zip(weight).for_each(|(out, weight)| *out = *out * scale * weight);
            if let Some(bias) = bias {
                out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
    }
}

/// a times the normalized b.
#[derive(Clone, Copy)]
struct TimesNormalized(RowStats);

impl Term for TimesNormalized {
    #[inline(always)]
    fn add<S: Simd>(self, s: S, sum: S::F32, a: S::F32, b: S::F32) -> S::F32 {
        let centered = s.sub(b, s.splat(self.0.mean));
        s.mul_add(a, s.mul(centered, s.splat(self.0.scale)), sum)
    }
}

struct BackwardOfInput<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    stats: &'a [RowStats],
    grad: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for BackwardOfInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let weight = self.norm.weight;
        let width = weight.len();
        let rows = self.x.chunks_exact(width).zip(self.grad.chunks_exact(width));
        let out = self.out.chunks_exact_mut(width);
        for (((x, grad), out), stats) in rows.zip(out).zip(self.stats) {
            let RowStats { mean, scale } = *stats;
            for ((out, grad), weight) in out.iter_mut().zip(grad).zip(weight) {
                *out = grad * weight;
            }
            let mean_h = match self.norm.kind {
                NormKind::Layer => lane_sum(s, Values, out, out) / width as f32,
                NormKind::Rms => 0.0,
            };
            let mean_hz = lane_sum(s, TimesNormalized(*stats), out, x) / width as f32;
            for (out, x) in out.iter_mut().zip(x) {
                *out = scale * (*out - mean_h - (x - mean) * scale * mean_hz);
            }
        }
    }
}

/// The gradients of the weight and the bias in the columns from `first` on.
struct BackwardOfColumns<'a> {
    x: &'a [f32],
    stats: &'a [RowStats],
    grad: &'a [f32],
    width: usize,
    first: usize,
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Kernel for BackwardOfColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.weight.fill(0.0);
        self.bias.fill(0.0);
        let rows = self.x.chunks_exact(self.width).zip(self.grad.chunks_exact(self.width));
        for ((x, grad), stats) in rows.zip(self.stats) {
            let row = x[self.first..].iter().zip(&grad[self.first..]);
            for ((weight, bias), (x, grad)) in self.weight.iter_mut().zip(&mut *self.bias).zip(row)
            {
                *weight += grad * ((x - stats.mean) * stats.scale);
                *bias += grad;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize, seed: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 1.7 + seed).sin() * 2.0 + 0.5).collect()
    }

    /// The normalization in f64, straight from its definition.
    fn exact(norm: Norm<'_>, x: &[f64]) -> Vec<f64> {
        let count = x.len() as f64;
        let mean = match norm.kind {
            NormKind::Layer => x.iter().sum::<f64>() / count,
            NormKind::Rms => 0.0,
        };
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        let affine = |(i, x): (usize, &f64)| {
            let bias = norm.bias.map_or(0.0, |bias| f64::from(bias[i]));
            (x - mean) * scale * f64::from(norm.weight[i]) + bias
        };
        x.iter().enumerate().map(affine).collect()
    }

    fn widen(x: &[f32]) -> Vec<f64> {
        x.iter().map(|&x| f64::from(x)).collect()
    }

    #[test]
    fn rows_and_gradients_match_the_definition() {
        for isa in Isa::available() {
            for kind in [NormKind::Layer, NormKind::Rms] {
                for width in [1, 3, 9, 17, 70, 300] {
                    check(isa, kind, width);
                }
            }
        }
    }

    #[track_caller]
    fn check(isa: Isa, kind: NormKind, width: usize) {
        const ROWS: usize = 3;
        let (weight, bias) = (values(width, 1.0), values(width, 2.0));
        let norm = Norm { kind, epsilon: 1e-2, weight: &weight, bias: Some(&bias) };
        let (x, grad) = (values(ROWS * width, 3.0), values(ROWS * width, 4.0));
        let (mut y, mut stats) = (vec![0.0; ROWS * width], vec![RowStats::default(); ROWS]);
        norm_rows(isa, norm, &x, &mut y, &mut stats);
        let (mut of_x, mut of_weight, mut of_bias) =
            (vec![0.0; ROWS * width], vec![9.0; width], vec![9.0; width]);
        let grads = NormGrads { x: &mut of_x, weight: &mut of_weight, bias: &mut of_bias };
        norm_rows_backward(isa, norm, &x, &stats, &grad, grads);

        let (mut exact_weight, mut exact_bias) = (vec![0.0; width], vec![0.0; width]);
        for row in 0..ROWS {
            let range = row * width..(row + 1) * width;
            let (x, grad) = (widen(&x[range.clone()]), widen(&grad[range.clone()]));
            let exact_y = exact(norm, &x);
            let loss = |x: &[f64]| -> f64 {
                exact(norm, x).iter().zip(&grad).map(|(y, grad)| y * grad).sum()
            };
            for i in 0..width {
                assert!((f64::from(y[range.start + i]) - exact_y[i]).abs() < 1e-5);
                let (mut more, mut less) = (x.clone(), x.clone());
                more[i] += 1e-5;
                less[i] -= 1e-5;
                let slope = (loss(&more) - loss(&less)) / 2e-5;
                assert!(
                    (f64::from(of_x[range.start + i]) - slope).abs() < 2e-4,
                    "{kind:?} {width}"
                );
                exact_bias[i] += grad[i];
                exact_weight[i] +=
                    grad[i] * (exact_y[i] - f64::from(bias[i])) / f64::from(weight[i]);
            }
        }
        for i in 0..width {
            assert!((f64::from(of_weight[i]) - exact_weight[i]).abs() < 1e-4);
            assert!((f64::from(of_bias[i]) - exact_bias[i]).abs() < 1e-5);
        }
    }

    #[test]
    fn a_constant_row_is_all_bias() {
        for isa in Isa::available() {
            let norm = Norm {
                kind: NormKind::Layer,
                epsilon: 1e-5,
                weight: &[2.0; 5],
                bias: Some(&[3.0; 5]),
            };
            let (mut y, mut stats) = ([0.0; 5], [RowStats::default()]);
            norm_rows(isa, norm, &[0.5; 5], &mut y, &mut stats);
            assert_eq!(y, [3.0; 5]);
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (rows, width) = (300, 200);
        let (x, grad, weight) =
            (values(rows * width, 1.0), values(rows * width, 2.0), values(width, 3.0));
        let norm = Norm { kind: NormKind::Layer, epsilon: 1e-5, weight: &weight, bias: None };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut y, mut stats) = (vec![0.0; rows * width], vec![RowStats::default(); rows]);
            let (mut of_x, mut of_weight, mut of_bias) =
                (vec![0.0; rows * width], vec![0.0; width], vec![0.0; width]);
            pool.install(|| {
                let isa = Isa::detect_best();
                norm_rows(isa, norm, &x, &mut y, &mut stats);
                let grads = NormGrads { x: &mut of_x, weight: &mut of_weight, bias: &mut of_bias };
                norm_rows_backward(isa, norm, &x, &stats, &grad, grads);
            });
            (y, stats, of_x, of_weight, of_bias)
        };
        assert_eq!(run(1), run(4));
    }
}
