//! Audits of models that Python code runs: any callable from arrays to arrays.

use crate::arrays::{self, to_array};
use crate::errors::{Raised, invalid_value, raise, raise_any};
use crate::judging::{Answer, Judging, answer};
use crate::options::option;
use anyhow::Context;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::audit::{self, Footprint, Outside};
use tinytorch_cli::api::{self, Reads};

/// A model that Python code runs.
pub(crate) struct Engine {
    name: String,
    /// From a list of arrays to a list of arrays.
    call: Py<PyAny>,
    outputs: Vec<String>,
    fixed_batch: Option<usize>,
    file: Option<PathBuf>,
    /// From a number of copies to the bytes that a fresh process takes to hold them, and what was measured.
    measure: Option<Py<PyAny>>,
    /// From a file, and whether it is run as it is written, to the same engine on it, or to `None`.
    reopen: Option<Py<PyAny>>,
}

impl<'py> FromPyObject<'_, 'py> for Engine {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Engine> {
        Ok(Engine {
            name: option(&given, "name")?,
            call: option(&given, "call")?,
            outputs: option(&given, "outputs")?,
            fixed_batch: option(&given, "fixed_batch")?,
            file: option(&given, "file")?,
            measure: option(&given, "measure")?,
            reopen: option(&given, "reopen")?,
        })
    }
}

impl Engine {
    fn into_outside(self) -> Outside {
        let Engine { name, call, outputs, fixed_batch, file, measure, .. } = self;
        let answer = move |inputs: &[Tensor]| {
            Python::attach(|py| call_with(call.bind(py), inputs))
                .map_err(|error| Raised(error).into())
        };
        let mut outside = Outside::new(name, answer).with_output_names(outputs);
        if let Some(samples) = fixed_batch {
            outside = outside.with_fixed_batch(samples);
        }
        if let Some(file) = file {
            outside = outside.in_file(file);
        }
        match measure {
            None => outside,
            Some(measure) => outside.measured_by(move |copies| {
                let measured = Python::attach(|py| measure.call1(py, (copies,))?.extract(py));
                let (bytes, how): (u64, String) = measured.map_err(Raised)?;
                Ok(Footprint { bytes, how })
            }),
        }
    }
}

/// An engine that reads other files as it read its own.
struct Reopened(Py<PyAny>);

impl Reopened {
    fn engine(&self, file: &Path, plain: bool) -> anyhow::Result<Option<Outside>> {
        let opened = Python::attach(|py| self.0.call1(py, (file, plain))?.extract(py));
        let engine: Option<Engine> = opened.map_err(Raised)?;
        Ok(engine.map(Engine::into_outside))
    }
}

impl Reads for Reopened {
    fn open(&self, name: &str, file: &Path) -> anyhow::Result<Outside> {
        self.engine(file, false)?
            .with_context(|| format!("the engine of {name} opens no other file"))
    }

    fn open_plainly(&self, _: &str, file: &Path) -> anyhow::Result<Option<Outside>> {
        self.engine(file, true)
    }
}

fn call_with(call: &Bound<'_, PyAny>, inputs: &[Tensor]) -> PyResult<Vec<Tensor>> {
    let py = call.py();
    let arrays = inputs.iter().map(|input| to_array(py, input)).collect::<PyResult<Vec<_>>>()?;
    let mut outputs = Vec::new();
    for (i, output) in call.call1((PyList::new(py, arrays)?,))?.try_iter()?.enumerate() {
        outputs.push(arrays::Borrowed::of(&output?, &format!("output {i}"), None)?.tensor()?);
    }
    Ok(outputs)
}

/// Judges an int8 model by its answers, against those of the float model that it was made from.
#[pyfunction]
pub(crate) fn audit_outside(
    py: Python<'_>,
    float: Engine,
    int8: Engine,
    inputs: Vec<Bound<'_, PyAny>>,
    labels: Option<&Bound<'_, PyAny>>,
    judging: Judging,
) -> PyResult<Answer> {
    let options = judging.options();
    if inputs.is_empty() {
        return Err(invalid_value("an audit needs inputs to judge by; give data="));
    }
    let each = inputs.iter().enumerate();
    let inputs = each.map(|(i, input)| {
        let name = format!("input {i}");
        arrays::Borrowed::of(input, &name, None)?.kept(&name)
    });
    let held_out = judging.held_out(inputs.collect::<PyResult<_>>()?, labels)?;
    let budget = judging.budget_by(&held_out)?;
    let files = [float.file.clone(), int8.file.clone()];
    let reopen = int8.reopen.as_ref().map(|reopen| Reopened(reopen.clone_ref(py)));
    let (float, int8) = (float.into_outside(), int8.into_outside());
    let int8 = match reopen {
        Some(engine) => py
            .detach(|| {
                let files = files.each_ref().map(Option::as_deref);
                api::held_to_integers(int8, engine, files, &held_out)
            })
            .map_err(|error| raise_any(&error))?,
        None => int8,
    };
    let report = py.detach(|| {
        let told = |subject| judging.told(subject).map_err(|error| Raised(error).into());
        audit::audit_outside([&float, &int8], told, held_out, &budget, &options)
    });
    answer(report.map_err(raise)?)
}
