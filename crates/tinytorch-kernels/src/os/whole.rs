//! A file in memory as one piece, whose bytes are read as numbers where they lie.
//!
//! It is read and not mapped: a mapped file that another program cuts or writes meanwhile ends the process
//! with `SIGBUS`, or changes under its reader.
//!
//! ```
//! use tinytorch_kernels::os::WholeFile;
//!
//! let path = std::env::temp_dir().join(format!("whole-doc-{}.bin", std::process::id()));
//! std::fs::write(&path, [1.0_f32, 2.0].map(f32::to_le_bytes).concat())?;
//! let file = WholeFile::read(&path)?;
//! assert_eq!(file.view::<f32>(4..8)?, [2.0]);
//! assert!(file.view::<f32>(2..6).is_err());
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::room;
use crate::aligned::{AlignedVec, Number};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// All bytes of a file. They start at a multiple of 16, from 16 kB on of 64, so that a number is aligned in
/// memory where it is aligned in the file.
#[derive(Debug)]
pub struct WholeFile {
    bytes: AlignedVec<u8>,
}

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

impl WholeFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened or read; of the kind
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory), with a [`NotEnoughMemory`](super::NotEnoughMemory), for a file larger than the
    /// memory that is available; of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for one that was
    /// cut meanwhile.
    pub fn read(path: &Path) -> io::Result<WholeFile> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        room::require("the file", size)
            .map_err(|problem| io::Error::new(io::ErrorKind::OutOfMemory, problem))?;
        // What is available is less than what an address can say.
        let length = usize::try_from(size).map_err(io::Error::other)?;
        let mut bytes = AlignedVec::zeroed(length);
        file.read_exact(&mut bytes)?;
        Ok(WholeFile { bytes })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole file as f32 values.
    ///
    /// # Errors
    /// When the file's length is not a multiple of 4.
    pub fn as_f32(&self) -> Result<&[f32], ViewError> {
        self.view(0..self.bytes.len())
    }

    /// The bytes `range` as values of type `T`, in this machine's byte order.
    ///
    /// # Errors
    /// When the range leaves the file, does not hold a whole number of elements, or starts at an
    /// address that is not aligned for `T`.
    pub fn view<T: Number>(&self, range: Range<usize>) -> Result<&[T], ViewError> {
        let Range { start, end } = range;
        let length = self.bytes.len();
        let bytes =
            self.bytes.get(start..end).ok_or(ViewError::OutOfBounds { start, end, length })?;
        let element = std::any::type_name::<T>();
        let (size, align) = (size_of::<T>(), align_of::<T>());
        if !bytes.len().is_multiple_of(size) {
            return Err(ViewError::PartialElement { length: bytes.len(), element, size });
        }
        if bytes.is_empty() {
            return Ok(&[]);
        }
        if !bytes.as_ptr().cast::<T>().is_aligned() {
            return Err(ViewError::Misaligned { start, element, align });
        }
        // SAFETY: the pointer is aligned and the bytes are in bounds (both just checked), every bit
        // pattern is a `T` (`Number`'s contract), and the borrow of `self` keeps them alive.
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
            let name = format!("tinytorch-whole-{}-{name}", std::process::id());
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
    fn views_have_the_values_that_were_written_and_are_aligned() {
        let values: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let file = TempFile::new("values", &bytes);
        let file_bytes = WholeFile::read(&file.0).unwrap();
        assert_eq!(file_bytes.as_f32().unwrap(), values);
        assert_eq!(file_bytes.bytes(), bytes);
        assert_eq!(file_bytes.bytes().as_ptr().align_offset(16), 0);
        assert_eq!(file_bytes.view::<f32>(64..72).unwrap(), [16.0, 17.0]);
    }

    #[test]
    fn ranges_that_do_not_fit_are_typed_errors() {
        let file = TempFile::new("ranges", &[0; 10]);
        let file_bytes = WholeFile::read(&file.0).unwrap();
        let out_of_bounds = |start, end| ViewError::OutOfBounds { start, end, length: 10 };
        assert_eq!(file_bytes.view::<u8>(4..11).unwrap_err(), out_of_bounds(4, 11));
        let (start, end) = (8, 4);
        assert_eq!(file_bytes.view::<u8>(start..end).unwrap_err(), out_of_bounds(8, 4));
        assert_eq!(
            file_bytes.as_f32().unwrap_err(),
            ViewError::PartialElement { length: 10, element: "f32", size: 4 }
        );
        assert_eq!(
            file_bytes.view::<i64>(2..10).unwrap_err(),
            ViewError::Misaligned { start: 2, element: "i64", align: 8 }
        );
        assert_eq!(file_bytes.view::<i8>(3..5).unwrap(), [0, 0]);
    }

    #[test]
    fn a_file_that_is_cut_afterwards_is_still_whole() {
        let bytes: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
        let file = TempFile::new("cut", &bytes);
        let whole = WholeFile::read(&file.0).unwrap();
        File::options().write(true).open(&file.0).unwrap().set_len(10).unwrap();
        assert_eq!(whole.bytes(), bytes);
    }

    #[test]
    fn an_empty_file_is_an_empty_view_and_a_missing_one_an_error() {
        let file = TempFile::new("empty", &[]);
        assert!(WholeFile::read(&file.0).unwrap().as_f32().unwrap().is_empty());
        let missing = WholeFile::read(Path::new("/nonexistent/weights")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
