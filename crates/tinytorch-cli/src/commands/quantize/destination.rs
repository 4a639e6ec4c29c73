//! Where the int8 model goes.

use crate::commands::export::export;
use crate::open::is_onnx;
use anyhow::Result;
use std::path::{MAIN_SEPARATOR, Path};
use tinytorch::files::{Provenance, check_folder, check_writable, save_folder, save_model};
use tinytorch::models::Model;
use tinytorch::quant::QuantConfig;
use tinytorch_onnx::{Exported, Form, OnnxModel};

/// Where the int8 model of a float model goes: a file, or a folder with settings and tokenizer.
pub(crate) struct Destination<'a> {
    /// The float model's file or folder; `None` of a model that is in memory.
    pub(crate) of: Option<&'a Path>,
    pub(crate) out: &'a Path,
}

impl Destination<'_> {
    /// Makes sure that this model can be written there, before the long work.
    ///
    /// # Errors
    /// What the file system says, or [`OnnxModel::of`] of a model that cannot be a file of ONNX's.
    pub(crate) fn check(&self, model: &dyn Model) -> Result<()> {
        if is_onnx(self.out) {
            match model.as_any().and_then(|model| model.downcast_ref::<OnnxModel>()) {
                Some(model) => model.takes_int8()?,
                None => drop(OnnxModel::of(model)?),
            }
        }
        match self.folder() {
            Some(_) => check_folder(self.out)?,
            None => check_writable(self.out)?,
        }
        Ok(())
    }

    /// The settings of a model that is written there: other engines have fixed ranges only.
    pub(crate) fn settings(&self, config: QuantConfig) -> QuantConfig {
        if is_onnx(self.out) { config.portably() } else { config }
    }

    /// # Errors
    /// What the file system says; nothing is left half-written then.
    pub(crate) fn save(&self, model: &dyn Model, provenance: &Provenance) -> Result<()> {
        if is_onnx(self.out) {
            let Exported { weights_only, floats, .. } =
                export(self.out, model, provenance, Form::Qdq)?;
            for name in weights_only.iter().chain(&floats) {
                tracing::warn!(
                    "`{name}` multiplies floats in an ONNX file, which has no range that is found as values come and no scales in blocks"
                );
            }
            return Ok(());
        }
        match self.folder() {
            Some(folder) => save_folder(self.out, folder, model, provenance)?,
            None => save_model(self.out, model, provenance)?,
        }
        Ok(())
    }

    /// The folder of the float model, if the result is one too: that of a model with settings beside its
    /// weights may be one.
    fn folder(&self) -> Option<&Path> {
        let of = self.of?;
        let folder = match of.is_dir() {
            true => of,
            false => of.parent().filter(|f| *f != Path::new("")).unwrap_or(Path::new(".")),
        };
        let is_file = self.out.extension().is_some_and(|extension| extension == "safetensors");
        let ends_as_folder = self.out.as_os_str().to_string_lossy().ends_with(MAIN_SEPARATOR);
        let has_settings = folder.join("config.json").exists();
        let is_folder =
            (of.is_dir() && !is_file) || (has_settings && (self.out.is_dir() || ends_as_folder));
        is_folder.then_some(folder)
    }
}
