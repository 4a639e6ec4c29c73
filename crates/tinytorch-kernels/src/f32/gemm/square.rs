//! Sizes of what is transposed in registers: lines that lie apart become vectors of one element of each.

/// Lines that [`Eights::transpose`](crate::isa::Eights::transpose) reads.
pub(in crate::f32) const SIDE: usize = 8;

/// Elements that it reads of each line.
pub(in crate::f32) const HALF: usize = SIDE / 2;
