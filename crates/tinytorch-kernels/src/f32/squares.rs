//! The gradient of max pooling over squares of four pixels, side by side.

use crate::Isa;
use crate::isa::{Kernel, Simd};

/// Hands each number of `grad` to the first largest pixel of its square of the image `x`, whose rows have `width`
/// pixels; all others become 0. NaN counts as largest. A last row or column that is in no square gets 0 too.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::squares::max_pool_backward;
///
/// let x = [1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 4.0];
/// let mut grad_in = [f32::NAN; 8];
/// max_pool_backward(Isa::active(), 4, &x, &[5.0, 6.0], &mut grad_in);
/// assert_eq!(grad_in, [0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 6.0, 0.0]);
/// ```
///
/// # Panics
/// If `x` is not some rows, `grad_in` is not as long, or `grad` has not a number for each square.
pub fn max_pool_backward(isa: Isa, width: usize, x: &[f32], grad: &[f32], grad_in: &mut [f32]) {
    assert!(x.len().is_multiple_of(width.max(1)), "{} pixels in rows of {width}", x.len());
    assert_eq!(x.len(), grad_in.len(), "gradient of the input");
    let squares = x.len().checked_div(width).unwrap_or(0) / 2 * (width / 2);
    assert_eq!(grad.len(), squares, "gradient of the output");
    isa.run(Squares { width, x, grad, grad_in });
}

struct Squares<'a> {
    width: usize,
    x: &'a [f32],
    grad: &'a [f32],
    grad_in: &'a mut [f32],
}

impl Kernel for Squares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Squares { width, x, grad, grad_in } = self;
        if width < 2 {
            return grad_in.fill(0.0);
        }
        let used = 2 * (width / 2);
        let mut rows = grad_in.chunks_exact_mut(2 * width);
        for ((x, out), grad) in
            x.chunks_exact(2 * width).zip(&mut rows).zip(grad.chunks_exact(width / 2))
        {
            let (top, bottom) = x.split_at(width);
            let (out_top, out_bottom) = out.split_at_mut(width);
            for at in (0..used).step_by(2 * S::LANES) {
                let grad = s.load_partial(&grad[at / 2..]);
                let [top, bottom] = [pairs(s, &top[at..used]), pairs(s, &bottom[at..used])];
                let [of_top, of_bottom] = spread(s, [top, bottom], grad);
                store_pairs(s, of_top, &mut out_top[at..used]);
                store_pairs(s, of_bottom, &mut out_bottom[at..used]);
            }
            out_top[used..].fill(0.0);
            out_bottom[used..].fill(0.0);
        }
        rows.into_remainder().fill(0.0);
    }
}

/// Left and right pixels of as many pairs as there are, up to a vector.
#[inline(always)]
fn pairs<S: Simd>(s: S, row: &[f32]) -> [S::F32; 2] {
    let second = s.load_partial(row.get(S::LANES..).unwrap_or_default());
    s.split_pairs(s.load_partial(row), second)
}

/// Writes as many pairs as there is room for, up to a vector.
#[inline(always)]
fn store_pairs<S: Simd>(s: S, [left, right]: [S::F32; 2], out: &mut [f32]) {
    for (vector, out) in s.join_pairs(left, right).into_iter().zip(out.chunks_mut(S::LANES)) {
        s.store_partial(vector, out);
    }
}

/// `yes` where `value` takes the place of the largest so far, `no` elsewhere.
#[inline(always)]
fn if_beaten<S: Simd>(s: S, [best, value]: [S::F32; 2], yes: S::F32, no: S::F32) -> S::F32 {
    s.select(s.le(value, best), no, s.select(s.eq(best, best), yes, no))
}

/// The gradient of the left and right pixels of the upper rows of squares, and of the lower ones.
#[inline(always)]
fn spread<S: Simd>(s: S, rows: [[S::F32; 2]; 2], grad: S::F32) -> [[S::F32; 2]; 2] {
    let zero = s.splat(0.0);
    let [top, bottom] = rows;
    let best = [if_beaten(s, top, top[1], top[0]), if_beaten(s, bottom, bottom[1], bottom[0])];
    let [of_top, of_bottom] = [if_beaten(s, best, zero, grad), if_beaten(s, best, grad, zero)];
    [
        [if_beaten(s, top, zero, of_top), if_beaten(s, top, of_top, zero)],
        [if_beaten(s, bottom, zero, of_bottom), if_beaten(s, bottom, of_bottom, zero)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the first largest of four, where NaN is largest.
    fn first_largest(values: [f32; 4]) -> usize {
        let mut best = 0;
        for i in 1..4 {
            if !values[best].is_nan() && (values[i] > values[best] || values[i].is_nan()) {
                best = i;
            }
        }
        best
    }

    #[test]
    fn the_first_largest_of_each_square_gets_all() {
        for width in 0..40 {
            for height in [0, 1, 2, 5] {
                let mut x: Vec<f32> = (0..width * height).map(|i| (i * 7919 % 5) as f32).collect();
                x.iter_mut().step_by(11).for_each(|x| *x = f32::NAN);
                let (across, down) = (width / 2, height / 2);
                let grad: Vec<f32> = (1..=across * down).map(|i| i as f32).collect();
                let mut want = vec![0.0; x.len()];
                for (i, grad) in grad.iter().enumerate() {
                    let corner = i / across * 2 * width + i % across * 2;
                    let places = [corner, corner + 1, corner + width, corner + width + 1];
                    want[places[first_largest(places.map(|at| x[at]))]] = *grad;
                }
                for isa in Isa::available() {
                    let mut got = vec![f32::NAN; x.len()];
                    max_pool_backward(isa, width, &x, &grad, &mut got);
                    assert_eq!(got, want, "{height} x {width} on {isa:?}");
                }
            }
        }
    }
}
