//! The command `verify`.

use crate::Verdict;
use crate::open::{is_onnx, kinds};
use crate::output::Screen;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::files::{ContentError, FileError, TensorFile, load_with};

/// Say whether safetensors files are as they were written: the header against the file's length, every tensor and
/// all metadata against their checksums, a model's tensors against its architecture. The exit code is 1 if one is damaged.
#[derive(Args)]
pub(crate) struct Verify {
    /// Safetensors files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print JSON instead of sentences
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`, one per file.
#[derive(Serialize)]
struct Checked {
    file: String,
    /// Whether the file is as it was written, as far as it can be known.
    whole: bool,
    /// Whether it says what its content adds up to.
    checksums: bool,
    tensors: usize,
    bytes: usize,
    /// Whether it is a model that this program knows, and every tensor of it was read.
    model: bool,
    damage: Vec<String>,
}

impl Verify {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let mut checked = Vec::with_capacity(self.files.len());
        for path in &self.files {
            checked.push(Checked::of(path)?);
        }
        match self.json {
            true => screen.json(&checked)?,
            false => checked.iter().try_for_each(|file| writeln!(screen, "{}", file.sentence()))?,
        }
        match checked.iter().all(|file| file.whole) {
            true => Ok(Verdict::Good),
            false => Ok(Verdict::GateFailed),
        }
    }
}

impl Checked {
    /// What a file is found to be; an error only for one that cannot be read, or is of another kind.
    fn of(path: &Path) -> Result<Checked> {
        let name = path.display().to_string();
        if is_onnx(path) {
            anyhow::bail!("{name} is an ONNX model, which carries no checksums");
        }
        let file = match TensorFile::open(path) {
            Ok(file) => file,
            Err(error) => match error.downcast_ref() {
                Some(FileError::Format { .. }) => {
                    let (checksums, bytes) = (false, std::fs::metadata(path)?.len() as usize);
                    let damage = vec![error.to_string()];
                    return Ok(Checked {
                        file: name,
                        whole: false,
                        checksums,
                        tensors: 0,
                        bytes,
                        model: false,
                        damage,
                    });
                }
                _ => return Err(error.into()),
            },
        };
        let mut damage: Vec<String> = file
            .damaged()
            .iter()
            .map(|tensor| format!("tensor {tensor:?} does not agree with its checksum"))
            .collect();
        let is_model = file.metadata().contains_key("tinytorch_version");
        let mut model = false;
        if damage.is_empty() && is_model {
            match load_with(path, &kinds()) {
                Ok(_) => model = true,
                // Another program's kind of model is no damage.
                Err(error) if is_unknown_kind(&error) => {}
                Err(error) => damage.push(error.to_string()),
            }
        }
        Ok(Checked {
            file: name,
            whole: damage.is_empty(),
            checksums: file.has_checksums(),
            tensors: file.tensors().len(),
            bytes: file.file_bytes(),
            model,
            damage,
        })
    }

    fn sentence(&self) -> String {
        let Checked { file, checksums, tensors, bytes, model, damage, .. } = self;
        if !damage.is_empty() {
            return format!("{file}: damaged: {}", damage.join("; "));
        }
        let read = if *model { ", and the model was read from it" } else { "" };
        match checksums {
            true => format!(
                "{file}: whole: the header and {tensors} tensors ({bytes} bytes) agree with their checksums{read}"
            ),
            false => format!(
                "{file}: no checksums: the header agrees with the {bytes} bytes of the file{read}; whether one of its {tensors} tensors was damaged cannot be known"
            ),
        }
    }
}

fn is_unknown_kind(error: &tinytorch::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(FileError::Content { problem: ContentError::Kind { .. }, .. })
    )
}
