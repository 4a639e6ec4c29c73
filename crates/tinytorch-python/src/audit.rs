//! Audits of models that tinytorch runs.

use crate::errors::{Raised, invalid_value, raise, raise_any};
use crate::feed::Inputs;
use crate::judging::{Answer, Judging, answer};
use crate::model::PyModel;
use crate::watch::watched;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tinytorch::audit::{ModelReport, audit_model, audit_outside};
use tinytorch::files::save_model;
use tinytorch_cli::api::{self, Places};

/// Judges an int8 model against the float model that it was made from, both in files or in memory: by `data`, which
/// names a data set, or else by `inputs` and `labels`.
#[pyfunction]
#[pyo3(signature = (float, int8, data, inputs, labels, judging))]
pub(crate) fn audit(
    py: Python<'_>,
    float: &Bound<'_, PyAny>,
    int8: &Bound<'_, PyAny>,
    data: Option<OsString>,
    inputs: Option<&Bound<'_, PyAny>>,
    labels: Option<&Bound<'_, PyAny>>,
    judging: Judging,
) -> PyResult<Answer> {
    let options = judging.options();
    let before = judging.before.as_deref();
    let any = |error: anyhow::Error| raise_any(&error);
    let folder = tempfile::tempdir().map_err(|error| raise_any(&error.into()))?;
    let paths = [path_of(float, &folder, "float")?, path_of(int8, &folder, "int8")?];
    let paths: [&Path; 2] = [&paths[0], &paths[1]];
    if let (None, Some(inputs), None) = (&data, inputs, before)
        && let Some((foreign, ours)) =
            py.detach(|| api::foreign(paths, folder.path())).map_err(any)?
    {
        let inputs = Inputs::of(foreign.float()).kept(inputs)?;
        let samples = judging.held_out(inputs, labels)?;
        let budget = judging.budget_by(&samples)?;
        let places = Places { files: paths, ours: [&ours[0], &ours[1]] };
        let told = |subject| judging.told(subject).map_err(|error| Raised(error).into());
        let report = watched(py, None, |_| {
            let boxes = foreign.boxes(places, &samples, options.probe.as_ref())?;
            let report = audit_outside([&boxes[0], &boxes[1]], told, samples, &budget, &options)?;
            Ok(ModelReport {
                answers_alone: foreign.other_graph().or(report.answers_alone),
                ..report
            })
        });
        return answer(report?.map_err(any)?);
    }
    let subject = match (data, inputs) {
        (Some(data), _) => {
            watched(py, None, |_| api::judged_by_data(paths, data, before, folder.path()))?
                .map_err(any)?
        }
        (None, Some(inputs)) => {
            let files = py.detach(|| api::model_files(paths, folder.path())).map_err(any)?;
            let inputs = Inputs::of(files.models()[0]).kept(inputs)?;
            let subject = files.judged_by(judging.held_out(inputs, labels)?).map_err(raise)?;
            let subject = subject.judged_on("arrays", "all of it");
            match before {
                Some(before) => subject.fine_tuned_since(before).map_err(raise)?,
                None => subject,
            }
        }
        (None, None) => return Err(invalid_value("an audit needs data to judge by; give data=")),
    };
    let subject = judging.told(subject)?;
    let budget = judging.budget(&subject.task)?;
    let report = watched(py, None, |_| audit_model(&subject, &budget, &options));
    answer(report?.map_err(raise)?)
}

/// The file of a model, which is written to the folder if it has none.
fn path_of(given: &Bound<'_, PyAny>, folder: &TempDir, name: &str) -> PyResult<PathBuf> {
    let Ok(model) = given.cast::<PyModel>() else {
        return given.extract();
    };
    let PyModel { model, provenance, file } = model.get();
    if let Some(file) = file {
        return Ok(file.clone());
    }
    let path = folder.path().join(format!("{name}-in-memory.safetensors"));
    given.py().detach(|| save_model(&path, &**model, provenance)).map_err(raise)?;
    Ok(path)
}
