use super::import::check_head;
use super::{FileError, Provenance, TensorFile, load_into, provenance, save_params_and};
use crate::Result;
use crate::models::Model;
use crate::nn::Init;
use crate::tensor::Tensor;
use std::path::Path;

/// Writes a model: its parameters, and in the metadata its architecture and where it comes from.
/// Saving what was loaded gives the same bytes again.
///
/// # Errors
/// As [`save_params_and`]; after an error the path is as it was.
pub fn save_model(
    path: impl AsRef<Path>,
    model: &dyn Model,
    provenance: &Provenance,
) -> Result<()> {
    save_model_and(path, model, &[], provenance)
}

/// [`save_model`], and behind the parameters other tensors, as [`save_params_and`].
///
/// # Errors
/// As [`save_model`].
pub fn save_model_and(
    path: impl AsRef<Path>,
    model: &dyn Model,
    others: &[(String, Tensor)],
    provenance: &Provenance,
) -> Result<()> {
    let path = path.as_ref();
    let metadata = provenance::to_metadata(&model.architecture(), provenance)
        .map_err(|problem| FileError::content(path, problem))?;
    save_params_and(path, model, others, &metadata)
}

/// A model from a file.
#[derive(Clone)]
pub struct Loaded {
    /// The model.
    pub model: Box<dyn Model>,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// Reads a model that [`save_model`] wrote; the file says which it is. Every parameter is allocated
/// once, in the form in which it is held: int8 weights are never floats on the way.
///
/// # Errors
/// As [`TensorFile::open`] and [`load_into`], and a
/// [`ContentError`](super::ContentError) for an architecture that is missing, unknown or impossible.
pub fn load_model(path: impl AsRef<Path>) -> Result<Loaded> {
    let file = TensorFile::open(path)?;
    let (architecture, provenance) = provenance::from_metadata(&file)?;
    let mut model = architecture
        .build(&mut Init::absent())
        .map_err(|error| file.problem(provenance::unusable("architecture", error.to_string())))?;
    check_head(&file, &architecture, str::to_string)?;
    load_into(&mut *model, &file)?;
    Ok(Loaded { model, provenance })
}
