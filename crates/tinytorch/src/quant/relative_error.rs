//! How far outputs are from others.

use crate::Result;
use crate::tensor::Tensor;

/// Relative L2 error of `got` against `want` after taking off, from both, the mean of `want` over
/// all rows: `|got - want| / |want - mean(want)|`. A constant part of the output, which any model
/// reproduces, so does not make the error look small.
///
/// # Errors
/// If the shapes differ.
pub fn relative_error(got: &Tensor, want: &Tensor) -> Result<f64> {
    let rows =
        |t: &Tensor| t.reshape([t.len() / t.shape().last_dim().max(1), t.shape().last_dim()]);
    let (got, want) = (rows(got)?, rows(want)?);
    let centered = want.sub(&want.mean_axis(0, true)?)?;
    let norm = |t: &Tensor| -> Result<f64> {
        Ok(t.to_vec::<f32>()?.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
    };
    let (difference, size) = (norm(&got.sub(&want)?)?, norm(&centered)?);
    Ok(if difference == 0.0 { 0.0 } else { difference / size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_offset_does_not_flatter_the_error() {
        let want = Tensor::from_vec(vec![100.0, 102.0], [2, 1]).unwrap();
        let got = Tensor::from_vec(vec![101.0, 101.0], [2, 1]).unwrap();
        assert_eq!(relative_error(&got, &want).unwrap(), 1.0);
        assert_eq!(relative_error(&want, &want).unwrap(), 0.0);
    }

    #[test]
    fn an_error_against_a_constant_output_is_infinite() {
        let want = Tensor::ones([2, 1]).unwrap();
        let got = Tensor::from_vec(vec![1.0, 2.0], [2, 1]).unwrap();
        assert!(relative_error(&got, &want).unwrap().is_infinite());
    }
}
