//! How well a model does its task, as one number.

use crate::Result;
use crate::tensor::Tensor;

/// A measure of how well outputs fit targets. An own one is put into [`Task::Own`](super::Task::Own).
///
/// ```
/// use std::sync::Arc;
/// use tinytorch::audit::{Direction, Metric, Task};
/// use tinytorch::{Result, Tensor};
///
/// /// The mean of how far the first output is from the first target.
/// struct AbsoluteError;
///
/// impl Metric for AbsoluteError {
///     fn name(&self) -> &str {
///         "absolute error"
///     }
///     fn direction(&self) -> Direction {
///         Direction::LowerIsBetter
///     }
///     fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
///         let error = outputs[0].sub(&targets[0])?.to_vec::<f32>()?;
///         Ok(error.iter().map(|e| f64::from(e.abs())).sum::<f64>() / error.len() as f64)
///     }
/// }
///
/// let task = Task::Own(Arc::new(AbsoluteError));
/// let of = |v: f32| Tensor::from_vec(vec![v], [1, 1]);
/// assert_eq!(task.score(&[of(3.0)?], &[of(1.0)?])?, 2.0);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub trait Metric: Send + Sync {
    /// What it is called, such as `accuracy`.
    fn name(&self) -> &str;

    /// The unit of its values, such as `%`.
    fn unit(&self) -> &str {
        ""
    }

    /// Whether more or less is better.
    fn direction(&self) -> Direction;

    /// Share of the float model's score that must be kept where more is better.
    fn kept(&self) -> f64 {
        0.99
    }

    /// Largest relative error of the outputs with which they still serve, unless a budget says otherwise.
    fn usual_error(&self) -> f64 {
        0.01
    }

    /// The measure for all outputs of the model and all targets, each `[samples, ..]`.
    ///
    /// # Errors
    /// If the outputs or the targets are not what the metric is for.
    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64>;

    /// The classes that the outputs choose, by which two models can be compared; `None` if the outputs
    /// choose nothing.
    ///
    /// # Errors
    /// If the outputs are not what the metric is for.
    fn answers(&self, outputs: &[Tensor]) -> Result<Option<Tensor>> {
        let _ = outputs;
        Ok(None)
    }

    /// What `score` is a mean over, for sentences: `360 held-out samples`.
    fn counted(&self, targets: &[Tensor]) -> String {
        let samples = targets.first().and_then(|target| target.shape().first().copied());
        format!("{} held-out samples", samples.unwrap_or(0))
    }
}

/// Which way a [`Metric`] improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As accuracies do.
    HigherIsBetter,
    /// As errors do.
    LowerIsBetter,
}
