//! Planes into vectors of a value of each, and back.

use super::MOST_LANES;
use crate::f32::gemm::{HALF, SIDE};
use crate::isa::Simd;
use crate::parallel::SharedOut;
use std::ops::Range;

/// Where the next eight of so many elements start, the last of which may be among those before.
#[inline(always)]
fn next_eight(p: usize, elements: usize) -> usize {
    if p + SIDE < elements { (p + SIDE).min(elements - SIDE) } else { elements }
}

/// Lines of values, one for each lane, the last of which stands for those that are missing.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    pub(super) source: &'a [f32],
    /// From a line to the next.
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Writes a vector for each of the first values of the lines, to `places`, which ascend.
#[inline(always)]
pub(super) fn gather<S: Simd>(s: S, planes: Planes<'_>, places: &[usize], out: &mut [f32]) {
    let Planes { source, stride, count } = planes;
    let elements = places.len();
    let mut lines = [source; MOST_LANES];
    for (i, line) in lines[..S::LANES].iter_mut().enumerate() {
        *line = &source[i.min(count - 1) * stride..][..elements];
    }
    assert!(places.last().is_none_or(|last| last + S::LANES <= out.len()));
    let mut p = 0;
    while p + SIDE <= elements {
        for first in (0..S::LANES).step_by(SIDE) {
            for half in [0, HALF] {
                // SAFETY: there are eight lines that hold eight elements from `p` on.
                let columns = unsafe { s.transpose(&lines[first..first + SIDE], p + half) };
                for i in 0..HALF {
                    // SAFETY: a vector behind the last place ends in `out`.
                    unsafe {
                        let place = *places.get_unchecked(p + half + i);
                        s.store_eight(columns[i], out.as_mut_ptr().add(place + first));
                    }
                }
            }
        }
        p = next_eight(p, elements);
    }
    if elements < SIDE {
        for (p, &place) in places.iter().enumerate() {
            for (line, out) in lines.iter().zip(&mut out[place..][..S::LANES]) {
                *out = line[p];
            }
        }
    }
}

/// Writes vectors to `count` planes, a value to each, where these `pixels` are.
///
/// # Safety
/// `out` has so many planes, `plane` from one to the next, each holds the pixels, and nobody else uses them meanwhile.
#[inline(always)]
pub(super) unsafe fn spread<S: Simd>(
    s: S,
    vectors: &[f32],
    count: usize,
    out: SharedOut<f32>,
    plane: usize,
    pixels: Range<usize>,
) {
    let elements = pixels.len();
    if elements < SIDE {
        for c in 0..count {
            // SAFETY: the caller's promise.
            let out = unsafe { out.slice(c * plane + pixels.start, elements) };
            for (p, out) in out.iter_mut().enumerate() {
                *out = vectors[p * S::LANES + c];
            }
        }
        return;
    }
    let mut lines = [vectors; SIDE];
    for (i, line) in lines.iter_mut().enumerate() {
        *line = &vectors[i * S::LANES..][..(elements - SIDE + 1) * S::LANES];
    }
    let mut p = 0;
    while p < elements {
        for c in (0..count).step_by(HALF) {
            // SAFETY: there are eight lines, of vectors whose lanes are a multiple of four.
            let columns = unsafe { s.transpose(&lines, p * S::LANES + c) };
            for i in 0..HALF.min(count - c) {
                let at = (c + i) * plane + pixels.start + p;
                // SAFETY: the caller's promise.
                unsafe { s.store_eight(columns[i], out.slice(at, SIDE).as_mut_ptr()) };
            }
        }
        p = next_eight(p, elements);
    }
}
