//! Convolution where each group has one input channel: too few multiplications for a matrix product. Neighboring pixels of a
//! row fill a vector, or, where rows are short, the same pixel of neighboring channels.

mod across;
mod grid;
mod rows;
mod sliding;
mod transpose;

use super::Lengths;
use crate::Isa;
use crate::f32::Bounds;
use crate::int8::ConvShape;

/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;

pub(super) fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.groups == shape.in_channels
}

/// What a depthwise convolution reads, which [`conv2d`](super::conv2d) has checked.
#[derive(Clone, Copy)]
pub(super) struct Depthwise<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) bounds: Bounds,
}

impl Depthwise<'_> {
    pub(super) fn run(self, isa: Isa, out: &mut [f32]) {
        let lengths = Lengths::of(self.shape);
        if out.is_empty() {
            return;
        }
        if sliding::pays(isa, self.shape, &lengths) {
            sliding::run(isa, self, &lengths, out);
        } else if across::pays(isa, self.shape, &lengths) {
            across::run(isa, self, &lengths, out);
        } else {
            rows::run(isa, self, &lengths, out);
        }
    }
}
