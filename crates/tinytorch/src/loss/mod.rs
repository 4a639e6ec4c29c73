//! Losses: each compares predictions with targets and gives one number to minimize.
//!
//! ```
//! use tinytorch::{Tensor, autograd::{Ctx, Var}};
//! let logits = Var::from(Tensor::from_vec(vec![2.0, 0.0], [1, 2])?);
//! let class = Tensor::from_vec(vec![0i64], [1])?;
//! let loss = logits.cross_entropy(&class, &mut Ctx::eval())?;
//! assert!((loss.value().item()? - 0.1269).abs() < 1e-4);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod cross_entropy;

/// What can be wrong with targets.
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
}
