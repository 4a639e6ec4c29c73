//! `-`, which stands for standard input or standard output.

use crate::output::Screen;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::data::{encode_npy, write_npy};
use tinytorch::files::{TemporaryFolder, check_writable};

/// Whether a path stands for a stream.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// All bytes of a file or of standard input.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match is_stream(path) {
        true => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        false => std::fs::read(path),
    }
}

/// A file to read: the one that was named, or what came by standard input.
pub(crate) struct Input {
    path: PathBuf,
    _folder: Option<TemporaryFolder>,
}

impl Input {
    /// Data. What comes by standard input is an .npz, an .npy or a .csv, by its first bytes.
    pub(crate) fn of_data(path: &Path) -> Result<Input> {
        if !is_stream(path) {
            return Ok(Input { path: path.to_path_buf(), _folder: None });
        }
        let folder = TemporaryFolder::new().context("cannot make a temporary folder")?;
        let mut stream = io::stdin().lock();
        let mut start = Vec::new();
        stream.by_ref().take(4).read_to_end(&mut start).context("cannot read standard input")?;
        let name = match &start[..] {
            b"PK\x03\x04" => "stdin.npz",
            b"\x93NUM" => "stdin.npy",
            _ => "stdin.csv",
        };
        let path = folder.path().join(name);
        let copied = File::create(&path).and_then(|mut file| {
            file.write_all(&start)?;
            io::copy(&mut stream, &mut file)
        });
        copied.context("cannot keep what came by standard input")?;
        Ok(Input { path, _folder: Some(folder) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// [`check_writable`], but of what is no stream.
pub(crate) fn check_output(path: &Path) -> Result<()> {
    if !is_stream(path) {
        check_writable(path)?;
    }
    Ok(())
}

/// Writes an .npy, and then the line that says so, where it does not end up within the array.
pub(crate) fn write_array(
    path: &Path,
    array: &Tensor,
    screen: &mut Screen,
    line: impl FnOnce(&mut Screen) -> Result<()>,
) -> Result<()> {
    if is_stream(path) {
        return Ok(screen.write_all(&encode_npy(array)?)?);
    }
    write_npy(path, array)?;
    line(screen)
}
