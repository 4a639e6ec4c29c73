//! Kernels of 3 x 3 that move by one or two pixels over rows of a vector or more, where the image lies: each vector of a row is
//! loaded once, and what lies left and right of it is shifted in from the ones beside it.
//!
//! Loading three vectors instead, two of which cross a cache line, took 92 us for 64 planes of 80 x 80 on AVX-512, and this takes
//! 57. A last vector that ends where its row does takes less time than one that is filled in part: 19 us instead of 22 for 64
//! planes of 40 x 40.

use super::Depthwise;
use crate::Isa;
use crate::f32::Bounds;
use crate::f32::conv::Lengths;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::with_thread_scratch;
use crate::threads::DEPTHWISE_F32;
use std::ops::Range;

/// Outputs of a row from which on columns are skipped in vectors of 8: 192 planes of 28 x 28 take 21 us instead of 25, while
/// 128 of 15 x 20 would take 8 instead of 6.5.
const WIDE: usize = 14;

/// Whether it is such a kernel, and vectors shifted take less time than vectors loaded: on AVX-512 from one vector on,
/// 73 us instead of 117 for 144 planes of 56 x 56; on AVX2, whose loads seldom cross a cache line, 155 instead of 124, but
/// where columns are skipped, which would have to be copied, 153 instead of 190 for 96 planes of 112 x 112.
pub(super) fn pays(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let (lanes, width) = (isa.lanes(), lengths.output[1]);
    let [[top, _], [left, right]] = shape.padding;
    let is_such =
        shape.kernel == [3; 2] && shape.dilation == [1; 2] && [top, left] == [1; 2] && right <= 1;
    is_such
        && match (lanes, shape.stride) {
            (16, [1, 1] | [2, 2]) => width >= lanes,
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
        let (width, outputs) = (self.conv.shape.width, self.lengths.output[1]);
        let zeros = s.splat(0.0);
        let mut rows = [Row { values: self.padding, before: zeros, here: zeros }; ROWS];
        for i in 0..ROWS {
            let at = (y * STRIDE + i).wrapping_sub(1).wrapping_mul(width);
            rows[i].values = image.get(at..at.wrapping_add(width)).unwrap_or(self.padding);
            rows[i].here = s.load(rows[i].values);
        }
        let (upper, lower) = out.split_at_mut(outputs);
        let mut sums = Sums { weights, bias, bounds: self.conv.bounds, upper, lower };
        let mut seen = [[zeros; 3]; ROWS];
        let mut x = 0;
        for _ in 0..vectors_followed::<STRIDE>(S::LANES, width) {
            for i in 0..ROWS {
                // SAFETY: the vector that is read last lies in the row, since another one follows.
                seen[i] = unsafe { rows[i].next::<STRIDE>(s, x) };
            }
            sums.store::<STRIDE, ROWS>(s, seen, x);
            x += S::LANES;
        }
        if STRIDE == 1 && x + S::LANES < outputs {
            for i in 0..ROWS {
                seen[i] = rows[i].last_but_one(s, x);
            }
            sums.store::<STRIDE, ROWS>(s, seen, x);
            x += S::LANES;
        }
        if x < outputs {
            // It ends where the row does: what it has in common with the one before is summed twice.
            let last = outputs - S::LANES;
            for i in 0..ROWS {
                seen[i] = rows[i].last::<STRIDE>(s, last);
            }
            sums.store::<STRIDE, ROWS>(s, seen, last);
        }
    }
}

/// How many vectors of outputs see only vectors of input that lie in their row.
const fn vectors_followed<const STRIDE: usize>(lanes: usize, width: usize) -> usize {
    match STRIDE {
        // The last one reads the vector behind what it sees.
        1 => width / lanes - 1,
        _ => width / lanes / STRIDE,
    }
}

/// What becomes of the vectors that rows see.
struct Sums<'a, S: Simd> {
    weights: [[S::F32; 3]; 3],
    bias: S::F32,
    bounds: Bounds,
    upper: &'a mut [f32],
    /// The row below it, if there is one.
    lower: &'a mut [f32],
}

impl<S: Simd> Sums<'_, S> {
    #[inline(always)]
    fn store<const STRIDE: usize, const ROWS: usize>(
        &mut self,
        s: S,
        seen: [[S::F32; 3]; ROWS],
        x: usize,
    ) {
        let mut sums = [self.bias; 2];
        for i in 0..ROWS {
            for k in 0..3 {
                if i < 3 {
                    sums[0] = s.mul_add(self.weights[i][k], seen[i][k], sums[0]);
                }
                if i >= STRIDE {
                    sums[1] = s.mul_add(self.weights[i - STRIDE][k], seen[i][k], sums[1]);
                }
            }
        }
        s.store(self.bounds.apply(s, sums[0]), &mut self.upper[x..]);
        if !self.lower.is_empty() {
            s.store(self.bounds.apply(s, sums[1]), &mut self.lower[x..]);
        }
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
    /// What outputs from `x` on see left of their middle, there, and right of it, `x` being where the last ones ended.
    ///
    /// # Safety
    /// The row holds two vectors from the first middle on.
    #[inline(always)]
    unsafe fn next<const STRIDE: usize>(&mut self, s: S, x: usize) -> [S::F32; 3] {
        // SAFETY: as the caller promises.
        let second = unsafe { s.load_ptr(self.values.as_ptr().add(STRIDE * x + S::LANES)) };
        if STRIDE == 1 {
            let (left, here) = (s.shift_up(self.before, self.here), self.here);
            (self.before, self.here) = (here, second);
            return [left, here, s.shift_down(here, second)];
        }
        // SAFETY: as above.
        let first = unsafe { s.load_ptr(self.values.as_ptr().add(STRIDE * x)) };
        let [even, odd] = s.split_pairs(first, second);
        let left = s.shift_up(self.before, odd);
        self.before = odd;
        [left, even, odd]
    }

    /// The same where less than a vector follows, which the last outputs see.
    #[inline(always)]
    fn last_but_one(&self, s: S, x: usize) -> [S::F32; 3] {
        [s.shift_up(self.before, self.here), self.here, s.load(&self.values[x + 1..])]
    }

    /// The same where the row ends.
    #[inline(always)]
    fn last<const STRIDE: usize>(&self, s: S, x: usize) -> [S::F32; 3] {
        let (x, zeros, row) = (STRIDE * x, s.splat(0.0), self.values);
        let before = if x == 0 { zeros } else { s.splat(row[x - 1]) };
        let (first, behind) = (s.load(&row[x..]), &row[x + S::LANES..]);
        if STRIDE == 1 {
            let after = behind.first().map_or(zeros, |after| s.splat(*after));
            return [s.shift_up(before, first), first, s.shift_down(first, after)];
        }
        let second = if behind.len() < S::LANES { s.load_partial(behind) } else { s.load(behind) };
        let [even, odd] = s.split_pairs(first, second);
        [s.shift_up(before, odd), even, odd]
    }
}
