//! What calibrations have found: it travels between machines, and adds up.

use crate::errors::{invalid_value, raise, raise_any};
use crate::feed::Inputs;
use crate::model::PyModel;
use crate::settings::Settings;
use crate::watch::watched;
use pyo3::prelude::*;
use pyo3::types::PyType;
use serde::{Deserialize, Serialize};
use tinytorch::autograd::Var;
use tinytorch::files::Provenance;
use tinytorch::models::ListModel;
use tinytorch::quant::{Calibrator, Prepared, SeenRows};
use tinytorch_cli::api::Wanted;

/// Samples per pass; what is found does not depend on it, but how soon Ctrl-C is heard, and memory.
const PASS: usize = 64;

/// What a calibration has found, as plain data: it can be pickled, and merged with what other processes have found.
#[pyclass(name = "Prepared", module = "tinytorch", frozen)]
pub(crate) struct PyPrepared {
    pub(crate) prepared: Prepared,
    /// The samples that it has seen, so that none of them judges.
    pub(crate) seen: SeenRows,
}

/// The form in which it travels.
#[derive(Serialize, Deserialize)]
struct Packed {
    prepared: Prepared,
    seen: String,
}

#[pymethods]
impl PyPrepared {
    /// What one calibration on the data of both would have found, to the bit; both stay as they are.
    ///
    /// Raises ``ValueError`` for findings of another model or of other settings.
    fn merge(&self, other: &PyPrepared) -> PyResult<PyPrepared> {
        let mut prepared = self.prepared.clone();
        prepared.merge(&other.prepared).map_err(raise)?;
        Ok(PyPrepared { prepared, seen: self.seen.clone().followed_by(&other.seen) })
    }

    /// Batches seen.
    #[getter]
    fn batches(&self) -> usize {
        self.prepared.batches()
    }

    /// Samples seen.
    #[getter]
    fn samples(&self) -> usize {
        self.seen.len()
    }

    /// The range of what the weight of this name multiplies, if any batch has reached it.
    fn range(&self, weight: &str) -> Option<(f32, f32)> {
        self.prepared.range(weight)
    }

    /// As JSON.
    fn to_json(&self) -> PyResult<String> {
        let mut notes = Provenance::default();
        self.seen.write(&mut notes);
        let seen = notes.notes.remove(SeenRows::KEY).unwrap_or_default();
        let packed = Packed { prepared: self.prepared.clone(), seen };
        serde_json::to_string(&packed).map_err(|error| invalid_value(error.to_string()))
    }

    /// From what ``to_json`` has written.
    ///
    /// Raises ``ValueError`` for anything else.
    #[classmethod]
    fn from_json(_: &Bound<'_, PyType>, text: &str) -> PyResult<PyPrepared> {
        let packed: Packed = serde_json::from_str(text)
            .map_err(|error| invalid_value(format!("this is no calibration: {error}")))?;
        let mut notes = Provenance::default();
        notes.notes.insert(SeenRows::KEY.to_string(), packed.seen);
        let seen = SeenRows::read(&notes).map_err(raise)?.unwrap_or_default();
        // That the caller knows what quantizing destroys is nothing that JSON says.
        let config = packed.prepared.config().clone().knowingly();
        Ok(PyPrepared { prepared: packed.prepared.with_config(&config).map_err(raise)?, seen })
    }

    fn __eq__(&self, other: &PyPrepared) -> bool {
        self.prepared == other.prepared && self.seen == other.seen
    }

    fn __reduce__<'py>(slf: &Bound<'py, PyPrepared>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.get_type().getattr("from_json")?, (slf.get().to_json()?,)))
    }

    fn __repr__(&self) -> String {
        format!("<tinytorch.Prepared of {} samples>", self.seen.len())
    }
}

/// Runs batches through a float model and takes down what quantizing it needs to know.
#[pyfunction]
pub(crate) fn calibrate(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    batches: &Bound<'_, PyAny>,
    settings: Settings,
    progress: Option<Py<PyAny>>,
) -> PyResult<PyPrepared> {
    let given = PyModel::given(model)?;
    let model = &given.get().model;
    let config = Wanted::from(settings).config(&**model).map_err(|error| raise_any(&error))?;
    let inputs = Inputs::of(&**model);
    let list_model: &dyn ListModel = &**model;
    let mut calibrator = Calibrator::new(list_model, &config).map_err(raise)?;
    let mut seen = SeenRows::default();
    for batch in inputs.each_pass(batches, model.fixed_batch().unwrap_or(PASS))? {
        let batch = batch?;
        let rows = SeenRows::of(&batch).map_err(raise)?;
        let vars: Vec<Var> = batch.into_iter().map(Var::from).collect();
        watched(py, None, |_| calibrator.observe(list_model, &vars))?.map_err(raise)?;
        seen = seen.followed_by(&rows);
        if let Some(progress) = &progress {
            progress.call1(py, ("calibrating", calibrator.batches(), 0))?;
        }
    }
    Ok(PyPrepared { prepared: calibrator.finish().map_err(raise)?, seen })
}
