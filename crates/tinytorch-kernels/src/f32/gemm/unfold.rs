//! The windows of an image as the right-hand factor of a product, made block by block.

use super::matrix::extent;
use crate::int8::ConvShape;
use crate::isa::Simd;
use crate::pairs::{copy, separate_behind};
use crate::tuning::B_PANEL;
use std::ops::Range;

/// Values beyond the end of a block, or of a copied image, that whole vectors may touch.
pub(in crate::f32) const SLACK: usize = B_PANEL;

/// Places under the kernel whose distances are computed once for all panels of a block, which has 512 rows
/// unless C has very few.
const TAPS: usize = 512;

/// The windows of one image, or of one group of its channels, that a convolution multiplies by its
/// weights: a row for each channel and place under the kernel, a column for each output pixel.
///
/// The matrix never exists as a whole. The part of the image under a block of it is copied, with its
/// padding and so that strides become 1, and from the copy come the panels, a vector at a time.
#[derive(Debug, Clone, Copy)]
pub struct Unfolded<'a> {
    image: &'a [f32],
    channels: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    /// Rows and columns of input from the first pixel under the kernel to the last.
    span: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Padding above and to the left.
    padding: [usize; 2],
    output: [usize; 2],
}

/// A copy of the part of the image that a block needs: its rows hold first the columns whose distance
/// from the first is a multiple of the stride, then those one further, and so on.
pub(in crate::f32) struct Staged {
    /// Rows for each channel.
    rows: usize,
    /// Values in a row.
    row: usize,
    /// Values in a row for each remainder of the stride.
    phase: usize,
}

impl<'a> Unfolded<'a> {
    /// The first group of channels of the first image; [`BatchDim`](super::BatchDim) reaches the
    /// others.
    ///
    /// # Panics
    /// If `shape` is not that of a convolution ([`ConvShape::check`]), or the group leaves `images`.
    pub fn new(images: &'a [f32], shape: &ConvShape) -> Self {
        let output = match shape.check().and_then(|()| shape.output_size()) {
            Ok(output) => output,
            Err(error) => panic!("{error}"),
        };
        let shape = shape.canonical();
        let unfolded = Self {
            image: images,
            channels: shape.in_channels / shape.groups,
            size: [shape.height, shape.width],
            kernel: shape.kernel,
            span: shape.span(),
            stride: shape.stride,
            dilation: shape.dilation,
            padding: shape.padding.map(|sides| sides[0]),
            output,
        };
        unfolded.check(std::iter::empty());
        unfolded
    }

    /// Channels times the kernel's size.
    pub(in crate::f32) fn rows(&self) -> usize {
        self.channels * self.taps()
    }

