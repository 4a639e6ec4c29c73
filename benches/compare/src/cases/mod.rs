//! The cases of each section, with the files that engines read.

mod decode;
mod models;
mod onnx;
mod products;
mod train;

pub(crate) use models::Published;

use crate::case::Case;
use crate::engine::Engine;
use anyhow::Result;
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// A group of cases, for which there is a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Section {
    /// Matrix products
    Gemm,
    /// Small float products, with other Rust crates only
    Small,
    /// A pass of whole models
    Models,
    /// A pass of the models that are given as files
    Onnx,
    /// A token of a decoder
    Decode,
    /// A step of training
    Train,
}

/// A case that has no files yet.
pub(crate) struct Planned {
    pub(crate) name: String,
    write: Box<dyn Fn(&Path, &str) -> Result<Case>>,
}

impl Planned {
    fn new(name: String, write: impl Fn(&Path, &str) -> Result<Case> + 'static) -> Planned {
        Planned { name, write: Box::new(write) }
    }

    /// Writes its files to a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<Case> {
        (self.write)(folder, &self.name)
    }
}

impl Section {
    pub(crate) const ALL: [Section; 6] = [
        Section::Gemm,
        Section::Small,
        Section::Models,
        Section::Onnx,
        Section::Decode,
        Section::Train,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Section::Gemm => "Matrix products (M x K x N)",
            Section::Small => "Small float products (M x K x N)",
            Section::Models => "Models",
            Section::Onnx => "Models in files",
            Section::Decode => "Decoding",
            Section::Train => "Training steps",
        }
    }

    /// Who takes part, tinytorch first.
    pub(crate) fn engines(self) -> &'static [Engine] {
        use Engine::{
            Gemm, Matrixmultiply, Numpy, Onnxruntime, Openvino, RtenGemm, Tinytorch, Torch,
        };
        match self {
            Section::Gemm => {
                &[Tinytorch, Onnxruntime, Openvino, Torch, Numpy, Gemm, RtenGemm, Matrixmultiply]
            }
            Section::Small => &[Tinytorch, Gemm, RtenGemm, Matrixmultiply],
            Section::Models => &[Tinytorch, Onnxruntime, Openvino, Torch],
            Section::Onnx => &[Tinytorch, Onnxruntime, Openvino],
            Section::Decode | Section::Train => &[Tinytorch, Torch],
        }
    }

    /// Its cases; `published` are the weights of one more network, `files` models.
    ///
    /// # Errors
    /// A file is no model that runs.
    pub(crate) fn cases(
        self,
        published: Option<&Published>,
        files: &[PathBuf],
    ) -> Result<Vec<Planned>> {
        Ok(match self {
            Section::Gemm => products::large(),
            Section::Small => products::small(),
            Section::Models => models::cases(published),
            Section::Onnx => onnx::cases(files)?,
            Section::Decode => decode::cases(),
            Section::Train => train::cases(),
        })
    }
}
