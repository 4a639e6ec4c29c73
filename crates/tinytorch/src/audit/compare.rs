//! Outputs held against each other.

use crate::Result;
use crate::quant::relative_error;
use crate::tensor::Tensor;

/// Whether two tensors hold the same bits.
///
/// # Errors
/// Unless both are f32.
pub(super) fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool> {
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        Ok(t.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
    };
    Ok(a.shape() == b.shape() && (a.shares_storage(b) || bits(a)? == bits(b)?))
}

/// Whether all of several outputs hold the same bits.
///
/// # Errors
/// As [`same_bits`].
pub(super) fn all_same_bits(a: &[Tensor], b: &[Tensor]) -> Result<bool> {
    let mut pairs = a.iter().zip(b);
    Ok(a.len() == b.len()
        && pairs.try_fold(true, |same, (a, b)| Ok::<_, crate::Error>(same && same_bits(a, b)?))?)
}

/// The relative L2 error of each output, as [`relative_error`]; samples of one number are a column.
///
/// # Errors
/// If shapes differ.
pub(super) fn errors(got: &[Tensor], want: &[Tensor]) -> Result<Vec<f64>> {
    let column = |t: &Tensor| if t.rank() == 1 { t.reshape([t.len(), 1]) } else { Ok(t.clone()) };
    let error = |(got, want)| relative_error(&column(got)?, &column(want)?);
    got.iter().zip(want).map(error).collect()
}

/// The largest of some errors and its place; NaN is the largest number.
pub(super) fn worst(errors: &[f64]) -> (usize, f64) {
    let largest = errors.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    largest.unwrap_or((0, f64::NAN))
}

/// Whether a measurement is beyond its limit; NaN is beyond any.
pub(super) fn exceeds(value: f64, limit: f64) -> bool {
    value > limit || value.is_nan()
}
