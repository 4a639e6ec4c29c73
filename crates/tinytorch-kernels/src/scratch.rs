//! Working memory that the caller owns, so that a kernel allocates nothing once it is warm.

use crate::aligned::{ALIGNMENT, AlignedVec, Number};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Working memory for kernels: grows at first use, then is used again.
///
/// ```
/// use tinytorch_kernels::Scratch;
///
/// let scratch = Scratch::new();
/// assert_eq!(scratch.bytes(), 0);
/// ```
#[derive(Default, Debug)]
pub struct Scratch {
    memory: AlignedVec<u8>,
}

impl Scratch {
    /// Working memory of no bytes.
    pub const fn new() -> Scratch {
        Scratch { memory: AlignedVec::new() }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// `len` numbers with whatever values the last user left there.
    ///
    /// ```
    /// use tinytorch_kernels::Scratch;
    ///
    /// let mut scratch = Scratch::new();
    /// assert_eq!(scratch.numbers::<f32>(3).len(), 3);
    /// ```
    pub fn numbers<T: Number>(&mut self, len: usize) -> &mut [T] {
        self.arena(bytes_for::<T>(len)).take(len)
    }

    /// A place to take slices from, `bytes` bytes in all as summed up with [`bytes_for`].
    pub(crate) fn arena(&mut self, bytes: usize) -> Arena<'_> {
        if self.memory.len() < bytes {
            // The old memory is freed first, so that the peak is the new size alone.
            self.memory = AlignedVec::new();
            self.memory = AlignedVec::zeroed(bytes);
        }
        Arena { free: &mut self.memory }
    }
}

/// Bytes that [`Arena::take`] uses for `len` numbers: whole cache lines, or more than any memory has.
pub(crate) fn bytes_for<T: Number>(len: usize) -> usize {
    let bytes = len.checked_mul(size_of::<T>());
    bytes.and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT)).unwrap_or(usize::MAX)
}

/// What is left of a [`Scratch`].
pub(crate) struct Arena<'a> {
    free: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// `len` numbers with whatever values the last user left there, which share no cache line with others
    /// of an arena of 16 kB or more.
    ///
    /// # Panics
    /// If the arena was made too small, which is an error in the kernel that made it.
    pub(crate) fn take<T: Number>(&mut self, len: usize) -> &'a mut [T] {
        let (taken, free) = std::mem::take(&mut self.free).split_at_mut(bytes_for::<T>(len));
        self.free = free;
        if len == 0 {
            return &mut [];
        }
        // SAFETY: the memory is aligned to at least 16 bytes, holds `len` numbers, is borrowed for 'a, and
        // every bit pattern is a number.
        unsafe { std::slice::from_raw_parts_mut(taken.as_mut_ptr().cast(), len) }
    }
}

/// Bytes of the working memory that threads keep for float kernels, of all threads together.
static KEPT_BY_THREADS: AtomicUsize = AtomicUsize::new(0);

/// The working memory of a thread, for kernels whose callers own none.
struct OfThread(Scratch);

impl Drop for OfThread {
    fn drop(&mut self) {
        KEPT_BY_THREADS.fetch_sub(self.0.bytes(), Ordering::Relaxed);
    }
}

/// Lends a kernel the working memory of its thread.
///
/// # Panics
/// If `work` asks for it again.
pub(crate) fn with_thread_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static OWN: RefCell<OfThread> = const { RefCell::new(OfThread(Scratch::new())) };
    }
    OWN.with_borrow_mut(|own| {
        let before = own.0.bytes();
        let result = work(&mut own.0);
        // It never shrinks.
        KEPT_BY_THREADS.fetch_add(own.0.bytes() - before, Ordering::Relaxed);
        result
    })
}

/// Bytes of working memory that the threads of this program keep for float products and convolutions,
/// until they end.
pub fn kept_by_threads() -> usize {
    KEPT_BY_THREADS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_thread_is_counted_while_it_lives() {
        // Other tests use the memory of their threads meanwhile, but none as much as this.
        const LARGE: usize = 1 << 28;
        std::thread::spawn(|| {
            with_thread_scratch(|scratch| scratch.arena(LARGE).take::<u8>(1).fill(0));
            assert!(kept_by_threads() >= LARGE);
        })
        .join()
        .unwrap();
        assert!(kept_by_threads() < LARGE);
    }

    #[test]
    #[should_panic(expected = "capacity overflow")]
    fn more_numbers_than_memory_has_are_refused() {
        Scratch::new().numbers::<f64>(usize::MAX);
    }

    #[test]
    fn slices_do_not_overlap_and_memory_is_kept() {
        let mut scratch = Scratch::new();
        let bytes = bytes_for::<u8>(3) + bytes_for::<f32>(5);
        for _ in 0..2 {
            let mut arena = scratch.arena(bytes);
            let bytes: &mut [u8] = arena.take(3);
            let floats: &mut [f32] = arena.take(5);
            bytes.fill(255);
            floats.fill(1.0);
            assert_eq!(bytes, [255; 3]);
            assert_eq!(floats.as_ptr() as usize % 16, 0);
        }
        assert_eq!(scratch.bytes(), bytes);
        scratch.arena(1);
        assert_eq!(scratch.bytes(), bytes);
        assert_eq!(scratch.numbers::<f64>(16).len(), 16);
        assert_eq!(scratch.bytes(), bytes);
        assert!(Scratch::new().numbers::<f64>(0).is_empty());
    }
}
