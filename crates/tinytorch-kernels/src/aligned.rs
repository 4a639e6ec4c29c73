//! Memory that starts on a cache line, if it is large enough to gain by it.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a cache line, and of the widest vector register.
pub const ALIGNMENT: usize = 64;

/// Bytes from which memory starts on a cache line. To align less costs an allocator more than it can save:
/// for each weight of `digits-mlp`, at most 8 kB large, 107 bytes of resident memory.
const WORTH_ALIGNING: usize = 16 << 10;

/// Where smaller memory starts: a multiple of what every allocator gives.
const LEAST_ALIGNMENT: usize = 16;

/// Bytes from which memory holds at least one huge page of 2 MB, wherever it starts.
const HUGE: usize = 4 << 20;

mod sealed {
    pub trait Sealed {}
}

/// Plain numbers: every bit pattern is a value, and all bits zero is 0.
pub trait Number: sealed::Sealed + Copy + Send + Sync + 'static {}

macro_rules! numbers {
    ($($t:ty)*) => {$(
        impl sealed::Sealed for $t {}
        impl Number for $t {}
    )*};
}
numbers!(u8 i8 u16 i16 u32 i32 u64 i64 usize f32 f64 half::f16);

/// A fixed-length vector that starts on a 64-byte boundary and allocates exactly
/// `len * size_of::<T>()` bytes.
///
/// ```
/// use tinytorch_kernels::aligned::AlignedVec;
///
/// let mut x = AlignedVec::<f32>::zeroed(5000);
/// x[4] = 1.0;
/// assert_eq!(x.as_ptr() as usize % 64, 0);
/// assert_eq!(&x[..6], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
/// ```
pub struct AlignedVec<T: Number> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the vector owns its plain numbers, as `Vec` does.
unsafe impl<T: Number> Send for AlignedVec<T> {}
// SAFETY: shared access only reads plain numbers.
unsafe impl<T: Number> Sync for AlignedVec<T> {}

impl<T: Number> AlignedVec<T> {
    /// A vector without elements and without an allocation.
    pub const fn new() -> AlignedVec<T> {
        AlignedVec { start: NonNull::dangling(), len: 0 }
    }

    /// `len` zeros.
    ///
    /// # Panics
    /// As [`Vec`] does: when `len` elements exceed `isize::MAX` bytes, or memory runs out.
    pub fn zeroed(len: usize) -> AlignedVec<T> {
        if len.saturating_mul(size_of::<T>()) < HUGE {
            // SAFETY: `alloc_zeroed` is called with a layout that is not empty.
            return AlignedVec::allocated_by(len, |layout| unsafe { alloc_zeroed(layout) });
        }
        // Aligned memory that an allocator zeroes has its small pages before anybody asks for huge ones, which are then
        // copied together: a quarter of the time in which a model with a table of 12 MB is there.
        // SAFETY: `alloc` is called with a layout that is not empty.
        let vec = AlignedVec::allocated_by(len, |layout| unsafe { alloc(layout) });
        // SAFETY: the elements lie inside the allocation, and all bits zero is a number.
        unsafe { vec.start.write_bytes(0, len) };
        vec
    }

    /// `len` copies of `value`.
    ///
    /// # Panics
    /// As [`AlignedVec::zeroed`].
    pub fn filled(len: usize, value: T) -> AlignedVec<T> {
        // SAFETY: `alloc` is called with a layout that is not empty.
        let vec = AlignedVec::allocated_by(len, |layout| unsafe { alloc(layout) });
        for i in 0..len {
            // SAFETY: `i` lies inside the allocation; `write` does not read what was there.
            unsafe { vec.start.add(i).write(value) };
        }
        vec
    }

    fn allocated_by(len: usize, allocate: impl Fn(Layout) -> *mut u8) -> AlignedVec<T> {
        if len == 0 {
            return AlignedVec::new();
        }
        let layout = Self::layout(len);
        match NonNull::new(allocate(layout)) {
            Some(start) => {
                advise_huge_pages(start, layout.size());
                AlignedVec { start: start.cast(), len }
            }
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        let layout = Layout::array::<T>(len).and_then(|layout| {
            let is_small = layout.size() < WORTH_ALIGNING;
            layout.align_to(if is_small { LEAST_ALIGNMENT } else { ALIGNMENT })
        });
        match layout {
            Ok(layout) => layout,
            // What `Vec` does with a length that no memory has.
            Err(_) => panic!("capacity overflow: {len} elements"),
        }
    }
}

/// Asks for huge pages under large memory.
///
/// A weight that is streamed through once per product misses the TLB on every small page. On a
/// virtual machine with a Zen 4, huge pages raise the rate at which one thread reads 64 MB from 17 to
/// 31 GB/s, and 16 MB from the L3 cache from 62 to 78 GB/s.
fn advise_huge_pages(start: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        const SMALL_PAGE: usize = 4096;
        /// Replaces the small pages of memory that the allocator reuses; since Linux 6.1.
        const MADV_COLLAPSE: libc::c_int = 25;
        let skipped = start.addr().get().next_multiple_of(SMALL_PAGE) - start.addr().get();
        let whole = (bytes - skipped) / SMALL_PAGE * SMALL_PAGE;
        for advice in [libc::MADV_HUGEPAGE, MADV_COLLAPSE] {
            // SAFETY: the pages lie inside the allocation, and neither advice changes what they hold.
            // A kernel that does not follow one says so in the result, which makes no difference.
            unsafe { libc::madvise(start.as_ptr().add(skipped).cast(), whole, advice) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

impl<T: Number> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated by `allocated_by` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) };
        }
    }
}

