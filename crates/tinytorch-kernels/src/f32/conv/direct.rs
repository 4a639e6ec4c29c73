//! Convolution straight from the image: neighboring output pixels fill a vector, and what they see under a place
//! of the kernel are neighbors too, in the image or in a [copy](Copied) of it, so that no window is copied.
//!
//! Copying windows costs as much as multiplying them by some ten channels: without it, 32 images of
//! 14 x 14 pixels from 16 to 32 channels take half the time.

use super::Lengths;
use super::alone::{Alone, MOST_ALONE};
use super::copied::{Copied, Place, Runs, is_pointwise, vectors};
use super::ending::{Ending, Written};
use super::strip::{Pixels, Strip, Whole};
use crate::Isa;
use crate::f32::gemm::PackedA;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::share;
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::{PRODUCT_F32, product_f32_operations};
use crate::tuning::{A_PANEL, by_isa};
use std::ops::Range;

/// Values of a window up to which sums stay in registers from the first to the last.
const LONG_WINDOW: usize = 640;

/// Values of a window that are summed at a time where it is longer: what a vector of pixels sees of them
/// stays in the first-level cache while all channels pass by.
const WINDOW_BLOCK: usize = 512;

/// Output channels whose weights, 48 KB for a block of a window, stay in the second-level cache: whole tiles of six rows
/// and of eight.
const CHANNELS: usize = 24;

/// The same where a pixel is alone, which takes as long for one panel as for eight.
const CHANNELS_ALONE: usize = 64;

/// Values of an image that a task copies, so that they stay in the second-level cache.
const SLAB: usize = 64 << 10;

/// Whether windows have values, and outputs fill most of their vectors, or half of a single one; where no copy has room
/// behind its last value, all of it.
pub(super) fn is_direct(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let (lanes, pixels) = (isa.lanes(), lengths.pixels);
    let least = if is_pointwise(shape) { lanes } else { lanes / 2 };
    let vectors = vectors(lanes, shape, lengths);
    let is_filled = 2 * vectors * lanes <= 3 * pixels || vectors == pixels.div_ceil(lanes);
    lengths.window > 0 && pixels >= least && is_filled
}

/// A convolution whose arguments have been checked.
pub(super) struct Direct<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) x: &'a [f32],
    /// A packed matrix for each group.
    pub(super) weight: &'a [PackedA],
    pub(super) ending: Ending<'a>,
}

/// How the output is cut: images, groups, rows and channels.
struct Cut {
    rows: usize,
    row_parts: usize,
    channels: usize,
    channel_parts: usize,
    threads: usize,
}

