//! Softmax and its logarithm over each row, and their gradients.

use super::check_rows;
use crate::Isa;
use crate::f32::functions::{Affine, Exp, Log};
use crate::f32::map::{map_values, zip_values};
use crate::f32::reduce::{Products, Values, lane_sum};
use crate::f32::split::{Rows, in_pieces};
use crate::f32::{Function, PairFunction};
use crate::isa::{Kernel, Simd};
use crate::threads::ROWS;

/// `out[i] = e^x[i] / sum of e^x[j]` over each row of `width` values, within 4 units in the last place
/// of exact for each factor.
///
/// The largest value of the row is subtracted first, so that nothing overflows. A row with a NaN, a
/// positive infinity, or nothing but negative infinities becomes NaN.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::rows::softmax;
///
/// let mut out = [0.0; 2];
/// softmax(Isa::active(), 2, &[1000.0, 1000.0], &mut out);
/// assert_eq!(out, [0.5, 0.5]);
/// ```
///
/// # Panics
/// If the lengths differ or are not a whole number of rows.
pub fn softmax(isa: Isa, width: usize, x: &[f32], out: &mut [f32]) {
    check_rows(out.len(), width);
    assert_eq!(x.len(), out.len(), "input and output must have the same length");
    let rows = (Rows { values: out, width }, Rows { values: x, width });
    in_pieces(rows, ROWS.items(width), &|(out, x)| {
        isa.run(Weigh { width, x: x.values, out: out.values });
    });
}

/// `out[i] = x[i] - ln(sum of e^x[j])` over each row of `width` values, within 1e-6 times the row's
/// spread of exact.
///
/// # Panics
/// If the lengths differ or are not a whole number of rows.
pub fn log_softmax(isa: Isa, width: usize, x: &[f32], out: &mut [f32]) {
    for_rows(isa, Op::LogSoftmax, width, x, x, out);
}

/// The gradient before a softmax with the result `y`: `y[i] (g[i] - sum of g[j] y[j])`.
///
/// # Panics
/// If the lengths differ or are not a whole number of rows.
pub fn softmax_backward(isa: Isa, width: usize, y: &[f32], grad: &[f32], out: &mut [f32]) {
    for_rows(isa, Op::SoftmaxBackward, width, y, grad, out);
}

/// The gradient before a log-softmax with the result `y`: `g[i] - e^y[i] (sum of g[j])`.
///
/// # Panics
/// If the lengths differ or are not a whole number of rows.
pub fn log_softmax_backward(isa: Isa, width: usize, y: &[f32], grad: &[f32], out: &mut [f32]) {
    for_rows(isa, Op::LogSoftmaxBackward, width, y, grad, out);
}

/// Values of a row that fill no vector: 4420 rows of two, as a detector has them, took 81 us one by one and take 20
/// together.
const NARROW: usize = 8;

/// Lanes of the widest vector.
const WIDEST: usize = 16;

#[derive(Clone, Copy)]
enum Op {
    LogSoftmax,
    SoftmaxBackward,
    LogSoftmaxBackward,
}

fn for_rows(isa: Isa, op: Op, width: usize, x: &[f32], grad: &[f32], out: &mut [f32]) {
    check_rows(out.len(), width);
    assert_eq!(x.len(), out.len(), "input and output must have the same length");
    assert_eq!(grad.len(), out.len(), "gradient and output must have the same length");
    let rows =
        (Rows { values: out, width }, Rows { values: x, width }, Rows { values: grad, width });
    in_pieces(rows, ROWS.items(width), &|(out, x, grad)| {
        isa.run(EachRow { op, width, x: x.values, grad: grad.values, out: out.values });
    });
}

/// A softmax of rows.
struct Weigh<'a> {
    width: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.width <= NARROW {
            narrow(s, self.width, self.x, self.out);
        } else {
            together(s, self.width, self.x, self.out);
        }
    }
}

struct EachRow<'a> {
    op: Op,
    width: usize,
    x: &'a [f32],
    grad: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for EachRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(self.width).zip(self.grad.chunks_exact(self.width));
        for ((x, grad), out) in rows.zip(self.out.chunks_exact_mut(self.width)) {
            match self.op {
                Op::LogSoftmax => {
                    let largest = max(s, x);
                    map_values(s, ExpMinus(largest), Some(x), out);
                    let mut log = [lane_sum(s, Values, out, out)];
                    map_values(s, Log, None, &mut log);
                    map_values(s, MinusBoth(largest, log[0]), Some(x), out);
                }
                Op::SoftmaxBackward => {
                    let mean = lane_sum(s, Products, grad, x);
                    zip_values(s, CenteredProduct(mean), Some(x), grad, out);
                }
                Op::LogSoftmaxBackward => {
                    let sum = lane_sum(s, Values, grad, grad);
                    zip_values(s, MinusShare(sum), Some(x), grad, out);
                }
            }
        }
    }
}

