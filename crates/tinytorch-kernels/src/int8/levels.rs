//! The levels that numbers are rounded to.

use crate::isa::Simd;

/// What [`quantize_lanes`] needs beside the values, ready to be multiplied and compared.
#[derive(Copy, Clone)]
pub(crate) struct Levels {
    inverse: f32,
    low: f32,
    high: f32,
    zero_point: i32,
}

impl Levels {
    /// The 256 unsigned levels of this scale, `zero_point` of which stands for 0.
    pub(super) fn unsigned(scale: f32, zero_point: u8) -> Levels {
        let zero = f32::from(zero_point);
        Levels {
            inverse: 1.0 / scale,
            low: -zero,
            high: 255.0 - zero,
            zero_point: i32::from(zero_point),
        }
    }

    /// The same levels, with negative values taken for 0.
    pub(crate) fn without_negative(self) -> Levels {
        Levels { low: 0.0, ..self }
    }

    /// The level nearest to one value: what [`quantize_lanes`] computes.
    #[inline]
    pub(crate) fn nearest(self, x: f32) -> u8 {
        let steps = x * self.inverse;
        let steps = if steps > self.low { steps } else { self.low };
        let steps = if steps < self.high { steps } else { self.high };
        (steps.round_ties_even() as i32 + self.zero_point) as u8
    }

    /// The 255 signed levels from -127 to 127.
    pub(super) fn symmetric(scale: f32) -> Levels {
        Levels { inverse: 1.0 / scale, low: -127.0, high: 127.0, zero_point: 0 }
    }
}

/// The level nearest to each value, ties to even; the lowest one for NaN.
#[inline(always)]
pub(crate) fn quantize_lanes<S: Simd>(s: S, x: S::F32, levels: Levels) -> S::I32 {
    let steps = s.mul(x, s.splat(levels.inverse));
    let steps = s.min(s.max(steps, s.splat(levels.low)), s.splat(levels.high));
    s.add_i32(s.to_i32(steps), s.splat_i32(levels.zero_point))
}
