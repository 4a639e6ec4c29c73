//! What can go wrong when a model is measured.

use std::path::PathBuf;
use std::process::ExitStatus;
use tinytorch_kernels::os::ProcessMemoryError;

/// What can go wrong when a model is measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A count that must not be 0.
    #[error("{what} is 0; measure at least 1")]
    Zero {
        /// What was counted.
        what: &'static str,
    },
    /// The memory of the process could not be read, though the system has the files for it.
    #[error(transparent)]
    Memory(#[from] ProcessMemoryError),
    /// The thread that runs the passes could not be started.
    #[error("cannot start a thread to measure on: {problem}; end other programs")]
    Thread {
        /// What the system said.
        problem: String,
    },
    /// The system does not tell it.
    #[error("this system does not tell what a process holds")]
    NoResident,
    /// The probe's program could not be started.
    #[error("cannot start the probe {}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The probe ran and reported an error.
    #[error("the probe {} failed with {status}: {message}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last line it wrote to its standard error.
        message: String,
    },
    /// The probe took too long and was ended.
    #[error(
        "the probe {} has not answered within {seconds} s and was ended; measure fewer copies or passes", program.display()
    )]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// How long it had.
        seconds: u64,
    },
    /// A request that cannot be read, in the process that should answer it.
    #[error(
        "the request for a measurement cannot be read: {problem}; an audit starts this process and sends it one"
    )]
    Request {
        /// What is wrong with it.
        problem: String,
    },
    /// The probe ended well without a report.
    #[error("the probe {} gave no report: {detail}; is it a program that answers probes?", program.display())]
    NoReport {
        /// The program.
        program: PathBuf,
        /// What is wrong with its answer.
        detail: String,
    },
}

impl crate::CustomError for ProfileError {}
