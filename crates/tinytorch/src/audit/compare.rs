//! Outputs held against each other.

use super::spread::{Spread, squared_distance};
use crate::Result;
use crate::quant::relative_error;
use crate::tensor::{Dtype, Tensor};

/// Whether two tensors hold the same bits.
///
/// # Errors
/// If a view cannot be read.
pub(super) fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    Ok(a.shares_storage(b) || bits(a)? == bits(b)?)
}

/// Whether all of several outputs hold the same bits.
///
/// # Errors
/// As [`same_bits`].
pub(super) fn all_same_bits(a: &[Tensor], b: &[Tensor]) -> Result<bool> {
    let mut same = a.len() == b.len();
    for (a, b) in a.iter().zip(b) {
        same = same && same_bits(a, b)?;
    }
    Ok(same)
}

/// How far each output is off: of floats the relative L2 error, as [`relative_error`], samples of one number
/// being a column; of anything else the share of entries that differ.
///
/// # Errors
/// If shapes differ.
pub(super) fn errors(got: &[Tensor], want: &[Tensor]) -> Result<Vec<f64>> {
    let column = |t: &Tensor| if t.rank() == 1 { t.reshape([t.len(), 1]) } else { Ok(t.clone()) };
    let error = |(got, want): (&Tensor, &Tensor)| match (got.dtype(), want.dtype()) {
        (Dtype::F32, Dtype::F32) => relative_error(&column(got)?, &column(want)?),
        (got_dtype, dtype) if got_dtype != dtype || got.shape() != want.shape() => Ok(f64::NAN),
        _ => {
            let (got, want) = (bits(got)?, bits(want)?);
            let differing = got.iter().zip(&want).filter(|(a, b)| a != b).count();
            Ok(differing as f64 / want.len().max(1) as f64)
        }
    };
    got.iter().zip(want).map(error).collect()
}

/// How far each output is off that ought to be the same: as [`errors`], but relative to the size of an output whose
/// rows do not differ, such as one of a single row.
///
/// # Errors
/// If shapes differ.
pub(super) fn apart(got: &[Tensor], want: &[Tensor]) -> Result<Vec<f64>> {
    let of = |((error, got), want): ((f64, &Tensor), &Tensor)| {
        if error != f64::INFINITY {
            return Ok(error);
        }
        let mut spread = Spread::default();
        spread.add(want)?;
        Ok(squared_distance(got, want)?.sqrt() / spread.size())
    };
    errors(got, want)?.into_iter().zip(got).zip(want).map(of).collect()
}

/// Every element as a number that only the same bits give.
fn bits(t: &Tensor) -> Result<Vec<i64>> {
    Ok(match t.dtype() {
        Dtype::F32 => t.to_vec::<f32>()?.into_iter().map(|v| i64::from(v.to_bits())).collect(),
        Dtype::I64 => t.to_vec::<i64>()?,
        Dtype::I32 => t.to_vec::<i32>()?.into_iter().map(i64::from).collect(),
        Dtype::U8 => t.to_vec::<u8>()?.into_iter().map(i64::from).collect(),
        Dtype::I8 => t.to_vec::<i8>()?.into_iter().map(i64::from).collect(),
        Dtype::Bool => t.to_vec::<bool>()?.into_iter().map(i64::from).collect(),
    })
}

/// Parts of an output one after the other.
///
/// # Errors
/// If their shapes differ beyond the first axis.
pub(super) fn joined(parts: &[Tensor]) -> Result<Tensor> {
    match parts.first().map(Tensor::dtype) {
        None | Some(Dtype::F32) => Tensor::cat::<f32>(parts, 0),
        Some(Dtype::I64) => Tensor::cat::<i64>(parts, 0),
        Some(Dtype::I32) => Tensor::cat::<i32>(parts, 0),
        Some(Dtype::U8) => Tensor::cat::<u8>(parts, 0),
        Some(Dtype::I8) => Tensor::cat::<i8>(parts, 0),
        Some(Dtype::Bool) => Tensor::cat::<bool>(parts, 0),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_off_by_the_entries_that_differ() {
        let of = |values: [i64; 4]| Tensor::from_vec(values.to_vec(), [4]).unwrap();
        let got = errors(&[of([1, 2, 3, 4])], &[of([1, 2, 3, 5])]).unwrap();
        assert_eq!(got, [0.25]);
        let other = Tensor::ones([4]).unwrap();
        assert!(errors(&[other], &[of([1, 1, 1, 1])]).unwrap()[0].is_nan());
        assert!(exceeds(worst(&[0.1, f64::NAN, 0.3]).1, 1.0));
    }

    #[test]
    fn one_number_for_each_sample_is_a_column() {
        let of = |values: [f32; 2]| Tensor::from_vec(values.to_vec(), [2]).unwrap();
        assert_eq!(errors(&[of([101.0, 101.0])], &[of([100.0, 102.0])]).unwrap(), [1.0]);
    }

    /// By hand: 0.03 of a row of length 5.
    #[test]
    fn a_single_row_is_held_against_its_size() {
        let of = |x: f32, y: f32| [Tensor::from_vec(vec![x, y], [1, 2]).unwrap()];
        let apart = |got: [Tensor; 1], want: [Tensor; 1]| super::apart(&got, &want).unwrap()[0];
        assert!((apart(of(3.0, 4.03), of(3.0, 4.0)) - 0.006).abs() < 1e-6);
        assert_eq!(apart(of(3.0, 4.0), of(3.0, 4.0)), 0.0);
        assert!(apart(of(f32::NAN, 4.0), of(3.0, 4.0)).is_nan());
    }

    #[test]
    fn bits_are_compared_and_not_values() {
        let of = |v: f32| Tensor::from_vec(vec![v], [1]).unwrap();
        assert!(same_bits(&of(f32::NAN), &of(f32::NAN)).unwrap());
        assert!(!same_bits(&of(0.0), &of(-0.0)).unwrap());
        assert!(!all_same_bits(&[of(1.0)], &[]).unwrap());
    }
}
