//! The copy of a part of an image from which a convolution is computed, in one of two forms, or the image itself.

use super::Lengths;
use super::joined::Joined;
use super::strip::Pixels;
use crate::f32::gemm::{SLACK, Unfolded};
use crate::int8::ConvShape;
use crate::isa::Simd;
use std::ops::Range;

/// The copy of what some rows of output see of an image, or of a group of its channels.
#[derive(Clone, Copy)]
pub(super) enum Copied<'a> {
    /// Outputs see one pixel each, in the order of the image, which is no copy. A row of output has so many.
    Itself(&'a [f32], [usize; 2]),
    /// Each row of output is cut into vectors.
    Rows(Unfolded<'a>),
    /// All rows are, as if they were one.
    Joined(Joined<'a>),
}

/// Values up to which a joined image stays in the second-level cache.
const JOINED: usize = 32 << 10;

/// Whether outputs see their own pixel only.
pub(super) fn is_pointwise(shape: &ConvShape) -> bool {
    shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.padding == [[0; 2]; 2]
}

/// Whether rows of output are joined. They are copied once for each column of the kernel then, which pays where more than
/// a tenth of the lanes would be idle, and for a small image that several channels see, a plane of which is copied in one
/// piece.
fn are_joined(lanes: usize, shape: &ConvShape, lengths: &Lengths) -> bool {
    let [height, width] = lengths.output;
    let is_idle = width <= 2 * lanes && 9 * width.next_multiple_of(lanes) > 10 * width;
    let joined = || Joined::new(&[], shape, lengths).channel(height);
    let is_small = || shape.in_channels / shape.groups * joined() <= JOINED;
    is_idle || (shape.stride == [1, 1] && lengths.channels_out > 1 && is_small())
}

/// Vectors of so many lanes that hold the outputs of a channel.
pub(super) fn vectors(lanes: usize, shape: &ConvShape, lengths: &Lengths) -> usize {
    let [height, width] = lengths.output;
    if is_pointwise(shape) || are_joined(lanes, shape, lengths) {
        lengths.pixels.div_ceil(lanes)
    } else {
        height * width.div_ceil(lanes)
    }
}

impl<'a> Copied<'a> {
    /// The form that fills vectors of so many lanes best, with no copy where none is needed: behind the last vector
    /// nothing may be read then.
    pub(super) fn new(
        lanes: usize,
        image: &'a [f32],
        shape: &ConvShape,
        lengths: &Lengths,
    ) -> Copied<'a> {
        if is_pointwise(shape) {
            Copied::Itself(image, lengths.output)
        } else {
            Copied::made(lanes, image, shape, lengths)
        }
    }

    /// A copy, in the form that fills vectors of so many lanes best.
    pub(super) fn made(
        lanes: usize,
        image: &'a [f32],
        shape: &ConvShape,
        lengths: &Lengths,
    ) -> Copied<'a> {
        if are_joined(lanes, shape, lengths) {
            Copied::Joined(Joined::new(image, shape, lengths))
        } else {
            Copied::Rows(Unfolded::new(image, shape))
        }
    }

    /// The image that starts `offset` values further on.
    pub(super) fn at_offset(self, offset: usize) -> Self {
        match self {
            Copied::Itself(image, output) => {
                Copied::Itself(image.get(offset..).unwrap_or(&[]), output)
            }
            Copied::Rows(rows) => Copied::Rows(rows.at_offset(offset)),
            Copied::Joined(joined) => Copied::Joined(joined.at_offset(offset)),
        }
    }

    /// The image, if no copy of it is made.
    pub(super) fn itself(&self) -> Option<&'a [f32]> {
        if let Copied::Itself(image, _) = self { Some(image) } else { None }
    }

    /// Values that the copy takes.
    pub(super) fn len(&self, channels: usize, output_rows: usize) -> usize {
        match self {
            Copied::Itself(..) => 0,
            Copied::Rows(rows) => rows.slab_len(channels, output_rows),
            Copied::Joined(joined) => {
                channels * joined.channel(output_rows) + SLACK + joined.working(output_rows)
            }
        }
    }

    /// Copies what some rows of output see of `channels`.
    #[inline(always)]
    pub(super) fn stage<S: Simd>(
        &self,
        s: S,
        channels: Range<usize>,
        output_rows: Range<usize>,
        out: &mut [f32],
    ) {
        match self {
            Copied::Itself(..) => {}
            Copied::Rows(rows) => {
                rows.stage(s, channels, output_rows, out);
            }
            Copied::Joined(joined) => joined.stage(s, channels, output_rows, out),
        }
    }

    /// Writes how far what each place of the kernel sees lies from what the first one sees, channel by channel.
    pub(super) fn offsets(&self, output_rows: usize, offsets: &mut [usize]) {
        match self {
            Copied::Itself(_, [height, width]) => {
                offsets.iter_mut().enumerate().for_each(|(c, place)| *place = c * height * width);
            }
            Copied::Rows(rows) => {
                let mut places = offsets.iter_mut();
                rows.for_each_tap(&rows.staged(output_rows), 0..places.len(), |tap| {
                    places.next().into_iter().for_each(|place| *place = tap);
                });
            }
            Copied::Joined(joined) => joined.offsets(output_rows, offsets),
        }
    }

    /// Rows of output that are copied at a time, so that they take so many values; joined ones all are.
    pub(super) fn rows_in(&self, values: usize, height: usize) -> usize {
        match self {
            Copied::Rows(rows) => {
                let more = rows.slab_len(1, 2) - rows.slab_len(1, 1);
                (values / more.max(1)).clamp(1, height)
            }
            Copied::Itself(..) | Copied::Joined(_) => height,
        }
    }

    /// How so many rows of outputs lie in the copy.
    pub(super) fn runs(&self, output_rows: usize) -> Runs {
        match self {
            Copied::Rows(rows) => {
                let step = rows.corner(&rows.staged(output_rows), 1, 0);
                Runs { count: output_rows, len: rows.output()[1], step }
            }
            Copied::Itself(_, [_, width]) => Runs { count: 1, len: output_rows * width, step: 0 },
            Copied::Joined(joined) => Runs { count: 1, len: output_rows * joined.width(), step: 0 },
        }
    }
}

