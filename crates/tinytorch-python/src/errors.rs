//! Errors of Rust as exceptions of Python.

use pyo3::prelude::*;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use tinytorch::CustomError;
use tinytorch::plan::PlanError;
use tinytorch::tensor::TensorError;

pyo3::import_exception!(tinytorch.errors, InvalidValue);
pyo3::import_exception!(tinytorch.errors, InvalidType);
pyo3::import_exception!(tinytorch.errors, FileNotFound);
pyo3::import_exception!(tinytorch.errors, FileProblem);

/// An exception that Python code has raised while Rust was calling it, on its way back to Python.
#[derive(Debug)]
pub(crate) struct Raised(pub(crate) PyErr);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Raised {}
impl CustomError for Raised {}

/// A refusal of this crate's own: a value of the right type that does not fit.
pub(crate) fn invalid_value(sentence: impl Into<String>) -> PyErr {
    InvalidValue::new_err(sentence.into())
}

/// A refusal of this crate's own: something of another type.
pub(crate) fn invalid_type(sentence: impl Into<String>) -> PyErr {
    InvalidType::new_err(sentence.into())
}

/// The exception for an error of the library.
pub(crate) fn raise(error: tinytorch::Error) -> PyErr {
    raise_any(&anyhow::Error::from(error))
}

/// The exception for an error of the command's code: what Python code raised as itself, anything else as one
/// sentence under the built-in type that fits.
pub(crate) fn raise_any(error: &anyhow::Error) -> PyErr {
    if let Some(Raised(raised)) = find::<Raised>(error) {
        return Python::attach(|py| raised.clone_ref(py));
    }
    let sentence = tinytorch_cli::sentence(error);
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::NotFound) => return FileNotFound::new_err(sentence),
        Some(_) => return FileProblem::new_err(sentence),
        None => {}
    }
    let is_of_type = match (find::<PlanError>(error), find::<TensorError>(error)) {
        (Some(PlanError::Input { expected_dtype, dtype, .. }), _) => expected_dtype != dtype,
        (_, Some(TensorError::Dtype { .. })) => true,
        _ => false,
    };
    match is_of_type {
        true => InvalidType::new_err(sentence),
        false => InvalidValue::new_err(sentence),
    }
}

/// The first error of a type among an error and its causes.
fn find<E: StdError + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| {
        let ours = cause.downcast_ref::<tinytorch::Error>();
        let boxed = || cause.downcast_ref::<Box<tinytorch::Error>>().map(|boxed| &**boxed);
        cause.downcast_ref::<E>().or_else(|| ours.or_else(boxed)?.downcast_ref::<E>())
    })
}
