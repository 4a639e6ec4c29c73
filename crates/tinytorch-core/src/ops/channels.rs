//! Loops over the channels of a batch of images `[batch, channels, height, width]`.

use crate::tensor::{Shape, parallel, reduce};
use tinytorch_kernels::Isa;

/// Mean and `1 / sqrt(variance + eps)` of every channel.
#[derive(Clone, Debug)]
pub(super) struct Standard {
    pub(super) mean: Vec<f32>,
    pub(super) inverse: Vec<f32>,
}

impl Standard {
    pub(super) fn new(mean: Vec<f32>, variance: &[f32], eps: f32) -> Standard {
        let inverse = variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        Standard { mean, inverse }
    }
}

/// Calls `f(channel, plane, out)` for every channel of every image.
pub(super) fn for_each_plane(
    shape: &Shape,
    x: &[f32],
    out: &mut [f32],
    f: impl Fn(usize, &[f32], &mut [f32]) + Sync + Send,
) {
    let (pixels, work) = (shape[2] * shape[3], 2 * x.len());
    let plane = |plane: usize, out: &mut [f32]| {
        f(plane % shape[1], &x[plane * pixels..][..out.len()], out);
    };
    parallel::for_each_chunk(out, pixels, work, plane);
}

/// The planes of one channel, image by image.
fn planes<'a>(shape: &Shape, x: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> {
    let (channels, pixels) = (shape[1], shape[2] * shape[3]);
    (0..shape[0]).map(move |image| &x[(image * channels + channel) * pixels..][..pixels])
}

/// The sum of every channel: the gradient of a bias that is added to it.
pub(super) fn sums(isa: Isa, shape: &Shape, x: &[f32]) -> Vec<f32> {
    let mut sums = vec![0f32; shape[1]];
    parallel::for_each_chunk(&mut sums, 1, x.len(), |channel, sum| {
        let planes = planes(shape, x, channel).map(|plane| f64::from(reduce::sum(isa, plane)));
        sum[0] = planes.sum::<f64>() as f32;
    });
    sums
}

/// Two numbers of every channel.
fn of_each_channel(
    shape: &Shape,
    work: usize,
    f: impl Fn(usize) -> (f32, f32) + Sync + Send,
) -> (Vec<f32>, Vec<f32>) {
    let mut both = vec![0f32; 2 * shape[1]];
    let channel = |channel: usize, both: &mut [f32]| {
        (both[0], both[1]) = f(channel);
    };
    parallel::for_each_chunk(&mut both, 2, work, channel);
    both.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
}

/// Mean and variance (divided by the number of values) of every channel. The variance takes a pass of
/// its own: from the sum of squares, it would lose its digits where the mean is large.
pub(super) fn batch_statistics(isa: Isa, shape: &Shape, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let count = (shape.len() / shape[1].max(1)) as f64;
    of_each_channel(shape, 3 * x.len(), |channel| {
        let planes = || planes(shape, x, channel);
        let mean = (planes().map(|p| f64::from(reduce::sum(isa, p))).sum::<f64>() / count) as f32;
        let square = |p: &[f32]| f64::from(sum_of([p, p], |x, y| (x - mean) * (y - mean)));
        (mean, (planes().map(square).sum::<f64>() / count) as f32)
    })
}

/// `sum g` and `sum g x'` of every channel, with `x'` the standardized value: the gradients of a
/// norm's bias and weight.
pub(super) fn gradient_sums(
    isa: Isa,
    shape: &Shape,
    g: &[f32],
    x: &[f32],
    standard: &Standard,
) -> (Vec<f32>, Vec<f32>) {
    of_each_channel(shape, 4 * x.len(), |channel| {
        let (mean, inverse) = (standard.mean[channel], standard.inverse[channel]);
        let (mut sum, mut product) = (0f64, 0f64);
        for (g, x) in planes(shape, g, channel).zip(planes(shape, x, channel)) {
            sum += f64::from(reduce::sum(isa, g));
            product += f64::from(sum_of([g, x], |g, x| g * (x - mean)));
        }
        (sum as f32, (product * f64::from(inverse)) as f32)
    })
}

/// Sum of `f` over pairs of values, in 16 interleaved partial sums: a chain of additions that each
/// wait for the one before would be several times slower.
fn sum_of([a, b]: [&[f32]; 2], f: impl Fn(f32, f32) -> f32) -> f32 {
    const WIDTH: usize = 16;
    let mut partial = [0f32; WIDTH];
    let (a, b) = (a.chunks_exact(WIDTH), b.chunks_exact(WIDTH));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| f(*a, *b)).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in partial.iter_mut().zip(a.iter().zip(b)) {
            *sum += f(*a, *b);
        }
    }
    partial.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_sums_leave_nothing_out() {
        let values: Vec<f32> = (0..50).map(|i| i as f32).collect();
        for len in 0..50usize {
            let want = (len * len.saturating_sub(1)) as f32;
            assert_eq!(sum_of([&values[..len], &values[..len]], |a, b| a + b), want);
        }
    }

    #[test]
    fn a_large_mean_does_not_cost_the_variance_its_digits() {
        let shape = Shape::new(&[2, 1, 1, 4]).unwrap();
        let x = [1000.0, 1001.0, 1002.0, 1003.0, 1000.0, 1001.0, 1002.0, 1003.0];
        let (mean, variance) = batch_statistics(Isa::active(), &shape, &x);
        assert_eq!((mean[0], variance[0]), (1001.5, 1.25));
    }
}
