//! Models that other programs have saved.

use super::checkpoint::Checkpoint;
use super::spelling::Spelling;
use super::{ContentError, FileDtype, Loaded, Provenance, TensorFile};
use crate::Result;
use crate::autograd::Stored;
use crate::models::{Architecture, ForeignNames, Layout};
use crate::nn::{Init, Module};
use crate::tensor::{Shape, Tensor};
use std::collections::BTreeSet;
use std::path::Path;

/// Reads a float model that another program has saved, in one safetensors file or in several that a
/// `.index.json` names. Such a file does not say what it is, so the caller does; it must then hold exactly
/// the parameters of that architecture, under the names that are usual for it: with a wrapper's name
/// before them or without, norms with `weight` and `bias` or `gamma` and `beta`, a tied head repeated or not.
///
/// # Errors
/// As [`load_renamed`], and if the architecture makes no model.
pub fn import_model(path: impl AsRef<Path>, architecture: &Architecture) -> Result<Loaded> {
    let mut model = architecture.build(&mut Init::absent())?;
    import_into(&mut *model, path.as_ref(), architecture)?;
    Ok(Loaded { model, provenance: Provenance::default() })
}

/// [`import_model`] into a module of this architecture.
pub(super) fn import_into(
    module: &mut dyn Module,
    path: &Path,
    architecture: &Architecture,
) -> Result<()> {
    let checkpoint = Checkpoint::open(path)?;
    let ForeignNames { rename, ignore, layout } = names_of(architecture, &checkpoint);
    let params = module.named_params_mut();
    let names: Vec<String> = params.iter().map(|(name, _)| rename(name)).collect();
    let spelling = Spelling::of(&checkpoint, &names);
    let mut found: Vec<String> = names.iter().map(|name| spelling.find(name)).collect();

    let (tokens, head) = (rename("tokens.weight"), rename("head.weight"));
    let mut copy = None;
    match architecture.has_tied_head() {
        // The token table stored once more as the head, or only as that.
        Some(true) if checkpoint.contains(&spelling.find(&head)) => {
            let (tokens, head) = (spelling.find(&tokens), spelling.find(&head));
            if !checkpoint.contains(&tokens) {
                found
                    .iter_mut()
                    .filter(|name| **name == tokens)
                    .for_each(|name| *name = head.clone());
            } else if !checkpoint.are_equal(&tokens, &head)? {
                let problem = ContentError::TiedInModel { tensor: head.clone() };
                return Err(checkpoint.problem(&head, problem));
            }
            copy = Some(head);
        }
        Some(false) if !checkpoint.contains(&spelling.find(&head)) => {
            let problem = ContentError::TiedInFile { tensor: head.clone() };
            return Err(checkpoint.problem(&head, problem));
        }
        _ => {}
    }
    let layouts: Vec<Layout> = params.iter().map(|(name, _)| layout(name)).collect();
    for (((_, param), name), &layout) in params.iter().zip(&found).zip(&layouts) {
        let (got, expected) = (checkpoint.info(name)?, stored_shape(param.shape(), layout)?);
        if got.shape != expected {
            let (tensor, got) = (name.clone(), got.shape);
            return Err(checkpoint.problem(name, ContentError::Shape { tensor, got, expected }));
        }
        check_float(got.dtype, name).map_err(|problem| checkpoint.problem(name, problem))?;
    }
    let used: BTreeSet<&str> = found.iter().chain(&copy).map(String::as_str).collect();
    let is_known = |name: &str| used.contains(name) || ignore(spelling.plain(name));
    if let Some(tensor) = checkpoint.names().find(|name| !is_known(name)) {
        let problem = ContentError::Unexpected { tensor: tensor.to_string() };
        return Err(checkpoint.problem(tensor, problem));
    }
    checkpoint.require_memory(&found)?;
    let values = found.iter().zip(layouts);
    let values = values
        .map(|(name, layout)| as_the_model_has_it(checkpoint.tensor(name)?, layout))
        .collect::<Result<Vec<_>>>()?;
    for ((_, param), value) in params.into_iter().zip(values) {
        param.store(Stored::F32(value));
    }
    module.set_flags(&BTreeSet::new());
    Ok(())
}

/// The names that are usual for an architecture, or the model's own if the file has those.
fn names_of(architecture: &Architecture, checkpoint: &Checkpoint) -> ForeignNames {
    match checkpoint.contains("tokens.weight") {
        true => ForeignNames::SAME,
        false => architecture.foreign_names(),
    }
}

