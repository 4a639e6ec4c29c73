//! How near vectors stay to others, by their direction.

use super::task::same_shape;
use super::{Alike, AuditError, Direction, Likeness, Metric};
use crate::Result;
use crate::tensor::Tensor;

/// The mean cosine of the angle between the rows of the first output and those of the first target, both
/// `[samples, dim]`: how far an encoder's vectors still mean what those of another encoder mean, whatever their
/// length. A vector of zeros is at a right angle to any other.
///
/// ```
/// use tinytorch::{Tensor, audit::{Cosine, Metric}};
/// let of = |x: f32, y: f32| Tensor::from_vec(vec![x, y], [1, 2]);
/// assert_eq!(Cosine.score(&[of(3.0, 4.0)?], &[of(8.0, 6.0)?])?, 0.96);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Cosine;

/// What a cosine must reach where nothing else is said.
const LEAST: f64 = 0.999;

impl Metric for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    fn kept(&self) -> f64 {
        LEAST
    }

    /// How far rows of one length are apart whose cosine is the least.
    fn usual_error(&self) -> f64 {
        (2.0 - 2.0 * LEAST).sqrt()
    }

    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
        let cosines = of_first(outputs, targets)?;
        Ok(cosines.iter().sum::<f64>() / cosines.len().max(1) as f64)
    }
}

impl Likeness for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn usual_limit(&self) -> f64 {
        LEAST
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> Result<Alike> {
        Ok(Alike::Each(of_first(int8, float)?.into_iter().map(Some).collect()))
    }
}

impl Cosine {
    /// The cosine of each row, along the last axis, with the same row of the other tensor.
    ///
    /// # Errors
    /// For tensors of two shapes, or of other values than floats.
    pub fn of_rows(a: &Tensor, b: &Tensor) -> Result<Vec<f64>> {
        same_shape(a, b)?;
        let width = a.shape().last_dim().max(1);
        let (a, b) = (a.to_vec::<f32>()?, b.to_vec::<f32>()?);
        Ok(a.chunks(width).zip(b.chunks(width)).map(|(a, b)| cosine(a, b)).collect())
    }
}

/// Of each row of the first output.
fn of_first(outputs: &[Tensor], targets: &[Tensor]) -> Result<Vec<f64>> {
    let output = outputs.first().ok_or(AuditError::Nothing { what: "output" })?;
    let target = targets.first().ok_or(AuditError::Nothing { what: "target" })?;
    Cosine::of_rows(output, target)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths == 0.0 { 0.0 } else { product(a, b) / lengths }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_error_is_that_of_the_least_cosine() {
        let error = Cosine.usual_error();
        // Two rows of length 1 at a distance of `error`.
        let (x, y) = (1.0 - error * error / 2.0, error * (1.0 - error * error / 4.0).sqrt());
        let of = |x: f64, y: f64| Tensor::from_vec(vec![x as f32, y as f32], [1, 2]).unwrap();
        let score = Cosine.score(&[of(x, y)], &[of(1.0, 0.0)]).unwrap();
        assert!((score - Cosine.kept()).abs() < 1e-6, "{score}");
    }

    /// What decision 77 asks of encoders, as a score and as a likeness.
    #[test]
    fn a_cosine_of_0_999_is_asked_for() {
        assert_eq!((Cosine.kept(), Cosine.usual_limit()), (0.999, 0.999));
    }

    #[test]
    fn length_does_not_count_and_direction_does() {
        let of = |rows: [f32; 6]| Tensor::from_vec(rows.to_vec(), [3, 2]).unwrap();
        let target = of([1.0, 0.0, 0.0, 2.0, 1.0, 1.0]);
        let score = |rows| Cosine.score(&[of(rows)], std::slice::from_ref(&target)).unwrap();
        assert!((score([5.0, 0.0, 0.0, 0.1, 3.0, 3.0]) - 1.0).abs() < 1e-12);
        // Opposite, at a right angle, and none at all.
        assert!((score([-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]) + 1.0 / 3.0).abs() < 1e-12);
        let short = Tensor::ones([2, 2]).unwrap();
        assert!(Cosine.score(&[short], &[target]).is_err());
    }
}
