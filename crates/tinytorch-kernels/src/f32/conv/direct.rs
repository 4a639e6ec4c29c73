//! Convolution straight from the image: neighboring pixels of an output row fill a vector, and what they
//! see under a place of the kernel are neighbors in the image too, so that no window is copied.
//!
//! Copying windows costs as much as multiplying them by some ten channels: without it, 32 images of
//! 14 x 14 pixels from 16 to 32 channels take half the time.

use super::Lengths;
use crate::Isa;
use crate::f32::gemm::{Lines, PackedA, Panels, Staged, Unfolded, next_rows};
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, share};
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::{PRODUCT_F32, product_f32_operations};
use crate::tuning::{A_PANEL, by_isa};
use std::ops::Range;

/// Values of a window up to which sums stay in registers from the first to the last.
const LONG_WINDOW: usize = 640;

/// Values of a window that are summed at a time where it is longer: what a vector of pixels sees of them
/// stays in the first-level cache while all channels pass by.
const WINDOW_BLOCK: usize = 512;

/// Values of an image that a task copies, so that they stay in the second-level cache.
const SLAB: usize = 32 << 10;

/// Whether windows have values, and rows of output are long enough: vectors must be two thirds full.
pub(super) fn is_direct(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let (lanes, [_, output_width]) = (isa.lanes(), lengths.output);
    let is_matrix =
        shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.padding == [[0; 2]; 2];
    !is_matrix && lengths.window > 0 && 2 * output_width.next_multiple_of(lanes) <= 3 * output_width
}

/// A convolution whose arguments have been checked.
pub(super) struct Direct<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) x: &'a [f32],
    /// A packed matrix for each group.
    pub(super) weight: &'a [PackedA],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) relu: bool,
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
        let unfolded = Unfolded::new(self.x, self.shape);
        let cut = self.cut(&lengths, &unfolded);
        let per_group = cut.row_parts * cut.channel_parts;
        let image_len = unfolded.slab_len(channels_at_once(&unfolded), cut.rows);
        let offsets_len = channels_at_once(&unfolded) * unfolded.taps();
        let out = SharedOut::new(out);
        share(self.shape.batch * groups * per_group, cut.threads, &|worker| {
            with_thread_scratch(|scratch| {
                let bytes = bytes_for::<f32>(image_len) + bytes_for::<usize>(offsets_len);
                let mut arena = scratch.arena(bytes);
                let (image, offsets) = (arena.take(image_len), arena.take(offsets_len));
                for task in worker {
                    let (plane, part) = (task / per_group, task % per_group);
                    let group = plane % groups;
                    let row = part / cut.channel_parts * cut.rows;
                    let channel = part % cut.channel_parts * cut.channels;
                    let rows = row..lengths.output[0].min(row + cut.rows);
                    let channels = channel..lengths.channels_out.min(channel + cut.channels);
                    let first = group * lengths.channels_out + channels.start;
                    isa.run(Slab {
                        unfolded: unfolded.at_offset(plane * lengths.group_in),
                        weight: &self.weight[group],
                        bias: self.bias.map(|bias| &bias[first..][..channels.len()]),
                        relu: self.relu,
                        rows,
                        channels,
                        // SAFETY: the group of the image lies in the output.
                        out: unsafe { out.skip(plane * lengths.group_out) },
                        image: &mut *image,
                        offsets: &mut *offsets,
                    });
                }
            });
        });
    }

    fn cut(&self, lengths: &Lengths, unfolded: &Unfolded<'_>) -> Cut {
        let [height, _] = lengths.output;
        let planes = self.shape.batch * self.shape.groups;
        let work = product_f32_operations(lengths.channels_out, lengths.window, lengths.pixels);
        let threads = PRODUCT_F32.shares(work.saturating_mul(planes));
        let channels = channels_at_once(unfolded);
        let even = height.div_ceil(threads.div_ceil(planes));
        let small = (1..=even).take_while(|&rows| unfolded.slab_len(channels, rows) <= SLAB);
        let rows = small.last().unwrap_or(1);
        let row_parts = height.div_ceil(rows);
        // Each part of the channels copies the image anew.
        let panels = lengths.channels_out.div_ceil(A_PANEL);
        let wanted = threads.div_ceil(planes * row_parts).min(panels);
        let channels = panels.div_ceil(wanted) * A_PANEL;
        let channel_parts = lengths.channels_out.div_ceil(channels);
        Cut { rows, row_parts, channels, channel_parts, threads }
    }
}

