//! A copy of an image for outputs that are counted through, row after row: for each column of the kernel all that it sees,
//! so that under a place of the kernel the values of neighboring outputs are neighbors across the ends of rows too.
//!
//! Rows of output that are narrower than a vector, or a little wider, would leave most of its lanes idle: 8 x 8 pixels
//! of 64 channels take 32 us on AVX-512 as transformed tiles and 21 as vectors of two rows each.

use super::Lengths;
use crate::f32::gemm::SLACK;
use crate::int8::ConvShape;
use crate::isa::Simd;
use crate::pairs;
use std::ops::Range;

/// Where the values of an image lie in the copy of what some rows of output see.
#[derive(Clone, Copy)]
pub(super) struct Joined<'a> {
    /// The first image, or a group of its channels.
    image: &'a [f32],
    shape: ConvShape,
    /// Rows and columns of the output.
    output: [usize; 2],
    /// Rows of input whose distance is a multiple of the stride lie together; of so many remainders.
    phases: usize,
    /// Rows of input from the first under the kernel to the last.
    span: usize,
}

impl<'a> Joined<'a> {
    pub(super) fn new(image: &'a [f32], shape: &ConvShape, lengths: &Lengths) -> Self {
        let shape = shape.canonical();
        let [span, _] = shape.span();
        Self { image, shape, output: lengths.output, phases: span.min(shape.stride[0]), span }
    }

    /// Columns of the output.
    pub(super) fn width(&self) -> usize {
        self.output[1]
    }

    /// Rows of a phase.
    fn rows(&self, output_rows: usize) -> usize {
        output_rows + (self.span - 1) / self.shape.stride[0]
    }

    /// Values of a phase.
    fn phase(&self, output_rows: usize) -> usize {
        self.rows(output_rows) * self.output[1]
    }

    /// Values of a channel.
    pub(super) fn channel(&self, output_rows: usize) -> usize {
        self.shape.kernel[1] * self.phases * self.phase(output_rows)
    }

    /// Values of working memory that [`stage`](Joined::stage) takes from the end of the copy's.
    pub(super) fn working(&self, output_rows: usize) -> usize {
        if self.is_halved() { 2 * self.rows(output_rows) * self.half() + SLACK } else { 0 }
    }

    /// Whether even and odd values of rows are told apart before they are copied, once for all columns of the kernel:
    /// 32 channels of 16 x 16 pixels, seen by 64, take 13.4 us so instead of 14.4, on AVX-512.
    fn is_halved(&self) -> bool {
        self.shape.stride[1] == 2 && self.shape.kernel[1] > 1
    }

    /// Even values of a row and its padding, of which there are as many as of odd ones.
    fn half(&self) -> usize {
        self.output[1] + (self.shape.span()[1] - 1) / 2
    }

    /// The image that starts `offset` values further on.
    pub(super) fn at_offset(self, offset: usize) -> Self {
        Self { image: self.image.get(offset..).unwrap_or(&[]), ..self }
    }

    /// Writes the distance from what the first place of the kernel sees to what each sees, channel by channel.
    pub(super) fn offsets(&self, output_rows: usize, offsets: &mut [usize]) {
        let ConvShape { kernel: [height, width], stride: [down, _], dilation, .. } = self.shape;
        let (phase, channel) = (self.phase(output_rows), self.channel(output_rows));
        let channels = offsets.chunks_exact_mut(height * width);
        for (c, places) in channels.enumerate() {
            for (y, places) in places.chunks_exact_mut(width).enumerate() {
                let row = y * dilation[0];
                let first = c * channel + row % down * phase + row / down * self.output[1];
                for (x, place) in places.iter_mut().enumerate() {
                    *place = first + x * self.phases * phase;
                }
            }
        }
    }

    /// Copies what some rows of output see of `channels`.
    #[inline(always)]
    pub(super) fn stage<S: Simd>(
        &self,
        s: S,
        channels: Range<usize>,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let ConvShape { height, width, kernel, stride, dilation, padding, .. } = self.shape;
        let (all, first) = (self.rows(rows.len()), rows.start * stride[0]);
        let (out, halves) = out.split_at_mut(out.len() - self.working(rows.len()));
        // What is no value of a row is padding, of each channel.
        halves.fill(0.0);
        let part = all * self.output[1];
        for (c, out) in channels.zip(out.chunks_exact_mut(self.channel(rows.len()))) {
            let plane = &self.image[c * height * width..][..height * width];
            for remainder in 0..self.phases {
                let first = first + remainder;
                let rows = seen(padding[0][0], height, first, stride[0], all);
                if self.is_halved() {
                    self.separate(s, plane, first, rows.clone(), halves);
                }
                for x in 0..kernel[1] {
                    let out = &mut out[(x * self.phases + remainder) * part..][..part];
                    out[..rows.start * self.output[1]].fill(0.0);
                    if self.is_halved() {
                        self.half_of(s, halves, x * dilation[1], rows.clone(), out);
                    } else {
                        self.part(s, plane, [first, x * dilation[1]], rows.clone(), out);
                    }
                    out[rows.end * self.output[1]..].fill(0.0);
                }
            }
        }
    }

