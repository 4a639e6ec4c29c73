//! How weights become int8.

use crate::options::option;
use pyo3::Borrowed;
use pyo3::prelude::*;
use tinytorch_cli::api::Wanted;

/// How weights become int8, as Python says it: keyword arguments of the command's names.
pub(crate) struct Settings {
    granularity: Option<String>,
    bits: u8,
    activations: Option<String>,
    range: String,
    skip: Vec<String>,
    wide: Option<Vec<String>>,
    max_error: Option<f64>,
}

impl<'py> FromPyObject<'_, 'py> for Settings {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Settings> {
        Ok(Settings {
            granularity: option(&given, "granularity")?,
            bits: option(&given, "bits")?,
            activations: option(&given, "activations")?,
            range: option(&given, "range")?,
            skip: option(&given, "skip")?,
            wide: option(&given, "wide")?,
            max_error: option(&given, "max_error")?,
        })
    }
}

impl From<Settings> for Wanted {
    fn from(settings: Settings) -> Wanted {
        let Settings { granularity, bits, activations, range, skip, wide, max_error } = settings;
        Wanted { granularity, bits, activations, range, skip, wide, max_error }
    }
}
