//! A model's file and the files beside it that hold its data.

use crate::error::{OnnxError, shown};
use crate::proto::{ModelProto, TensorProto};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tinytorch_kernels::os::WholeFile;

/// Where the bytes of a model are.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The folder below which external data may lie; `None` for a model that is in memory.
    folder: Option<PathBuf>,
    main: Option<Arc<WholeFile>>,
    external: BTreeMap<PathBuf, Arc<WholeFile>>,
}

/// A file as the owner of bytes that are slices of it.
struct Shared(Arc<WholeFile>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Bytes, and the file that they are a slice of.
pub(crate) struct Raw<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) file: Option<&'a Arc<WholeFile>>,
}

impl Files {
    /// Reads and decodes a model's file.
    pub(crate) fn open(path: &Path) -> Result<(ModelProto, Files), OnnxError> {
        let file = read_whole(path)?;
        let bytes = Bytes::from_owner(Shared(file.clone()));
        let model = decode(&path.display().to_string(), bytes)?;
        // An empty parent is the folder in which the program runs.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
        Ok((model, Files { folder: Some(folder), main: Some(file), ..Files::default() }))
    }

    /// The elements of a tensor that has them as bytes.
    pub(crate) fn raw<'a>(&'a mut self, tensor: &'a TensorProto) -> Result<Raw<'a>, OnnxError> {
        if tensor.data_location != 1 {
            return Ok(Raw { bytes: &tensor.raw_data, file: self.main.as_ref() });
        }
        let wrong = |problem: String| OnnxError::Tensor { tensor: shown(&tensor.name), problem };
        let entry = |key: &str| {
            let found = tensor.external_data.iter().find(|entry| entry.key == key);
            found.map(|entry| entry.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            Some(value) => value.parse::<usize>().map(Some).map_err(|_| {
                wrong(format!("the {key} {:?} of its external data is no number", shown(value)))
            }),
            None => Ok(None),
        };
        let location =
            entry("location").ok_or_else(|| wrong("its external data has no location".into()))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let folder = self.folder.as_deref().ok_or_else(|| {
            wrong("its data lies in another file; open the model by its path".into())
        })?;
        let path = below(folder, location).map_err(&wrong)?;
        if !self.external.contains_key(&path) {
            self.external.insert(path.clone(), read_whole(&path)?);
        }
        let file = &self.external[&path];
        let size = file.bytes().len();
        let end = match length {
            Some(length) => offset.checked_add(length),
            None => Some(size),
        };
        let bytes = end.and_then(|end| file.bytes().get(offset..end)).ok_or_else(|| {
            wrong(format!(
                "bytes {offset}.. of {:?} are outside of the file, which has {size}",
                shown(location)
            ))
        })?;
        Ok(Raw { bytes, file: Some(file) })
    }
}

/// Decodes a model; `name` is what errors call it.
pub(crate) fn decode(name: &str, bytes: Bytes) -> Result<ModelProto, OnnxError> {
    let file = name.to_string();
    ModelProto::decode(bytes)
        .map_err(|error| OnnxError::Format { file, problem: error.to_string() })
}

fn read_whole(path: &Path) -> Result<Arc<WholeFile>, OnnxError> {
    let read = |source| OnnxError::Read { path: path.to_path_buf(), source };
    // Asked before opening, since opening a pipe waits for its other end.
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(OnnxError::NotAFile { path: path.to_path_buf() });
    }
    Ok(Arc::new(WholeFile::read(path).map_err(read)?))
}

/// The file at `location` below `folder`, unless the way there leaves it, be it by a link.
fn below(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let name = shown(location);
    let relative = Path::new(location);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || location.contains('\0') || !relative.components().all(plain) {
        return Err(format!("its external data {name:?} does not lie below the model's folder"));
    }
    let path = folder.join(relative);
    let missing = |error| format!("its external data {name:?} cannot be read: {error}");
    let (root, target) =
        (folder.canonicalize().map_err(missing)?, path.canonicalize().map_err(missing)?);
    if !target.starts_with(&root) {
        return Err(format!("its external data {name:?} is a link out of the model's folder"));
    }
    if !target.is_file() {
        return Err(format!("its external data {name:?} is not a regular file"));
    }
    Ok(target)
}
