//! How alike the outputs of two models are, by a measure of what they are for.

use super::{AuditError, Direction};
use crate::Result;
use crate::tensor::Tensor;

/// How alike the outputs of the int8 model are to the float model's, by what they are for: no labels are needed.
/// [`Subject::alike_by`](super::Subject::alike_by) makes a gate of it.
///
/// ```
/// use tinytorch::{Tensor, audit::{Alike, Cosine, Likeness}};
/// let of = |x: f32, y: f32| Tensor::from_vec(vec![x, y], [1, 2]);
/// let alike = Cosine.compare(&[of(3.0, 4.0)?], &[of(8.0, 6.0)?])?;
/// assert_eq!(alike, Alike::Each(vec![Some(0.96)]));
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub trait Likeness: Send + Sync {
    /// What it is called, such as `cosine`.
    fn name(&self) -> &str;

    /// What the mean over samples must reach unless it is said; of a measure of the outputs as a whole what the
    /// share of the float model's score must.
    fn usual_limit(&self) -> f64 {
        0.99
    }

    /// Whether more or less is better.
    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    /// The measure of all outputs, each `[samples, ..]`, in the model's order.
    ///
    /// # Errors
    /// If the outputs are not what the measure is for.
    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> Result<Alike>;
}

/// What a [`Likeness`] has measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Alike {
    /// For each sample or row how alike it is, 1 for the same; `None` where there is nothing to compare.
    Each(Vec<Option<f64>>),
    /// One number for the int8 model's outputs, and one for the float model's.
    Whole {
        /// Of the int8 model.
        int8: f64,
        /// Of the float model.
        float: f64,
    },
}

/// The outputs of these places.
pub(super) fn picked<'t>(outputs: &'t [Tensor], places: &[usize]) -> Result<Vec<&'t Tensor>> {
    let pick = |&place: &usize| {
        outputs.get(place).ok_or_else(|| AuditError::Nothing { what: "output" }.into())
    };
    places.iter().map(pick).collect()
}