/// Rows of a softmax that take each step before the next one is taken: one alone waits for its largest value and for its
/// sum. 1536 rows of 128 take 153 us one by one on AVX-512 and 43 so.
const TOGETHER: usize = 8;

/// Values of these rows, which stay in the first-level cache from step to step.
const TOGETHER_VALUES: usize = 4 << 10;

/// The softmax of longer rows.
#[inline(always)]
fn together<S: Simd>(s: S, width: usize, x: &[f32], out: &mut [f32]) {
    let values = width * (TOGETHER_VALUES / width).clamp(1, TOGETHER);
    for (x, out) in x.chunks(values).zip(out.chunks_mut(values)) {
        let (mut largest, mut sums) = ([0.0; TOGETHER], [0.0; TOGETHER]);
        for (x, largest) in x.chunks_exact(width).zip(&mut largest) {
            *largest = max(s, x);
        }
        for ((x, out), largest) in
            x.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(largest)
        {
            map_values(s, ExpMinus(largest), Some(x), out);
        }
        for (out, sum) in out.chunks_exact(width).zip(&mut sums) {
            *sum = lane_sum(s, Values, out, out);
        }
        for (out, sum) in out.chunks_exact_mut(width).zip(sums) {
            map_values(s, Affine { scale: 1.0 / sum, shift: 0.0 }, None, out);
        }
    }
}

/// The softmax of rows of at most [`NARROW`] values: a vector holds a column of several.
#[inline(always)]
fn narrow<S: Simd>(s: S, width: usize, x: &[f32], out: &mut [f32]) {
    let rows = x.chunks(S::LANES * width).zip(out.chunks_mut(S::LANES * width));
    for (x, out) in rows {
        if width == 2 && x.len() == 2 * S::LANES {
            pairs(s, x, out);
            continue;
        }
        let (mut lanes, mut columns) = ([[0.0; WIDEST]; NARROW], [s.splat(0.0); NARROW]);
        for (row, x) in x.chunks_exact(width).enumerate() {
            x.iter().zip(&mut lanes).for_each(|(x, lanes)| lanes[row] = *x);
        }
        let mut largest = s.splat(f32::NEG_INFINITY);
        for j in 0..width {
            columns[j] = s.load(&lanes[j]);
            largest = s.max(largest, columns[j]);
        }
        for column in &mut columns[..width] {
            *column = Exp.value(s, s.sub(*column, largest));
        }
        // In the order of `lane_sum`, so that a row has the same bits among longer ones.
        let (mut sums, mut half) = (columns, NARROW / 2);
        while half > 0 {
            for i in 0..half {
                sums[i] = s.add(sums[i], sums[i + half]);
            }
            half /= 2;
        }
        let scale = s.div(s.splat(1.0), sums[0]);
        for j in 0..width {
            s.store(s.mul(columns[j], scale), &mut lanes[j]);
        }
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            out.iter_mut().zip(&lanes).for_each(|(out, lanes)| *out = lanes[row]);
        }
    }
}

/// The softmax of as many pairs as a vector has lanes, with the same bits: 4420 take 3 us where column by column takes 20.
#[inline(always)]
fn pairs<S: Simd>(s: S, x: &[f32], out: &mut [f32]) {
    let [a, b] = s.split_pairs(s.load(x), s.load(&x[S::LANES..]));
    let largest = s.max(s.max(s.splat(f32::NEG_INFINITY), a), b);
    let a = Exp.value(s, s.sub(a, largest));
    let b = Exp.value(s, s.sub(b, largest));
    let scale = s.div(s.splat(1.0), s.add(a, b));
    let [first, second] = s.join_pairs(s.mul(a, scale), s.mul(b, scale));
    s.store(first, out);
    s.store(second, &mut out[S::LANES..]);
}

/// The largest value, or a NaN or another value if there is a NaN.
#[inline(always)]
fn max<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut largest = s.splat(f32::NEG_INFINITY);
    let mut chunks = x.chunks_exact(S::LANES);
    for chunk in &mut chunks {
        largest = s.max(largest, s.load(chunk));
    }
    let rest = chunks.remainder().iter().copied();
    rest.fold(s.max_lane(largest), |largest, x| if x > largest { x } else { largest })
}

