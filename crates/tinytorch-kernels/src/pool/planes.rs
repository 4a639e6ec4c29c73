//! Planes, whose rows are compared a vector at a time.

use super::pooled::Pooled;
use super::{PoolShape, Rows, largest, under};
use crate::isa::Simd;

/// Values whose neighbors are compared at a time, 16 KB: as many as stay in the first-level cache. A row by
/// itself would be read while it is being written.
const PAIRS: usize = 4 << 10;

/// How the rows of a plane are pooled.
pub(super) enum Way {
    /// Windows are pairs of neighbors, that lie side by side from row to row.
    Pairs,
    /// A window's columns are rows that lie beside each other: those with every column, or every other one.
    Lines,
}

impl Way {
    /// `None` if images are no planes, or windows lie too far apart.
    pub(super) fn of(shape: &PoolShape) -> Option<Way> {
        let PoolShape { channels, width, kernel, stride, padding, dilation, .. } = *shape;
        let is_pair = (kernel[1], stride[1], padding[1], dilation[1]) == (2, 2, [0, 0], 1);
        match (channels, stride[1]) {
            (1, 2) if is_pair && width.is_multiple_of(2) => Some(Way::Pairs),
            (1, 1 | 2) => Some(Way::Lines),
            _ => None,
        }
    }
}

/// Rows of pairs that are compared at a time.
fn rows_at_once(width: usize) -> usize {
    (PAIRS / width).max(1)
}

/// Values of a row with its padding, even in number.
fn padded_len(shape: &PoolShape, out_width: usize) -> usize {
    let span = (shape.kernel[1] - 1) * shape.dilation[1] + 1;
    let seen = (out_width - 1) * shape.stride[1] + span;
    seen.max(shape.padding[1][0] + shape.width).next_multiple_of(2)
}

/// Values that a thread needs room for.
pub(super) fn buffer_len(shape: &PoolShape, out_width: usize) -> Option<usize> {
    Some(match Way::of(shape)? {
        Way::Pairs => shape.width * rows_at_once(shape.width),
        Way::Lines => {
            let padded = padded_len(shape, out_width);
            2 * rows_at_once(padded) * padded
        }
    })
}

impl<T: Pooled> Rows<'_, T> {
    #[inline(always)]
    pub(super) fn pairs<S: Simd>(&mut self, s: S) {
        let (shape, width, [_, out_width]) = (self.shape, self.shape.width, self.out_size);
        // Then the rows under one of the output lie behind those under the one before, in all images.
        let is_even = shape.height.is_multiple_of(2)
            && (shape.kernel[0], shape.stride[0], shape.padding[0]) == (2, 2, [0, 0])
            && shape.dilation[0] == 1;
        let at_once = rows_at_once(width);
        for first in self.rows.clone().step_by(at_once) {
            let rows = first..self.rows.end.min(first + at_once);
            let count = rows.len();
            let tallest = &mut self.buffer[..count * width];
            for (row, tallest) in rows.zip(tallest.chunks_exact_mut(width)) {
                if is_even {
                    let (a, b) = self.x[2 * row * width..][..2 * width].split_at(width);
                    T::larger_of_rows(s, [a, b], tallest);
                } else {
                    largest(s, tallest, under(shape, self.x, self.out_size, row));
                }
            }
            // SAFETY: each output row belongs to one thread.
            let out = unsafe { self.out.slice(first * out_width, count * out_width) };
            T::larger_of_pairs(s, tallest, out);
        }
    }

    #[inline(always)]
    pub(super) fn lines<S: Simd>(&mut self, s: S) {
        let (shape, [_, out_width]) = (self.shape, self.out_size);
        let PoolShape { width, kernel, stride, padding, dilation, .. } = *shape;
        let padded = padded_len(shape, out_width);
        let at_once = rows_at_once(padded);
        let (wide, halves) = self.buffer.split_at_mut(at_once * padded);
        let (even, odd) = halves.split_at_mut(wide.len() / 2);
        wide.fill(T::LEAST);
        for first in self.rows.clone().step_by(at_once) {
            let rows = first..self.rows.end.min(first + at_once);
            let count = rows.len();
            for (row, wide) in rows.zip(wide.chunks_exact_mut(padded)) {
                let wide = &mut wide[padding[1][0]..][..width];
                largest(s, wide, under(shape, self.x, self.out_size, row));
            }
            if stride[1] == 2 {
                T::separate(s, &wide[..count * padded], even, odd);
            }
            // SAFETY: each output row belongs to one thread.
            let out = unsafe { self.out.slice(first * out_width, count * out_width) };
            for (i, out) in out.chunks_exact_mut(out_width).enumerate() {
                let line = |tap: usize| {
                    let place = i * padded + tap * dilation[1];
                    let line = match (stride[1], place % 2) {
                        (1, _) => &wide[place..],
                        (_, 0) => &even[place / 2..],
                        _ => &odd[place / 2..],
                    };
                    &line[..out_width]
                };
                largest(s, out, (0..kernel[1]).map(line));
            }
        }
    }
}
