//! Folders of pictures, one folder a class.

use super::labeled::Examples;
use super::source::io_error;
use super::{DataError, Labeled};
use crate::files::foreign_file;
use crate::{Result, Tensor};
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};
use std::path::{Path, PathBuf};

/// No picture that a classifier takes is wider or higher.
const MOST_PIXELS: u32 = 1 << 14;

/// Pixels that a byte of a file stands for at most: a photograph has one or two, a drawing of two colors a few hundred, and
/// a file that was cut may claim any number.
const PIXELS_OF_A_BYTE: u64 = 1 << 12;

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Names of the folders of the part to learn from and of the part to be judged by.
const PARTS: [(&str, &str); 3] = [("train", "test"), ("train", "val"), ("training", "testing")];

/// The folders of pictures in a folder: a class each, and those of the test part, if there is one.
#[derive(Debug)]
pub(super) struct ImageFolders {
    train: Vec<Class>,
    test: Option<Vec<Class>>,
}

/// A class and its pictures, in the order of their names.
#[derive(Debug)]
struct Class {
    name: String,
    files: Vec<PathBuf>,
}

/// What a folder holds of class folders: directly, or in `train` and `test`.
pub(super) fn find(folder: &Path) -> Result<Option<ImageFolders>> {
    for (train, test) in PARTS {
        let (train, test) = (folder.join(train), folder.join(test));
        if train.is_dir() && test.is_dir() {
            let (train, test) = (classes(&train)?, classes(&test)?);
            return Ok((!train.is_empty()).then_some(ImageFolders { train, test: Some(test) }));
        }
    }
    let train = classes(folder)?;
    Ok((!train.is_empty()).then_some(ImageFolders { train, test: None }))
}

