//! What the Python files pass on: a dictionary with an entry for each option.

use crate::errors::{invalid_type, invalid_value};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// The option of this name, as the type that it has to be.
pub(crate) fn option<'py, T>(given: &Bound<'py, PyAny>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let value = given.get_item(name)?;
    value.extract::<T>().map_err(|error| {
        let error: PyErr = error.into();
        let py = given.py();
        let shown = value.repr().map_or_else(|_| name.to_string(), |repr| repr.to_string());
        let sentence = format!("{name} cannot be {shown}: {}", error.value(py));
        // Errors of fields inside of fields are told in several lines.
        let sentence = sentence.lines().collect::<Vec<_>>().join(", ");
        match error.is_instance_of::<PyOverflowError>(py) {
            true => invalid_value(sentence),
            false => invalid_type(sentence),
        }
    })
}
