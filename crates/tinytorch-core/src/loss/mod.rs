//! Losses: each compares predictions with targets and gives one number to minimize.
//!
//! ```
//! use tinytorch_core::{Tensor, autograd::{Ctx, Var}};
//! let logits = Var::from(Tensor::from_vec(vec![2.0, 0.0], [1, 2])?);
//! let class = Tensor::from_vec(vec![0i64], [1])?;
//! let loss = logits.cross_entropy(&class, &mut Ctx::eval())?;
//! assert!((loss.value().item()? - 0.1269).abs() < 1e-4);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod cross_entropy;
mod distillation;
mod pairwise;

/// What can be wrong with targets or a loss's own settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// A class index outside the classes.
    #[error("row {row} has label {label}, but there are {classes} classes, numbered from 0")]
    Label {
        /// The row.
        row: usize,
        /// Its label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A probability outside 0 to 1.
    #[error("{what} {at} is {value}; binary cross-entropy needs values from 0 to 1")]
    Probability {
        /// `prediction` or `target`.
        what: &'static str,
        /// Its index among all.
        at: usize,
        /// Its value.
        value: f32,
    },
    /// A share of label smoothing that leaves nothing for the target.
    #[error("the label smoothing is {smoothing}; it must be at least 0 and below 1")]
    Smoothing {
        /// The value given.
        smoothing: f32,
    },
    /// A temperature that nothing can be divided by.
    #[error("the temperature is {temperature}; it must be positive and finite")]
    Temperature {
        /// The value given.
        temperature: f32,
    },
}
