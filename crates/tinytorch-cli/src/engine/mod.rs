//! Models that other engines run, in a process of Python's.

mod error;
mod process;
mod wire;

use clap::ValueEnum;
use process::{Process, Task};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tinytorch::audit::{Footprint, Outside};
use tinytorch::{Result, Tensor};

/// An engine that is installed for Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// ONNX Runtime, of the package `onnxruntime`
    #[value(name = "onnxruntime")]
    OnnxRuntime,
    /// OpenVINO, of the package `openvino`
    #[value(name = "openvino")]
    OpenVino,
}

impl Engine {
    /// What Python calls it.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Engine::OnnxRuntime => "onnxruntime",
            Engine::OpenVino => "openvino",
        }
    }

    /// The model in this ONNX file as this engine runs it.
    ///
    /// # Errors
    /// [`EngineError`](error::EngineError) if there is no such engine, or what it says of the file.
    pub(crate) fn open(self, name: &str, file: &Path) -> Result<Outside> {
        self.started(name, file, Task::Answer)
    }

    /// The same model without what the engine makes of its graph first; `None` of an engine that cannot be told.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub(crate) fn open_plainly(self, name: &str, file: &Path) -> Result<Option<Outside>> {
        match self {
            Engine::OnnxRuntime => self.started(name, file, Task::AnswerPlainly).map(Some),
            Engine::OpenVino => Ok(None),
        }
    }

    fn started(self, name: &str, file: &Path, task: Task) -> Result<Outside> {
        let process = Process::start(self.module(), file, task)?;
        let (told, path) = (process.told().clone(), file.to_path_buf());
        let process = Mutex::new(process);
        let answer = move |inputs: &[Tensor]| {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            process.answer(inputs)
        };
        let measured = path.clone();
        let outside = Outside::new(name, answer)
            .with_output_names(told.outputs)
            .in_file(path)
            .measured_by(move |copies| {
                let (bytes, name) = Process::footprint(self.module(), &measured, copies)?;
                Ok(Footprint { bytes, how: format!("{name} in a process of its own, one thread") })
            });
        Ok(match told.batch {
            Some(samples) => outside.with_fixed_batch(samples),
            None => outside,
        })
    }
}
