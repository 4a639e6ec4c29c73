//! What a process is asked to measure, and what it answers.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a process is asked to measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// The model's file.
    pub file: PathBuf,
    /// The measurement.
    pub task: ProbeTask,
}

/// A measurement of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum ProbeTask {
    /// What the values of `copies` of the model, each loaded from the file, take after loading and
    /// after each of them has run `passes` passes. One more copy is loaded, and runs once, before
    /// the first figure is taken.
    Resident {
        /// Copies to load; see [`copies_for`](super::process::copies_for).
        copies: usize,
        /// Shape of each input, batch included.
        inputs: Vec<Vec<usize>>,
        /// Passes of each copy.
        passes: usize,
    },
    /// The largest heap while one copy is compiled and runs, in a process where nothing has run
    /// before.
    PeakHeap {
        /// Shape of each input, batch included.
        inputs: Vec<Vec<usize>>,
        /// Passes, of which those beyond the second run while all of them together have taken less than 30 seconds.
        passes: usize,
    },
}

/// Memory at one moment, in bytes; `None` where this program or system cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident pages, shared ones included.
    pub resident: Option<u64>,
    /// Pages that no other process shares.
    pub private: Option<u64>,
    /// Bytes allocated and not freed, if the counting allocator is installed.
    pub live_heap: Option<u64>,
}

/// What a process has measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Copies of the model that the figures are for.
    pub copies: usize,
    /// Passes that the last of them ran.
    pub passes: usize,
    /// Before their values were loaded.
    pub before: Memory,
    /// After they were loaded.
    pub after_load: Memory,
    /// After the passes, while all copies and the last plan were alive.
    pub after_passes: Memory,
    /// The largest live heap while plans were compiled; `None` without the counting allocator.
    pub peak_of_compiling: Option<u64>,
    /// Live heap after the last plan was compiled and before it ran.
    pub compiled: Option<u64>,
    /// The largest live heap during passes.
    pub peak_of_passes: Option<u64>,
    /// Bytes of the input and of what every op of an eager pass on it computes; compiling runs one.
    pub activation_bytes: u64,
    /// Bytes of the arena that the plan states, which holds its activations.
    pub arena_bytes: u64,
    /// Bytes of working memory that the plan states beside the arena.
    pub scratch_bytes: u64,
    /// Bytes of float layers' weights that the plan states it has packed.
    pub packed_bytes: u64,
    /// Bytes of working memory that threads keep for float kernels.
    pub kept_by_threads: u64,
    /// Bytes of the input and the output of a pass.
    pub ends_bytes: u64,
    /// Ops of a pass.
    pub ops: u64,
    /// Whether the plan keeps the model's graph, to trace it for inputs of other lengths.
    pub traces_anew: bool,
}
