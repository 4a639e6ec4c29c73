//! The models of an audit in files of tinytorch's own, which fresh processes read.

use crate::open::{is_onnx, open};
use anyhow::{Context, Result};
use std::borrow::Cow;
use std::fs::create_dir_all;
use std::path::{Path, PathBuf};
use tinytorch::audit::GivenFile;
use tinytorch::files::{Loaded, Provenance, digest_params, save_model};
use tinytorch::models::{Model, Rebuild};
use tinytorch::quant::{QuantConfig, QuantRecord, QuantReport};
use tinytorch_onnx::OnnxModel;

/// The files of a float and an int8 model in a form that the fresh processes read, in this folder if they are not
/// themselves. An int8 graph that is the float model's is written as that, whatever its file says of itself.
pub(crate) fn in_our_forms<'a>(
    [float, int8]: [&'a Path; 2],
    folder: &Path,
) -> Result<[Cow<'a, Path>; 2]> {
    let (of_float, of_int8) = (folder.join("float"), folder.join("int8"));
    // A folder holds a text model, which may be large, and no graph.
    if float.is_dir() || int8.is_dir() {
        return Ok([Cow::Borrowed(float), Cow::Borrowed(int8)]);
    }
    let loaded = [open(float)?, open(int8)?];
    let int8 = match same_graph(&loaded)? {
        Some(same) => Cow::Owned(saved(int8, &same, &of_int8)?),
        None => written(int8, &loaded[1], &of_int8)?,
    };
    Ok([written(float, &loaded[0], &of_float)?, int8])
}

/// A model's file, in this folder if fresh processes do not read it itself.
pub(crate) fn in_our_form<'a>(file: &'a Path, folder: &Path) -> Result<Cow<'a, Path>> {
    written(file, &open(file)?, folder)
}

/// The files that were given, where those of [`in_our_forms`] are others.
pub(crate) fn given_as(files: [&Path; 2], ours: [&Path; 2]) -> Result<[Option<GivenFile>; 2]> {
    let given = |i: usize| -> Result<Option<GivenFile>> {
        let path = files[i].to_path_buf();
        let beside = match is_onnx(&path) {
            true => OnnxModel::external_files(&path)?,
            false => Vec::new(),
        };
        Ok((files[i] != ours[i]).then_some(GivenFile { path, beside }))
    };
    Ok([given(0)?, given(1)?])
}

/// The first difference between the graphs of a float and an int8 model, if both are graphs and not the same one.
pub(crate) fn other_graph(float: &dyn Model, int8: &dyn Model) -> Option<String> {
    let [float, int8] = [graph(float)?, graph(int8)?];
    float.over_values_of(int8).err().map(|error| error.to_string())
}

/// An int8 model as the float model over its values, if its file does not lead to that by itself: a record of how it was made is
/// wanting, or names and notes are others.
fn same_graph([float, int8]: &[Loaded; 2]) -> Result<Option<Loaded>> {
    let (Some(of_float), Some(of_int8)) = (graph(&*float.model), graph(&*int8.model)) else {
        return Ok(None);
    };
    let has_record = QuantRecord::read(&int8.provenance).is_ok();
    let is_known = float.model.description()? == int8.model.description()? && has_record;
    if is_known || has_int8(of_float) || !has_int8(of_int8) {
        return Ok(None);
    }
    let Ok(model) = of_float.over_values_of(of_int8) else { return Ok(None) };
    let mut provenance = int8.provenance.clone();
    if !has_record {
        let float_sha256 = Some(digest_params(&*float.model)?);
        provenance = Provenance { float_sha256, ..provenance };
        let record = QuantRecord::new(&QuantConfig::default(), &QuantReport::default());
        record.write(&mut provenance)?;
    }
    Ok(Some(Loaded { model: Box::new(model), provenance }))
}

fn graph(model: &dyn Model) -> Option<&OnnxModel> {
    model.as_any()?.downcast_ref().filter(|_| model.kind() == OnnxModel::NAME)
}

fn has_int8(model: &OnnxModel) -> bool {
    (model as &dyn Model).named_params().iter().any(|(_, param)| param.int8().is_some())
}

fn written<'a>(file: &'a Path, loaded: &Loaded, folder: &Path) -> Result<Cow<'a, Path>> {
    match is_onnx(file) {
        true => Ok(Cow::Owned(saved(file, loaded, folder)?)),
        false => Ok(Cow::Borrowed(file)),
    }
}

/// Saves a model that a file holds in this folder, under the file's name.
fn saved(file: &Path, loaded: &Loaded, folder: &Path) -> Result<PathBuf> {
    create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut name = file.file_stem().unwrap_or_default().to_os_string();
    name.push(".safetensors");
    let own = folder.join(name);
    save_model(&own, &*loaded.model, &loaded.provenance)?;
    Ok(own)
}