/// e^(x - self).
#[derive(Clone, Copy)]
struct ExpMinus(f32);

impl Function for ExpMinus {
    const COST: usize = Exp::COST;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        Exp.value(s, s.sub(x, s.splat(self.0)))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        self.value(s, x)
    }
}

/// x - self.0 - self.1.
#[derive(Clone, Copy)]
struct MinusBoth(f32, f32);

impl Function for MinusBoth {
    const COST: usize = 1;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.sub(s.sub(x, s.splat(self.0)), s.splat(self.1))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::F32) -> S::F32 {
        s.splat(1.0)
    }
}

/// y (g - self).
#[derive(Clone, Copy)]
struct CenteredProduct(f32);

impl PairFunction for CenteredProduct {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, y: S::F32, grad: S::F32) -> S::F32 {
        s.mul(y, s.sub(grad, s.splat(self.0)))
    }
}

/// g - e^y self.
#[derive(Clone, Copy)]
struct MinusShare(f32);

impl PairFunction for MinusShare {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, y: S::F32, grad: S::F32) -> S::F32 {
        s.sub(grad, s.mul(Exp.value(s, y), s.splat(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: [usize; 10] = [1, 2, 3, 5, 9, 16, 17, 33, 65, 1000];

    fn values(len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 1.7).sin() * scale).collect()
    }

    fn exact_log_softmax(row: &[f32]) -> Vec<f64> {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln() + largest;
        row.iter().map(|x| x - log).collect()
    }

    #[track_caller]
    fn check(got: &[f32], want: impl Iterator<Item = f64>, tolerance: f64) {
        for (&got, want) in got.iter().zip(want) {
            let error = (f64::from(got) - want).abs();
            assert!(error <= tolerance * want.abs().max(1.0), "{got}, not {want}");
        }
    }

    #[test]
    fn values_and_gradients_are_close_to_exact() {
        for isa in Isa::available() {
            for width in WIDTHS {
                let (x, grad) = (values(3 * width, 20.0), values(3 * width, 1.0));
                let mut out = [vec![0.0; 3 * width], vec![0.0; 3 * width]];
                let [y, log_y] = &mut out;
                softmax(isa, width, &x, y);
                log_softmax(isa, width, &x, log_y);
                let mut before = [vec![0.0; 3 * width], vec![0.0; 3 * width]];
                softmax_backward(isa, width, y, &grad, &mut before[0]);
                log_softmax_backward(isa, width, log_y, &grad, &mut before[1]);
                for row in 0..3 {
                    let range = row * width..(row + 1) * width;
                    let exact = exact_log_softmax(&x[range.clone()]);
                    check(&y[range.clone()], exact.iter().map(|y| y.exp()), 1e-6);
                    check(&log_y[range.clone()], exact.iter().copied(), 1e-6);
                    let grad: Vec<f64> =
                        grad[range.clone()].iter().map(|&g| f64::from(g)).collect();
                    let mean: f64 = grad.iter().zip(&exact).map(|(g, y)| g * y.exp()).sum();
                    let sum: f64 = grad.iter().sum();
                    let pairs = || grad.iter().zip(&exact);
                    let soft = pairs().map(|(g, y)| y.exp() * (g - mean));
                    check(&before[0][range.clone()], soft, 1e-6);
                    let log = pairs().map(|(g, y)| g - y.exp() * sum);
                    check(&before[1][range], log, 3e-5);
                }
            }
        }
    }

    #[test]
    fn masked_values_get_nothing_and_huge_ones_do_not_overflow() {
        for isa in Isa::available() {
            let x = [f32::NEG_INFINITY, 3e38, 3e38, f32::NEG_INFINITY, -3e38];
            let mut y = [9.0; 5];
            softmax(isa, 5, &x, &mut y);
            assert_eq!(y, [0.0, 0.5, 0.5, 0.0, 0.0]);
            softmax(isa, 5, &[1.0, f32::NAN, 1.0, 1.0, 1.0], &mut y);
            assert!(y.iter().all(|y| y.is_nan()));
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let x = values(500 * 133, 5.0);
        let (mut one, mut many) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        single.install(|| softmax(Isa::detect_best(), 133, &x, &mut one));
        pool.install(|| softmax(Isa::detect_best(), 133, &x, &mut many));
        assert_eq!(one, many);
    }

    #[test]
    #[should_panic(expected = "5 values are not rows of 2")]
    fn rows_must_be_whole() {
        softmax(Isa::Scalar, 2, &[0.0; 5], &mut [0.0; 5]);
    }
}
