//! What a model is for: the tasks whose measures are built in, and own ones.

use super::{AuditError, Direction, Metric};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::data::Examples;
use crate::tensor::{Dtype, Tensor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// What a model is for, and so how to tell how well it does it. All but an own metric judge the first
/// output by the first target.
#[derive(Clone)]
pub enum Task {
    /// One class for each sample: outputs `[samples, classes]`, targets `[samples]` as i64. The measure is
    /// the accuracy, in percent: more is better.
    Classification,
    /// The next token at each position of a text: outputs `[samples, length, vocab]`, targets
    /// `[samples, length]` as i64. The measure is the perplexity per token, the exponential of the mean
    /// cross-entropy: less is better.
    LanguageModel,
    /// Numbers: outputs and targets `[samples, ..]`. The measure is the coefficient of determination over
    /// all columns, `1 - |output - target|^2 / |target - mean|^2`, in percent: more is better.
    Regression,
    /// Any number of labels for each sample: outputs `[samples, labels]`, larger for labels that fit, and
    /// targets of the same shape, 1 for a label that fits and 0 for others. The measure is the mean over
    /// the labels of the average precision (Everingham et al., 2010), in percent: more is better.
    MultiLabel,
    /// A measure of the caller's own.
    Own(Arc<dyn Metric>),
}

impl Task {
    /// The task that samples with these labels pose.
    pub fn of(examples: &Examples) -> Task {
        Task::for_target(examples.labels())
    }

    /// The task that this target suggests: floats are a regression, one integer for each sample a
    /// classification, several a language model.
    pub fn for_target(target: &Tensor) -> Task {
        match (target.dtype(), target.rank()) {
            (Dtype::F32, _) => Task::Regression,
            (_, 1) => Task::Classification,
            _ => Task::LanguageModel,
        }
    }

    /// The name that reports use.
    pub fn id(&self) -> &str {
        match self {
            Task::Classification => "classification",
            Task::LanguageModel => "language-model",
            Task::Regression => "regression",
            Task::MultiLabel => "multi-label",
            Task::Own(metric) => metric.name(),
        }
    }

    /// What the quality of a model is measured as.
    pub fn measure(&self) -> &str {
        Metric::name(self)
    }
}

impl PartialEq for Task {
    /// Own metrics are the same if they are called the same.
    fn eq(&self, other: &Task) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.id() == other.id()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl Metric for Task {
    fn name(&self) -> &str {
        match self {
            Task::Classification => "accuracy",
            Task::LanguageModel => "perplexity",
            Task::Regression => "explained variance",
            Task::MultiLabel => "mean average precision",
            Task::Own(metric) => metric.name(),
        }
    }

    fn unit(&self) -> &str {
        match self {
            Task::Classification | Task::Regression | Task::MultiLabel => "%",
            Task::LanguageModel => "per token",
            Task::Own(metric) => metric.unit(),
        }
    }

    fn direction(&self) -> Direction {
        match self {
            Task::LanguageModel => Direction::LowerIsBetter,
            Task::Own(metric) => metric.direction(),
            _ => Direction::HigherIsBetter,
        }
    }

    fn kept(&self) -> f64 {
        match self {
            Task::Own(metric) => metric.kept(),
            _ => 0.99,
        }
    }

    fn usual_error(&self) -> f64 {
        match self {
            Task::Own(metric) => metric.usual_error(),
            _ => 0.01,
        }
    }

    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
        if let Task::Own(metric) = self {
            return metric.score(outputs, targets);
        }
        let (output, target) = (first(outputs, "output")?, first(targets, "target")?);
        match self {
            Task::Classification => Ok(same_share(&output.argmax_last()?, target)? * 100.0),
            Task::LanguageModel => {
                let loss = Var::from(output).cross_entropy(target, &mut Ctx::eval())?;
                Ok(f64::from(loss.value().item()?).exp())
            }
            Task::Regression => Ok(explained(output, target)? * 100.0),
            _ => Ok(mean_average_precision(output, target)? * 100.0),
        }
    }

    fn answers(&self, outputs: &[Tensor]) -> Result<Option<Tensor>> {
        match self {
            Task::Classification | Task::LanguageModel => {
                Ok(Some(first(outputs, "output")?.argmax_last()?))
            }
            Task::Own(metric) => metric.answers(outputs),
            Task::Regression | Task::MultiLabel => Ok(None),
        }
    }

    fn counted(&self, targets: &[Tensor]) -> String {
        match (self, targets.first()) {
            (Task::LanguageModel, Some(target)) => format!("{} held-out tokens", target.len()),
            (Task::Own(metric), _) => metric.counted(targets),
            (_, target) => {
                let samples = target.and_then(|target| target.shape().first().copied());
                format!("{} held-out samples", samples.unwrap_or(0))
            }
        }
    }
}

fn first<'t>(tensors: &'t [Tensor], what: &'static str) -> Result<&'t Tensor> {
    Ok(tensors.first().ok_or(AuditError::Nothing { what })?)
}

/// Share of the positions at which two models choose the same class.
///
/// # Errors
/// Unless both are i64.
pub(super) fn same_share(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_vec::<i64>()?, b.to_vec::<i64>()?);
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    Ok(same as f64 / a.len().max(1) as f64)
}

