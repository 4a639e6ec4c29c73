//! A safetensors file, read strictly, and PyTorch's state dicts in its place.

use super::header::{Header, LENGTH_BYTES};
use super::random_access::{RandomAccess, Section};
use super::sniff::{Foreign, LOOKED_AT, foreign};
use super::tensor_info::TensorInfo;
use super::torch;
use super::{ContentError, FileDtype, FileError, FormatError};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};
use half::{bf16, f16};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tinytorch_kernels::os::room;

/// A safetensors file whose header has been read and checked, or a state dict that `torch.save` has written;
/// its tensors are read on demand.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    source: RandomAccess,
    header: Header,
}

impl TensorFile {
    /// Opens the file at `path` and checks its header. If it is cut or changed in place while it is open, reading a
    /// tensor is an error where that can be noticed; replacing it, as [`write_tensors`](super::write_tensors) does,
    /// is safe.
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
        TensorFile::check(path, RandomAccess::open(path).map_err(read)?)
    }

    /// A file that is in memory already; errors call it `name`.
    ///
    /// # Errors
    /// [`FileError::Format`], as [`TensorFile::open`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Result<TensorFile> {
        TensorFile::check(name.as_ref(), RandomAccess::memory(bytes))
    }

    fn check(path: &Path, source: RandomAccess) -> Result<TensorFile> {
        let path = path.to_path_buf();
        let read = |source| FileError::Read { path: path.clone(), source };
        let start = source.read(0..LOOKED_AT.min(source.length())).map_err(read)?;
        let kind = foreign(&start);
        let torch = if kind == Some(Foreign::Zip) { torch::header(&source) } else { Ok(None) };
        let problem = match torch {
            Ok(Some(header)) => return Ok(TensorFile { path, source, header }),
            Err(problem) => FormatError::Torch(problem),
            Ok(None) => {
                let end = Header::end(&start, source.length());
                let head = source.read(0..end.max(LENGTH_BYTES).min(source.length()));
                match Header::parse(&head.map_err(read)?, source.length()) {
                    Ok(header) => return Ok(TensorFile { path, source, header }),
                    Err(problem) => kind.map_or(problem, FormatError::Foreign),
                }
            }
        };
        Err(FileError::Format { path, problem }.into())
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> usize {
        self.source.length()
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
        let is_whole = |name| self.reading(name).and_then(|reading| reading.all(|_| ()));
        names.filter(|name| is_whole(name).is_err()).collect()
    }

    /// A tensor's bytes, little-endian, in row-major order.
    ///
    /// # Errors
    /// [`ContentError::Missing`], [`ContentError::Cut`], or [`ContentError::Damaged`] if they do not agree with
    /// their checksum.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.info(name)?.bytes()];
        let mut reading = self.reading(name)?;
        reading.fill(&mut bytes)?;
        reading.finish()?;
        Ok(bytes)
    }

    /// Where a tensor's bytes are.
    pub(super) fn section(&self, name: &str) -> Result<Section<'_>> {
        let (start, range) = (self.header.data_start, &self.info(name)?.range);
        Ok(self.source.section(start + range.start..start + range.end))
    }

    /// What a tensor's bytes should add up to, if the file says it.
    pub(super) fn checksum(&self, name: &str) -> Option<u32> {
        self.header.checksums.as_ref()?.get(name).copied()
    }

    /// Refuses to read tensors that take more memory than there is.
    pub(super) fn require_memory<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let needed: u64 = names.map(|name| self.memory_bytes(name)).sum();
        room::require("what it holds", needed).map_err(|problem| {
            let source = io::Error::new(io::ErrorKind::OutOfMemory, problem);
            FileError::Read { path: self.path.clone(), source }.into()
        })
    }

    /// Bytes that a tensor takes in memory; 0 for what cannot be read.
    fn memory_bytes(&self, name: &str) -> u64 {
        let size =
            |info: &TensorInfo| Some(info.memory_dtype()?.size() as u64 * info.shape.len() as u64);
        self.info(name).ok().and_then(size).unwrap_or(0)
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
    /// [`ContentError::Flag`] for a truth value that is neither 0 nor 1; [`ContentError::Cut`] and
    /// [`ContentError::Damaged`] for bytes that are not as the header says.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let TensorInfo { dtype, shape, .. } = *self.info(name)?;
        match dtype {
            FileDtype::F32 => Tensor::from_vec(self.values(name, f32::from_le_bytes)?, shape),
            FileDtype::F16 => {
                Tensor::from_vec(self.values(name, |b| f16::from_le_bytes(b).to_f32())?, shape)
            }
            FileDtype::BF16 => {
                Tensor::from_vec(self.values(name, |b| bf16::from_le_bytes(b).to_f32())?, shape)
            }
            FileDtype::F64 => {
                Tensor::from_vec(self.values(name, |b| f64::from_le_bytes(b) as f32)?, shape)
            }
            FileDtype::I64 => Tensor::from_vec(self.values(name, i64::from_le_bytes)?, shape),
            FileDtype::U32 => {
                Tensor::from_vec(self.values(name, |b| i64::from(u32::from_le_bytes(b)))?, shape)
            }
            FileDtype::I32 => Tensor::from_vec(self.values(name, i32::from_le_bytes)?, shape),
            FileDtype::I16 => {
                Tensor::from_vec(self.values(name, |b| i32::from(i16::from_le_bytes(b)))?, shape)
            }
            FileDtype::U16 => {
                Tensor::from_vec(self.values(name, |b| i32::from(u16::from_le_bytes(b)))?, shape)
            }
            FileDtype::U8 => Tensor::from_vec(self.bytes(name)?, shape),
            FileDtype::I8 => Tensor::from_vec(self.values(name, i8::from_le_bytes)?, shape),
            FileDtype::BOOL => {
                let bytes = self.bytes(name)?;
                match bytes.iter().enumerate().find(|(_, byte)| **byte > 1) {
                    None => Tensor::from_vec(bytes.iter().map(|byte| *byte == 1).collect(), shape),
                    Some((index, &value)) => {
                        let tensor = name.to_string();
                        Err(self.problem(ContentError::Flag { tensor, index, value }))
                    }
                }
            }
            got => {
                let expected = "a float of 16 to 64 bits, an integer of up to 32 bits, I64 or BOOL";
                Err(self.problem(ContentError::Dtype { tensor: name.to_string(), got, expected }))
            }
        }
    }

    /// The numbers of a tensor, decoded piece by piece, so that its bytes are never all in memory beside them.
    pub(super) fn values<const N: usize, T>(
        &self,
        name: &str,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(self.info(name)?.bytes() / N);
        self.reading(name)?.all(|piece| values.extend(decoded(piece, &decode)))?;
        Ok(values)
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

/// The numbers that bytes stand for.
pub(super) fn decoded<const N: usize, T>(
    bytes: &[u8],
    decode: impl Fn([u8; N]) -> T,
) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |&chunk| decode(chunk))
}