/// The folders with pictures, by name.
fn classes(folder: &Path) -> Result<Vec<Class>> {
    let mut found = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let is_picture = |path: &PathBuf| {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        let files: Vec<PathBuf> = entries(&path)?.into_iter().filter(is_picture).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !files.is_empty() {
            found.push(Class { name, files });
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| io_error(folder, e))? {
        paths.push(entry.map_err(|e| io_error(folder, e))?.path());
    }
    paths.sort_unstable();
    Ok(paths)
}

impl ImageFolders {
    /// All pictures, scaled to 0..1: gray ones `[n, 1, height, width]` if all are gray, else
    /// `[n, 3, height, width]`. The classes are numbered in the order of their folders' names.
    pub(super) fn load(&self, name: &str) -> Result<Labeled> {
        let parts = std::iter::once(&self.train).chain(&self.test);
        let mut names: Vec<String> = parts.flatten().map(|class| class.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let mut size = None;
        let mut read = |classes: &[Class]| pictures(classes, &names, &mut size);
        let (train, test) = (read(&self.train)?, self.test.as_deref().map(read).transpose()?);
        let is_gray = train.is_gray && test.as_ref().is_none_or(|test| test.is_gray);
        let (width, height) = size.unwrap_or((0, 0));
        let examples = |part: Pictures| part.examples(is_gray, width, height);
        let (train, test) = (examples(train)?, test.map(examples).transpose()?);
        let labeled = Labeled::new(name, train, test)?.with_classes(names.len())?;
        Ok(Labeled { class_names: Some(names), ..labeled })
    }
}

/// Pictures and their classes.
struct Pictures {
    pixels: Vec<[u8; 3]>,
    labels: Vec<i64>,
    is_gray: bool,
}

fn pictures(
    classes: &[Class],
    names: &[String],
    size: &mut Option<(u32, u32)>,
) -> Result<Pictures> {
    let (mut pixels, mut labels, mut is_gray) = (Vec::new(), Vec::new(), true);
    for class in classes {
        let label = names.iter().position(|name| *name == class.name).unwrap_or_default();
        for file in &class.files {
            let picture = open(file)?;
            let (got, expected) = (
                (picture.width(), picture.height()),
                *size.get_or_insert((picture.width(), picture.height())),
            );
            if got != expected {
                let problem = format!(
                    "it is {} by {} pixels where others are {} by {}; bring all to one size",
                    got.0, got.1, expected.0, expected.1
                );
                return Err(malformed(file, problem));
            }
            is_gray &= matches!(
                picture.color(),
                ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16
            );
            pixels.extend(picture.to_rgb8().pixels().map(|pixel| pixel.0));
            labels.push(label as i64);
        }
    }
    Ok(Pictures { pixels, labels, is_gray })
}

fn open(file: &Path) -> Result<DynamicImage> {
    if let Some(kind) = foreign_file(file) {
        return Err(malformed(file, kind.to_string()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    let mut reader = ImageReader::open(file)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| io_error(file, error))?;
    reader.limits(limits);
    let broken = |error: image::ImageError| malformed(file, error.to_string());
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let bytes = std::fs::metadata(file).map_err(|error| io_error(file, error))?.len();
    if u64::from(width) * u64::from(height) > PIXELS_OF_A_BYTE.saturating_mul(bytes) {
        let problem = format!(
            "its {bytes} bytes are too few for the {width} by {height} pixels that it claims; fetch it again, or save it anew"
        );
        return Err(malformed(file, problem));
    }
    DynamicImage::from_decoder(decoder).map_err(broken)
}

fn malformed(file: &Path, problem: String) -> crate::Error {
    DataError::Malformed { file: file.display().to_string(), problem }.into()
}

impl Pictures {
    fn examples(self, is_gray: bool, width: u32, height: u32) -> Result<Examples> {
        let (n, channels) = (self.labels.len(), if is_gray { 1 } else { 3 });
        let (width, height) = (width as usize, height as usize);
        let mut values = Vec::with_capacity(n * channels * width * height);
        for picture in self.pixels.chunks((width * height).max(1)) {
            for channel in 0..channels {
                values.extend(picture.iter().map(|pixel| f32::from(pixel[channel]) / 255.0));
            }
        }
        let inputs = Tensor::from_vec(values, [n, channels, height, width])?;
        Examples::new(inputs, Tensor::from_vec(self.labels, [n])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use std::fs;

    fn folder(pictures: &[(&str, DynamicImage)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, picture) in pictures {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save(path).unwrap();
        }
        folder
    }

    fn gray(width: u32, start: u8) -> DynamicImage {
        let pixel = |x: u32, y: u32| Luma([start + (x + width * y) as u8]);
        GrayImage::from_fn(width, 2, pixel).into()
    }

    #[test]
    fn class_folders_of_gray_pictures() {
        let pictures =
            [("dog/b.png", gray(3, 51)), ("cat/z.png", gray(3, 0)), ("cat/a.png", gray(3, 102))];
        let data = load(folder(&pictures).path()).unwrap();
        assert_eq!(data.class_names.as_deref().unwrap(), ["cat", "dog"]);
        assert_eq!(data.train.labels().to_vec::<i64>().unwrap(), [0, 0, 1]);
        assert_eq!(data.train.inputs().shape().dims(), [3, 1, 2, 3]);
        let values = data.train.inputs().to_vec::<f32>().unwrap();
        assert_eq!((values[0], values[1], values[12]), (0.4, 103.0 / 255.0, 0.2));
    }

    #[test]
    fn parts_of_colored_pictures() {
        let red: DynamicImage = RgbImage::from_pixel(2, 2, Rgb([255, 51, 0])).into();
        let pictures =
            [("train/x/1.png", red.clone()), ("train/y/1.jpg", red.clone()), ("test/y/1.PNG", red)];
        let data = load(folder(&pictures).path()).unwrap();
        assert_eq!(data.test.as_ref().unwrap().labels().to_vec::<i64>().unwrap(), [1]);
        let values = data.test.unwrap().inputs().to_vec::<f32>().unwrap();
        assert_eq!(values, [1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(data.train.inputs().shape().dims(), [2, 3, 2, 2]);
    }

    /// Two by two pixels, packed by Python's zlib.
    #[rustfmt::skip]
    const PNG: &[u8] = &[
        137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 2, 8,
        2, 0, 0, 0, 253, 212, 154, 115, 0, 0, 0, 22, 73, 68, 65, 84, 120, 156, 99, 248, 207, 96,
        204, 144, 118, 134, 129, 145, 137, 153, 133, 149, 13, 0, 25, 96, 2, 122, 115, 55, 87, 225,
        0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ];

    #[test]
    fn a_file_of_another_program_has_its_pixels() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/x.png"), PNG).unwrap();
        let values = load(folder.path()).unwrap().train.inputs().to_vec::<f32>().unwrap();
        let want =
            [255, 0, 1, 4, 0, 102, 2, 5, 51, 204, 3, 6].map(|byte: u8| f32::from(byte) / 255.0);
        assert_eq!(values, want);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let sizes = folder(&[("a/1.png", gray(3, 0)), ("b/2.png", gray(4, 0))]);
        let line = load(sizes.path()).unwrap_err().to_string();
        assert!(line.contains("2.png") && line.contains("4 by 2 pixels"), "{line}");
        // The PNG of above with a header that claims 16,000 by 16,000 pixels, whose checksum is Python's zlib's.
        let mut large = PNG.to_vec();
        large[16..24].copy_from_slice(&[0, 0, 62, 128, 0, 0, 62, 128]);
        large[29..33].copy_from_slice(&[206, 28, 72, 137]);
        let claims = folder(&[("a/1.png", gray(3, 0))]);
        fs::write(claims.path().join("a/2.png"), large).unwrap();
        let line = load(claims.path()).unwrap_err().to_string();
        assert!(line.contains("2.png") && line.contains("16000 by 16000 pixels"), "{line}");
        let broken = folder(&[("a/1.png", gray(3, 0))]);
        fs::write(broken.path().join("a/2.png"), b"version https://git-lfs").unwrap();
        let line = load(broken.path()).unwrap_err().to_string();
        assert!(line.contains("2.png") && line.contains("git lfs pull"), "{line}");
    }
}
