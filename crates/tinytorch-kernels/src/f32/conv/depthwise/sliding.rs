//! Kernels of 3 x 3 that move by one or two pixels over rows of a vector or more, where the image lies: each vector of a row is
//! loaded once, and what lies left and right of it is shifted in from the ones beside it.
//!
//! Loading three vectors instead, two of which cross a cache line, took 92 us for 64 planes of 80 x 80 on AVX-512, and this takes 67.

use super::Depthwise;
use crate::Isa;
use crate::f32::conv::Lengths;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::with_thread_scratch;
use crate::threads::DEPTHWISE_F32;
use std::ops::Range;

/// Outputs of a row from which on it counts as wide.
const WIDE: usize = 32;

/// Whether it is such a kernel, and vectors shifted take less time than vectors loaded: on AVX-512 wherever they are filled,
/// 83 us instead of 117 for 144 planes of 56 x 56; on AVX2, whose loads seldom cross a cache line, 143 instead of 124, but
/// where columns are skipped, which would have to be copied, 153 instead of 190 for 96 planes of 112 x 112.
pub(super) fn pays(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let (lanes, width) = (isa.lanes(), lengths.output[1]);
    let is_filled = width >= lanes && 4 * width >= 3 * width.next_multiple_of(lanes);
    let is_such = shape.kernel == [3; 2]
        && shape.dilation == [1; 2]
        && shape.padding.map(|sides| sides[0]) == [1; 2];
    is_such
        && match (lanes, shape.stride) {
            (16, [1, 1] | [2, 2]) => is_filled || width >= WIDE,
            (8, [2, 2]) => width >= WIDE,
            _ => false,
        }
}

pub(super) fn run(isa: Isa, conv: Depthwise<'_>, lengths: &Lengths, out: &mut [f32]) {
    let planes = conv.shape.batch * conv.shape.in_channels;
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(planes);
    let out = SharedOut::new(out);
    split(planes, parts, &|planes| {
        with_thread_scratch(|scratch| {
            let padding: &mut [f32] = scratch.numbers(conv.shape.width);
            padding.fill(0.0);
            isa.run(Planes { conv, lengths, planes, padding, out });
        });
    });
}

/// Some planes of the input, and the outputs of each.
struct Planes<'a> {
    conv: Depthwise<'a>,
    lengths: &'a Lengths,
    planes: Range<usize>,
    /// A row of it.
    padding: &'a [f32],
    out: SharedOut<f32>,
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Lengths { group_in, group_out, channels_out, pixels, .. } = *self.lengths;
        let Depthwise { shape, x, weight, bias, .. } = self.conv;
        for plane in self.planes.clone() {
            let image = &x[plane * group_in..][..group_in];
            for channel in 0..channels_out {
                let row = plane % shape.in_channels * channels_out + channel;
                let mut weights = [[s.splat(0.0); 3]; 3];
                for (i, weight) in weight[row * 9..][..9].iter().enumerate() {
                    weights[i / 3][i % 3] = s.splat(*weight);
                }
                let bias = s.splat(bias.map_or(0.0, |bias| bias[row]));
                // SAFETY: each plane of the input has its own planes of the output.
                let out = unsafe { self.out.slice(plane * group_out + channel * pixels, pixels) };
                for (i, out) in out.chunks_mut(2 * self.lengths.output[1]).enumerate() {
                    match shape.stride {
                        [1, _] => self.two_rows::<S, 1, 4>(s, image, 2 * i, (weights, bias), out),
                        _ => self.two_rows::<S, 2, 5>(s, image, 2 * i, (weights, bias), out),
                    }
                }
            }
        }
    }
}

impl Planes<'_> {
    /// Row `y` of the output, and the next one if there is one, which together see `ROWS` rows of the input.
    #[inline(always)]
    fn two_rows<S: Simd, const STRIDE: usize, const ROWS: usize>(
        &self,
        s: S,
        image: &[f32],
        y: usize,
        (weights, bias): ([[S::F32; 3]; 3], S::F32),
        out: &mut [f32],
    ) {
        let width = self.conv.shape.width;
        let mut rows =
            [Row { values: self.padding, before: s.splat(0.0), here: s.splat(0.0) }; ROWS];
        for i in 0..ROWS {
            let at = (y * STRIDE + i).wrapping_sub(1).saturating_mul(width);
            rows[i].values = image.get(at..at.saturating_add(width)).unwrap_or(self.padding);
            rows[i].here = rows[i].load(s, 0);
        }
        let (upper, lower) = out.split_at_mut(self.lengths.output[1]);
        for x in (0..upper.len()).step_by(S::LANES) {
            let mut sums = [bias; 2];
            for i in 0..ROWS {
                let seen = rows[i].next::<STRIDE>(s, x);
                for k in 0..3 {
                    if i < 3 {
                        sums[0] = s.mul_add(weights[i][k], seen[k], sums[0]);
                    }
                    if i >= STRIDE {
                        sums[1] = s.mul_add(weights[i - STRIDE][k], seen[k], sums[1]);
                    }
                }
            }
            self.store(s, sums[0], &mut upper[x..]);
            if !lower.is_empty() {
                self.store(s, sums[1], &mut lower[x..]);
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, s: S, sums: S::F32, out: &mut [f32]) {
        let results = self.conv.bounds.apply(s, sums);
        if out.len() >= S::LANES { s.store(results, out) } else { s.store_partial(results, out) }
    }
}

/// A row of input, or of the zeros around it, and the vectors of it that are held.
#[derive(Clone, Copy)]
struct Row<'a, S: Simd> {
    values: &'a [f32],
    /// What lies left of the next vector, in its last lane.
    before: S::F32,
    /// The next vector where columns are not skipped.
    here: S::F32,
}

impl<S: Simd> Row<'_, S> {
    /// The vector from column `x` on; beyond the last column lies the padding.
    #[inline(always)]
    fn load(&self, s: S, x: usize) -> S::F32 {
        match self.values.get(x..) {
            Some(rest) if rest.len() >= S::LANES => s.load(rest),
            Some(rest) => s.load_partial(rest),
            None => s.splat(0.0),
        }
    }

    /// What outputs from `x` on see left of their middle, there, and right of it.
    #[inline(always)]
    fn next<const STRIDE: usize>(&mut self, s: S, x: usize) -> [S::F32; 3] {
        if STRIDE == 1 {
            let (here, after) = (self.here, self.load(s, x + S::LANES));
            let left = s.shift_up(self.before, here);
            (self.before, self.here) = (here, after);
            return [left, here, s.shift_down(here, after)];
        }
        let (first, second) = (self.load(s, 2 * x), self.load(s, 2 * x + S::LANES));
        let [even, odd] = s.split_pairs(first, second);
        let left = s.shift_up(self.before, odd);
        self.before = odd;
        [left, even, odd]
    }
}
