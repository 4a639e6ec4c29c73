//! A model in a file: saved, and made again from what the file says.

use super::import::check_head;
use super::{
    ContentError, FileError, Loaded, Provenance, TensorFile, load_into, provenance, save_params_and,
};
use crate::models::{Kinds, Model, ModelError, Rebuild, build_described};
use crate::nn::Init;
use crate::tensor::Tensor;
use crate::{Error, Result};
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
    let metadata = provenance::to_metadata(model.description()?, provenance)
        .map_err(|problem| FileError::content(path, problem))?;
    save_params_and(path, model, others, &metadata)
}

/// Reads a model that [`save_model`] wrote, if it is of a [built-in](Kinds::built_in) kind; the file says
/// which. Every parameter is allocated once, in the form in which it is held: int8 weights are never
/// floats on the way.
///
/// # Errors
/// As [`TensorFile::open`] and [`load_into`], and a [`ContentError`] for a kind that is missing, unknown
/// or impossible.
pub fn load_model(path: impl AsRef<Path>) -> Result<Loaded> {
    load_with(path, &Kinds::built_in())
}

/// [`load_model`] for a program that has kinds of its own.
///
/// # Errors
/// As [`load_model`].
pub fn load_with(path: impl AsRef<Path>, kinds: &Kinds) -> Result<Loaded> {
    load_as(path, &|description| kinds.build(description, &mut Init::absent()))
}

/// [`load_model`] with what makes a model without values of the file's description.
///
/// # Errors
/// As [`load_model`].
pub(crate) fn load_as(
    path: impl AsRef<Path>,
    build: &dyn Fn(&str) -> Result<Box<dyn Model>>,
) -> Result<Loaded> {
    let file = TensorFile::open(path)?;
    let (description, provenance) = provenance::from_metadata(&file)?;
    let mut model = build(&description).map_err(|error| file.problem(unbuildable(error)))?;
    if let Some(architecture) = model.architecture() {
        check_head(&file, &architecture, str::to_string)?;
    }
    load_into(&mut *model, &file)?;
    warn_unchecked(&file);
    Ok(Loaded { model, provenance })
}

/// Reads a model of the type `M`, which must be what the file holds.
///
/// # Errors
/// As [`load_model`]; [`ContentError::Kind`] for a file of any other kind.
pub fn load<M: Rebuild>(path: impl AsRef<Path>) -> Result<Loaded<M>> {
    let file = TensorFile::open(path)?;
    let (description, provenance) = provenance::from_metadata(&file)?;
    let mut model: M = build_described(&description, &mut Init::absent())
        .map_err(|error| file.problem(unbuildable(error)))?;
    load_into(&mut model, &file)?;
    warn_unchecked(&file);
    Ok(Loaded { model, provenance })
}

/// The description in a model's file, as [`Model::description`] gives it.
///
/// # Errors
/// As [`TensorFile::open`], and a [`ContentError`] for a file that holds no model.
pub fn read_description(path: impl AsRef<Path>) -> Result<String> {
    Ok(provenance::from_metadata(&TensorFile::open(path)?)?.0)
}

/// Says that damage to a model's file could not be seen.
fn warn_unchecked(file: &TensorFile) {
    if !file.has_checksums() {
        let path = file.path().display();
        tracing::warn!(
            "{path} has no checksums, so damage to it cannot be seen; save the model again, and it will have them"
        );
    }
}

fn unbuildable(error: Error) -> ContentError {
    match error.downcast_ref::<ModelError>() {
        Some(ModelError::UnknownKind { kind, known }) => {
            ContentError::Kind { kind: kind.clone(), known: known.clone() }
        }
        _ => provenance::unusable(provenance::ARCHITECTURE, error.to_string()),
    }
}
