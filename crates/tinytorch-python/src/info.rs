//! What files hold, what models cost, and the command line.

use crate::errors::{invalid_value, raise_any};
use crate::model::PyModel;
use crate::process::in_pool;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use tinytorch_cli::api;

/// What a file holds, as JSON.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let found = py.detach(|| api::inspect(&path)).map_err(|error| raise_any(&error))?;
    Ok(found.to_string())
}

/// What a pass costs, as JSON and as tables.
#[pyfunction]
#[pyo3(signature = (model, batch = None, shapes = None, length = None))]
pub(crate) fn profile(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    batch: Option<usize>,
    shapes: Option<BTreeMap<String, Vec<usize>>>,
    length: Option<usize>,
) -> PyResult<(String, String)> {
    let model = PyModel::given(model)?;
    let (model, shapes) = (&*model.get().model, shapes.unwrap_or_default());
    let costs = py.detach(|| in_pool(|| api::costs(model, shapes, batch, length)));
    let costs = costs.map_err(|error| raise_any(&error))?;
    let json = serde_json::to_string(&costs).map_err(|error| invalid_value(error.to_string()))?;
    Ok((json, costs.to_string()))
}

/// Runs the command line and returns its exit code. `again` is what starts it again: an interpreter and its
/// arguments.
#[pyfunction]
pub(crate) fn main(
    py: Python<'_>,
    args: Vec<OsString>,
    again: Option<(PathBuf, Vec<String>)>,
) -> u8 {
    py.detach(|| tinytorch_cli::run(args, again))
}