impl Direct<'_> {
    pub(super) fn run(&self, isa: Isa, out: &mut [f32]) {
        let lengths = Lengths::of(self.shape);
        let groups = self.shape.groups;
        let copied = Copied::new(isa.lanes(), self.x, self.shape, &lengths);
        let cut = self.cut(isa.lanes(), &lengths, &copied);
        let per_group = cut.row_parts * cut.channel_parts;
        let at_once = channels_at_once(self.shape, &lengths);
        let image_len = copied.len(at_once, cut.rows);
        let offsets_len = at_once * taps(self.shape);
        let out = self.ending.written_to(out);
        share(self.shape.batch * groups * per_group, cut.threads, &|worker| {
            with_thread_scratch(|scratch| {
                let bytes = bytes_for::<f32>(image_len) + bytes_for::<usize>(offsets_len);
                let mut arena = scratch.arena(bytes);
                let (image, offsets) = (arena.take(image_len), arena.take(offsets_len));
                let mut offsets_of = (0, 0);
                for task in worker {
                    let (plane, part) = (task / per_group, task % per_group);
                    let group = plane % groups;
                    let row = part / cut.channel_parts * cut.rows;
                    let channel = part % cut.channel_parts * cut.channels;
                    let is_last = part / cut.channel_parts + 1 == cut.row_parts;
                    let rows = row..if is_last { lengths.output[0] } else { row + cut.rows };
                    let channels = channel..lengths.channels_out.min(channel + cut.channels);
                    let first = group * lengths.channels_out + channels.start;
                    isa.run(Slab {
                        shape: self.shape,
                        lengths: &lengths,
                        copied: copied.at_offset(plane * lengths.group_in),
                        weight: &self.weight[group],
                        bias: self.ending.bias.map(|bias| &bias[first..][..channels.len()]),
                        rows,
                        channels,
                        // SAFETY: the group of the image lies in the output.
                        out: unsafe { out.skip(plane * lengths.group_out) },
                        image: &mut *image,
                        offsets: &mut *offsets,
                        offsets_of: &mut offsets_of,
                    });
                }
            });
        });
    }

    fn cut(&self, lanes: usize, lengths: &Lengths, copied: &Copied<'_>) -> Cut {
        let [height, width] = lengths.output;
        let planes = self.shape.batch * self.shape.groups;
        let work = product_f32_operations(lengths.channels_out, lengths.window, lengths.pixels);
        let threads = PRODUCT_F32.shares(work.saturating_mul(planes));
        let channels = channels_at_once(self.shape, lengths);
        let even = height.div_ceil(threads.div_ceil(planes));
        let small = (1..=even).take_while(|&rows| copied.len(channels, rows) <= SLAB);
        let rows = small.last().unwrap_or(1);
        let (rows, row_parts) = match copied.itself() {
            None => (rows, height.div_ceil(rows)),
            // Each part fills a vector: the last one takes what is left.
            Some(_) => {
                let rows = rows.max(lanes.div_ceil(width));
                (rows, (height / rows).max(1))
            }
        };
        // Each part of the channels copies the image anew.
        let panels = lengths.channels_out.div_ceil(A_PANEL);
        let wanted = threads.div_ceil(planes * row_parts).min(panels);
        let channels = panels.div_ceil(wanted) * A_PANEL;
        let channel_parts = lengths.channels_out.div_ceil(channels);
        Cut { rows, row_parts, channels, channel_parts, threads }
    }
}

/// Places under the kernel.
fn taps(shape: &ConvShape) -> usize {
    shape.kernel[0] * shape.kernel[1]
}

/// Input channels whose values are summed at a time.
fn channels_at_once(shape: &ConvShape, lengths: &Lengths) -> usize {
    let channels = shape.in_channels / shape.groups;
    // Nothing but whole vectors may be read of the image itself, whose last one begins early.
    if lengths.window <= LONG_WINDOW || is_pointwise(shape) {
        channels
    } else {
        (WINDOW_BLOCK / taps(shape)).clamp(1, channels)
    }
}

/// Some rows and channels of the output of a group of an image.
struct Slab<'a> {
    shape: &'a ConvShape,
    lengths: &'a Lengths,
    copied: Copied<'a>,
    weight: &'a PackedA,
    /// Of these channels.
    bias: Option<&'a [f32]>,
    rows: Range<usize>,
    /// The first one starts a panel of the weight.
    channels: Range<usize>,
    /// All of the group's output.
    out: Written,
    image: &'a mut [f32],
    /// From the first value under the kernel to each other one.
    offsets: &'a mut [usize],
    /// Of how many rows of output and values of a window they are.
    offsets_of: &'a mut (usize, usize),
}

impl Kernel for Slab<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        by_isa!(S, T => self.convolve::<
            S, { T.product_f32.tile.rows }, { T.product_f32.tile.vectors },
        >(s));
    }
}

