//! What outputs are kept between.

use crate::isa::Simd;

/// The least and the largest value of outputs: what lies beyond a bound becomes the bound, and NaN stays.
///
/// ```
/// use tinytorch_kernels::f32::Bounds;
///
/// assert_eq!(Bounds { low: 0.0, high: 6.0 }.of(7.5), 6.0);
/// assert_eq!(Bounds::POSITIVE.of(-1.0), 0.0);
/// assert_eq!(Bounds::NONE.of(-1.0), -1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The least value.
    pub low: f32,
    /// The largest one, not below the least.
    pub high: f32,
}

impl Bounds {
    /// Every value stays.
    pub const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// The ReLU.
    pub const POSITIVE: Bounds = Bounds { low: 0.0, high: f32::INFINITY };

    /// A value between the bounds.
    #[inline(always)]
    pub fn of(self, value: f32) -> f32 {
        let value = if value < self.low { self.low } else { value };
        if value > self.high { self.high } else { value }
    }

    /// A vector of them.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, values: S::F32) -> S::F32 {
        // This order leaves NaN as it is.
        s.min(s.splat(self.high), s.max(s.splat(self.low), values))
    }
}
