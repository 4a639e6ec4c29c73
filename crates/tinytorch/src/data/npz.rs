//! NPZ, NumPy's file of several arrays: a ZIP archive of NPY files.

use super::DataError;
use super::npy::{self, Encoder};
use super::source::{Source, io_error, open_file};
use super::zip_writer::Writer;
use crate::files::random_access::RandomAccess;
use crate::files::replace;
use crate::files::zip::{self, Member, ZipError};
use crate::tensor::Number;
use crate::{Error, Result, Tensor};
use std::io::{BufReader, Write};
use std::path::Path;

/// An open NPZ file, whose arrays are read when they are asked for.
///
/// ```
/// use tinytorch::Tensor;
/// use tinytorch::data::{Npz, encode_npz};
/// let x = Tensor::arange(6)?.reshape([2, 3])?;
/// let y = Tensor::from_vec(vec![0i64, 1], [2])?;
/// let mut file = Npz::from_bytes("two.npz", encode_npz(&[("x", &x), ("y", &y)])?)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["x", "y"]);
/// assert_eq!(file.read("y")?.to_vec::<i64>()?, [0, 1]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub struct Npz {
    name: String,
    archive: RandomAccess,
    members: Vec<Member>,
}

impl Npz {
    /// Opens the file and checks its table of contents.
    ///
    /// # Errors
    /// A [`DataError`] that names the file: it cannot be read, is no ZIP archive, is damaged, or
    /// its members overlap or promise to unpack to more than they can.
    pub fn open(path: impl AsRef<Path>) -> Result<Npz> {
        let path = path.as_ref();
        open_file(path)?;
        let archive = RandomAccess::open(path).map_err(|error| io_error(path, error))?;
        Npz::new(path.display().to_string(), archive)
    }

    /// As [`Npz::open`], from bytes in memory that errors call `name`.
    ///
    /// # Errors
    /// As [`Npz::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Npz> {
        Npz::new(name.to_owned(), RandomAccess::memory(bytes))
    }

    fn new(name: String, archive: RandomAccess) -> Result<Npz> {
        let members = zip::members(&archive).map_err(|error| data_error(&name, error))?;
        for member in &members {
            member.check_readable().map_err(|error| data_error(&name, error))?;
        }
        Ok(Npz { name, archive, members })
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|m| m.name.strip_suffix(".npy").unwrap_or(&m.name))
    }

    /// Reads one array, with the element types of [`read_npy`](super::read_npy).
    ///
    /// # Errors
    /// A [`DataError`] that names the file and the array: there is none of that name, or it is
    /// damaged, truncated or not an array of numbers.
    pub fn read(&mut self, array: &str) -> Result<Tensor> {
        let Some(index) = self.names().position(|n| n == array) else {
            let names = self.names().collect::<Vec<_>>().join(", ");
            let problem = format!("it holds no array {array:?}, only these: {names}");
            return Err(DataError::NotRecognized { path: self.name.clone(), problem }.into());
        };
        let member = &self.members[index];
        let name = format!("{}: {}", self.name, member.name);
        let content = member.content(&self.archive).map_err(|error| data_error(&name, error))?;
        let content = BufReader::with_capacity(1 << 16, content);
        npy::read(&mut Source::new(name, content, member.size))
    }
}

fn data_error(file: &str, error: ZipError) -> Error {
    let file = file.to_owned();
    let error = match error {
        ZipError::Malformed(problem) => DataError::Malformed { file, problem },
        ZipError::Io(source) => DataError::Io { file, source },
        ZipError::Unsupported { member, feature } => {
            let remedy = "write it with numpy.savez or numpy.savez_compressed";
            DataError::Unsupported { file: format!("{file}: {member}"), feature, remedy }
        }
    };
    error.into()
}

fn write(arrays: &[(&str, Encoder)], out: &mut dyn Write) -> std::io::Result<()> {
    let mut archive = Writer::new(out);
    for (name, array) in arrays {
        archive.add(&format!("{name}.npy"), array.len(), |out| array.write(out))?;
    }
    archive.finish()
}

fn encoders<'a>(
    arrays: impl IntoIterator<Item = (&'a str, &'a Tensor, Number)>,
) -> Result<Vec<(&'a str, Encoder)>> {
    arrays.into_iter().map(|(name, t, number)| Ok((name, Encoder::new(t, number)?))).collect()
}

/// Arrays with numbers as they hold them.
fn as_held<'a>(
    arrays: &'a [(&'a str, &'a Tensor)],
) -> impl Iterator<Item = (&'a str, &'a Tensor, Number)> {
    arrays.iter().map(|(name, t)| (*name, *t, t.dtype().into()))
}

/// The bytes of an NPZ file with these arrays, uncompressed.
///
/// # Errors
/// [`DataError::Io`] beyond 4 GiB.
pub fn encode_npz(arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write(&encoders(as_held(arrays))?, &mut out)
        .map_err(|source| DataError::Io { file: "an .npz in memory".into(), source })?;
    Ok(out)
}

/// Writes arrays under their names, uncompressed; the file appears whole or not at all.
///
/// # Errors
/// [`FileError::Write`](crate::files::FileError::Write) if it cannot be written or is beyond 4 GiB; an older
/// file then survives.
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, &Tensor)]) -> Result<()> {
    write_all(path.as_ref(), &encoders(as_held(arrays))?)
}

/// As [`write_npz`], each array with numbers of the kind that stands beside it.
///
/// # Errors
/// As [`write_npz`], and [`DataError::NoSuchNumber`] for one that this kind does not have.
pub fn write_npz_as(path: impl AsRef<Path>, arrays: &[(&str, &Tensor, Number)]) -> Result<()> {
    write_all(path.as_ref(), &encoders(arrays.iter().copied())?)
}

fn write_all(path: &Path, arrays: &[(&str, Encoder)]) -> Result<()> {
    replace(path, |out| write(arrays, out))
}

#[cfg(test)]
#[path = "npz_tests.rs"]
mod tests;