    /// Writes the even and the odd values of `rows` of a part, counted from where the padding begins.
    #[inline(always)]
    fn separate<S: Simd>(
        &self,
        s: S,
        plane: &[f32],
        first: usize,
        rows: Range<usize>,
        halves: &mut [f32],
    ) {
        let ConvShape { width, stride, padding, .. } = self.shape;
        let (half, [[top, _], [left, _]]) = (self.half(), padding);
        let (even, odd) = halves.split_at_mut((halves.len() - SLACK) / 2);
        let halves = even.chunks_exact_mut(half).zip(odd.chunks_exact_mut(half));
        for (y, (even, odd)) in rows.zip(halves) {
            let row = &plane[(first + y * stride[0] - top) * width..][..width];
            pairs::separate_behind(s, left, row, even, odd);
        }
    }

    /// Copies what a `column` of the kernel sees of separated rows.
    #[inline(always)]
    fn half_of<S: Simd>(
        &self,
        s: S,
        halves: &[f32],
        column: usize,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let (outputs, half) = (self.output[1], self.half());
        let odd = (halves.len() - SLACK) / 2;
        let halves = &halves[column % 2 * odd + column / 2..];
        for (i, y) in rows.enumerate() {
            for x in (0..outputs).step_by(S::LANES) {
                // What is written behind the row makes way for the next one.
                s.store_partial(s.load(&halves[i * half + x..]), &mut out[y * outputs + x..]);
            }
        }
    }

    /// Copies `rows`, every stride-th from the `first` on, and of each what a `column` of the kernel sees; both are
    /// counted from where the padding begins.
    #[inline(always)]
    fn part<S: Simd>(
        &self,
        s: S,
        plane: &[f32],
        [first, column]: [usize; 2],
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let ConvShape { width, stride: [down, across], padding, .. } = self.shape;
        let [top, left] = padding.map(|sides| sides[0]);
        let outputs = self.output[1];
        let inside = seen(left, width, column, across, outputs);
        if inside.is_empty() || rows.is_empty() {
            return out.fill(0.0);
        }
        let from = (first + rows.start * down - top) * width;
        let plane = &plane[from + column + inside.start * across - left..];
        let out = &mut out[rows.start * outputs..rows.end * outputs];
        if [down, across] == [1, 1] && outputs == width {
            let len = out.len() - (outputs - inside.len());
            pairs::copy(s, &plane[..len], &mut out[inside.start..]);
        } else {
            for i in 0..rows.len() {
                let to = &mut out[i * outputs + inside.start..];
                copy(s, &plane[i * down * width..], across, inside.len(), to);
            }
        }
        // What came to where the padding is.
        for x in (0..inside.start).chain(inside.end..outputs) {
            out[x..].iter_mut().step_by(outputs).for_each(|value| *value = 0.0);
        }
    }
}

/// Which of `outputs` see no padding along an axis, under a place of the kernel: those whose distance to where the
/// padding begins, `step` from one to the next and `first` at the beginning, leads into the image.
#[inline(always)]
fn seen(padding: usize, len: usize, first: usize, step: usize, outputs: usize) -> Range<usize> {
    let before = |end: usize| {
        let distance = end.saturating_sub(first);
        // Several divisions for each part of a plane of 7 x 7 take as long as copying it.
        let count = if step == 1 { distance } else { distance.div_ceil(step) };
        count.min(outputs)
    };
    before(padding)..before(padding + len)
}

/// Copies `count` values, every `step`-th; what follows them in `to` may change as far as a vector reaches.
#[inline(always)]
fn copy<S: Simd>(s: S, from: &[f32], step: usize, count: usize, to: &mut [f32]) {
    let load = |at: usize| match from.get(at..) {
        Some(values) if values.len() >= S::LANES => s.load(values),
        Some(values) => s.load_partial(values),
        None => s.splat(0.0),
    };
    for x in (0..count).step_by(S::LANES) {
        let vector = match step {
            1 => load(x),
            2 => s.split_pairs(load(2 * x), load(2 * x + S::LANES))[0],
            _ => {
                let values = from.iter().step_by(step);
                to.iter_mut().zip(values).take(count).for_each(|(to, value)| *to = *value);
                return;
            }
        };
        let to = &mut to[x..];
        if to.len() >= S::LANES { s.store(vector, to) } else { s.store_partial(vector, to) }
    }
}
