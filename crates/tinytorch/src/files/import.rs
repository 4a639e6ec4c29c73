//! Models that other programs have saved.

use super::{ContentError, FileDtype, Loaded, Provenance, TensorFile};
use crate::Result;
use crate::autograd::Stored;
use crate::models::{Architecture, ForeignNames};
use crate::nn::{Init, Module};
use std::collections::BTreeSet;
use std::path::Path;

/// Reads a float model that another program has saved. Such a file does not say what it is, so the
/// caller does; it must then hold exactly the parameters of that architecture.
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
    let file = TensorFile::open(path)?;
    let ForeignNames { rename, ignore } = architecture.foreign_names();
    check_head(&file, architecture, rename)?;
    load_renamed(module, &file, rename, ignore)
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
        let got = file.info(name)?.dtype;
        if !matches!(got, FileDtype::F32 | FileDtype::F16 | FileDtype::BF16) {
            let (tensor, expected) = (name.clone(), "F32, F16 or BF16");
            return Err(file.problem(ContentError::Dtype { tensor, got, expected }));
        }
    }
    let used: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    file.expect_only(|name| used.contains(name) || ignore(name))?;
    let values = names.iter().map(|name| file.tensor(name)).collect::<Result<Vec<_>>>()?;
    for ((_, param), value) in params.into_iter().zip(values) {
        param.store(Stored::F32(value));
    }
    module.set_flags(&BTreeSet::new());
    Ok(())
}