/// The shape that a parameter of this shape has in a file.
fn stored_shape(shape: Shape, layout: Layout) -> Result<Shape> {
    let mut dims = shape.dims().to_vec();
    if layout != Layout::Same {
        dims.reverse();
    }
    if let (Layout::Joined { parts, .. }, Some(last)) = (layout, dims.last_mut()) {
        *last = last.saturating_mul(parts);
    }
    Ok(Shape::new(&dims)?)
}

/// A tensor of a file as the model's parameter.
fn as_the_model_has_it(stored: Tensor, layout: Layout) -> Result<Tensor> {
    let axis = stored.shape().rank().saturating_sub(1);
    let own = match layout {
        Layout::Same => return Ok(stored),
        Layout::Transposed => stored,
        Layout::Joined { part, parts } => {
            let width = stored.shape()[axis] / parts;
            stored.slice(axis, part * width..(part + 1) * width)?
        }
    };
    match axis {
        0 => own.contiguous(),
        _ => own.transpose(0, axis)?.contiguous(),
    }
}

/// Refuses element types that no weight has.
fn check_float(got: FileDtype, name: &str) -> Result<(), ContentError> {
    match got {
        FileDtype::F64 | FileDtype::F32 | FileDtype::F16 | FileDtype::BF16 => Ok(()),
        _ => {
            let (tensor, expected) = (name.to_string(), "F32, F16, BF16 or F64");
            Err(ContentError::Dtype { tensor, got, expected })
        }
    }
}

/// Refuses a file with an output head for a model whose head is its token table, and the reverse.
pub(super) fn check_head(
    file: &TensorFile,
    architecture: &Architecture,
    rename: impl Fn(&str) -> String,
) -> Result<()> {
    let tensor = rename("head.weight");
    match (architecture.has_tied_head(), file.contains(&tensor)) {
        (Some(true), true) => Err(file.problem(ContentError::TiedInModel { tensor })),
        (Some(false), false) => Err(file.problem(ContentError::TiedInFile { tensor })),
        _ => Ok(()),
    }
}

/// Reads a module's parameters as floats from a file that names them in its own way: `rename` gives
/// the file's name for the module's. The file must hold nothing else but tensors that `ignore`
/// knows. Nothing is changed unless everything was read.
///
/// ```
/// use std::collections::BTreeMap;
/// use tinytorch::{Tensor, nn::{Init, Linear}};
/// use tinytorch::files::{TensorFile, load_renamed, write_tensors};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("theirs.safetensors");
/// let theirs = [("dense.kernel", Tensor::ones([2, 3])?), ("dense.offset", Tensor::zeros([2])?)];
/// write_tensors(&path, &theirs, &BTreeMap::new())?;
///
/// let mut layer = Linear::new(3, 2, &mut Init::absent())?;
/// let rename = |name: &str| match name {
///     "weight" => "dense.kernel".to_string(),
///     other => format!("dense.{}", other.replace("bias", "offset")),
/// };
/// load_renamed(&mut layer, &TensorFile::open(&path)?, rename, |_| false)?;
/// assert_eq!(layer.weight.value()?.to_vec::<f32>()?, [1.0; 6]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// A [`ContentError`] that names the file's tensor which is missing, unexpected, or of another shape
/// or element type than the module's.
pub fn load_renamed(
    module: &mut dyn Module,
    file: &TensorFile,
    rename: impl Fn(&str) -> String,
    ignore: impl Fn(&str) -> bool,
) -> Result<()> {
    let params = module.named_params_mut();
    let names: Vec<String> = params.iter().map(|(name, _)| rename(name)).collect();
    for ((_, param), name) in params.iter().zip(&names) {
        file.expect_shape(name, param.shape())?;
        check_float(file.info(name)?.dtype, name).map_err(|problem| file.problem(problem))?;
    }
    let used: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    file.expect_only(|name| used.contains(name) || ignore(name))?;
    file.require_memory(names.iter().map(String::as_str))?;
    let values = names.iter().map(|name| file.tensor(name)).collect::<Result<Vec<_>>>()?;
    for ((_, param), value) in params.into_iter().zip(values) {
        param.store(Stored::F32(value));
    }
    module.set_flags(&BTreeSet::new());
    Ok(())
}
