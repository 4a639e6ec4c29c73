//! Padding as a layer reports it.

use std::fmt;

/// Rows above and below, columns left and right; shown as `[rows, columns]` where both sides are equal.
#[derive(Clone, Copy)]
pub(super) struct Pads(pub(super) [[usize; 2]; 2]);

impl fmt::Debug for Pads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [[above, below], [left, right]] if above == below && left == right => {
                [above, left].fmt(f)
            }
            sides => sides.fmt(f),
        }
    }
}
