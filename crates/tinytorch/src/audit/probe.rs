//! The fresh process in which the memory gates measure, and the line by which a program is one.

use super::Gate;
use crate::Result;
use crate::models::Kinds;
use crate::profile::ProfileError;
use crate::profile::process::{ANSWERS, ProbeReport, ProbeRequest, TIMEOUT, run, spawn_within};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

/// A program that answers [`ProbeRequest`]s: it loads a model in a process that holds nothing else, and
/// reports what memory that takes.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// How long it may take to answer; a gate that gets no answer reads `unknown`.
    pub limit: Duration,
}

impl Probe {
    /// The program of this name, with the usual limit of 120 s.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = String>) -> Probe {
        Probe { program: program.into(), args: args.into_iter().collect(), limit: TIMEOUT }
    }

    /// Makes this program its own probe. It belongs at the very beginning of `main`:
    ///
    /// ```no_run
    /// # fn main() -> tinytorch::Result<()> {
    /// use tinytorch::{audit::Probe, models::Kinds};
    /// let Some(probe) = Probe::serve(&Kinds::built_in())? else { return Ok(()) };
    /// # let _ = probe;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// In a process that an audit has started, it reads the request from the standard input, answers on
    /// the standard output and returns `None`, after which `main` should end. In any other it returns the
    /// probe to audit with, which starts this program again.
    ///
    /// # Errors
    /// As [`run`], and [`ProfileError::Request`] for a request that cannot be read.
    pub fn serve(kinds: &Kinds) -> Result<Option<Probe>> {
        if std::env::var_os(ANSWERS).is_none() {
            let program =
                std::env::current_exe().ok().or_else(|| Some(std::env::args_os().next()?.into()));
            return Ok(Some(Probe::new(program.unwrap_or_default(), [])));
        }
        let unreadable = |problem: String| ProfileError::Request { problem };
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|e| unreadable(e.to_string()))?;
        let request = serde_json::from_str(&line).map_err(|e| unreadable(e.to_string()))?;
        let report = run(&request, kinds)?;
        let report = serde_json::to_string(&report).map_err(|e| unreadable(e.to_string()))?;
        writeln!(std::io::stdout(), "{report}").map_err(|e| unreadable(e.to_string()))?;
        Ok(None)
    }

    /// Asks a fresh process.
    ///
    /// # Errors
    /// As [`spawn_within`].
    pub(super) fn ask(&self, request: &ProbeRequest) -> Result<ProbeReport> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        spawn_within(self.limit, &self.program, &args, request)
    }
}

/// What a memory gate reads without a probe.
pub(super) fn without(id: &'static str) -> Gate {
    let reason = "no program serves as the fresh process to measure in; see `audit::Probe::serve`";
    Gate::not_applicable(id, reason.to_string())
}
