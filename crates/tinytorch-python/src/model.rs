//! A model in memory.

use crate::errors::{raise, raise_any};
use crate::feed::Inputs;
use pyo3::prelude::*;
use std::path::PathBuf;
use tinytorch::files::{Loaded, Provenance};
use tinytorch::models::Model;
use tinytorch_cli::api::{self, Output};
use tinytorch_onnx::OnnxModel;

/// A model in memory, float or int8. Functions that take the path of a model take one of these, and leave it as it is.
#[pyclass(name = "Model", module = "tinytorch", frozen)]
pub(crate) struct PyModel {
    pub(crate) model: Box<dyn Model>,
    pub(crate) provenance: Provenance,
    pub(crate) file: Option<PathBuf>,
}

#[pymethods]
impl PyModel {
    /// Reads a model from a file or folder: tinytorch's own, ONNX, Hugging Face's, llama2.c's.
    ///
    /// Raises ``FileNotFoundError`` if nothing is there, ``ValueError`` for what is no model, which is named.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<PyModel> {
        let opened = py.detach(|| api::open(&path));
        let Loaded { model, provenance } = opened.map_err(|error| raise_any(&error))?;
        Ok(PyModel { model, provenance, file: Some(path) })
    }

    /// Reads an ONNX model that is in memory; errors call it ``name``.
    ///
    /// Raises ``ValueError`` for nodes that cannot run, all of them at once.
    #[staticmethod]
    fn from_onnx(py: Python<'_>, name: &str, data: Vec<u8>) -> PyResult<PyModel> {
        let model = py.detach(|| OnnxModel::from_bytes(name, data)).map_err(raise)?;
        let provenance = Provenance::default();
        Ok(PyModel { model: Box::new(model), provenance, file: None })
    }

    /// Writes the model to a safetensors file, or to an ONNX file if the name ends in ``.onnx``. The file appears
    /// whole or not at all.
    ///
    /// Raises ``OSError`` if it cannot be written, ``ValueError`` for a model that ONNX's operators are not written for,
    /// such as a decoder that did not come from ONNX.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let output = Output { of: None, out: &path, force: true };
        py.detach(|| output.save(&*self.model, &self.provenance)).map_err(|e| raise_any(&e))
    }

    /// The name by which files know this kind of model.
    #[getter]
    fn kind(&self) -> &str {
        self.model.kind()
    }

    /// Where it was read from.
    #[getter]
    fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// What the inputs are called.
    #[getter]
    fn inputs(&self) -> Vec<String> {
        Inputs::of(&*self.model).names
    }

    /// What the outputs are called, where they have names.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.model.output_names()
    }

    /// Whether any weight is int8.
    #[getter]
    fn is_int8(&self) -> bool {
        self.model.named_params().iter().any(|(_, param)| param.int8().is_some())
    }

    /// The shape of every parameter, by its dotted name.
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let params = self.model.named_params().into_iter();
        params.map(|(name, param)| (name, param.shape().to_vec())).collect()
    }

    fn __repr__(&self) -> String {
        let (kind, int8) = (self.model.kind(), if self.is_int8() { "int8" } else { "float" });
        let parameters = self.model.param_count();
        format!("<tinytorch.Model {kind}, {int8}, {parameters} parameters>")
    }
}

impl PyModel {
    /// The model that is given: one in memory, or the path of one.
    pub(crate) fn given<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyModel>> {
        if let Ok(model) = given.cast::<PyModel>() {
            return Ok(model.clone());
        }
        let path: PathBuf = given.extract().map_err(|_| {
            let got = given.get_type().to_string();
            crate::errors::invalid_type(format!(
                "a model is the path of one or a tinytorch.Model, not {got}"
            ))
        })?;
        Bound::new(given.py(), PyModel::open(given.py(), path)?)
    }
}
