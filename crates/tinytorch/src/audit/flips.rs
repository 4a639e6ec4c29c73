//! How far levels that flip take two faultless int8 models apart.

use super::compare::apart;
use crate::Result;
use crate::tensor::{Dtype, Tensor};

/// Standard deviations by which two faultless models may be further apart than they are on average: an audit asks
/// several outputs on several instruction sets, and none of a sound model may fail.
const DEVIATIONS: f64 = 3.0;

/// How far each output of two faultless int8 models may be [apart], one of which gave these outputs where the float model
/// gave those: as far as if no rounding of the one had anything to do with the other's any more.
///
/// The squares of two independent errors add up, so that such models are sqrt(2) of the error apart on average, by the
/// relative L2 distance over the very samples that the error is of. A worst sample or value has no such bound. Beyond
/// the average comes what chance allows. Errors of samples are independent, and the square of a normal number has a variance
/// of twice its own square, that of a row of several numbers a smaller one; a sample whose error is larger than those of
/// others counts for more of it. The ratio of the two squared distances varies as much as each, since half of what they
/// are sums of is the same, and as a ratio: its logarithm is what is near to normal.
///
/// Of entries that are no floats, those that differ from the float model's are others in each model: twice as many.
///
/// # Errors
/// If shapes differ.
pub(super) fn as_far_as_flips(got: &[Tensor], float: &[Tensor]) -> Result<Vec<f64>> {
    let limit = |((error, got), float): ((f64, &Tensor), &Tensor)| match got.dtype() {
        Dtype::F32 => Ok(error * (2.0 * (DEVIATIONS * deviation(got, float)?).exp()).sqrt()),
        _ => {
            let entries = got.len().max(1) as f64;
            let differing = 2.0 * error * entries;
            Ok((differing + DEVIATIONS * differing.max(1.0).sqrt()) / entries)
        }
    };
    apart(got, float)?.into_iter().zip(got).zip(float).map(limit).collect()
}

/// Of the sum of the squared errors of samples, as a share of it.
fn deviation(got: &Tensor, float: &Tensor) -> Result<f64> {
    let samples = got.shape().first().copied().unwrap_or(1).max(1);
    let errors = got.sub(float)?.to_vec::<f32>()?;
    let square = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let squares = errors.chunks((errors.len() / samples).max(1)).map(square);
    let (sum, variance) = squares.fold((0.0, 0.0), |(sum, variance), square| {
        (sum + square, variance + 2.0 * square * square)
    });
    Ok(if sum > 0.0 { variance.sqrt() / sum } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn noisy(of: &Tensor, size: impl Fn(usize) -> f32, rng: &mut Rng) -> Tensor {
        let (values, rows) = (of.to_vec::<f32>().unwrap(), of.shape()[0]);
        let columns = values.len() / rows;
        let noisy = values.iter().enumerate().map(|(i, v)| v + size(i / columns) * rng.normal());
        Tensor::from_vec(noisy.collect::<Vec<f32>>(), *of.shape()).unwrap()
    }

    /// The least and the largest distance over its limit in 500 draws of two models, the second of which errs so many times
    /// as much.
    fn draws(columns: usize, size: impl Fn(usize) -> f32 + Copy, times: f32) -> (f64, f64) {
        let mut rng = Rng::seed(7);
        let draw = |_| {
            let float = Tensor::randn([16, columns], 1.0, &mut rng).unwrap();
            let one = [noisy(&float, size, &mut rng)];
            let other = [noisy(&float, |row| times * size(row), &mut rng)];
            apart(&other, &one).unwrap()[0] / as_far_as_flips(&one, &[float]).unwrap()[0]
        };
        let drawn: Vec<f64> = (0..500).map(draw).collect();
        (drawn.iter().copied().fold(f64::MAX, f64::min), drawn.into_iter().fold(0.0, f64::max))
    }

    #[test]
    fn roundings_that_have_nothing_in_common_are_within_the_limit() {
        let even = |_| 0.03;
        for columns in [1, 2, 10, 200] {
            assert!(draws(columns, even, 1.0).1 < 1.0, "{columns}");
        }
        // Some samples err five times as much as others.
        let uneven = |row: usize| if row.is_multiple_of(5) { 0.1 } else { 0.02 };
        assert!(draws(10, uneven, 1.0).1 < 1.0);
        // They are sqrt(2) of the error apart, and half as much would fail all of them.
        assert!(draws(200, even, 1.0).0 > 0.5);
    }

    #[test]
    fn errors_three_times_as_large_are_beyond_it() {
        assert!(draws(200, |_| 0.03, 3.0).0 > 1.0);
        assert!(draws(200, |_| 0.03, 1.5).1 < 1.0);
    }

    /// By hand: one number for each of two samples, off by 1 and by 1, around 20: a variance of 4 of a sum of 2.
    #[test]
    fn few_samples_have_a_wide_limit() {
        let of = |values: [f32; 2]| [Tensor::from_vec(values.to_vec(), [2, 1]).unwrap()];
        let limit = as_far_as_flips(&of([11.0, 31.0]), &of([10.0, 30.0])).unwrap()[0];
        assert!((limit - (2.0 / 200.0 * 2.0 * 3f64.exp()).sqrt()).abs() < 1e-6, "{limit}");
        assert_eq!(as_far_as_flips(&of([10.0, 30.0]), &of([10.0, 30.0])).unwrap(), [0.0]);
    }

    #[test]
    fn entries_that_are_no_floats_may_be_others_in_each_model() {
        let float = Tensor::from_vec(vec![0i64; 100], [100]).unwrap();
        let got = Tensor::from_vec((0..100).map(|i| i64::from(i < 8)).collect(), [100]).unwrap();
        assert_eq!(as_far_as_flips(&[got], std::slice::from_ref(&float)).unwrap(), [0.28]);
        let same = std::slice::from_ref(&float);
        assert_eq!(as_far_as_flips(same, same).unwrap(), [0.03]);
    }
}
