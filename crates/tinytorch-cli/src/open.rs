//! Models in any form that commands read.

use anyhow::{Context, Result};
use std::path::Path;
use tinytorch::files::{Loaded, Provenance, open_with};
use tinytorch::models::Kinds;
use tinytorch_onnx::OnnxModel;

/// The kinds of models that files may hold.
pub(crate) fn kinds() -> Kinds {
    Kinds::built_in().with::<OnnxModel>()
}

/// Whether a file is ONNX by its name.
pub(crate) fn is_onnx(file: &Path) -> bool {
    has_extension(file, "onnx")
}

pub(crate) fn has_extension(file: &Path, wanted: &str) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

/// What an ONNX file that was exported says of where it comes from.
pub(crate) fn provenance(model: &OnnxModel) -> Result<Provenance> {
    let entries = model.metadata();
    match Provenance::are_entries(entries) {
        true => Ok(Provenance::from_entries(entries.clone())?),
        false => Ok(Provenance::default()),
    }
}

/// Reads a model, be it ONNX or what `open_model` reads.
pub(crate) fn open(file: &Path) -> Result<Loaded> {
    if is_onnx(file) {
        let model = OnnxModel::open(file)?;
        let provenance = provenance(&model).with_context(|| file.display().to_string())?;
        return Ok(Loaded { model: Box::new(model), provenance });
    }
    Ok(open_with(file, &kinds())?)
}
