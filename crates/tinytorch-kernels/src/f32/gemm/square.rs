//! Sizes of what is transposed in registers: lines that lie apart become vectors of one element of each.

/// Lines that [`Eights::transpose`](crate::isa::Eights::transpose) reads.
pub(super) const SIDE: usize = 8;

/// Elements that it reads of each line.
pub(super) const HALF: usize = SIDE / 2;
