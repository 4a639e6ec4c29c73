//! A data set of whatever kind a folder or file holds.

use super::cifar::{self, read_cifar10};
use super::csv::read_csv;
use super::idx::read_idx;
use super::labeled::{Examples, Labeled, as_inputs, as_labels, check_finite};
use super::recognize::{Found, not_recognized, recognize};
use super::{DataError, Labels, Npz, Table, read_npy, rows};
use crate::tensor::Dtype;
use crate::{Result, Rng, Tensor};
use std::path::{Path, PathBuf};

const BYTE: u8 = 255;
const MNIST_CLASSES: usize = 10;

/// Names under which an NPZ file may hold inputs and labels to learn from.
const TRAIN_NAMES: [(&str, &str); 7] = [
    ("x_train", "y_train"),
    ("train_x", "train_y"),
    ("train_images", "train_labels"),
    ("x", "y"),
    ("X", "y"),
    ("images", "labels"),
    ("inputs", "labels"),
];

/// Names under which an NPZ file may hold inputs and labels to be judged by.
const TEST_NAMES: [(&str, &str); 3] =
    [("x_test", "y_test"), ("test_x", "test_y"), ("test_images", "test_labels")];

/// Loads the classification data set in a folder or file, whichever of these it is:
///
/// - a folder with MNIST's four IDX files, plain or `.gz`;
/// - CIFAR-10's binary files, plain or `.gz`: in a folder those whose names start with `train` or
///   `data_batch`, and with `test`; or one such file;
/// - an `.npz` with `x` and `y`, or with `x_train`, `y_train`, `x_test` and `y_test`, or with other
///   usual names: bytes are scaled to 0..1, other numbers are taken as they are;
/// - a `.csv` of numbers with a column of [labels](Labels::Known); in a folder, `train.csv` and
///   `test.csv`;
/// - a folder with a folder of PNG or JPEG files for each class, all of one size and scaled to 0..1, or such
///   folders in `train` and `test`: gray images have one channel, others three.
///
/// # Errors
/// A [`DataError`] that names the file: it is missing, unreadable, truncated, damaged, holds another
/// number of labels than of inputs, or a label that is no class; or nothing is recognized.
pub fn load(path: impl AsRef<Path>) -> Result<Labeled> {
    load_labeled(path, &Labels::Known)
}

/// [`load`], told which column of a `.csv` holds the labels.
///
/// # Errors
/// As [`load`].
pub fn load_labeled(path: impl AsRef<Path>, labels: &Labels) -> Result<Labeled> {
    let path = path.as_ref();
    labeled(&name_of(path), recognize(path)?, labels)
}

/// How inputs without labels are taken out of a file.
#[derive(Clone, Debug)]
pub struct Unlabeled {
    /// How many at most.
    pub count: usize,
    /// Names the draw, if there are more.
    pub seed: u64,
    /// Which column of a `.csv` is left out since it holds labels.
    pub labels: Labels,
    /// How many values a sample has, if that is known: a `.csv` with so many columns has no labels.
    pub width: Option<usize>,
}

/// Up to `count` inputs to calibrate with: of the training part of anything that [`load`] takes, by
/// [`Labeled::calibration`], or of inputs without labels (an `.npy`, an `.npz` without labels, a
/// `.csv`), drawn by the seed.
///
/// # Errors
/// Those of [`load`], and [`DataError::Split`] for 0 inputs.
pub fn load_calibration(path: impl AsRef<Path>, count: usize, seed: u64) -> Result<Tensor> {
    Unlabeled { count, seed, labels: Labels::Known, width: None }.load(path)
}

impl Unlabeled {
    /// The inputs in a folder or file, as [`load_calibration`].
    ///
    /// # Errors
    /// As [`load_calibration`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Tensor> {
        let path = path.as_ref();
        let found = recognize(path)?;
        match unlabeled(&found, &self.labels, self.width)? {
            Some(inputs) => draw(&inputs, self.count, self.seed, path),
            None => {
                labeled(&name_of(path), found, &self.labels)?.calibration(self.count, self.seed)
            }
        }
    }
}

/// Up to `count` inputs, drawn by the seed.
fn draw(inputs: &Tensor, count: usize, seed: u64, path: &Path) -> Result<Tensor> {
    let inputs = inputs.contiguous()?;
    let len = inputs.shape().first().copied().unwrap_or(0);
    if len == 0 {
        let problem = "it holds no samples, which its first axis counts".to_owned();
        return Err(DataError::NotRecognized { path: path.display().to_string(), problem }.into());
    }
    if count == 0 {
        return Err(DataError::Split { count, len }.into());
    }
    check_finite(&inputs, &path.display().to_string())?;
    let mut order: Vec<usize> = (0..len).collect();
    Rng::seed(seed).shuffle(&mut order);
    order.truncate(count);
    order.sort_unstable();
    rows::gather(&inputs, &order)
}

/// What reports call a data set: the name of its folder or file without extensions.
fn name_of(path: &Path) -> String {
    // `..` and `.` have no name of their own.
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('.').find(|part| !part.is_empty()).unwrap_or("data").to_owned()
}