/// Input channels whose values are summed at a time.
fn channels_at_once(unfolded: &Unfolded<'_>) -> usize {
    if unfolded.rows() <= LONG_WINDOW {
        unfolded.channels()
    } else {
        (WINDOW_BLOCK / unfolded.taps()).clamp(1, unfolded.channels())
    }
}

/// Some rows and channels of the output of a group of an image.
struct Slab<'a> {
    unfolded: Unfolded<'a>,
    weight: &'a PackedA,
    /// Of these channels.
    bias: Option<&'a [f32]>,
    relu: bool,
    rows: Range<usize>,
    /// The first one starts a panel of the weight.
    channels: Range<usize>,
    /// All of the group's output.
    out: SharedOut<f32>,
    image: &'a mut [f32],
    /// From the first value under the kernel to each other one.
    offsets: &'a mut [usize],
}

/// Output pixels side by side, a vector of them.
#[derive(Copy, Clone)]
pub(super) struct Pixels {
    /// Where the first one's window starts in the copy of the image.
    pub(super) corner: usize,
    /// Where the first one lies in a channel of the output.
    pub(super) place: usize,
    /// How many of the vector's lanes are pixels.
    pub(super) lanes: usize,
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
        let (all, at_once) = (self.unfolded.channels(), channels_at_once(&self.unfolded));
        let taps = self.unfolded.taps();
        let [_, width] = self.unfolded.output();
        let vectors = self.rows.len() * width.div_ceil(S::LANES);
        for first in (0..all).step_by(at_once) {
            let channels = first..all.min(first + at_once);
            let p = channels.start * taps..channels.end * taps;
            let staged = self.unfolded.stage(s, channels, self.rows.clone(), self.image);
            let mut places = self.offsets.iter_mut();
            self.unfolded.for_each_tap(&staged, p.clone(), |tap| {
                places.next().into_iter().for_each(|place| *place = tap);
            });
            let mut at = 0;
            while at < vectors {
                let count = (vectors - at).min(V);
                match count {
                    1 => self.strip::<S, R, 1>(s, &staged, &p, at),
                    2 => self.strip::<S, R, 2>(s, &staged, &p, at),
                    3 => self.strip::<S, R, 3>(s, &staged, &p, at),
                    _ => self.strip::<S, R, V>(s, &staged, &p, at),
                }
                at += count;
            }
        }
    }

    /// Adds the values `p` of windows to `N` vectors of pixels of all channels.
    #[inline(always)]
    fn strip<S: Simd, const R: usize, const N: usize>(
        &self,
        s: S,
        staged: &Staged,
        p: &Range<usize>,
        at: usize,
    ) {
        let (is_first, is_last) = (p.start == 0, p.end == self.weight.cols());
        let [height, width] = self.unfolded.output();
        let per_row = width.div_ceil(S::LANES);
        let pixels = |index: usize| {
            let (y, x) = (index / per_row, index % per_row * S::LANES);
            // The last vector of a row may compute some pixels a second time, unless it adds to what
            // they were.
            let x = if is_first && is_last { x.min(width - S::LANES) } else { x };
            Pixels {
                corner: self.unfolded.corner(staged, y, x),
                place: (self.rows.start + y) * width + x,
                lanes: S::LANES.min(width - x),
            }
        };
        let offsets = &self.offsets[..p.len()];
        s.call(Strip::<R, N> {
            image: self.image,
            reach: offsets.iter().copied().max().unwrap_or(0),
            offsets,
            weight: self.weight.panels(self.channels.start, p.start),
            bias: if is_first { self.bias } else { None },
            pixels: std::array::from_fn(|v| pixels(at + v)),
            channels: self.channels.len(),
            // SAFETY: the channels lie in the output.
            out: unsafe { self.out.skip(self.channels.start * height * width) },
            plane: height * width,
            adds: !is_first,
            relu: self.relu && is_last,
        });
    }
}

