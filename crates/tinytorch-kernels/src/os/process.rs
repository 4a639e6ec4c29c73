//! How much memory the operating system charges to this process, from `/proc/self`.
//!
//! ```
//! # #[cfg(target_os = "linux")] {
//! let memory = tinytorch_kernels::os::ProcessMemory::now()?;
//! assert!(memory.peak_resident >= memory.private);
//! # }
//! # Ok::<(), tinytorch_kernels::os::ProcessMemoryError>(())
//! ```

use std::path::Path;
use std::{fs, io};

/// Memory of this process in bytes, as the kernel accounts for it.
///
/// Pages of a mapped file, such as the program's own, count as resident once they are touched, and go away
/// when the kernel needs them elsewhere: compare `private` where that must not blur the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident set (`VmRSS`): pages in memory, shared ones included.
    pub resident: u64,
    /// The largest resident set so far (`VmHWM`).
    pub peak_resident: u64,
    /// Proportional set (`Pss`): a page shared by n processes counts 1/n.
    pub proportional: u64,
    /// Pages that no other process shares (`Private_Clean` + `Private_Dirty`).
    pub private: u64,
}

/// Why the memory of the process is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProcessMemoryError {
    /// The kernel has no such file: not Linux, or a kernel or sandbox without it.
    #[error("cannot measure process memory: this system has no {path}; use Linux 4.14 or later")]
    Unsupported {
        /// The file that is missing.
        path: &'static str,
    },
    /// The file is there and could not be read.
    #[error("cannot measure process memory: reading {path} failed: {source}")]
    Read {
        /// The file that was read.
        path: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file lacks a line this reader needs, or the line is not a number of kB.
    #[error("cannot measure process memory: {path} has no readable line `{field}: <n> kB`")]
    Malformed {
        /// The file that was read.
        path: &'static str,
        /// The name of the line.
        field: &'static str,
    },
}

const STATUS: &str = "/proc/self/status";
const ROLLUP: &str = "/proc/self/smaps_rollup";

impl ProcessMemory {
    /// Reads the figures, which takes a walk over the page tables: some 100 us, more for a large
    /// process.
    ///
    /// # Errors
    /// When the platform has no such files, or they cannot be read or understood.
    pub fn now() -> Result<Self, ProcessMemoryError> {
        let status = read(STATUS)?;
        let rollup = read(ROLLUP)?;
        let of_status = |field| kilobytes(&status, STATUS, field);
        let of_rollup = |field| kilobytes(&rollup, ROLLUP, field);
        Ok(Self {
            resident: of_status("VmRSS")?,
            peak_resident: of_status("VmHWM")?,
            proportional: of_rollup("Pss")?,
            private: of_rollup("Private_Clean")?.saturating_add(of_rollup("Private_Dirty")?),
        })
    }
}

fn read(path: &'static str) -> Result<String, ProcessMemoryError> {
    fs::read_to_string(Path::new(path)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ProcessMemoryError::Unsupported { path },
        _ => ProcessMemoryError::Read { path, source },
    })
}

/// The value of the line `field:   <n> kB`, in bytes.
fn kilobytes(
    text: &str,
    path: &'static str,
    field: &'static str,
) -> Result<u64, ProcessMemoryError> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .and_then(|kilobytes| kilobytes.checked_mul(1024))
        .ok_or(ProcessMemoryError::Malformed { path, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "VmHWM:\t  200 kB\nPss_Anon: 7 kB\nPss:   12 kB\n";
        assert_eq!(kilobytes(text, STATUS, "VmHWM").unwrap(), 200 * 1024);
        assert_eq!(kilobytes(text, ROLLUP, "Pss").unwrap(), 12 * 1024);
    }

    #[test]
    fn missing_unparsable_and_overflowing_lines_are_errors_that_name_the_field() {
        for text in
            ["", "Pss 12 kB", "Pss: 12 MB", "Pss: twelve kB", "Pss: 18446744073709551615 kB"]
        {
            let error = kilobytes(text, ROLLUP, "Pss").unwrap_err();
            assert!(
                error.to_string().contains("smaps_rollup has no readable line `Pss:"),
                "{text}"
            );
        }
    }
}