impl Slab<'_> {
    #[inline(always)]
    fn convolve<S: Simd, const R: usize, const V: usize>(&mut self, s: S) {
        let (taps, rows) = (taps(self.shape), self.rows.clone());
        let at_once = channels_at_once(self.shape, self.lengths);
        let all = self.lengths.window / taps;
        let runs = self.copied.runs(rows.len());
        for first in (0..all).step_by(at_once) {
            let channels = first..all.min(first + at_once);
            let p = channels.start * taps..channels.end * taps;
            self.copied.stage(s, channels, rows.clone(), self.image);
            let wanted = (rows.len(), p.len());
            if *self.offsets_of != wanted {
                self.copied.offsets(rows.len(), &mut self.offsets[..p.len()]);
                *self.offsets_of = wanted;
            }
            // The weights of many channels come from memory: pixels that are few pass by while some of them are near.
            let all = self.channels.len();
            let some = match runs.vectors(S::LANES) {
                vectors if vectors > 2 * V => all.max(1),
                _ if self.alone(S::LANES, runs).is_empty() => CHANNELS,
                _ => CHANNELS_ALONE,
            };
            for channel in (0..all).step_by(some) {
                let channels = channel..all.min(channel + some);
                self.strips::<S, R, V>(s, &p, channels, runs);
            }
        }
    }

    /// The pixels that are computed each by itself.
    fn alone(&self, lanes: usize, runs: Runs) -> Range<usize> {
        let alone = runs.behind_vectors(lanes);
        let is_cheap = lanes >= A_PANEL && (1..=MOST_ALONE).contains(&alone.len());
        if is_cheap { alone } else { 0..0 }
    }

    /// Adds the values `p` of windows to all vectors of pixels of some of the channels.
    #[inline(always)]
    fn strips<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        p: &Range<usize>,
        channels: Range<usize>,
        runs: Runs,
    ) {
        let (is_first, is_last) = (p.start == 0, p.end == self.weight.cols());
        let Lengths { output: [_, width], pixels: plane, .. } = *self.lengths;
        let offsets = &self.offsets[..p.len()];
        let out = if is_last { self.out } else { self.out.of_parts() };
        let whole = Whole {
            image: match self.copied.itself() {
                Some(image) => &image[self.rows.start * width..],
                None => &*self.image,
            },
            reach: offsets.iter().copied().max().unwrap_or(0),
            offsets,
            weight: self.weight.panels(self.channels.start + channels.start, p.start),
            bias: self.bias.filter(|_| is_first).map(|bias| &bias[channels.clone()]),
            channels: channels.len(),
            // SAFETY: the channels lie in the output, and the rows in each.
            out: unsafe {
                let first = self.channels.start + channels.start;
                out.skip(first * plane + self.rows.start * width)
            },
            plane,
            adds: !is_first,
        };
        // The last vector of a run may compute some pixels a second time, unless it adds to what they were.
        let may_repeat = is_first && is_last;
        let alone = self.alone(S::LANES, runs);
        let is_alone = !alone.is_empty();
        let (mut left, mut place) = (runs.vectors(S::LANES), Place::default());
        left -= usize::from(is_alone);
        while left > 0 {
            // Strips are as even as they can be: one of a single vector waits for its weights.
            let count = left.div_ceil(left.div_ceil(V));
            let place = &mut place;
            match count {
                1 => strip::<S, R, 1>(s, whole, runs, may_repeat, place),
                2 => strip::<S, R, 2>(s, whole, runs, may_repeat, place),
                3 => strip::<S, R, 3>(s, whole, runs, may_repeat, place),
                _ => strip::<S, R, V>(s, whole, runs, may_repeat, place),
            }
            left -= count;
        }
        if is_alone {
            alone.for_each(|pixel| match whole.out.adds() {
                true => s.call(Alone::<true> { whole, pixel }),
                false => s.call(Alone::<false> { whole, pixel }),
            });
        }
    }
}

/// The next `N` vectors of pixels.
#[inline(always)]
fn strip<S: Simd, const R: usize, const N: usize>(
    s: S,
    whole: Whole<'_>,
    runs: Runs,
    may_repeat: bool,
    place: &mut Place,
) {
    let mut pixels = [Pixels::default(); N];
    for v in 0..N {
        pixels[v] = runs.next(S::LANES, may_repeat, place);
    }
    if whole.out.adds() {
        s.call(Strip::<R, N, true> { whole, pixels });
    } else {
        s.call(Strip::<R, N, false> { whole, pixels });
    }
}
