//! Splitting a kernel's work over rayon's current pool.

use std::ops::Range;

/// How many pieces to cut `work` units into, so that each thread of the current pool has some and
/// none has fewer than `least`, the number below which a hand-off costs more than it saves.
pub(crate) fn pieces(work: usize, least: usize) -> usize {
    if work < 2 * least {
        return 1;
    }
    rayon::current_num_threads().min(work / least.max(1)).max(1)
}

/// Calls `job` on `pieces` consecutive ranges that together are `0..items`, in parallel.
///
/// Halving by `rayon::join` allocates nothing inside the pool, and idle threads steal the larger
/// parts first.
pub(crate) fn split(items: usize, pieces: usize, job: &(impl Fn(Range<usize>) + Sync)) {
    fn halve(range: Range<usize>, pieces: usize, job: &(impl Fn(Range<usize>) + Sync)) {
        if pieces <= 1 || range.len() <= 1 {
            if !range.is_empty() {
                job(range);
            }
            return;
        }
        let left = pieces / 2;
        let middle = range.start + range.len() * left / pieces;
        rayon::join(
            || halve(range.start..middle, left, job),
            || halve(middle..range.end, pieces - left, job),
        );
    }
    halve(0..items, pieces, job);
}

/// A pointer into an output that several threads write, each to elements of its own.
#[derive(Copy, Clone)]
pub(crate) struct SharedOut<T>(*mut T);

// SAFETY: whoever dereferences the pointer promises that no other thread uses the same elements.
unsafe impl<T: Send> Send for SharedOut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedOut<T> {}

impl<T> SharedOut<T> {
    pub(crate) fn new(out: &mut [T]) -> SharedOut<T> {
        SharedOut(out.as_mut_ptr())
    }

    /// The pointer to element `index`.
    ///
    /// # Safety
    /// `index` is at most the slice's length, and the caller writes only elements that no other
    /// thread uses meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn at(self, index: usize) -> *mut T {
        // SAFETY: the caller promises that the index lies inside the slice or at its end.
        unsafe { self.0.add(index) }
    }

    /// The elements from `index` on.
    ///
    /// # Safety
    /// `index` is at most the slice's length.
    pub(crate) unsafe fn skip(self, index: usize) -> SharedOut<T> {
        // SAFETY: the caller promises that the index lies inside the slice or at its end.
        SharedOut(unsafe { self.0.add(index) })
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// They lie inside the slice, and no other thread uses them while the result lives.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller promises that the elements exist and are its own.
        unsafe { std::slice::from_raw_parts_mut(self.at(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[test]
    fn every_item_is_visited_once() {
        for items in [0, 1, 2, 7, 64] {
            for pieces in [1, 2, 3, 5, 100] {
                let seen: Vec<AtomicU8> = (0..items).map(|_| AtomicU8::new(0)).collect();
                split(items, pieces, &|range| {
                    range.for_each(|i| {
                        seen[i].fetch_add(1, Ordering::Relaxed);
                    });
                });
                assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }
}
