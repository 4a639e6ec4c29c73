//! A model's file and the files beside it that hold its data.

use crate::error::{OnnxError, shown};
use crate::proto::{GraphProto, ModelProto, TensorProto};
use crate::stream::{Kept, Stream};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// Bytes that are read at once; a multiple of every element's size.
const PIECE: usize = 256 << 10;

/// Where the bytes of a model are.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The folder below which external data may lie; `None` for a model that is in memory.
    folder: Option<PathBuf>,
    main: Option<(Source, Kept)>,
    external: BTreeMap<PathBuf, Source>,
}

/// A file that tensors are read from.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    size: u64,
}

/// The bytes of a tensor.
pub(crate) enum Raw<'a> {
    /// In memory.
    Here(&'a [u8]),
    /// In a file, inside of it.
    There(&'a Source, Range<u64>),
}

impl Source {
    fn open(path: &Path) -> Result<Source, OnnxError> {
        let read = |source| OnnxError::Read { path: path.to_path_buf(), source };
        // Asked before opening, since opening a pipe waits for its other end.
        if !fs::metadata(path).map_err(read)?.is_file() {
            return Err(OnnxError::NotAFile { path: path.to_path_buf() });
        }
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        Ok(Source { file, size })
    }
}

impl Raw<'_> {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Raw::Here(bytes) => bytes.len() as u64,
            Raw::There(_, range) => range.end - range.start,
        }
    }

    /// Gives all bytes to `take`, in pieces that end between two elements.
    pub(crate) fn pieces(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let (source, range) = match self {
            Raw::Here(bytes) => {
                take(bytes);
                return Ok(());
            }
            Raw::There(source, range) => (source, range),
        };
        let mut file = &source.file;
        file.seek(SeekFrom::Start(range.start))?;
        let mut left = range.end - range.start;
        let mut piece = vec![0; left.min(PIECE as u64) as usize];
        while left > 0 {
            let len = left.min(PIECE as u64) as usize;
            file.read_exact(&mut piece[..len])?;
            take(&piece[..len]);
            left -= len as u64;
        }
        Ok(())
    }
}

impl Files {
    /// Reads and decodes a model's file. The data of large tensors stays in it until [`Files::raw`] is asked for them.
    pub(crate) fn open(path: &Path) -> Result<(ModelProto, Files), OnnxError> {
        let source = Source::open(path)?;
        let read = |source| OnnxError::Read { path: path.to_path_buf(), source };
        let mut stream = Stream::new(&source.file, source.size).map_err(read)?;
        let decoded = ModelProto::decode(&mut stream);
        let kept = stream.finish().map_err(read)?;
        let model = decoded.map_err(|error| OnnxError::Format {
            file: path.display().to_string(),
            problem: error.to_string(),
        })?;
        // An empty parent is the folder in which the program runs.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
        let main = Some((source, kept));
        Ok((model, Files { folder: Some(folder), main, ..Files::default() }))
    }

    /// Puts the elements of a graph's tensors into them, so that it can be written without these files.
    pub(crate) fn fetch(&mut self, graph: &mut GraphProto) -> Result<(), OnnxError> {
        graph.initializer.iter_mut().try_for_each(|tensor| self.fetch_tensor(tensor))?;
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute.t.as_mut().map_or(Ok(()), |tensor| self.fetch_tensor(tensor))?;
            attribute.g.as_mut().map_or(Ok(()), |graph| self.fetch(graph))?;
        }
        Ok(())
    }

    fn fetch_tensor(&mut self, tensor: &mut TensorProto) -> Result<(), OnnxError> {
        let mut bytes = Vec::new();
        match self.raw(tensor)? {
            Raw::Here(_) => return Ok(()),
            raw => raw.pieces(|piece| bytes.extend_from_slice(piece)).map_err(|problem| {
                let (tensor, problem) = (shown(&tensor.name), problem.to_string());
                OnnxError::Tensor { tensor, problem }
            })?,
        }
        (tensor.raw_data, tensor.data_location) = (bytes.into(), 0);
        tensor.external_data.clear();
        Ok(())
    }

    /// The elements of a tensor that has them as bytes.
    pub(crate) fn raw<'a>(&'a mut self, tensor: &'a TensorProto) -> Result<Raw<'a>, OnnxError> {
        if tensor.data_location != 1 {
            let kept = self
                .main
                .as_ref()
                .and_then(|(source, kept)| Some(Raw::There(source, kept.range(&tensor.raw_data)?)));
            return Ok(kept.unwrap_or(Raw::Here(&tensor.raw_data)));
        }
        let wrong = |problem: String| OnnxError::Tensor { tensor: shown(&tensor.name), problem };
        let entry = |key: &str| {
            let found = tensor.external_data.iter().find(|entry| entry.key == key);
            found.map(|entry| entry.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            Some(value) => value.parse::<u64>().map(Some).map_err(|_| {
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
            self.external.insert(path.clone(), Source::open(&path)?);
        }
        let source = &self.external[&path];
        let size = source.size;
        let end = match length {
            Some(length) => offset.checked_add(length),
            None => Some(size),
        };
        let end = end.filter(|end| (offset..=size).contains(end)).ok_or_else(|| {
            wrong(format!(
                "bytes {offset}.. of {:?} are outside of the file, which has {size}",
                shown(location)
            ))
        })?;
        Ok(Raw::There(source, offset..end))
    }
}

/// The names of files in which tensors of a model lie.
pub(crate) fn locations(proto: &ModelProto) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    proto.graph.iter().for_each(|graph| add_locations(graph, &mut found));
    found
}

fn add_locations<'p>(graph: &'p GraphProto, found: &mut BTreeSet<&'p str>) {
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let tensors = graph.initializer.iter().chain(attributes().filter_map(|own| own.t.as_ref()));
    let entries = tensors.flat_map(|tensor| &tensor.external_data);
    let locations = entries.filter(|entry| entry.key == "location");
    found.extend(locations.map(|entry| entry.value.as_str()));
    attributes().filter_map(|own| own.g.as_ref()).for_each(|inner| add_locations(inner, found));
}

/// Decodes a model; `name` is what errors call it.
pub(crate) fn decode(name: &str, bytes: Bytes) -> Result<ModelProto, OnnxError> {
    let file = name.to_string();
    ModelProto::decode(bytes)
        .map_err(|error| OnnxError::Format { file, problem: error.to_string() })
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