    /// Output pixels.
    pub(in crate::f32) fn cols(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Rows and columns of the output.
    pub(in crate::f32) fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Places under the kernel.
    pub(in crate::f32) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The image that starts `offset` values further on.
    pub(in crate::f32) fn at_offset(self, offset: usize) -> Self {
        Self { image: self.image.get(offset..).unwrap_or(&[]), ..self }
    }

    /// Panics unless the image lies in its data at every index of a batch of (length, stride).
    pub(super) fn check(&self, batch: impl Iterator<Item = (usize, usize)> + Clone) {
        let needed = extent(batch.chain([(self.channels * self.size[0] * self.size[1], 1)]));
        let given = self.image.len();
        assert!(needed <= given, "the images need {needed} values in all, not {given}");
    }

    /// Values in the copy of the image for any block of `depth` rows and `width` columns.
    pub(in crate::f32) fn staging_len(&self, depth: usize, width: usize) -> usize {
        let channels = (depth.div_ceil(self.taps()) + 1).min(self.channels);
        let output_rows = (width.div_ceil(self.output[1].max(1)) + 1).min(self.output[0]);
        self.slab_len(channels, output_rows)
    }

    /// Values in the copy of what `output_rows` rows of output see of `channels`.
    pub(in crate::f32) fn slab_len(&self, channels: usize, output_rows: usize) -> usize {
        let staged = self.staged(output_rows);
        channels * staged.rows * staged.row + SLACK
    }

    /// Where the copy of what `output_rows` rows of output see has its values.
    #[inline(always)]
    pub(in crate::f32) fn staged(&self, output_rows: usize) -> Staged {
        let phase = self.output[1] + (self.span[1] - 1) / self.stride[1];
        Staged {
            rows: output_rows.saturating_sub(1) * self.stride[0] + self.span[0],
            row: phase * self.stride[1].min(self.span[1]),
            phase,
        }
    }

    /// Copies what the output rows `output_rows` see of `channels` to `out`.
    #[inline(always)]
    pub(in crate::f32) fn stage<S: Simd>(
        &self,
        s: S,
        channels: Range<usize>,
        output_rows: Range<usize>,
        out: &mut [f32],
    ) -> Staged {
        let staged = self.staged(output_rows.len());
        let first_row = output_rows.start * self.stride[0];
        if staged.row == 0 {
            return staged;
        }
        let mut rows = out.chunks_exact_mut(staged.row);
        for c in channels {
            for i in 0..staged.rows {
                let Some(out) = rows.next() else { return staged };
                // Rows that the kernel steps over are not read.
                if i % self.stride[0] >= self.span[0] {
                    continue;
                }
                match self.row(c, first_row + i) {
                    None => out.fill(0.0),
                    Some(row) if self.stride[1] == 2 && self.span[1] > 1 => {
                        let (even, odd) = out.split_at_mut(staged.phase);
                        let (left, right) = (self.padding[1], self.padding[1] + row.len());
                        for half in [&mut *even, &mut *odd] {
                            let (inside, all) = (right / 2, half.len());
                            half[..left.div_ceil(2).min(all)].fill(0.0);
                            half[inside.min(all)..].fill(0.0);
                        }
                        separate_behind(s, left, row, even, odd);
                    }
                    Some(row) => self.phases(s, &staged, row, out),
                }
            }
        }
        staged
    }

    /// A row of the image with its padding, if it is not padding itself.
    #[inline(always)]
    fn row(&self, c: usize, y: usize) -> Option<&'a [f32]> {
        let [height, width] = self.size;
        let y = y.checked_sub(self.padding[0]).filter(|&y| y < height)?;
        Some(&self.image[(c * height + y) * width..][..width])
    }

    /// Copies a row for any stride.
    #[inline(always)]
    fn phases<S: Simd>(&self, s: S, staged: &Staged, row: &[f32], out: &mut [f32]) {
        let ([_, left], [_, width], step) = (self.padding, self.size, self.stride[1]);
        if step == 1 {
            let (before, rest) = out.split_at_mut(left.min(staged.phase));
            let (inside, after) = rest.split_at_mut(width.min(rest.len()));
            before.fill(0.0);
            copy(s, &row[..inside.len()], inside);
            return after.fill(0.0);
        }
        for (remainder, out) in out.chunks_exact_mut(staged.phase).enumerate() {
            // Places before `inside.start` and from `inside.end` on are padding.
            let before = |x: usize| (x + left).saturating_sub(remainder).div_ceil(step);
            let inside = before(0).min(staged.phase)..before(width).min(staged.phase);
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            if inside.is_empty() {
                continue;
            }
            let source = &row[inside.start * step + remainder - left..];
            let values = source.iter().step_by(step);
            out[inside].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
        }
    }

    /// Where the window of the output pixel (`y`, `x`), counted from the first staged output row, has
    /// its first value.
    #[inline(always)]
    pub(in crate::f32) fn corner(&self, staged: &Staged, y: usize, x: usize) -> usize {
        y * self.stride[0] * staged.row + x
    }

