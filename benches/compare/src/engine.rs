//! The engines that are compared, and how each is started.

use anyhow::Result;
use clap::ValueEnum;
use std::path::Path;
use std::process::Command;

/// An engine: tinytorch, a crate that this program runs in a process of its own, or a Python package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Engine {
    Tinytorch,
    Onnxruntime,
    Openvino,
    Torch,
    Numpy,
    Gemm,
    RtenGemm,
    Matrixmultiply,
}

/// Variables by which engines and the libraries below them learn how many threads to use.
const THREADS: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "MATMUL_NUM_THREADS",
];

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Tinytorch => "tinytorch",
            Engine::Onnxruntime => "onnxruntime",
            Engine::Openvino => "openvino",
            Engine::Torch => "torch",
            Engine::Numpy => "numpy",
            Engine::Gemm => "gemm",
            Engine::RtenGemm => "rten-gemm",
            Engine::Matrixmultiply => "matrixmultiply",
        }
    }

    fn script(self) -> Option<&'static str> {
        match self {
            Engine::Onnxruntime => Some("with_onnxruntime.py"),
            Engine::Openvino => Some("with_openvino.py"),
            Engine::Torch => Some("with_torch.py"),
            Engine::Numpy => Some("with_numpy.py"),
            Engine::Tinytorch | Engine::Gemm | Engine::RtenGemm | Engine::Matrixmultiply => None,
        }
    }

    /// The process that runs it on so many threads.
    pub(crate) fn command(self, threads: usize) -> Result<Command> {
        let mut command = match self.script() {
            Some(script) => {
                let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
                let mut command = Command::new(python);
                let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
                command.arg(peers.join(script)).arg(threads.to_string());
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--worker", self.name(), "--threads", &threads.to_string()]);
                command
            }
        };
        command.envs(THREADS.map(|name| (name, threads.to_string())));
        Ok(command)
    }
}
