//! From float models to int8 ones.

use crate::errors::{invalid_value, raise_any};
use crate::feed::Inputs;
use crate::model::PyModel;
use crate::options::option;
use crate::prepared::PyPrepared;
use crate::settings::Settings;
use crate::watch::{Watch, watched};
use pyo3::Borrowed;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tinytorch::files::Provenance;
use tinytorch::models::Model;
use tinytorch_cli::api::{self, Output, Quantized, Wanted};

/// Which samples calibrate, and where the result goes.
pub(crate) struct Job {
    samples: usize,
    seed: u64,
    out: Option<PathBuf>,
    force: bool,
}

impl<'py> FromPyObject<'_, 'py> for Job {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Job> {
        Ok(Job {
            samples: option(&given, "samples")?,
            seed: option(&given, "seed")?,
            out: option(&given, "out")?,
            force: option(&given, "force")?,
        })
    }
}

/// An int8 model, what has been done as JSON, and whether the budget was kept.
type Answer = (PyModel, String, bool);

/// Turns the weights of a model into int8, and saves it if that is asked for.
#[pyfunction]
#[pyo3(signature = (model, calibration, settings, job, progress))]
pub(crate) fn quantize(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    calibration: Option<&Bound<'_, PyAny>>,
    settings: Settings,
    job: Job,
    progress: Option<Py<PyAny>>,
) -> PyResult<Answer> {
    let given = PyModel::given(model)?;
    let PyModel { model, provenance, file } = given.get();
    let (wanted, mut provenance) = (Wanted::from(settings), provenance.clone());
    let any = |error: anyhow::Error| raise_any(&error);
    let source: Option<PathBuf> = calibration.and_then(|given| given.extract().ok());
    let output =
        job.out.as_deref().map(|out| Output { of: file.as_deref(), out, force: job.force });
    if let Some(output) = output {
        py.detach(|| output.check(&**model, source.as_deref())).map_err(any)?;
    }
    let config = wanted.config(&**model).map_err(any)?;
    let config = output.map_or(config.clone(), |output| output.settings(config));
    let (samples, has_classes) = match (calibration, source) {
        (Some(arrays), None) => {
            let rows = Inputs::of(&**model).samples(arrays, job.samples)?;
            let chosen =
                py.detach(|| api::calibration_of(&rows, job.samples, &**model, &mut provenance));
            // Arrays of inputs come without labels.
            (chosen.map_err(any)?, false)
        }
        (None, _) if config.scheme.is_static() || wanted.max_error.is_some() => {
            return Err(invalid_value(
                "ranges of activations and errors are measured on data; give calibration=, or activations=\"dynamic\" and no max_error",
            ));
        }
        (_, source) => {
            let file = file.as_deref().unwrap_or(Path::new(""));
            let (source, count) = (source.map(OsString::from), (job.samples, job.seed));
            let of = (&**model, &config, &wanted);
            py.detach(|| api::calibration(file, source, count, of, &mut provenance)).map_err(any)?
        }
    };
    let mut int8 = model.clone_box();
    let made = watched(py, progress.as_ref(), |watch| {
        let tell = &mut |what: &'static str, done, of| watch.tell(what, done, of);
        let (samples, notes) = ((&samples[..], has_classes), &mut provenance);
        let made = api::quantize(&mut *int8, samples, config, wanted.max_error, notes, tell)?;
        save(output, &*int8, &provenance, watch)?;
        Ok(made)
    })?;
    answer(made.map_err(any)?, int8, provenance, job.out)
}

/// Saves a model, unless somebody has asked to stop before.
fn save(
    output: Option<Output<'_>>,
    model: &dyn Model,
    provenance: &Provenance,
    watch: &Watch,
) -> anyhow::Result<()> {
    watch.settle()?;
    output.map_or(Ok(()), |output| output.save(model, provenance))
}

fn answer(
    made: Quantized,
    model: Box<dyn Model>,
    provenance: Provenance,
    file: Option<PathBuf>,
) -> PyResult<Answer> {
    let json = made.to_json(file.as_deref()).map_err(|error| raise_any(&error))?.to_string();
    Ok((PyModel { model, provenance, file }, json, made.is_within()))
}

/// Applies what calibrations have found, and saves the int8 model if that is asked for.
#[pyfunction]
#[pyo3(signature = (model, prepared, out = None, force = false))]
pub(crate) fn apply(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    prepared: &PyPrepared,
    out: Option<PathBuf>,
    force: bool,
) -> PyResult<Answer> {
    let given = PyModel::given(model)?;
    let PyModel { model, provenance, file } = given.get();
    let output = out.as_deref().map(|out| Output { of: file.as_deref(), out, force });
    let any = |error: anyhow::Error| raise_any(&error);
    if let Some(output) = output {
        py.detach(|| output.check(&**model, None)).map_err(any)?;
    }
    let (mut int8, mut provenance) = (model.clone_box(), provenance.clone());
    let made = watched(py, None, |watch| {
        prepared.seen.write(&mut provenance);
        let made = api::apply(&mut *int8, &prepared.prepared, &mut provenance)?;
        save(output, &*int8, &provenance, watch)?;
        Ok(made)
    })?;
    answer(made.map_err(any)?, int8, provenance, out)
}