    /// Calls `visit` with the distance from a window's first value to each of its values `p`, which
    /// starts in the first staged channel.
    #[inline(always)]
    pub(in crate::f32) fn for_each_tap(
        &self,
        staged: &Staged,
        p: Range<usize>,
        mut visit: impl FnMut(usize),
    ) {
        let [kernel_height, kernel_width] = self.kernel;
        let [down, across] = self.dilation;
        // Where the kernel ends, counted as it moves: in input pixels.
        let [bottom, right] = [kernel_height * down, kernel_width * across];
        let step = self.stride[1];
        let start = p.start % self.taps();
        let mut c = 0;
        let (mut y, mut x) = (start / kernel_width * down, start % kernel_width * across);
        for _ in p {
            // Two divisions for each tap would take a tenth of the time of a small convolution.
            let place = if step == 1 { x } else { x % step * staged.phase + x / step };
            visit((c * staged.rows + y) * staged.row + place);
            x += across;
            if x == right {
                (x, y) = (0, y + down);
            }
            if y == bottom {
                (y, c) = (0, c + 1);
            }
        }
    }

    #[inline(always)]
    fn channels_of(&self, p: &Range<usize>) -> Range<usize> {
        p.start / self.taps()..p.end.div_ceil(self.taps())
    }

    /// Packs the rows `p` of the columns `j`; `out` has room for [`SLACK`] values more.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(
        &self,
        s: S,
        j: Range<usize>,
        p: Range<usize>,
        image: &mut [f32],
        out: &mut [f32],
    ) {
        let width = self.output[1];
        if p.is_empty() || j.is_empty() {
            return;
        }
        let first = j.start / width;
        let rows = first..j.end.div_ceil(width);
        let staged = self.stage(s, self.channels_of(&p), rows, image);
        let depth = p.len();
        let columns = j.len();
        assert!(out.len() >= columns.next_multiple_of(B_PANEL) * depth + SLACK);
        let mut taps = [0; TAPS];
        for panel in 0..columns.div_ceil(B_PANEL) {
            let lanes = B_PANEL.min(columns - panel * B_PANEL);
            // A panel's columns are runs along rows of the output: (first lane, corner).
            let mut runs = [(0, 0); B_PANEL];
            let (mut count, mut lane) = (0, 0);
            while lane < lanes {
                let column = j.start + panel * B_PANEL + lane;
                let (y, x) = (column / width - first, column % width);
                runs[count] = (lane, self.corner(&staged, y, x));
                (count, lane) = (count + 1, lane + width - x);
            }
            let mut group = &mut out[panel * B_PANEL * depth..];
            for start in p.clone().step_by(TAPS) {
                let some = start..p.end.min(start + TAPS);
                let taps = &mut taps[..some.len()];
                if panel == 0 || depth > TAPS {
                    let channels = self.channels_of(&p).start..self.channels_of(&some).start;
                    let skipped = channels.len() * staged.rows * staged.row;
                    let mut places = taps.iter_mut();
                    self.for_each_tap(&staged, some, |tap| {
                        places.next().into_iter().for_each(|place| *place = skipped + tap);
                    });
                }
                for &tap in &*taps {
                    // What a run writes beyond its end, the next run or the next row overwrites.
                    for &(lane, corner) in &runs[..count] {
                        group[lane..lane + B_PANEL]
                            .copy_from_slice(&image[corner + tap..][..B_PANEL]);
                    }
                    group = &mut std::mem::take(&mut group)[B_PANEL..];
                }
            }
        }
    }

    /// Writes the rows `p` of the columns under the output rows `output_rows`, row after row.
    #[inline(always)]
    pub(in crate::f32) fn write_rows<S: Simd>(
        &self,
        s: S,
        p: Range<usize>,
        output_rows: Range<usize>,
        image: &mut [f32],
        out: &mut [f32],
    ) {
        let width = self.output[1];
        let staged = self.stage(s, self.channels_of(&p), output_rows.clone(), image);
        let mut rows = out.chunks_exact_mut(width.max(1));
        self.for_each_tap(&staged, p, |tap| {
            for (y, out) in (0..output_rows.len()).zip(&mut rows) {
                out.copy_from_slice(&image[self.corner(&staged, y, 0) + tap..][..width]);
            }
        });
    }
}
