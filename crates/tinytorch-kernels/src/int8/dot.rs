//! How activations of a row meet those weights of a vector of columns that they multiply.

use crate::isa::Simd;
use crate::tuning::GROUP;

/// Bytes that [`Simd::splat_bytes`] repeats.
const SPLAT: usize = 4;

/// How products are summed.
pub(super) trait Dot: Copy {
    /// Bytes of an activation.
    const LEVEL_BYTES: usize;

    /// Bytes of a weight.
    const WEIGHT_BYTES: usize;

    /// Bytes of activations that meet a vector of weights.
    const STEP_BYTES: usize = Self::LEVEL_BYTES * GROUP / Self::WEIGHT_BYTES;

    /// Whether activations lie around 0, so that no zero point is to be taken off.
    const IS_CENTERED: bool = false;

    /// The same for weights that are bytes, as the last ones along K always are.
    type OfBytes: Dot;

    /// Activations that meet a vector of weights, once for each lane.
    type Levels<S: Simd>: Copy;

    /// A vector of weights, ready to be multiplied.
    type Weights<S: Simd>: Copy;

    /// At most two rows are multiplied so where [`Simd::LEVEL_BYTES`] is more than this.
    const FEW_ROWS_ABOVE: usize = usize::MAX;

    /// Repeats the activations at `from` for each lane.
    ///
    /// # Safety
    /// [`Dot::STEP_BYTES`] bytes are readable at `from`.
    unsafe fn levels<S: Simd>(s: S, from: *const u8) -> Self::Levels<S>;

    /// Makes weights ready to be multiplied.
    fn weights<S: Simd>(s: S, w: S::Bytes) -> Self::Weights<S>;

    /// Adds to each lane the products of the activations with its weights.
    fn add<S: Simd>(s: S, sums: S::I32, a: Self::Levels<S>, w: Self::Weights<S>) -> S::I32;
}

/// A [`Dot`] whose vectors are multiplied as they are read, by one operation of [`Simd`].
macro_rules! plain_dot {
    ($(#[$doc:meta])* $dot:ident, $level_bytes:literal x $weight_bytes:literal, $add:ident, {$($more:tt)*}) => {
        $(#[$doc])*
        #[derive(Copy, Clone)]
        pub(super) struct $dot;

        impl Dot for $dot {
            const LEVEL_BYTES: usize = $level_bytes;
            const WEIGHT_BYTES: usize = $weight_bytes;
            type Levels<S: Simd> = S::Bytes;
            type Weights<S: Simd> = S::Bytes;

            #[inline(always)]
            unsafe fn levels<S: Simd>(s: S, from: *const u8) -> S::Bytes {
                const { assert!(Self::STEP_BYTES == SPLAT) };
                // SAFETY: the caller promises that these bytes are readable.
                unsafe { s.splat_bytes(from) }
            }

            #[inline(always)]
            fn weights<S: Simd>(_: S, w: S::Bytes) -> S::Bytes {
                w
            }

            #[inline(always)]
            fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
                s.$add(sums, a, w)
            }

            $($more)*
        }
    };
}

plain_dot!(
    /// Right for all weights.
    Exact, 1 x 1, dot,
    {
        type OfBytes = Exact;
        const FEW_ROWS_ABOVE: usize = 1;
    }
);

plain_dot!(
    /// Right for all weights, which were widened to 16 bits as the activations were.
    Widened, 2 x 2, dot_wide,
    { type OfBytes = FewWords; }
);

plain_dot!(
    /// Right for weights that keep the pair rule.
    PairRule, 1 x 1, dot_pair_rule,
    { type OfBytes = PairRule; }
);

plain_dot!(
    /// Activations that have 16 bits, times weights that were widened to as many.
    Words, 2 x 2, dot_wide,
    {
        type OfBytes = FewWords;
        const IS_CENTERED: bool = true;
    }
);

/// Activations that have 16 bits, times bytes.
#[derive(Copy, Clone)]
pub(super) struct FewWords;

impl Dot for FewWords {
    const LEVEL_BYTES: usize = 2;
    const WEIGHT_BYTES: usize = 1;
    const IS_CENTERED: bool = true;
    const FEW_ROWS_ABOVE: usize = 0;
    type OfBytes = FewWords;
    type Levels<S: Simd> = [S::Bytes; 2];
    type Weights<S: Simd> = [S::Bytes; 2];

    #[inline(always)]
    unsafe fn levels<S: Simd>(s: S, from: *const u8) -> [S::Bytes; 2] {
        // SAFETY: the caller promises that these bytes are readable.
        unsafe { [s.splat_bytes(from), s.splat_bytes(from.add(SPLAT))] }
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, w: S::Bytes) -> [S::Bytes; 2] {
        s.widen_quads(w)
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::I32, a: [S::Bytes; 2], w: [S::Bytes; 2]) -> S::I32 {
        s.dot_wide(s.dot_wide(sums, a[0], w[0]), a[1], w[1])
    }
}
