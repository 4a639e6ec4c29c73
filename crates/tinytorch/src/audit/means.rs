use crate::Result;
use crate::profile::process::{ProbeReport, ProbeRequest, spawn};
use std::path::PathBuf;
use tinytorch_kernels::Isa;

/// What an audit may use to measure with.
#[derive(Clone, Debug)]
pub struct Means {
    /// A program that measures memory in a process of its own; without it those gates read `unknown`.
    pub probe: Option<Probe>,
    /// Whether to time the models; without it that gate is left out.
    pub latency: bool,
    /// The instruction set that the model is deployed on.
    pub deployed: Isa,
    /// The instruction sets that may run it, whose results must agree.
    pub isas: Vec<Isa>,
}

impl Default for Means {
    /// This process alone, without a clock, on all instruction sets that it has.
    fn default() -> Self {
        Means { probe: None, latency: false, deployed: Isa::active(), isas: Isa::available() }
    }
}

/// A program that answers [`ProbeRequest`]s with [`crate::profile::process::run`].
#[derive(Clone, Debug)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Probe {
    /// Asks a fresh process.
    ///
    /// # Errors
    /// As [`spawn`].
    pub(super) fn ask(&self, request: &ProbeRequest) -> Result<ProbeReport> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        spawn(&self.program, &args, request)
    }
}
