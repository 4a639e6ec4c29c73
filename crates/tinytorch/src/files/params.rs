//! The parameters of any module in a file.

use super::entry::Entry;
use super::int8::{self, InputModes};
use super::write::write_entries;
use super::{ContentError, FileDtype, FileError, TensorFile};
use super::{attached, flags};
use crate::autograd::{AutogradError, Param, Role, Stored};
use crate::nn::Module;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Begins the names of tensors that are not the model's, such as the state of a training. No field of
/// a model can be named so.
pub const RESERVED_PREFIX: &str = "@";

/// Writes the parameters and flags of any module under their dotted names, int8 weights as plain `I8`
/// in the layer's own shape with their scales beside them. It is written like any file of
/// [`write_tensors`](super::write_tensors).
///
/// # Errors
/// [`ContentError::NotLoaded`] for a parameter without values, [`ContentError::Metadata`] for a key
/// that is tinytorch's own, or as [`write_tensors`](super::write_tensors).
pub fn save_params(
    path: impl AsRef<Path>,
    module: &dyn Module,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    save_params_and(path, module, &[], metadata)
}

/// [`save_params`], and behind the parameters other tensors, whose names begin with
/// [`RESERVED_PREFIX`]; [`load_into`] passes over them.
///
/// # Errors
/// As [`save_params`].
pub fn save_params_and(
    path: impl AsRef<Path>,
    module: &dyn Module,
    others: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let named = module.named_params();
    let mut contents = Vec::new();
    for (name, param) in &named {
        let not_loaded = || ContentError::NotLoaded { parameter: name.clone() };
        contents.extend(entries(name, param).map_err(|error| match error {
            Error::Autograd(AutogradError::NotLoaded { .. }) => {
                FileError::content(path, not_loaded()).into()
            }
            other => other,
        })?);
    }
    for (name, tensor) in others {
        contents.push(Entry::tensor(name, tensor)?);
    }
    let own = [
        (InputModes::KEY, InputModes::of(&named).to_metadata()),
        (flags::KEY, flags::to_metadata(module)),
        (attached::KEY, attached::to_metadata(module)),
    ];
    let metadata = with_own(metadata, own).map_err(|problem| FileError::content(path, problem))?;
    write_entries(path, contents, &metadata)
}

/// The user's metadata and tinytorch's own, which must not share a key.
pub(super) fn with_own<const N: usize>(
    metadata: &BTreeMap<String, String>,
    own: [(&str, Option<String>); N],
) -> Result<BTreeMap<String, String>, ContentError> {
    let mut all = metadata.clone();
    for (key, value) in own {
        if metadata.contains_key(key) {
            let detail = "the key is tinytorch's own; choose another".to_string();
            return Err(ContentError::Metadata { key: key.to_string(), detail });
        }
        all.extend(value.map(|value| (key.to_string(), value)));
    }
    Ok(all)
}

/// What a file holds of a parameter, the values themselves first.
pub(super) fn entries<'a>(name: &'a str, param: &'a Param) -> Result<Vec<Entry<'a>>> {
    match param.int8() {
        Some(weight) => int8::entries(name, weight),
        None => Ok(vec![Entry::tensor(name, param.value()?)?]),
    }
}

/// Reads a module's parameters and flags from a file that has exactly them,
/// [reserved](RESERVED_PREFIX) names aside: floats, or int8 where the file has a weight in int8. What the
/// file has beside a weight, such as an adapter, is put there.
/// Everything is checked before anything is read, and nothing is changed unless everything was read.
///
/// # Errors
/// A [`ContentError`] that names the tensor which is missing, unexpected, or of another shape or
/// element type than the module's.
pub fn load_into(module: &mut dyn Module, file: &TensorFile) -> Result<()> {
    let replaced = attached::attach(module, file)?;
    let loaded = load_values(module, file);
    if loaded.is_err() {
        replaced.put_back(module);
    }
    loaded
}

fn load_values(module: &mut dyn Module, file: &TensorFile) -> Result<()> {
    let flags = flags::from_metadata(file, module)?;
    let params = module.named_params_mut();
    let mut modes = InputModes::from_metadata(file)?;
    let mut used = BTreeSet::new();
    let mut plans = Vec::with_capacity(params.len());
    for (name, param) in &params {
        plans.push(Plan::check(file, name, param, &mut modes, &mut used)?);
    }
    file.expect_only(|name| used.contains(name) || name.starts_with(RESERVED_PREFIX))?;
    modes.expect_empty(file)?;
    file.require_memory(used.iter().map(|name| &**name))?;
    let values: Vec<Stored> =
        plans.into_iter().map(|plan| plan.read(file)).collect::<Result<_>>()?;
    for ((_, param), stored) in params.into_iter().zip(values) {
        param.store(stored);
    }
    module.set_flags(&flags);
    Ok(())
}

/// How a parameter will be read from a file that was found to hold it.
enum Plan<'a> {
    Float(&'a str),
    Int8(int8::Plan<'a>),
}

impl<'a> Plan<'a> {
    fn check(
        file: &TensorFile,
        name: &'a str,
        param: &Param,
        modes: &mut InputModes,
        used: &mut BTreeSet<Cow<'a, str>>,
    ) -> Result<Plan<'a>> {
        file.expect_shape(name, param.shape())?;
        used.insert(name.into());
        let is_weight =
            matches!(param.role(), Role::LinearWeight | Role::ConvWeight { .. } | Role::Embedding);
        match file.info(name)?.dtype {
            FileDtype::F32 | FileDtype::F16 | FileDtype::BF16 => Ok(Plan::Float(name)),
            FileDtype::I8 if is_weight => {
                let plan = int8::Plan::check(file, name, param, modes)?;
                used.extend(plan.tensors().map(Cow::Owned));
                Ok(Plan::Int8(plan))
            }
            got => {
                let expected = if is_weight { "F32, F16, BF16 or I8" } else { "F32, F16 or BF16" };
                Err(file.problem(ContentError::Dtype { tensor: name.to_string(), got, expected }))
            }
        }
    }

    fn read(self, file: &TensorFile) -> Result<Stored> {
        match self {
            Plan::Float(name) => Ok(Stored::F32(file.tensor(name)?)),
            Plan::Int8(plan) => plan.read(file),
        }
    }
}
