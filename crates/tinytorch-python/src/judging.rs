//! The samples that judge, the limits, and the report.

use crate::arrays;
use crate::errors::{invalid_value, raise};
use crate::options::option;
use pyo3::Borrowed;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::{
    AuditOptions, Budget, HeldOut, Metric, ModelReport, Outcome, Probe, Report, Rows, Subject,
    Task, page,
};
use tinytorch::tensor::Dtype;

/// What an audit is asked for, as Python says it.
pub(crate) struct Judging {
    max_error: Option<f64>,
    float_floor: Option<f64>,
    latency: bool,
    task: Option<String>,
    name: Option<String>,
    groups: Option<Vec<String>>,
    /// The int8 model as it was before it was fine-tuned.
    pub(crate) before: Option<PathBuf>,
    /// The program that measures memory, and its arguments.
    probe: Option<(PathBuf, Vec<String>)>,
}

impl<'py> FromPyObject<'_, 'py> for Judging {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Judging> {
        Ok(Judging {
            max_error: option(&given, "max_error")?,
            float_floor: option(&given, "float_floor")?,
            latency: option(&given, "latency")?,
            task: option(&given, "task")?,
            name: option(&given, "name")?,
            groups: option(&given, "groups")?,
            before: option(&given, "before")?,
            probe: option(&given, "probe")?,
        })
    }
}

impl Judging {
    /// The limits for a model with this task.
    pub(crate) fn budget(&self, task: &Task) -> PyResult<Budget> {
        let max_error = self.max_error.unwrap_or_else(|| task.usual_error());
        if !(max_error.is_finite() && max_error > 0.0) {
            return Err(invalid_value(format!(
                "max_error is {max_error}; give a positive share, such as 0.01 for 1 %"
            )));
        }
        Ok(Budget { max_error, float_floor: self.float_floor })
    }

    /// The limits for a model of which only its answers to these samples are known.
    pub(crate) fn budget_by(&self, samples: &HeldOut) -> PyResult<Budget> {
        let task = self.task()?;
        let of_targets = || samples.targets().first().map_or(Task::Regression, Task::for_target);
        self.budget(&task.unwrap_or_else(of_targets))
    }

    pub(crate) fn options(&self) -> AuditOptions {
        let probe = self.probe.clone().map(|(program, args)| Probe::new(program, args));
        AuditOptions { probe, latency: self.latency, ..AuditOptions::default() }
    }

    /// The samples with their labels, of which integers are classes.
    pub(crate) fn held_out(
        &self,
        inputs: Vec<Arc<dyn Rows>>,
        labels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<HeldOut> {
        let labels = labels.map(|labels| targets(labels)).transpose()?;
        let held_out = HeldOut::of_rows(inputs, labels).map_err(raise)?;
        match &self.groups {
            Some(groups) => held_out.grouped(groups.iter().cloned()).map_err(raise),
            None => Ok(held_out),
        }
    }

    /// The subject with what Python has told of it.
    pub(crate) fn told(&self, subject: Subject) -> PyResult<Subject> {
        let mut subject = subject;
        if let Some(name) = &self.name {
            subject.name.clone_from(name);
        }
        Ok(match self.task()? {
            Some(task) => subject.task(task),
            None => subject,
        })
    }

    fn task(&self) -> PyResult<Option<Task>> {
        Ok(Some(match self.task.as_deref() {
            None => return Ok(None),
            Some("classification") => Task::Classification,
            Some("language-model") => Task::LanguageModel,
            Some("regression") => Task::Regression,
            Some("multi-label") => Task::MultiLabel,
            Some(other) => {
                return Err(invalid_value(format!(
                    "task cannot be {other:?}; it is one of classification, language-model, regression, multi-label"
                )));
            }
        }))
    }
}

fn targets(labels: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let tensor = arrays::Borrowed::of(labels, "labels", None)?.tensor()?;
    match tensor.dtype() {
        Dtype::F32 | Dtype::I64 => Ok(tensor),
        _ => tensor.to_dtype::<i64>().map_err(raise),
    }
}

/// A report as JSON and as a page, and whether every gate passed.
pub(crate) type Answer = (String, String, bool);

pub(crate) fn answer(model: ModelReport) -> PyResult<Answer> {
    let passed = model.verdict == Outcome::Pass;
    let report = Report::new(vec![model]);
    let json = serde_json::to_string(&report).map_err(|error| invalid_value(error.to_string()))?;
    Ok((json, page::render(&report), passed))
}
