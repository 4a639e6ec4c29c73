//! Results of a convolution that are computed pixel by pixel and written channel by channel.
//!
//! A tile's rows are pixels and its columns channels, so that it writes whole vectors only where the
//! channels of a pixel lie side by side. Some rows of an image are computed that way, into working memory
//! that stays in the second-level cache, and turned from there.

use std::ops::Range;

use super::finish::{Finish, Target, relu_of};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::order::ToChannels;
use crate::parallel::{SharedIn, SharedOut};

/// Bytes of results that are turned at a time.
const BYTES: usize = 64 << 10;

/// Rows of an image whose results are turned at a time.
pub(super) fn rows_at_once(out_width: usize, channels: usize) -> usize {
    (BYTES / (size_of::<f32>() * out_width * channels).max(1)).max(1)
}

/// Results of some pixels and channels, pixel by pixel, and where they go.
pub(super) struct Turned<'a> {
    pub(super) results: &'a mut [f32],
    /// Where they would be written one by one.
    pub(super) to: Finish,
}

impl Turned<'_> {
    /// Where a product writes the results of the pixels from `pixel` on for some of the channels.
    pub(super) fn finish(&mut self, pixel: usize, columns: Range<usize>) -> Finish {
        let width = self.to.columns.len();
        let first = pixel * width + columns.start - self.to.columns.start;
        Finish {
            target: Target::F32(SharedOut::new(&mut self.results[first..])),
            row_stride: width,
            column_stride: 1,
            columns,
            relu: self.to.relu && !matches!(self.to.target, Target::Sum { .. }),
        }
    }

    /// Writes all results where they go.
    pub(super) fn write(self, isa: Isa) {
        let (out, plus) = match self.to.target {
            Target::F32(out) => (out, None),
            Target::Sum { out, plus } => (out, Some(plus)),
            Target::U8(..) => unreachable!("levels are written pixel by pixel"),
        };
        let (channels, stride) = (self.to.columns.len(), self.to.column_stride);
        isa.run(ToChannels { pixels: &*self.results, channels, out, stride });
        if let Some(plus) = plus {
            let pixels = self.results.len() / channels;
            isa.run(AddPlanes { out, plus, channels, pixels, stride, relu: self.to.relu });
        }
    }
}

/// Adds a second value to the pixels of each channel.
struct AddPlanes {
    out: SharedOut<f32>,
    plus: SharedIn<f32>,
    channels: usize,
    pixels: usize,
    stride: usize,
    relu: bool,
}

impl Kernel for AddPlanes {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for channel in 0..self.channels {
            let start = channel * self.stride;
            // SAFETY: the output has these pixels of each channel, and no other thread writes them; the sums'
            // other terms are as many and only read.
            let (out, plus) = unsafe {
                (self.out.slice(start, self.pixels), self.plus.slice(start, self.pixels))
            };
            let mut out = out.chunks_exact_mut(S::LANES);
            let mut plus = plus.chunks_exact(S::LANES);
            for (out, plus) in (&mut out).zip(&mut plus) {
                s.store(relu_of(s, s.add(s.load(out), s.load(plus)), self.relu), out);
            }
            let (out, plus) = (out.into_remainder(), plus.remainder());
            let sum = s.add(s.load_partial(out), s.load_partial(plus));
            s.store_partial(relu_of(s, sum, self.relu), out);
        }
    }
}
