use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::data::Examples;
use crate::tensor::Tensor;
use serde::Serialize;

/// What a model is for, and so how to tell how well it does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class for each sample. The measure is the accuracy, in percent: more is better.
    Classification,
    /// The next token at each position of a text. The measure is the perplexity per token, the
    /// exponential of the mean cross-entropy: less is better.
    LanguageModel,
}

impl Task {
    /// The task that samples with these labels pose.
    pub fn of(examples: &Examples) -> Task {
        match examples.labels().rank() {
            1 => Task::Classification,
            _ => Task::LanguageModel,
        }
    }

    /// What the quality of a model is measured as.
    pub fn measure(self) -> &'static str {
        match self {
            Task::Classification => "accuracy",
            Task::LanguageModel => "perplexity",
        }
    }

    /// The unit of that measure.
    pub fn unit(self) -> &'static str {
        match self {
            Task::Classification => "%",
            Task::LanguageModel => "per token",
        }
    }

    /// How well outputs `[.., classes]` answer labels `[..]`.
    ///
    /// # Errors
    /// If the outputs have no classes, or a label is none of them.
    pub(super) fn quality(self, outputs: &Tensor, labels: &Tensor) -> Result<f64> {
        match self {
            Task::Classification => Ok(same_share(&outputs.argmax_last()?, labels)? * 100.0),
            Task::LanguageModel => {
                let loss = Var::from(outputs).cross_entropy(labels, &mut Ctx::eval())?;
                Ok(f64::from(loss.value().item()?).exp())
            }
        }
    }

    /// What the labels of this task count, for sentences.
    pub(super) fn counted(self, labels: &Tensor) -> String {
        match self {
            Task::Classification => format!("{} held-out samples", labels.len()),
            Task::LanguageModel => format!("{} held-out tokens", labels.len()),
        }
    }
}

/// Share of the positions at which two models' largest outputs are the same one.
///
/// # Errors
/// If the outputs have no classes.
pub(super) fn agreement(a: &Tensor, b: &Tensor) -> Result<f64> {
    same_share(&a.argmax_last()?, &b.argmax_last()?)
}

fn same_share(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_vec::<i64>()?, b.to_vec::<i64>()?);
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    Ok(same as f64 / a.len().max(1) as f64)
}