fn labeled(name: &str, found: Found, labels: &Labels) -> Result<Labeled> {
    match found {
        Found::Mnist([images, labels, test_images, test_labels]) => {
            let (train, test) = (idx(&images, &labels)?, idx(&test_images, &test_labels)?);
            Labeled::new(name, train, Some(test))?.with_classes(MNIST_CLASSES)
        }
        Found::Cifar10 { train, test } => {
            let test = if test.is_empty() { None } else { Some(cifar10(&test)?) };
            Labeled::new(name, cifar10(&train)?, test)?.with_classes(cifar::CLASSES)
        }
        Found::Csv { train, test } => {
            let test = test.map(|file| read_csv(&file)).transpose()?;
            tables(name, read_csv(&train)?, test, labels)
        }
        Found::Npz(file) => {
            let mut arrays = Npz::open(&file)?;
            let Some(train) = arrays_named(&mut arrays, &file, &TRAIN_NAMES)? else {
                let names = arrays.names().collect::<Vec<_>>().join(", ");
                let problem = format!("it holds the arrays {names}; name them x and y");
                return Err(not_recognized(&file, problem));
            };
            let test = arrays_named(&mut arrays, &file, &TEST_NAMES)?;
            Labeled::new(name, train, test)
        }
        Found::Images(images) => images.load(name),
        Found::Npy(file) => {
            let problem = "an .npy holds no labels; save x and y together as an .npz".to_owned();
            Err(not_recognized(&file, problem))
        }
    }
}

/// The inputs of a file without labels; nothing if it has some or should have.
fn unlabeled(found: &Found, labels: &Labels, width: Option<usize>) -> Result<Option<Tensor>> {
    match found {
        Found::Npy(file) => Ok(Some(scaled(&read_npy(file)?, &file.display().to_string())?)),
        Found::Npz(file) => {
            let mut arrays = Npz::open(file)?;
            let has = |name: &str| arrays.names().any(|n| n == name);
            let mut pairs = TRAIN_NAMES.iter().filter(|(x, _)| has(x));
            let Some((x, y)) = pairs.next() else { return Ok(None) };
            if has(y) {
                return Ok(None);
            }
            Ok(Some(scaled(&arrays.read(x)?, &format!("{}: {x}", file.display()))?))
        }
        Found::Csv { train, .. } => {
            let table = read_csv(train)?;
            let has_no_room = width == Some(table.values.shape()[1]) && table.text.is_none();
            let has_none = has_no_room || table.label_column(labels)?.is_none();
            Ok(has_none.then_some(table.values))
        }
        Found::Mnist(_) | Found::Cifar10 { .. } | Found::Images(_) => Ok(None),
    }
}

fn idx(images: &Path, labels: &Path) -> Result<Examples> {
    let (images_name, labels_name) = (images.display().to_string(), labels.display().to_string());
    let inputs = scaled(&read_idx(images)?, &images_name)?;
    let labels = as_labels(&read_idx(labels)?, &labels_name)?;
    let examples = Examples::from_files(inputs, &images_name, labels, &labels_name)?;
    examples.check_labels(MNIST_CLASSES, &labels_name)?;
    Ok(examples)
}

fn cifar10(files: &[PathBuf]) -> Result<Examples> {
    let parts = files.iter().map(read_cifar10).collect::<Result<Vec<_>>>()?;
    let (images, labels): (Vec<Tensor>, Vec<Tensor>) = parts.into_iter().unzip();
    let images = Tensor::cat::<u8>(&images, 0)?;
    Examples::new(scaled(&images, "the images")?, Tensor::cat::<i64>(&labels, 0)?)
}

/// Inputs as models take them, of the file that errors call `file`.
fn scaled(stored: &Tensor, file: &str) -> Result<Tensor> {
    /// Full brightness is 255, and even a dark set of images has a bright spot.
    const DIM: u8 = 32;
    if stored.dtype() == Dtype::U8 {
        let largest = stored.to_vec::<u8>()?.into_iter().max().unwrap_or(0);
        if (1..=DIM).contains(&largest) {
            return Err(DataError::DimBytes { file: file.to_owned(), largest }.into());
        }
    }
    as_inputs(stored, BYTE)
}

/// The tables of a data set. Text labels are numbered alike in both.
fn tables(name: &str, train: Table, test: Option<Table>, labels: &Labels) -> Result<Labeled> {
    let names = |table: &Table| table.text.as_ref().map(|(_, names)| names.clone());
    let mut all = names(&train).unwrap_or_default();
    all.extend(test.as_ref().and_then(names).unwrap_or_default());
    all.sort_unstable();
    all.dedup();
    let train = examples(&train, labels, &all)?;
    let test = test.map(|table| examples(&table, labels, &all)).transpose()?;
    let labeled = Labeled::new(name, train, test)?;
    Ok(if all.is_empty() { labeled } else { Labeled { class_names: Some(all), ..labeled } })
}

/// The rows of a table, text labels as their places in `all`.
fn examples(table: &Table, labels: &Labels, all: &[String]) -> Result<Examples> {
    let (inputs, labels) = table.split_labels(labels)?;
    let mut labels = as_labels(&labels, &table.file)?;
    if let Some((_, names)) = &table.text {
        let places: Vec<i64> =
            names.iter().map(|name| all.binary_search(name).unwrap_or_default() as i64).collect();
        labels.as_mut_slice::<i64>()?.iter_mut().for_each(|label| *label = places[*label as usize]);
    } else if !all.is_empty() {
        let problem = "its labels are numbers where those of the other part are text";
        return Err(table.not_recognized(problem.to_string()));
    }
    Examples::from_files(inputs, &table.file, labels, &table.file)
}

/// The first of the pairs that the file holds.
fn arrays_named(arrays: &mut Npz, file: &Path, pairs: &[(&str, &str)]) -> Result<Option<Examples>> {
    let has = |name: &str| arrays.names().any(|n| n == name);
    let Some((x, y)) = pairs.iter().find(|(x, y)| has(x) && has(y)) else { return Ok(None) };
    let named = |array: &str| format!("{}: {array}", file.display());
    let inputs = scaled(&arrays.read(x)?, &named(x))?;
    let labels = as_labels(&arrays.read(y)?, &named(y))?;
    Ok(Some(Examples::from_files(inputs, &named(x), labels, &named(y))?))
}
