//! A model of which only the answers are known.

use super::OutsideError;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{ListModel, Model, ModelError, Sample};
use crate::nn::{Init, Module, Path, Visitor, VisitorMut};
use crate::tensor::Tensor;
use std::path::PathBuf;
use std::sync::Arc;

/// What answers: outputs for inputs, each `[samples, ..]`.
type Answer = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

/// Bytes that a fresh process takes to hold so many copies of a model.
type Measure = dyn Fn(usize) -> Result<Footprint> + Send + Sync;

/// What holding a model takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    /// Bytes by which the process has grown, by the operating system.
    pub bytes: u64,
    /// What was measured, for the report: `ONNX Runtime in a process of its own`.
    pub how: String,
}

/// A model that another engine runs, of which only the answers are known: a black box.
///
/// ```
/// use tinytorch::{Tensor, audit::Outside};
/// let double = Outside::new("double", |inputs: &[Tensor]| Ok(vec![inputs[0].add(&inputs[0])?]));
/// let x = Tensor::from_vec(vec![1.0, 2.0], [2, 1])?;
/// assert_eq!(double.answer(&[x])?[0].to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone)]
pub struct Outside {
    name: String,
    answer: Arc<Answer>,
    outputs: Vec<String>,
    fixed: Option<usize>,
    file: Option<PathBuf>,
    measure: Option<Arc<Measure>>,
    exact: Option<Arc<Exact>>,
    diagnosis: Option<Arc<Diagnosis>>,
    parameters: Option<Arc<Parameters>>,
}

/// Finds out why an engine gives something else than the integers of its file.
type Diagnosis = dyn Fn() -> Result<Option<String>> + Send + Sync;

/// What the integers of a model give.
struct Exact {
    model: Outside,
    /// What may make an engine give something else.
    risk: String,
}

/// What was found when a file's weights and ranges were held against the float model's.
pub(super) struct Parameters {
    pub(super) faults: Vec<String>,
    pub(super) checked: String,
}

impl Outside {
    /// A model of this name, which `answer` runs: from one tensor for each input to one for each output. Of all
    /// of them the first axis counts the samples.
    pub fn new(
        name: impl Into<String>,
        answer: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Outside {
        let (name, answer) = (name.into(), Arc::new(answer));
        let (outputs, fixed, file, measure) = (Vec::new(), None, None, None);
        let (exact, diagnosis, parameters) = (None, None, None);
        Outside { name, answer, outputs, fixed, file, measure, exact, diagnosis, parameters }
    }

    /// The same model, whose outputs are called so in the report.
    pub fn with_output_names(self, outputs: impl IntoIterator<Item = String>) -> Outside {
        Outside { outputs: outputs.into_iter().collect(), ..self }
    }

    /// The same model, which takes so many samples in a pass and no other number.
    pub fn with_fixed_batch(self, samples: usize) -> Outside {
        Outside { fixed: Some(samples), ..self }
    }

    /// The same model, which is in this file.
    pub fn in_file(self, file: impl Into<PathBuf>) -> Outside {
        Outside { file: Some(file.into()), ..self }
    }

    /// The same model, of which `measure` says what it takes to hold so many copies.
    pub fn measured_by(
        self,
        measure: impl Fn(usize) -> Result<Footprint> + Send + Sync + 'static,
    ) -> Outside {
        Outside { measure: Some(Arc::new(measure)), ..self }
    }

    /// The same model, which is held to what `exact` gives: the same file in integers that neither saturate nor wrap.
    /// `risk` is told beside what differs, such as how many of its weights an engine could have trouble with.
    pub fn held_to(self, exact: Outside, risk: impl Into<String>) -> Outside {
        Outside { exact: Some(Arc::new(Exact { model: exact, risk: risk.into() })), ..self }
    }

    /// What it is held to, and what to tell beside it.
    pub(super) fn exact(&self) -> Option<(&Outside, &str)> {
        self.exact.as_deref().map(|exact| (&exact.model, &*exact.risk))
    }

    /// The same model, of which `why` finds out what makes it give something else than what it is held to: it is asked
    /// only if it does.
    pub fn diagnosed_by(
        self,
        why: impl Fn() -> Result<Option<String>> + Send + Sync + 'static,
    ) -> Outside {
        Outside { diagnosis: Some(Arc::new(why)), ..self }
    }

    /// The same model, whose weights and ranges were held against the float model's: what is wrong with them, and what was
    /// looked at.
    pub fn with_parameters(self, faults: Vec<String>, checked: impl Into<String>) -> Outside {
        let parameters = Parameters { faults, checked: checked.into() };
        Outside { parameters: Some(Arc::new(parameters)), ..self }
    }

    pub(super) fn diagnosis(&self) -> Option<&Diagnosis> {
        self.diagnosis.as_deref()
    }

    pub(super) fn parameters(&self) -> Option<&Parameters> {
        self.parameters.as_deref()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, if it has one.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    pub(super) fn measure(&self) -> Option<&Measure> {
        self.measure.as_deref()
    }

    /// The outputs for these inputs.
    ///
    /// # Errors
    /// What the engine reports, or [`OutsideError`] for outputs whose first axis does not count the samples.
    pub fn answer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let outputs = (self.answer)(inputs)?;
        let model = || self.name.clone();
        if outputs.is_empty() {
            return Err(OutsideError::NoOutput { model: model() }.into());
        }
        let samples = inputs.first().and_then(|input| input.shape().first().copied());
        let samples = samples.unwrap_or(0);
        for (output, values) in outputs.iter().enumerate() {
            if values.shape().first() != Some(&samples) {
                let shape = *values.shape();
                return Err(OutsideError::Samples { model: model(), output, shape, samples }.into());
            }
        }
        Ok(outputs)
    }
}

impl Module for Outside {
    fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn Visitor<'a>) {}

    fn visit_mut<'a>(&'a mut self, _: &mut Path, _: &mut dyn VisitorMut<'a>) {}
}

impl ListModel for Outside {
    fn forward_list(&self, inputs: &[Var], _: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let inputs: Vec<Tensor> = inputs.iter().map(|input| input.value().clone()).collect();
        Ok(self.answer(&inputs)?.into_iter().map(Var::from).collect())
    }
}

impl Model for Outside {
    fn kind(&self) -> &str {
        "outside"
    }

    fn description(&self) -> Result<String> {
        Ok("{\"architecture\":\"outside\"}".to_string())
    }

    fn rebuild(&self, _: &str, _: &mut Init) -> Result<Box<dyn Model>> {
        let problem = "a model of another engine cannot be made of it".to_string();
        Err(ModelError::Description { kind: self.kind().to_string(), problem }.into())
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(Vec::new())
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }

    fn fixed_batch(&self) -> Option<usize> {
        self.fixed
    }

    fn output_names(&self) -> Vec<String> {
        self.outputs.clone()
    }
}
