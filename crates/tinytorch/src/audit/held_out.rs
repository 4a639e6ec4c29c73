//! The samples that an audit judges by.

use super::{AuditError, Rows};
use crate::Result;
use crate::data::{Dataset, Examples};
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;

/// Samples per pass where a model takes any number; small enough that activations stay in cache, large enough that
/// the passes, not their number, take the time.
const PER_PASS: usize = 64;

/// Samples that neither training nor calibration has seen: one tensor for each input of the model, and
/// what the outputs should be, for each of which the first axis counts the samples.
///
/// ```
/// use tinytorch::{Tensor, audit::HeldOut};
/// let images = Tensor::zeros([10, 1, 8, 8])?;
/// let texts = Tensor::from_vec(vec![0i64; 60], [10, 6])?;
/// let classes = Tensor::from_vec(vec![0i64; 10], [10])?;
/// assert_eq!(HeldOut::new([images.clone(), texts], [classes.clone()])?.len(), 10);
/// assert!(HeldOut::new([images], [classes.slice(0, 0..9)?]).is_err());
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeldOut {
    inputs: Vec<Arc<dyn Rows>>,
    targets: Vec<Tensor>,
    len: usize,
    /// A name for each sample.
    groups: Option<Vec<String>>,
    /// How many samples a pass takes, if it takes no other number.
    fixed: Option<usize>,
}

impl HeldOut {
    /// These inputs with these targets.
    ///
    /// # Errors
    /// [`AuditError::NoSamples`] without inputs or samples, [`AuditError::Ragged`] for tensors of other
    /// numbers of samples than the first input.
    pub fn new(
        inputs: impl IntoIterator<Item = Tensor>,
        targets: impl IntoIterator<Item = Tensor>,
    ) -> Result<HeldOut> {
        HeldOut::of_rows(shared(inputs), targets)
    }

    /// The same, of inputs of which a batch is read at a time.
    ///
    /// # Errors
    /// As [`HeldOut::new`].
    pub fn of_rows(
        inputs: Vec<Arc<dyn Rows>>,
        targets: impl IntoIterator<Item = Tensor>,
    ) -> Result<HeldOut> {
        let targets: Vec<Tensor> = targets.into_iter().collect();
        let samples = |shape: Shape| shape.first().copied().unwrap_or(0);
        let len = inputs.first().map_or(0, |input| samples(input.shape()));
        if len == 0 {
            return Err(AuditError::NoSamples.into());
        }
        let shapes =
            inputs.iter().enumerate().map(|(i, rows)| (format!("input {i}"), rows.shape()));
        let of_targets =
            targets.iter().enumerate().map(|(i, target)| (format!("target {i}"), *target.shape()));
        for (tensor, shape) in shapes.chain(of_targets) {
            let got = samples(shape);
            if got != len {
                return Err(AuditError::Ragged { tensor, got, expected: len }.into());
            }
        }
        Ok(HeldOut { inputs, targets, len, groups: None, fixed: None })
    }

    /// What a model with a state meets at the steps of a sequence: one tensor for each input, the rows of all steps
    /// one below the other, and a scalar for all of them. A step is a pass.
    ///
    /// # Errors
    /// [`AuditError::NoSamples`] without steps, [`AuditError::Ragged`] for rows that do not divide into the steps.
    pub fn in_steps(inputs: Vec<Tensor>, steps: usize) -> Result<HeldOut> {
        HeldOut::of_rows_in_steps(shared(inputs), steps)
    }

    fn of_rows_in_steps(inputs: Vec<Arc<dyn Rows>>, steps: usize) -> Result<HeldOut> {
        let rows = |input: &Arc<dyn Rows>| input.shape().first().copied();
        let len = inputs.first().and_then(rows).unwrap_or(0);
        if len == 0 || steps == 0 {
            return Err(AuditError::NoSamples.into());
        }
        for (i, input) in inputs.iter().enumerate() {
            let uneven = rows(input).filter(|rows| !rows.is_multiple_of(steps) || *rows == 0);
            if let Some(got) = uneven {
                let tensor = format!("input {i}");
                return Err(AuditError::Ragged { tensor, got, expected: len }.into());
            }
        }
        Ok(HeldOut { inputs, targets: Vec::new(), len, groups: None, fixed: Some(len / steps) })
    }

