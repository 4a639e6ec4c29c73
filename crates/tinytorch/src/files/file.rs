//! A safetensors file, read strictly, and PyTorch's state dicts in its place.

use super::checksum;
use super::header::Header;
use super::sniff::{Foreign, foreign};
use super::tensor_info::TensorInfo;
use super::torch;
use super::{ContentError, FileDtype, FileError, FormatError};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};
use half::{bf16, f16};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tinytorch_kernels::os::{MappedFile, SharedSlice};

/// Bytes that are read before their pages are given back: few beside a model, and many beside the cost of
/// telling the system.
pub(super) const GIVE_BACK: usize = 256 << 10;

/// A safetensors file whose header has been read and checked, or a state dict that `torch.save` has written;
/// its tensors are read on demand.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    source: Source,
    header: Header,
}

#[derive(Debug)]
enum Source {
    Mapped(Arc<MappedFile>),
    Memory(Vec<u8>),
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Source::Mapped(file) => file.bytes(),
            Source::Memory(bytes) => bytes,
        }
    }
}

impl TensorFile {
    /// Maps the file at `path` and checks its header. It must not be changed in place while it is
    /// open; replacing it, as [`write_tensors`](super::write_tensors) does, is safe.
    ///
    /// # Errors
    /// [`FileError::Read`], [`FileError::NotAFile`], or [`FileError::Format`] for anything that is not a
    /// complete and consistent safetensors file, nor an archive of PyTorch with a state dict of plain tensors.
    pub fn open(path: impl AsRef<Path>) -> Result<TensorFile> {
        let path = path.as_ref();
        let read = |source| FileError::Read { path: path.to_path_buf(), source };
        // Asked before opening, since opening a pipe waits for its other end.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(FileError::NotAFile { path: path.to_path_buf() }.into());
        }
        let file = MappedFile::open(path).map_err(read)?;
        TensorFile::check(path, Source::Mapped(Arc::new(file)))
    }

    /// A file that is in memory already; errors call it `name`.
    ///
    /// # Errors
    /// [`FileError::Format`], as [`TensorFile::open`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Result<TensorFile> {
        TensorFile::check(name.as_ref(), Source::Memory(bytes))
    }

    fn check(path: &Path, source: Source) -> Result<TensorFile> {
        let path = path.to_path_buf();
        let zip = foreign(source.bytes()) == Some(Foreign::Zip);
        let torch = if zip { torch::header(source.bytes()) } else { Ok(None) };
        let torch = torch.map_err(FormatError::Torch).transpose();
        match torch.unwrap_or_else(|| Header::parse(source.bytes())) {
            Ok(header) => Ok(TensorFile { path, source, header }),
            Err(problem) => {
                let problem = match problem {
                    FormatError::Torch(_) => problem,
                    _ => foreign(source.bytes()).map_or(problem, FormatError::Foreign),
                };
                Err(FileError::Format { path, problem }.into())
            }
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> usize {
        self.source.bytes().len()
    }

    /// The strings stored beside the tensors, but for the checksums.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The tensors in the order of their bytes.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &TensorInfo)> {
        self.header.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// What the header says of a tensor.
    ///
    /// # Errors
    /// [`ContentError::Missing`].
    pub fn info(&self, name: &str) -> Result<&TensorInfo> {
        match self.header.index.get(name) {
            Some(&at) => Ok(&self.header.tensors[at].1),
            None => Err(self.problem(ContentError::Missing { tensor: name.to_string() })),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.header.index.contains_key(name)
    }

    /// Whether the file says what its tensors' bytes add up to, as those do that [`write_tensors`](super::write_tensors)
    /// wrote. Reading a tensor then checks it.
    pub fn has_checksums(&self) -> bool {
        self.header.checksums.is_some()
    }

    /// Reads all tensors and gives the names of those whose bytes do not agree with their checksums: none
    /// if the file has no checksums, which [`TensorFile::has_checksums`] says. What the header says was checked when the file
    /// was opened.
    pub fn damaged(&self) -> Vec<&str> {
        let names = self.tensors().map(|(name, _)| name);
        names.filter(|name| self.check_and_give_back(name).is_err()).collect()
    }

    /// A tensor's bytes, little-endian, in row-major order.
    ///
    /// # Errors
    /// [`ContentError::Missing`], or [`ContentError::Damaged`] if they do not agree with their checksum.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        let bytes = self.unchecked(name)?;
        let mut check = self.check_of(name);
        check.update(bytes);
        check.finish(self)?;
        Ok(bytes)
    }

    /// A tensor's bytes, for those who check them on the way.
    pub(super) fn unchecked(&self, name: &str) -> Result<&[u8]> {
        Ok(&self.source.bytes()[self.span(self.info(name)?)])
    }

    /// What is to be told all of a tensor's bytes in their order.
    pub(super) fn check_of<'a>(&self, name: &'a str) -> Check<'a> {
        let expected = self.header.checksums.as_ref().and_then(|sums| sums.get(name)).copied();
        Check { name, running: expected.map(|sum| (crc32fast::Hasher::new(), sum)) }
    }

    /// Gives back the pages of some of a tensor's bytes, which were read and will not be read soon.
    pub(super) fn give_back(&self, name: &str, range: std::ops::Range<usize>) -> Result<()> {
        if let Source::Mapped(file) = &self.source {
            let start = self.span(self.info(name)?).start;
            file.give_back(start + range.start..start + range.end);
        }
        Ok(())
    }

    /// A tensor with memory of its own:
    ///
    /// | in the file | in memory |
    /// |---|---|
    /// | F32, F16, BF16 | f32 |
    /// | F64 | f32, the nearest |
    /// | I64, U32 | i64 |
    /// | I32, I16, U16 | i32 |
    /// | U8 | u8 |
    /// | I8 | i8 |
    /// | BOOL, a byte of 0 or 1 each | bool |
    ///
    /// # Errors
    /// [`ContentError::Missing`], [`ContentError::Dtype`] for an element type that tensors cannot have, or
    /// [`ContentError::Flag`] for a truth value that is neither 0 nor 1.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let info = self.info(name)?;
        let bytes = self.bytes(name)?;
        let shape = info.shape;
        match info.dtype {
            FileDtype::F32 => Tensor::from_vec(values(bytes, f32::from_le_bytes), shape),
            FileDtype::F16 => {
                Tensor::from_vec(values(bytes, |b| f16::from_le_bytes(b).to_f32()), shape)
            }
            FileDtype::BF16 => {
                Tensor::from_vec(values(bytes, |b| bf16::from_le_bytes(b).to_f32()), shape)
            }
            FileDtype::F64 => {
                Tensor::from_vec(values(bytes, |b| f64::from_le_bytes(b) as f32), shape)
            }
            FileDtype::I64 => Tensor::from_vec(values(bytes, i64::from_le_bytes), shape),
            FileDtype::U32 => {
                Tensor::from_vec(values(bytes, |b| i64::from(u32::from_le_bytes(b))), shape)
            }
            FileDtype::I32 => Tensor::from_vec(values(bytes, i32::from_le_bytes), shape),
            FileDtype::I16 => {
                Tensor::from_vec(values(bytes, |b| i32::from(i16::from_le_bytes(b))), shape)
            }
            FileDtype::U16 => {
                Tensor::from_vec(values(bytes, |b| i32::from(u16::from_le_bytes(b))), shape)
            }
            FileDtype::U8 => Tensor::from_vec(bytes.to_vec(), shape),
            FileDtype::I8 => Tensor::from_vec(values(bytes, i8::from_le_bytes), shape),
            FileDtype::BOOL => match bytes.iter().enumerate().find(|(_, byte)| **byte > 1) {
                None => Tensor::from_vec(bytes.iter().map(|byte| *byte == 1).collect(), shape),
                Some((index, &value)) => {
                    Err(self.problem(ContentError::Flag { tensor: name.to_string(), index, value }))
                }
            },
            got => {
                let expected = "a float of 16 to 64 bits, an integer of up to 32 bits, I64 or BOOL";
                Err(self.problem(ContentError::Dtype { tensor: name.to_string(), got, expected }))
            }
        }
    }

    /// A tensor over the mapped file itself, which stays mapped as long as the tensor lives; its
    /// pages count as the process's memory only once they are touched. The bytes are checked before, if the file has checksums. It is copied, as by
    /// [`TensorFile::tensor`], where the bytes are not the tensor's: other element types, unaligned
    /// offsets, a file that is not mapped.
    ///
    /// # Errors
    /// As [`TensorFile::tensor`].
    pub fn mapped(&self, name: &str) -> Result<Tensor> {
        let info = self.info(name)?;
        self.check_and_give_back(name)?;
        let in_place = match (&self.source, info.dtype) {
            _ if cfg!(target_endian = "big") => None,
            (Source::Mapped(file), FileDtype::F32) => self.view::<f32>(file, info),
            (Source::Mapped(file), FileDtype::I64) => self.view::<i64>(file, info),
            (Source::Mapped(file), FileDtype::I32) => self.view::<i32>(file, info),
            (Source::Mapped(file), FileDtype::U8) => self.view::<u8>(file, info),
            (Source::Mapped(file), FileDtype::I8) => self.view::<i8>(file, info),
            _ => None,
        };
        in_place.unwrap_or_else(|| self.tensor(name))
    }

    /// Checks a tensor's bytes and leaves none of its pages in memory.
    fn check_and_give_back(&self, name: &str) -> Result<()> {
        let (bytes, mut check) = (self.unchecked(name)?, self.check_of(name));
        if check.running.is_none() {
            return Ok(());
        }
        for start in (0..bytes.len()).step_by(GIVE_BACK) {
            let range = start..bytes.len().min(start + GIVE_BACK);
            check.update(&bytes[range.clone()]);
            self.give_back(name, range)?;
        }
        check.finish(self)
    }

    fn view<T>(&self, file: &Arc<MappedFile>, info: &TensorInfo) -> Option<Result<Tensor>>
    where
        T: crate::tensor::Element + tinytorch_kernels::aligned::Number,
    {
        let slice = SharedSlice::<T>::from_file(file.clone(), self.span(info)).ok()?;
        Some(Tensor::from_owner(Arc::new(slice), info.shape))
    }

    /// A tensor's bytes in the file.
    fn span(&self, info: &TensorInfo) -> std::ops::Range<usize> {
        let start = self.header.data_start;
        start + info.range.start..start + info.range.end
    }

    /// Refuses a tensor of another shape.
    pub(super) fn expect_shape(&self, name: &str, expected: Shape) -> Result<()> {
        let got = self.info(name)?.shape;
        if got == expected {
            return Ok(());
        }
        Err(self.problem(ContentError::Shape { tensor: name.to_string(), got, expected }))
    }

    /// Refuses tensors that nobody expects.
    pub(super) fn expect_only(&self, is_expected: impl Fn(&str) -> bool) -> Result<()> {
        match self.tensors().find(|(name, _)| !is_expected(name)) {
            None => Ok(()),
            Some((name, _)) => {
                Err(self.problem(ContentError::Unexpected { tensor: name.to_string() }))
            }
        }
    }

    /// An error about this file's content.
    pub(super) fn problem(&self, problem: ContentError) -> Error {
        FileError::content(&self.path, problem).into()
    }
}

/// The checksum of a tensor's bytes while they are read, if the file says what it should be.
pub(super) struct Check<'a> {
    name: &'a str,
    running: Option<(crc32fast::Hasher, u32)>,
}

impl Check<'_> {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some((hasher, _)) = &mut self.running {
            hasher.update(bytes);
        }
    }

    pub(super) fn finish(self, file: &TensorFile) -> Result<()> {
        let Some((hasher, expected)) = self.running else { return Ok(()) };
        if hasher.finalize() == expected {
            return Ok(());
        }
        let tensor = self.name.to_string();
        Err(file.problem(ContentError::Damaged { tensor, entry: checksum::KEY }))
    }
}

/// The numbers of a tensor's bytes.
pub(super) fn values<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
}
