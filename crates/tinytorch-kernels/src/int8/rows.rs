//! Where the activations of each row of a product lie.

/// Where the rows of the activations start: row `i` at
/// `i / inner * outer_stride + i % inner * inner_stride`.
#[derive(Copy, Clone)]
pub(super) struct Rows<'a> {
    pub(super) start: &'a [u8],
    pub(super) inner: usize,
    pub(super) outer_stride: usize,
    pub(super) inner_stride: usize,
}

impl Rows<'_> {
    /// The place of a row's first value.
    pub(super) fn place(&self, row: usize) -> usize {
        row / self.inner * self.outer_stride + row % self.inner * self.inner_stride
    }

    /// Whether a row never starts before the one above it.
    pub(super) fn ascend(&self, m: usize) -> bool {
        m <= self.inner || (self.inner - 1) * self.inner_stride <= self.outer_stride
    }
}

/// Activations as a tile reads them: as they are, or some of them widened.
#[derive(Copy, Clone)]
pub(super) struct Levels<'a> {
    pub(super) bytes: &'a [u8],
    /// The place of the first one.
    pub(super) first: usize,
    /// Bytes of each.
    pub(super) level_bytes: usize,
}

/// Where a walk along the rows has come to: a division per row would take longer than four dot
/// products.
pub(super) struct RowWalk<'a> {
    levels: Levels<'a>,
    rows: Rows<'a>,
    outer: usize,
    inner: usize,
}

impl<'a> RowWalk<'a> {
    /// The rows from `row` on, one after the other.
    pub(super) fn new(levels: Levels<'a>, rows: Rows<'a>, row: usize) -> RowWalk<'a> {
        RowWalk { levels, outer: row / rows.inner, inner: row % rows.inner, rows }
    }

    /// The starts of the next `count` rows, the last one repeated up to `MR`.
    #[inline(always)]
    pub(super) fn next<const MR: usize>(&mut self, count: usize) -> [*const u8; MR] {
        let Rows { inner, outer_stride, inner_stride, .. } = self.rows;
        let level_bytes = self.levels.level_bytes;
        let place = self.outer * outer_stride + self.inner * inner_stride - self.levels.first;
        let first = &self.levels.bytes[place * level_bytes..];
        if self.inner + count <= inner {
            self.inner += count;
            if self.inner == inner {
                (self.outer, self.inner) = (self.outer + 1, 0);
            }
            let step = inner_stride * level_bytes;
            let last = &first[(count.max(1) - 1) * step..];
            return std::array::from_fn(|r| {
                if r < count { first.as_ptr().wrapping_add(r * step) } else { last.as_ptr() }
            });
        }
        self.next_across(count)
    }

    /// The same where the next rows do not all lie at the same distance.
    #[inline(never)]
    fn next_across<const MR: usize>(&mut self, count: usize) -> [*const u8; MR] {
        let mut starts = [std::ptr::null(); MR];
        for r in 0..MR {
            if r >= count {
                starts[r] = starts[r - 1];
                continue;
            }
            let Rows { inner, outer_stride, inner_stride, .. } = self.rows;
            let place = self.outer * outer_stride + self.inner * inner_stride - self.levels.first;
            starts[r] = self.levels.bytes[place * self.levels.level_bytes..].as_ptr();
            self.inner += 1;
            if self.inner == inner {
                (self.outer, self.inner) = (self.outer + 1, 0);
            }
        }
        starts
    }
}