/// The share of the targets' variance around the mean of each column that the outputs explain.
fn explained(output: &Tensor, target: &Tensor) -> Result<f64> {
    same_shape(output, target)?;
    let samples = target.shape().first().copied().unwrap_or(1);
    let (output, target) = (output.to_vec::<f32>()?, numbers(target)?);
    let columns = target.len() / samples.max(1);
    let mean = |column: usize| {
        target.iter().skip(column).step_by(columns.max(1)).sum::<f64>() / samples.max(1) as f64
    };
    let means: Vec<f64> = (0..columns).map(mean).collect();
    let (mut missed, mut all) = (0.0, 0.0);
    for (i, (&got, &want)) in output.iter().zip(&target).enumerate() {
        missed += (f64::from(got) - want).powi(2);
        all += (want - means[i % columns]).powi(2);
    }
    Ok(if missed == 0.0 { 1.0 } else { 1.0 - missed / all })
}

/// The mean over the labels that occur of the mean precision at every sample that has the label, the
/// samples in the order of falling outputs.
fn mean_average_precision(output: &Tensor, target: &Tensor) -> Result<f64> {
    same_shape(output, target)?;
    let labels = output.shape().last_dim().max(1);
    let (output, target) = (output.to_vec::<f32>()?, numbers(target)?);
    let mut precisions = Vec::new();
    for label in 0..labels {
        let mut samples: Vec<(f32, bool)> =
            (label..output.len()).step_by(labels).map(|i| (output[i], target[i] > 0.5)).collect();
        // Among equals those without the label come first, so that a tie earns nothing; in this order NaN
        // is the largest number, and so is one that was wrongly put first.
        samples.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let hits: Vec<usize> = (0..samples.len()).filter(|&rank| samples[rank].1).collect();
        if !hits.is_empty() {
            let precision =
                hits.iter().enumerate().map(|(i, &rank)| (i + 1) as f64 / (rank + 1) as f64);
            precisions.push(precision.sum::<f64>() / hits.len() as f64);
        }
    }
    Ok(precisions.iter().sum::<f64>() / precisions.len().max(1) as f64)
}

pub(super) fn same_shape(output: &Tensor, target: &Tensor) -> Result<()> {
    if output.shape() == target.shape() {
        return Ok(());
    }
    let (output, target) = (*output.shape(), *target.shape());
    Err(AuditError::TargetShape { output, target }.into())
}

/// The values of any element type.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(match tensor.dtype() {
        Dtype::F32 => tensor.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
        Dtype::U8 => tensor.to_vec::<u8>()?.into_iter().map(f64::from).collect(),
        _ => tensor.to_vec::<i64>()?.into_iter().map(|v| v as f64).collect(),
    })
}