/// `N` vectors of pixels by all channels, `R` at a time.
pub(super) struct Strip<'a, const R: usize, const N: usize> {
    pub(super) image: &'a [f32],
    pub(super) offsets: &'a [usize],
    /// The largest of the offsets.
    pub(super) reach: usize,
    pub(super) weight: Panels<A_PANEL>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) pixels: [Pixels; N],
    pub(super) channels: usize,
    /// The first channel.
    pub(super) out: SharedOut<f32>,
    /// From a channel to the next.
    pub(super) plane: usize,
    /// Whether sums start from what the output holds.
    pub(super) adds: bool,
    pub(super) relu: bool,
}

impl<const R: usize, const N: usize> Kernel for Strip<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for Pixels { corner, .. } in self.pixels {
            assert!(corner + self.reach + S::LANES <= self.image.len());
        }
        let mut first = 0;
        while first < self.channels {
            let rows = next_rows::<R>(self.channels - first);
            if R > 4 && rows <= 4 {
                self.tile::<S, 4>(s, first);
            } else {
                self.tile::<S, R>(s, first);
            }
            first += rows;
        }
    }
}

impl<const R: usize, const N: usize> Strip<'_, R, N> {
    /// The part of channel `channel` that vector `v` fills.
    ///
    /// # Safety
    /// The channel is one of these, and nobody else uses the slice meanwhile.
    #[inline(always)]
    unsafe fn place<'o>(&self, channel: usize, v: usize) -> &'o mut [f32] {
        let Pixels { place, lanes, .. } = self.pixels[v];
        // SAFETY: as the caller promises; the pixels lie in the channel.
        unsafe { self.out.slice(channel * self.plane + place, lanes) }
    }

    /// The channels from `first` on, `M` at most.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&self, s: S, first: usize) {
        let sums = self.starts::<S, M>(s, first);
        let sums = self.sum(s, first, sums);
        self.store(s, first, sums);
    }

    #[inline(always)]
    fn starts<S: Simd, const M: usize>(&self, s: S, first: usize) -> [[S::F32; N]; M] {
        let mut sums = [[s.splat(0.0); N]; M];
        for i in 0..M {
            let channel = (first + i).min(self.channels - 1);
            for v in 0..N {
                if self.adds {
                    // SAFETY: `channel` is one of these, which belong to this thread.
                    let held = unsafe { self.place(channel, v) };
                    sums[i][v] = s.load_partial(held);
                } else if let Some(bias) = self.bias {
                    sums[i][v] = s.splat(0.0 + bias[channel]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn sum<S: Simd, const M: usize>(
        &self,
        s: S,
        first: usize,
        mut sums: [[S::F32; N]; M],
    ) -> [[S::F32; N]; M] {
        let mut weights = Lines::<M>::packed(self.weight, first);
        let corners: [*const f32; N] =
            std::array::from_fn(|v| self.image[self.pixels[v].corner..].as_ptr());
        for &offset in self.offsets {
            let mut vectors = [s.splat(0.0); N];
            for v in 0..N {
                // SAFETY: `run` checked the largest offset.
                vectors[v] = unsafe { s.load_ptr(corners[v].add(offset)) };
            }
            for i in 0..M {
                // SAFETY: a panel holds as many lines of weights as there are offsets, each of `A_PANEL`
                // channels, and the last one is filled up.
                let weight = s.splat(unsafe { *weights.packed_at(i) });
                for v in 0..N {
                    sums[i][v] = s.mul_add(weight, vectors[v], sums[i][v]);
                }
            }
            weights.advance(A_PANEL);
        }
        sums
    }

    #[inline(always)]
    fn store<S: Simd, const M: usize>(&self, s: S, first: usize, sums: [[S::F32; N]; M]) {
        for i in 0..M {
            if first + i >= self.channels {
                return;
            }
            for v in 0..N {
                // This order leaves NaN as it is.
                let sum = if self.relu { s.max(s.splat(0.0), sums[i][v]) } else { sums[i][v] };
                // SAFETY: the channel is one of these, which belong to this thread.
                let out = unsafe { self.place(first + i, v) };
                if out.len() == S::LANES { s.store(sum, out) } else { s.store_partial(sum, out) }
            }
        }
    }
}
