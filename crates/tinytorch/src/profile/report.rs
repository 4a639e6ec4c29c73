//! What a profile tells.

use super::ParameterCount;
use crate::stats::{Quartiles, TextTable, seconds};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What a model costs on one input. It prints as a table; its keys in JSON are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The parameters.
    pub parameters: ParameterCount,
    /// Operations of a pass; a multiply-add counts as two.
    pub flops: u64,
    /// Bytes that the ops of a pass read, weights included.
    pub read_bytes: u64,
    /// Bytes that the ops of a pass write.
    pub written_bytes: u64,
    /// The heap of a pass; `None` if this program does not count its allocations.
    pub heap: Option<HeapUse>,
    /// Resident memory of this process after the passes, in bytes; `None` where the system does not
    /// tell.
    pub resident_bytes: Option<u64>,
    /// Seconds of a pass that nobody observes.
    pub seconds: Quartiles,
    /// Passes that were timed.
    pub passes: usize,
    /// Nanoseconds of what `layers` is about: a pass of which every part takes its median time.
    pub table_nanoseconds: u64,
    /// Where that time went, op by op, then [`LayerRow::ALLOC`] and [`LayerRow::OTHER`]; together
    /// they are `table_nanoseconds`.
    pub layers: Vec<LayerRow>,
}

/// The heap of a pass, in bytes beyond what was live before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapUse {
    /// Live after the pass: the output.
    pub live_bytes: u64,
    /// Live at most.
    pub peak_bytes: u64,
}

/// An op of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Dotted name of the weight that it multiplies by, such as `layers.0.weight`, or what it is and
    /// after which layer, such as `relu (after layers.0)`.
    pub name: String,
    /// The op.
    pub op: Cow<'static, str>,
    /// The kernel that ran.
    pub kernel: Cow<'static, str>,
    /// Operations.
    pub flops: u64,
    /// Bytes read, weights included.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Time of the computation, in nanoseconds.
    pub nanoseconds: u64,
}

impl LayerRow {
    /// The row of what memory takes beyond computing into what is there: allocating, zeroing and
    /// touching outputs and working memory for the first time, and giving them back.
    pub const ALLOC: &'static str = "[alloc]";
    /// The row of what else happens between ops.
    pub const OTHER: &'static str = "[other]";

    pub(super) fn beside_ops(name: &str, nanoseconds: u64) -> LayerRow {
        LayerRow {
            name: name.to_string(),
            op: "".into(),
            kernel: "".into(),
            flops: 0,
            read_bytes: 0,
            written_bytes: 0,
            nanoseconds,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["layer", "kernel", "time", "share", "MFLOP", "kB"]);
        for row in &self.layers {
            table.row(vec![
                row.name.clone(),
                row.kernel.to_string(),
                seconds(row.nanoseconds as f64 * 1e-9),
                format!("{:.1} %", percent(row.nanoseconds, self.table_nanoseconds)),
                format!("{:.3}", row.flops as f64 * 1e-6),
                format!("{:.1}", (row.read_bytes + row.written_bytes) as f64 * 1e-3),
            ]);
        }
        writeln!(f, "{table}")?;
        let ParameterCount { float, int8, buffers, trainable, bytes } = self.parameters;
        writeln!(
            f,
            "parameters: {float} float, {int8} int8, {buffers} in buffers, {trainable} trainable; {bytes} bytes"
        )?;
        let (read, written) = (self.read_bytes, self.written_bytes);
        writeln!(f, "a pass: {} FLOPs, {read} bytes read, {written} written", self.flops)?;
        let Quartiles { low, median, high } = self.seconds;
        let (low, median, high) = (seconds(low), seconds(median), seconds(high));
        writeln!(f, "latency: {median}, quartiles {low} .. {high}, {} passes", self.passes)?;
        match self.heap {
            Some(heap) => writeln!(
                f,
                "heap of a pass: {} bytes at most, {} kept",
                heap.peak_bytes, heap.live_bytes
            )?,
            None => writeln!(f, "heap: unknown, this program does not count its allocations")?,
        }
        match self.resident_bytes {
            Some(bytes) => writeln!(f, "resident memory of the process: {bytes} bytes"),
            None => writeln!(f, "resident memory: unknown on this system"),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
