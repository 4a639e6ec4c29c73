//! How the values of a row lie in memory.

use crate::tuning::GROUP;

/// Where the `k` values of a row lie: in runs of `quads` times four values at each of `offsets`,
/// then `tail < 4` values at `tail_offset`.
#[derive(Copy, Clone)]
pub(super) struct Runs<'a> {
    pub(super) offsets: &'a [usize],
    pub(super) quads: usize,
    pub(super) tail: usize,
    pub(super) tail_offset: usize,
}

impl Runs<'_> {
    /// `k` values side by side.
    pub(super) fn contiguous(k: usize) -> Runs<'static> {
        Runs { offsets: &[0], quads: k / GROUP, tail: k % GROUP, tail_offset: k / GROUP * GROUP }
    }

    /// The same with the last values as a group like the others, filled up with what follows them.
    pub(super) fn with_whole_groups(self) -> Self {
        let quads = self.quads + usize::from(self.tail > 0);
        Runs { quads, tail: 0, ..self }
    }

    /// Values from the row's start to the end of what is read.
    pub(super) fn extent(&self) -> usize {
        let last = self.offsets.iter().max().map_or(0, |last| last + self.quads * GROUP);
        if self.tail > 0 { last.max(self.tail_offset + self.tail) } else { last }
    }
}