    /// The same samples, each of which belongs to the group of this name: a hospital, a camera, a dialect. No
    /// group may be lost, however small its share of all samples.
    ///
    /// # Errors
    /// [`AuditError::Ragged`] unless there is a name for each sample.
    pub fn grouped(self, groups: impl IntoIterator<Item = String>) -> Result<HeldOut> {
        let groups: Vec<String> = groups.into_iter().collect();
        if groups.len() != self.len {
            let (tensor, got) = ("the groups".to_string(), groups.len());
            return Err(AuditError::Ragged { tensor, got, expected: self.len }.into());
        }
        Ok(HeldOut { groups: Some(groups), ..self })
    }

    /// The same samples, for models that take so many in a pass and no other number.
    ///
    /// # Errors
    /// [`AuditError::Uneven`] if they do not fill whole passes.
    pub(super) fn in_passes_of(self, samples: usize) -> Result<HeldOut> {
        if samples == 0 || !self.len.is_multiple_of(samples) {
            return Err(AuditError::Uneven { got: self.len, per_pass: samples }.into());
        }
        Ok(HeldOut { fixed: Some(samples), ..self })
    }

    /// Other inputs in the place of these, and no targets.
    pub(super) fn with_inputs(&self, inputs: Vec<Arc<dyn Rows>>) -> Result<HeldOut> {
        match self.fixed {
            Some(rows) => HeldOut::of_rows_in_steps(inputs, self.len / rows),
            None => HeldOut::of_rows(inputs, []),
        }
    }

    /// Samples per pass over all of them.
    pub(super) fn per_pass(&self) -> usize {
        self.fixed.unwrap_or(PER_PASS)
    }

    /// How many samples a pass takes, if it takes no other number.
    pub(super) fn fixed(&self) -> Option<usize> {
        self.fixed
    }

    /// The group of each sample, if they have some.
    pub fn groups(&self) -> Option<&[String]> {
        self.groups.as_deref()
    }

    /// The inputs, each `[samples, ..]`.
    pub fn inputs(&self) -> &[Arc<dyn Rows>] {
        &self.inputs
    }

    /// What the outputs should be, each `[samples, ..]`.
    pub fn targets(&self) -> &[Tensor] {
        &self.targets
    }

    /// All samples in the batches of a pass.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<Vec<Tensor>>> + '_ {
        self.batches_of(self.per_pass())
    }

    /// All samples in batches of so many, or of as many as a pass takes.
    pub(super) fn batches_of(&self, size: usize) -> impl Iterator<Item = Result<Vec<Tensor>>> + '_ {
        let size = self.fixed.unwrap_or(size.max(1));
        (0..self.len).step_by(size).map(move |start| self.batch(start, size))
    }

    /// Whether the inputs may change while they are read.
    pub(super) fn may_change(&self) -> bool {
        self.inputs.iter().any(|input| input.may_change())
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The inputs of the first `count` samples, or of all if there are fewer, or of as many as a pass takes.
    pub(super) fn first(&self, count: usize) -> Result<Vec<Tensor>> {
        self.batch(0, self.fixed.unwrap_or(count))
    }

    /// The shape of each input for one sample.
    pub(super) fn shapes_of_one(&self) -> Result<Vec<Vec<usize>>> {
        self.shapes_of(1)
    }

    /// The shape of each input for so many samples, however many there are, or for as many as a pass takes.
    pub(super) fn shapes_of(&self, samples: usize) -> Result<Vec<Vec<usize>>> {
        let first = self.first(1)?;
        let of = |input: &Tensor| match self.fixed {
            Some(_) => input.shape().to_vec(),
            None => input.shape().with(0, samples).to_vec(),
        };
        Ok(first.iter().map(of).collect())
    }

    /// The inputs of `count` samples from `start` on, or of as many as there are.
    pub(super) fn batch(&self, start: usize, count: usize) -> Result<Vec<Tensor>> {
        let end = self.len.min(start.saturating_add(count));
        // A state may have another number of rows in a pass than the first input.
        let of = |input: &Arc<dyn Rows>| {
            let rows = input.shape().first().copied().unwrap_or(0);
            input.rows(start * rows / self.len..end * rows / self.len)
        };
        self.inputs.iter().map(of).collect()
    }
}

fn shared(inputs: impl IntoIterator<Item = Tensor>) -> Vec<Arc<dyn Rows>> {
    inputs.into_iter().map(|input| Arc::new(input) as Arc<dyn Rows>).collect()
}

impl From<Examples> for HeldOut {
    fn from(examples: Examples) -> HeldOut {
        let (inputs, targets) = (shared([examples.inputs().clone()]), examples.labels().clone());
        let (groups, fixed) = (None, None);
        HeldOut { len: examples.len(), inputs, targets: vec![targets], groups, fixed }
    }
}