impl<T: Number> Deref for AlignedVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialized elements, or none at a dangling, aligned pointer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> From<&[T]> for AlignedVec<T> {
    fn from(values: &[T]) -> AlignedVec<T> {
        let mut copy = AlignedVec::zeroed(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl<T: Number> Clone for AlignedVec<T> {
    fn clone(&self) -> AlignedVec<T> {
        AlignedVec::from(&self[..])
    }
}

impl<T: Number> Default for AlignedVec<T> {
    fn default() -> AlignedVec<T> {
        AlignedVec::new()
    }
}

impl<T: Number + PartialEq> PartialEq for AlignedVec<T> {
    fn eq(&self, other: &AlignedVec<T>) -> bool {
        self[..] == other[..]
    }
}

impl<T: Number + fmt::Debug> fmt::Debug for AlignedVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The numbers that bytes hold.
///
/// ```
/// use tinytorch_kernels::aligned::{AlignedVec, numbers, numbers_mut};
///
/// let mut bytes = AlignedVec::<u8>::zeroed(64);
/// numbers_mut::<f32>(&mut bytes[..8])[1] = 1.5;
/// assert_eq!(numbers::<f32>(&bytes[4..8]), [1.5]);
/// ```
///
/// # Panics
/// If the bytes do not start where a `T` may, or end within one.
pub fn numbers<T: Number>(bytes: &[u8]) -> &[T] {
    check_numbers::<T>(bytes);
    // SAFETY: the bytes are aligned, hold this many whole numbers, and every bit pattern is one.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
}

/// [`numbers`], for writing.
///
/// # Panics
/// As [`numbers`].
pub fn numbers_mut<T: Number>(bytes: &mut [u8]) -> &mut [T] {
    check_numbers::<T>(bytes);
    let len = bytes.len() / size_of::<T>();
    // SAFETY: as in `numbers`, and every number is bytes.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
}

/// Truth values that lie in bytes; `None` unless each byte is 0 or 1.
pub fn flags(bytes: &[u8]) -> Option<&[bool]> {
    if bytes.iter().any(|byte| *byte > 1) {
        return None;
    }
    // SAFETY: a `bool` is a byte that is 0 or 1, as all of these are.
    Some(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
}

/// Truth values to be written over bytes; all are false at first.
pub fn flags_mut(bytes: &mut [u8]) -> &mut [bool] {
    bytes.fill(0);
    // SAFETY: a `bool` is a byte that is 0 or 1, as all of these are, and every `bool` is a byte.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

fn check_numbers<T: Number>(bytes: &[u8]) {
    let (start, size) = (bytes.as_ptr() as usize, size_of::<T>());
    assert!(start.is_multiple_of(align_of::<T>()), "bytes at {start:#x} are not aligned to {size}");
    assert!(bytes.len().is_multiple_of(size), "{} bytes end within a number", bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_that_are_0_or_1_are_flags() {
        let mut bytes = [7, 2, 9];
        flags_mut(&mut bytes)[1] = true;
        assert_eq!(flags(&bytes), Some(&[false, true, false][..]));
        bytes[2] = 2;
        assert_eq!(flags(&bytes), None);
    }

    #[test]
    fn starts_on_a_cache_line_with_the_values_asked_for() {
        for len in [0, 1, 3, 63, 64, 65, 1000, 16383, 16384, 20_000] {
            let zeros = AlignedVec::<i32>::zeroed(len);
            assert!(zeros.iter().all(|x| *x == 0) && zeros.len() == len);
            let sevens = AlignedVec::filled(len, 7u8);
            assert!(sevens.iter().all(|x| *x == 7) && sevens.len() == len);
            if len > 0 {
                let alignment = |bytes| if bytes < 16384 { 16 } else { ALIGNMENT };
                assert_eq!(zeros.as_ptr() as usize % alignment(4 * len), 0);
                assert_eq!(sevens.as_ptr() as usize % alignment(len), 0);
            }
        }
    }

    #[test]
    fn a_clone_is_a_copy() {
        let original = AlignedVec::from(&[1.0f32, 2.0, 3.0][..]);
        let mut clone = original.clone();
        clone[0] = 9.0;
        assert_eq!(&original[..], [1.0, 2.0, 3.0]);
        assert_ne!(original, clone);
    }
}
