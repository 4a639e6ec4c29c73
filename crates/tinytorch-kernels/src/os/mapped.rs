//! Read-only files mapped into memory and read as numbers where they lie, without a copy.
//!
//! ```
//! use tinytorch_kernels::os::MappedFile;
//!
//! let path = std::env::temp_dir().join(format!("mapped-doc-{}.bin", std::process::id()));
//! std::fs::write(&path, [1.0_f32, 2.0].map(f32::to_le_bytes).concat())?;
//! let file = MappedFile::open(&path)?;
//! assert_eq!(file.view::<f32>(4..8)?, [2.0]);
//! assert!(file.view::<f32>(2..6).is_err());
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::aligned::Number;
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A file in memory, loaded page by page when it is touched and shared with every other process
/// that maps it.
///
/// It starts at a page boundary, so a byte offset that is a multiple of 64 in the file is 64-byte
/// aligned in memory. The file must not be truncated or written in place while it is mapped: its
/// views would change under the reader, or end the process with `SIGBUS`. Replacing it by renaming
/// another file over it, which is how this project saves, is safe: the mapping keeps the old one.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

#[cfg(unix)]
const DONT_NEED: memmap2::UncheckedAdvice = memmap2::UncheckedAdvice::DontNeed;

/// Why bytes of a file cannot be read as numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The range is reversed or ends beyond the file.
    #[error("bytes {start}..{end} lie outside the file, which has {length} bytes")]
    OutOfBounds {
        /// First byte asked for.
        start: usize,
        /// One past the last byte asked for.
        end: usize,
        /// Bytes in the file.
        length: usize,
    },
    /// The number of bytes is not a multiple of the element's size.
    #[error("{length} bytes are not a whole number of {element} elements of {size} bytes")]
    PartialElement {
        /// Bytes asked for.
        length: usize,
        /// Rust's name of the element type.
        element: &'static str,
        /// Bytes of one element.
        size: usize,
    },
    /// The first byte is not aligned for the element; copy the bytes instead.
    #[error("byte {start} is not aligned for {element}, which needs a multiple of {align}")]
    Misaligned {
        /// First byte asked for.
        start: usize,
        /// Rust's name of the element type.
        element: &'static str,
        /// The alignment the element needs.
        align: usize,
    },
}

impl MappedFile {
    /// Maps the whole of the file at `path`; an empty file gives an empty map.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only and private to this value. What the compiler cannot check is
        // that nobody truncates or rewrites the file meanwhile; the type's documentation asks for
        // it, and this project replaces files by renaming, never in place.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Tells the system that nobody will read these bytes for a while: their pages no longer count as
    /// memory of this process, and are read from the file again when they are touched. Only whole pages are
    /// given back, and none where the system cannot be told.
    pub fn give_back(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            let (start, end) = (range.start.min(self.map.len()), range.end.min(self.map.len()));
            let len = end.saturating_sub(start);
            // SAFETY: the pages belong to a read-only map of a file, so that what is read from them later
            // is what the file holds, as before.
            let told = unsafe { self.map.unchecked_advise_range(DONT_NEED, start, len) };
            // A system that refuses keeps the pages, which costs memory and nothing else.
            let _ = told;
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// The whole file as f32 values.
    ///
    /// # Errors
    /// When the file's length is not a multiple of 4.
    pub fn as_f32(&self) -> Result<&[f32], ViewError> {
        self.view(0..self.map.len())
    }

    /// The bytes `range` as values of type `T`, in this machine's byte order.
    ///
    /// # Errors
    /// When the range leaves the file, does not hold a whole number of elements, or starts at an
    /// address that is not aligned for `T`.
    pub fn view<T: Number>(&self, range: Range<usize>) -> Result<&[T], ViewError> {
        let Range { start, end } = range;
        let length = self.map.len();
        let bytes =
            self.map.get(start..end).ok_or(ViewError::OutOfBounds { start, end, length })?;
        let element = std::any::type_name::<T>();
        let (size, align) = (size_of::<T>(), align_of::<T>());
        if !bytes.len().is_multiple_of(size) {
            return Err(ViewError::PartialElement { length: bytes.len(), element, size });
        }
        if !bytes.as_ptr().cast::<T>().is_aligned() {
            return Err(ViewError::Misaligned { start, element, align });
        }
        // SAFETY: the pointer is aligned and the bytes are in bounds (both just checked), every bit
        // pattern is a `T` (`Number`'s contract), and the borrow of `self` keeps the map alive.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    struct TempFile(PathBuf);

    impl TempFile {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("tinytorch-mapped-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    #[test]
    fn views_have_the_values_that_were_written_and_are_64_byte_aligned() {
        let values: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let file = TempFile::new("values", &bytes);
        let map = MappedFile::open(&file.0).unwrap();
        assert_eq!(map.as_f32().unwrap(), values);
        assert_eq!(map.bytes(), bytes);
        assert_eq!(map.bytes().as_ptr().align_offset(64), 0);
        assert_eq!(map.view::<f32>(64..72).unwrap(), [16.0, 17.0]);
    }

    #[test]
    fn ranges_that_do_not_fit_are_typed_errors() {
        let file = TempFile::new("ranges", &[0; 10]);
        let map = MappedFile::open(&file.0).unwrap();
        let out_of_bounds = |start, end| ViewError::OutOfBounds { start, end, length: 10 };
        assert_eq!(map.view::<u8>(4..11).unwrap_err(), out_of_bounds(4, 11));
        let (start, end) = (8, 4);
        assert_eq!(map.view::<u8>(start..end).unwrap_err(), out_of_bounds(8, 4));
        assert_eq!(
            map.as_f32().unwrap_err(),
            ViewError::PartialElement { length: 10, element: "f32", size: 4 }
        );
        assert_eq!(
            map.view::<i64>(2..10).unwrap_err(),
            ViewError::Misaligned { start: 2, element: "i64", align: 8 }
        );
        assert_eq!(map.view::<i8>(3..5).unwrap(), [0, 0]);
    }

    #[test]
    fn what_was_given_back_is_read_again() {
        let bytes: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
        let file = TempFile::new("given-back", &bytes);
        let map = MappedFile::open(&file.0).unwrap();
        assert_eq!(map.bytes(), bytes);
        for range in [0..100_000, 5_000..20_000, 90_000..usize::MAX, 100_000..100_000] {
            map.give_back(range);
            assert_eq!(map.bytes(), bytes);
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_view_and_a_missing_one_an_error() {
        let file = TempFile::new("empty", &[]);
        assert!(MappedFile::open(&file.0).unwrap().as_f32().unwrap().is_empty());
        let missing = MappedFile::open(Path::new("/nonexistent/weights")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