/// Outputs that follow each other in the copy as they do in the output.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    pub(super) count: usize,
    /// Outputs of a run.
    pub(super) len: usize,
    /// From what the first place of the kernel sees at the beginning of a run to the same of the next.
    pub(super) step: usize,
}

/// A vector of outputs among runs: the run, and where it begins there.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    run: usize,
    at: usize,
}

impl Runs {
    /// Vectors of so many lanes in all runs.
    pub(super) fn vectors(self, lanes: usize) -> usize {
        self.count * self.len.div_ceil(lanes)
    }

    /// The outputs behind the last whole vector of a run that is the only one and has one.
    pub(super) fn behind_vectors(self, lanes: usize) -> Range<usize> {
        match self.count == 1 && self.len > lanes {
            true => self.len - self.len % lanes..self.len,
            false => 0..0,
        }
    }

    /// The vector at a place, which moves on to the next one. The last one of a run may begin so early that it is full.
    #[inline(always)]
    pub(super) fn next(self, lanes: usize, may_repeat: bool, place: &mut Place) -> Pixels {
        let Place { run, at } = *place;
        let x = if may_repeat { at.min(self.len.saturating_sub(lanes)) } else { at };
        *place = if at + lanes < self.len {
            Place { run, at: at + lanes }
        } else {
            Place { run: run + 1, at: 0 }
        };
        Pixels {
            corner: run * self.step + x,
            place: run * self.len + x,
            lanes: lanes.min(self.len - x),
        }
    }
}
