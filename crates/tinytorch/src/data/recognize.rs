//! What a folder or file holds, by the names in it.

use super::DataError;
use super::images::{self, ImageFolders};
use super::source::io_error;
use crate::files::{Foreign, foreign_file};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

const KNOWN: &str = "expected MNIST's four IDX files, CIFAR-10's .bin files, an .npz with x and y, \
     a .csv with a label column, or a folder of PNG or JPEG files for each class";

const MNIST_FILES: &str = "the four files are train-images-idx3-ubyte, train-labels-idx1-ubyte, \
     t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or .gz";

/// The files of a data set, by their format.
pub(super) enum Found {
    /// Images and labels to learn from, images and labels to be judged by.
    Mnist([PathBuf; 4]),
    Cifar10 {
        train: Vec<PathBuf>,
        test: Vec<PathBuf>,
    },
    Csv {
        train: PathBuf,
        test: Option<PathBuf>,
    },
    Npz(PathBuf),
    Npy(PathBuf),
    Images(ImageFolders),
}

/// Says from names alone what a folder or file holds.
pub(super) fn recognize(path: &Path) -> Result<Found> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    if metadata.is_dir() {
        return in_folder(path);
    }
    let is_expected = |kind: Foreign| match format(&path.to_string_lossy()) {
        Some("npz") => kind == Foreign::Zip,
        Some("npy") => kind == Foreign::Npy,
        Some("csv") => kind == Foreign::Text,
        // Pixels may look like anything but what takes the place of a file.
        _ => !matches!(kind, Foreign::LfsPointer | Foreign::Html),
    };
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let kind = foreign_file(path).filter(|kind| !is_expected(*kind));
    if let Some(kind) = kind.filter(|kind| !(is_packed && *kind == Foreign::Gzip)) {
        return Err(not_recognized(path, kind.to_string()));
    }
    let file = path.to_owned();
    match format(&path.to_string_lossy()) {
        Some("bin") => Ok(Found::Cifar10 { train: vec![file], test: Vec::new() }),
        Some("csv") => Ok(Found::Csv { train: file, test: None }),
        Some("npz") => Ok(Found::Npz(file)),
        Some("npy") => Ok(Found::Npy(file)),
        _ => Err(not_recognized(path, KNOWN.to_owned())),
    }
}

pub(super) fn not_recognized(path: &Path, problem: String) -> Error {
    DataError::NotRecognized { path: path.display().to_string(), problem }.into()
}

/// The extension, without a final `.gz`.
fn format(name: &str) -> Option<&str> {
    name.strip_suffix(".gz").unwrap_or(name).rsplit_once('.').map(|(_, extension)| extension)
}

fn in_folder(folder: &Path) -> Result<Found> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| io_error(folder, e))? {
        let entry = entry.map_err(|e| io_error(folder, e))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    if let Some(files) = mnist(folder, &names)? {
        return Ok(Found::Mnist(files));
    }
    let of_format = |wanted: &str| -> Vec<&str> {
        names.iter().map(String::as_str).filter(|n| format(n) == Some(wanted)).collect()
    };
    let starting = |names: &[&str], start: &str| -> Vec<PathBuf> {
        names.iter().filter(|n| n.starts_with(start)).map(|n| folder.join(n)).collect()
    };
    let bins = of_format("bin");
    let train = [starting(&bins, "data_batch"), starting(&bins, "train")].concat();
    if !train.is_empty() {
        return Ok(Found::Cifar10 { train, test: starting(&bins, "test") });
    }
    match of_format("npz").as_slice() {
        [] => {}
        [only] => return Ok(Found::Npz(folder.join(only))),
        several => {
            let problem = format!("it holds {} .npz files; name one of them", several.len());
            return Err(not_recognized(folder, problem));
        }
    }
    let tables = of_format("csv");
    if let [only] = tables.as_slice() {
        return Ok(Found::Csv { train: folder.join(only), test: None });
    }
    match (starting(&tables, "train.").pop(), starting(&tables, "test.").pop()) {
        (Some(train), test) => Ok(Found::Csv { train, test }),
        (None, _) => match images::find(folder)? {
            Some(images) => Ok(Found::Images(images)),
            None => Err(not_recognized(folder, KNOWN.to_owned())),
        },
    }
}

/// The four files of MNIST, or nothing if none of them is there.
fn mnist(folder: &Path, names: &[String]) -> Result<Option<[PathBuf; 4]>> {
    let wanted = [
        ("train-images", "idx3-ubyte"),
        ("train-labels", "idx1-ubyte"),
        ("t10k-images", "idx3-ubyte"),
        ("t10k-labels", "idx1-ubyte"),
    ];
    let find = |(part, kind): (&str, &str)| {
        // Unpacking by some tools turns the hyphen into a dot.
        let is_it = |n: &&String| {
            let rest = n.strip_prefix(part).and_then(|r| r.strip_prefix(['-', '.']));
            rest.is_some_and(|r| r.strip_suffix(".gz").unwrap_or(r) == kind)
        };
        names.iter().find(is_it).map(|n| folder.join(n))
    };
    let found = wanted.map(find);
    let missing = found.iter().zip(wanted).find(|(file, _)| file.is_none());
    match (missing, found.clone()) {
        (_, [Some(images), Some(labels), Some(test_images), Some(test_labels)]) => {
            Ok(Some([images, labels, test_images, test_labels]))
        }
        (Some((_, (part, kind))), found) if found.iter().any(Option::is_some) => {
            let file = folder.join(format!("{part}-{kind}")).display().to_string();
            Err(DataError::Missing { file, needed: MNIST_FILES }.into())
        }
        _ => Ok(None),
    }
}
