//! How weights become int8.

use pyo3::prelude::*;
use tinytorch_cli::api::Wanted;

/// How weights become int8, as Python says it: keyword arguments of the command's names.
#[derive(FromPyObject)]
pub(crate) struct Settings {
    #[pyo3(item)]
    granularity: Option<String>,
    #[pyo3(item)]
    bits: u8,
    #[pyo3(item)]
    activations: Option<String>,
    #[pyo3(item)]
    range: String,
    #[pyo3(item)]
    skip: Vec<String>,
    #[pyo3(item)]
    wide: Option<Vec<String>>,
    #[pyo3(item)]
    max_error: Option<f64>,
}

impl From<Settings> for Wanted {
    fn from(settings: Settings) -> Wanted {
        let Settings { granularity, bits, activations, range, skip, wide, max_error } = settings;
        Wanted { granularity, bits, activations, range, skip, wide, max_error }
    }
}
