//! Models in any form that commands read.

use anyhow::Result;
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

/// Reads a model, be it ONNX or what `open_model` reads.
pub(crate) fn open(file: &Path) -> Result<Loaded> {
    if is_onnx(file) {
        let model = Box::new(OnnxModel::open(file)?);
        return Ok(Loaded { model, provenance: Provenance::default() });
    }
    Ok(open_with(file, &kinds())?)
}
