//! How four bytes of a row of activations meet those of a vector of columns.

use crate::isa::Simd;

/// How products are summed.
pub(super) trait Dot: Copy {
    /// Bytes of an activation and of a weight.
    const LEVEL_BYTES: usize;

    /// Whether at most two rows are multiplied so.
    fn is_for_few_rows<S: Simd>() -> bool {
        false
    }

    /// Adds to each lane the products of as many activations as take four bytes with its weights.
    fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32;
}

/// Right for all weights.
#[derive(Copy, Clone)]
pub(super) struct Exact;

impl Dot for Exact {
    const LEVEL_BYTES: usize = 1;

    fn is_for_few_rows<S: Simd>() -> bool {
        S::LEVEL_BYTES > 1
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot(sums, a, w)
    }
}

/// Right for all weights, which were widened to 16 bits as the activations were.
#[derive(Copy, Clone)]
pub(super) struct Widened;

impl Dot for Widened {
    const LEVEL_BYTES: usize = 2;

    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot_wide(sums, a, w)
    }
}

/// Right for weights that keep the pair rule.
#[derive(Copy, Clone)]
pub(super) struct PairRule;

impl Dot for PairRule {
    const LEVEL_BYTES: usize = 1;

    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot_pair_rule(sums, a, w)
    }
}
