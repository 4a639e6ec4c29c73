use crate::Result;
use crate::profile::process::{ProbeReport, ProbeRequest, spawn};
use std::path::PathBuf;

/// What an audit may use to measure with.
#[derive(Clone, Debug)]
pub struct Means {
    /// A program that measures memory in a process of its own; without it those gates read `unknown`.
    pub probe: Option<Probe>,
    /// Whether to time the models; without it that gate is left out.
    pub latency: bool,
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
