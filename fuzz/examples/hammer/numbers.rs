//! Random numbers, the same in every run.

/// SplitMix64.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Those of input `n`.
    pub(crate) fn of_input(n: u64) -> Numbers {
        Numbers(n.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A part of something of this length, seldom a long one.
    pub(crate) fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start).min(1 << self.below(8));
        start..start + self.below(most + 1)
    }

    /// A field of a binary file at which arithmetic goes wrong, or one beside it.
    pub(crate) fn field(&mut self) -> u64 {
        const FIELDS: [u64; 16] = [
            0,
            1,
            2,
            7,
            0x7f,
            0x80,
            0xff,
            0x100,
            0x7fff,
            0xffff,
            0x1_0000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x7fff_ffff_ffff_ffff,
            u64::MAX,
        ];
        let field = FIELDS[self.below(FIELDS.len())];
        field.wrapping_add(self.below(3) as u64).wrapping_sub(1)
    }
}
