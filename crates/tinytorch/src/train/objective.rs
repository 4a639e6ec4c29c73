//! What a training makes smaller.

use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::data::Batch;
use crate::nn::Forward;

/// What a pass over a batch gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) loss: Var,
    pub(super) terms: Option<usize>,
    pub(super) correct: Option<usize>,
}

impl Outcome {
    /// The mean loss over the batch, a single value.
    pub fn new(loss: Var) -> Outcome {
        Outcome { loss, terms: None, correct: None }
    }

    /// The number of terms that the loss is the mean of, such as the tokens of a text; the samples of
    /// the batch unless set. Means over several batches give every term the same weight.
    pub fn terms(mut self, terms: usize) -> Outcome {
        self.terms = Some(terms);
        self
    }

    /// How many of the terms the model answered correctly.
    pub fn correct(mut self, correct: usize) -> Outcome {
        self.correct = Some(correct);
        self
    }
}

impl From<Var> for Outcome {
    fn from(loss: Var) -> Outcome {
        Outcome::new(loss)
    }
}

/// What a training minimizes: runs a model on a batch and compares the result with the targets.
///
/// A closure will do, if it returns the mean loss as a [`Var`] or an [`Outcome`]:
///
/// ```
/// use tinytorch::{Result, autograd::{Ctx, Var}, data::Batch, nn::{Forward, Linear}};
/// use tinytorch::{optim::Sgd, train::Trainer};
/// let squared_error = |model: &Linear, batch: &Batch, ctx: &mut Ctx<'_>| -> Result<Var> {
///     let error = model.forward(&batch.inputs().into(), ctx)?.sub(&batch.targets()?.into(), ctx)?;
///     error.mul(&error, ctx)?.mean(ctx)
/// };
/// let trainer = Trainer::new(squared_error, Sgd::new(0.1));
/// # let _ = trainer;
/// ```
pub trait Objective<M> {
    /// The outcome for one batch.
    ///
    /// # Errors
    /// If the batch does not fit the model or the loss.
    fn outcome(&self, model: &M, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Outcome>;
}

impl<M, F, O> Objective<M> for F
where
    F: Fn(&M, &Batch, &mut Ctx<'_>) -> Result<O>,
    O: Into<Outcome>,
{
    fn outcome(&self, model: &M, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Outcome> {
        self(model, batch, ctx).map(Into::into)
    }
}

/// Cross-entropy between the model's logits `[.., classes]` and the targets, class numbers `[..]`; the
/// largest logit is the model's answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classification;

impl<M: Forward<Output = Var>> Objective<M> for Classification {
    fn outcome(&self, model: &M, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Outcome> {
        let logits = model.call(&batch.inputs().into(), ctx)?;
        let loss = logits.cross_entropy(batch.targets()?, ctx)?;
        Classification::judge(loss, &logits, batch)
    }
}

impl Classification {
    /// A loss, and how many of the batch's targets the largest logits name.
    pub(crate) fn judge(loss: Var, logits: &Var, batch: &Batch) -> Result<Outcome> {
        let (answers, targets) = (logits.value().argmax_last()?, batch.targets()?.contiguous()?);
        let pairs = answers.as_slice::<i64>()?.iter().zip(targets.as_slice::<i64>()?);
        let correct = pairs.filter(|(answer, target)| answer == target).count();
        Ok(Outcome::new(loss).terms(targets.len()).correct(correct))
    }
}
