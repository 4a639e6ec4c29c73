//! Whether memory that is about to be asked for is there. The system promises more than it has and ends the
//! process once the promise is called in, so large amounts are asked about before.
//!
//! ```
//! use tinytorch_kernels::os::room;
//!
//! assert!(room::require("a vector", 4000).is_ok());
//! # #[cfg(target_os = "linux")]
//! assert!(room::require("a vector", 1 << 60).is_err());
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Less than this is not asked about: reading what is available takes longer than to fill it.
const SMALL: u64 = 1 << 20;

/// Something takes more memory than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} takes {} and {} of memory are available; use a smaller one, or a machine with more memory",
    Bytes(*needed),
    Bytes(*available)
)]
pub struct NotEnoughMemory {
    /// What the memory is for.
    pub what: String,
    /// Bytes that it takes.
    pub needed: u64,
    /// Bytes that are available.
    pub available: u64,
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1_000_000 => write!(f, "{:.1} kB", bytes / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes / 1e6),
            _ => write!(f, "{:.1} GB", bytes / 1e9),
        }
    }
}

/// Refuses what takes more memory than is available. Where the system does not say what is, nothing is refused.
///
/// # Errors
/// [`NotEnoughMemory`], which calls it `what`.
pub fn require(what: &str, needed: u64) -> Result<(), NotEnoughMemory> {
    if needed <= SMALL {
        return Ok(());
    }
    match available() {
        Some(available) if needed > available => {
            Err(NotEnoughMemory { what: what.to_string(), needed, available })
        }
        _ => Ok(()),
    }
}

/// Bytes of memory that this process may still take: what the machine can give without swapping, and no
/// more than the limits of its control groups and of its addresses leave. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemAvailable:").map(|kb| kb * 1024));
    [machine, group(), addresses()].into_iter().flatten().min()
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the control groups leave (version 2), each of which limits all within it.
fn group() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own: PathBuf = root.join(own);
    own.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(left_in).min()
}

/// What one control group leaves. Pages of files that nobody uses make room when it is asked for.
fn left_in(folder: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    let idle = read("memory.stat").and_then(|stat| field(&stat, "inactive_file "));
    Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or(0))))
}

/// What a limit on the process's addresses leaves, as `ulimit -v` sets one.
fn addresses() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = field(&limits, "Max address space")?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(limit.saturating_sub(field(&status, "VmSize:")? * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_with_both_figures() {
        assert_eq!(require("a grain", SMALL), Ok(()));
        let Some(available) = available() else { return };
        assert!(available > SMALL, "{available}");
        let error = require("the moon", 1 << 62).unwrap_err().to_string();
        assert!(error.starts_with("the moon takes 4611686018.4 GB and "), "{error}");
    }

    #[test]
    fn a_group_leaves_its_limit_without_what_is_in_use() {
        let folder = std::env::temp_dir().join(format!("tinytorch-room-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left_in(&folder), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in(&folder), Some(300));
        write("memory.stat", "anon 1\ninactive_file 200\nactive_file 9\n");
        assert_eq!(left_in(&folder), Some(500));
        write("memory.max", "100\n");
        assert_eq!(left_in(&folder), Some(0));
        fs::remove_dir_all(&folder).unwrap();
    }
}
