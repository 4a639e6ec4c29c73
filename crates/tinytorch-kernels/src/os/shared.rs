//! Read-only numbers that somebody else owns: a file in memory, a NumPy array.
//!
//! ```
//! use tinytorch_kernels::os::SharedSlice;
//!
//! let weights = SharedSlice::from_vec(vec![1.0_f32, 2.0]);
//! let same = weights.clone();
//! assert_eq!(same.as_ptr(), weights.as_ptr());
//! assert_eq!(same[1], 2.0);
//! ```

use super::whole::{ViewError, WholeFile};
use crate::aligned::Number;
use std::any::Any;
use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

/// A slice with the owner of its memory beside it; `clone` shares both.
#[derive(Clone)]
pub struct SharedSlice<T> {
    start: NonNull<T>,
    length: usize,
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the slice is only ever read, `T: Sync` may be read from any thread, and the owner may be
// dropped by any thread.
unsafe impl<T: Sync> Send for SharedSlice<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for SharedSlice<T> {}

impl<T: Number> SharedSlice<T> {
    /// Memory that `owner` keeps alive and in place until it is dropped.
    ///
    /// # Safety
    /// `start` is aligned, `start..start + length` is initialized, nobody writes to it, and it stays
    /// valid at this address for as long as `owner` lives.
    pub unsafe fn from_owner(
        start: NonNull<T>,
        length: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { start, length, owner }
    }

    /// The bytes `range` of a file, which stays in memory as long as the slice lives.
    ///
    /// # Errors
    /// As for [`WholeFile::view`].
    pub fn from_file(file: Arc<WholeFile>, range: Range<usize>) -> Result<Self, ViewError> {
        let view = file.view::<T>(range)?;
        let (start, length) = (NonNull::from(view).cast(), view.len());
        // SAFETY: `view` is a valid slice of the file's bytes, whose address does not depend on where the
        // `WholeFile` itself lies, and `file` keeps them.
        Ok(unsafe { Self::from_owner(start, length, file) })
    }

    /// The values of a vector, moved and not copied.
    pub fn from_vec(values: Vec<T>) -> Self {
        let (start, length) = (NonNull::from(values.as_slice()).cast(), values.len());
        // SAFETY: the vector's buffer stays where it is when the vector is moved into the `Arc`,
        // and nobody can reach it there but through this slice.
        unsafe { Self::from_owner(start, length, Arc::new(values)) }
    }
}

impl<T> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the constructors' contract: aligned, initialized, not written to, and alive with
        // `self.owner`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owners = Arc::strong_count(&self.owner);
        write!(f, "SharedSlice {{ length: {}, owners: {owners} }}", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_owner_lives_exactly_as_long_as_the_last_clone() {
        static DROPPED: AtomicBool = AtomicBool::new(false);
        struct Owner(Box<[i32; 3]>);
        impl Drop for Owner {
            fn drop(&mut self) {
                DROPPED.store(true, Ordering::SeqCst);
            }
        }
        let owner = Owner(Box::new([1, 2, 3]));
        let start = NonNull::from(&owner.0[0]);
        // SAFETY: the box keeps the three values in place as long as `owner` lives.
        let slice = unsafe { SharedSlice::from_owner(start, 3, Arc::new(owner)) };
        let clone = slice.clone();
        drop(slice);
        assert!(!DROPPED.load(Ordering::SeqCst));
        assert_eq!(std::thread::spawn(move || clone[2]).join().unwrap(), 3);
        assert!(DROPPED.load(Ordering::SeqCst));
    }

    #[test]
    fn a_slice_of_a_file_keeps_its_bytes() {
        let name = format!("tinytorch-shared-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, [7_u8, 8, 9, 10]).unwrap();
        let file = Arc::new(WholeFile::read(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let slice = SharedSlice::<u8>::from_file(Arc::clone(&file), 1..3).unwrap();
        assert!(SharedSlice::<u16>::from_file(Arc::clone(&file), 1..3).is_err());
        drop(file);
        assert_eq!(*slice, [8, 9]);
    }
}
