//! Pictures as a model takes them.

use crate::open::has_extension;
use crate::problem::Problem;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::files::Provenance;
use tinytorch::models::{Model, Sample};
use tinytorch::tensor::{Dtype, Shape};

/// The note in a model's file that says how the pictures it was calibrated with became numbers.
const NOTE: &str = "pictures";

/// What the levels of a picture are multiplied by unless it is said.
const SCALE: f32 = 1.0 / 255.0;

/// How pictures become numbers: `(level x scale - mean) / std`.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pictures {
    /// What the levels of pictures, 0 to 255, are multiplied by, as a number or as 1/255, which it is unless
    /// this is given; arrays of bytes for an input of floats need it
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    scale: Option<f32>,
    /// What is then taken off, one number or one for each channel; 0 unless this is given
    #[arg(long, value_name = "VALUE", value_delimiter = ',', allow_negative_numbers = true, value_parser = finite)]
    mean: Vec<f32>,
    /// What the rest is divided by, one number or one for each channel; 1 unless this is given
    #[arg(long, value_name = "VALUE", value_delimiter = ',', value_parser = divisor)]
    std: Vec<f32>,
    /// Whether channels come before the rows or after the columns, where the model's sizes do not tell
    #[arg(long, value_enum)]
    layout: Option<Layout>,
}

/// Where the channels of a picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    /// Channels, rows, columns.
    Nchw,
    /// Rows, columns, channels.
    Nhwc,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse::<f32>().ok().filter(|v| v.is_finite()).ok_or_else(|| "a number is needed".into())
}

fn divisor(text: &str) -> Result<f32, String> {
    match finite(text)? {
        0.0 => Err("0 divides nothing".into()),
        value => Ok(value),
    }
}

fn factor(text: &str) -> Result<f32, String> {
    match text.split_once('/') {
        Some((above, below)) => Ok(finite(above)? / divisor(below)?),
        None => divisor(text),
    }
}

/// What pictures a model takes: channels, rows and columns, of which an open one is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    layout: Layout,
    channels: usize,
    size: [Option<usize>; 2],
}

impl Pictures {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Pictures::default()
    }

    /// What is said, or else what the model's file notes.
    pub(crate) fn or_noted(self, provenance: &Provenance) -> Pictures {
        match provenance.notes.get(NOTE).map(|note| serde_json::from_str(note)) {
            Some(Ok(noted)) if self.is_empty() => noted,
            _ => self,
        }
    }

    /// Notes it in a model's file.
    pub(crate) fn note(&self, provenance: &mut Provenance) -> Result<()> {
        if !self.is_empty() {
            provenance.notes.insert(NOTE.to_string(), serde_json::to_string(self)?);
        }
        Ok(())
    }

    fn frame(&self, model: &dyn Model) -> Result<Frame> {
        let sizes = match model.samples()?[..] {
            [Sample::Values(shape)] if shape.rank() == 3 => shape,
            _ => return Err(Problem::NoPictures.into()),
        };
        let is_channels = |size: usize| size == 1 || size == 3;
        let layout = self.layout.unwrap_or(match is_channels(sizes[0]) || !is_channels(sizes[2]) {
            true => Layout::Nchw,
            false => Layout::Nhwc,
        });
        // A sample has 1 where the model leaves a size open.
        let open = |size: usize| (size > 1).then_some(size);
        let (channels, size) = match layout {
            Layout::Nchw => (sizes[0], [open(sizes[1]), open(sizes[2])]),
            Layout::Nhwc => (sizes[2], [open(sizes[0]), open(sizes[1])]),
        };
        match is_channels(channels) {
            true => Ok(Frame { layout, channels, size }),
            false => Err(Problem::NoPictures.into()),
        }
    }

    /// The pictures at a path, as a batch: a file, or all files of a folder in the order of their names. Of a folder
    /// of folders each is a class, whose places come with the pictures.
    pub(crate) fn read(
        &self,
        path: &Path,
        model: &dyn Model,
    ) -> Result<(Tensor, Option<Vec<i64>>, String)> {
        let frame = self.frame(model)?;
        let Found { files, classes } = found(path)?;
        let mut values = Vec::new();
        let mut size = None;
        let mut resized = 0usize;
        for file in &files {
            let unreadable = |problem: String| {
                let path = file.clone();
                anyhow::Error::from(Problem::Picture { path, problem })
            };
            let picture = image::ImageReader::open(file)
                .and_then(image::ImageReader::with_guessed_format)
                .map_err(|error| unreadable(error.to_string()))?;
            let picture = picture.decode().map_err(|error| unreadable(error.to_string()))?;
            let own = [picture.height() as usize, picture.width() as usize];
            // Pictures of a batch have one size: the model's, or the first picture's.
            let [height, width] = *size
                .get_or_insert([frame.size[0].unwrap_or(own[0]), frame.size[1].unwrap_or(own[1])]);
            let picture = match own == [height, width] {
                true => picture,
                false => {
                    resized += 1;
                    let filter = image::imageops::FilterType::Triangle;
                    picture.resize_exact(width as u32, height as u32, filter)
                }
            };
            let levels = match frame.channels {
                1 => picture.into_luma8().into_raw(),
                _ => picture.into_rgb8().into_raw(),
            };
            self.append(&levels, frame, height * width, &mut values)?;
        }
        let [height, width] = size.unwrap_or_default();
        let (n, channels) = (files.len(), frame.channels);
        let shape = match frame.layout {
            Layout::Nchw => Shape::new(&[n, channels, height, width])?,
            Layout::Nhwc => Shape::new(&[n, height, width, channels])?,
        };
        let told = format!(
            "{n} pictures of {width} x {height}, {resized} of them resized, {}, {self}",
            if channels == 1 { "gray" } else { "RGB" },
        );
        Ok((Tensor::from_vec(values, shape)?, classes, told))
    }

    /// The numbers of a picture whose levels lie pixel by pixel.
    fn append(
        &self,
        levels: &[u8],
        frame: Frame,
        pixels: usize,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        let of = self.functions(frame.channels)?;
        let channels = frame.channels;
        match frame.layout {
            Layout::Nhwc => {
                let each = levels.iter().enumerate();
                values.extend(each.map(|(i, &level)| of(i % channels, f32::from(level))));
            }
            Layout::Nchw => {
                for channel in 0..channels {
                    let each = (0..pixels).map(|pixel| levels[pixel * channels + channel]);
                    values.extend(each.map(|level| of(channel, f32::from(level))));
                }
            }
        }
        Ok(())
    }

    /// What becomes of a level of a channel.
    fn functions(&self, channels: usize) -> Result<impl Fn(usize, f32) -> f32 + use<>> {
        let each = |what: &'static str, given: &[f32], usual: f32| match given {
            [] => Ok(vec![usual; channels]),
            [one] => Ok(vec![*one; channels]),
            given if given.len() == channels => Ok(given.to_vec()),
            given => Err(Problem::Channels { what, got: given.len(), channels }),
        };
        let (mean, std) = (each("--mean", &self.mean, 0.0)?, each("--std", &self.std, 1.0)?);
        let scale = self.scale.unwrap_or(SCALE);
        Ok(move |channel: usize, level: f32| (level * scale - mean[channel]) / std[channel])
    }

    /// An array of pictures `[n, ..]` as the model takes it: bytes by what is said, which must be, and floats only if
    /// something is.
    pub(crate) fn array(&self, array: Tensor, name: &str, sample: &Sample) -> Result<Tensor> {
        let Sample::Values(sizes) = sample else { return Ok(array) };
        let is_bytes = array.dtype() == Dtype::U8;
        if self.is_empty() {
            return match is_bytes {
                true => Err(Problem::Bytes { array: name.to_string() }.into()),
                false => Ok(array),
            };
        }
        if !is_bytes && array.dtype() != Dtype::F32 {
            return Ok(array);
        }
        let shape = *array.shape();
        let values = array.to_dtype::<f32>()?.to_vec::<f32>()?;
        let last = sizes.last_dim();
        let is_last = sizes.rank() == 3
            && (self.layout == Some(Layout::Nhwc) || (sizes[0] != 3 && sizes[0] != 1 && last <= 3));
        let (channels, inner) = match (sizes.rank(), is_last) {
            (3, true) => (last, 1),
            (3, false) if shape.rank() == 4 => (shape[1], shape[2] * shape[3]),
            _ => (1, values.len().max(1)),
        };
        let scaled = Pictures { scale: Some(self.scale.unwrap_or(1.0)), ..self.clone() };
        let of = scaled.functions(channels.max(1))?;
        let channel = |i: usize| (i / inner.max(1)) % channels.max(1);
        let values = values.into_iter().enumerate().map(|(i, v)| of(channel(i), v)).collect();
        Ok(Tensor::from_vec(values, shape)?)
    }
}

impl fmt::Display for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |given: &[f32], usual: &str| match given {
            [] => format!("{usual} (assumed)"),
            given => given.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        let scale = match self.scale {
            None => "1/255 (assumed)".to_string(),
            Some(scale) => scale.to_string(),
        };
        write!(f, "scale {scale}, mean {}, std {}", list(&self.mean, "0"), list(&self.std, "1"))
    }
}

/// Files, and the place of each one's folder among the folders.
struct Found {
    files: Vec<PathBuf>,
    classes: Option<Vec<i64>>,
}

/// Whether a path is a picture, or a folder of pictures or of folders of them.
pub(crate) fn are_at(path: &Path) -> bool {
    match path.is_dir() {
        true => found(path).is_ok_and(|found| !found.files.is_empty()),
        false => is_picture(path),
    }
}

fn is_picture(path: &Path) -> bool {
    ["png", "jpg", "jpeg"].iter().any(|kind| has_extension(path, kind))
}

fn found(path: &Path) -> Result<Found> {
    let listed = |folder: &Path| -> Result<Vec<PathBuf>> {
        let unreadable = |error: std::io::Error| {
            let (path, problem) = (folder.to_path_buf(), error.to_string());
            anyhow::Error::from(Problem::Picture { path, problem })
        };
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    };
    if !path.is_dir() {
        return Ok(Found { files: vec![path.to_path_buf()], classes: None });
    }
    let entries = listed(path)?;
    let files: Vec<PathBuf> = entries.iter().filter(|path| is_picture(path)).cloned().collect();
    if !files.is_empty() {
        return Ok(Found { files, classes: None });
    }
    let (mut files, mut classes) = (Vec::new(), Vec::new());
    let folders = entries.iter().filter(|path| path.is_dir());
    for (class, folder) in folders.enumerate() {
        for file in listed(folder)?.into_iter().filter(|path| is_picture(path)) {
            files.push(file);
            classes.push(class as i64);
        }
    }
    Ok(Found { files, classes: Some(classes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_become_numbers_by_channel() {
        let pictures = Pictures {
            scale: Some(2.0),
            mean: vec![1.0, 2.0, 3.0],
            std: vec![1.0, 2.0, 4.0],
            layout: None,
        };
        let frame = |layout| Frame { layout, channels: 3, size: [Some(1), Some(2)] };
        let of = |layout| {
            let mut values = Vec::new();
            pictures.append(&[1, 2, 3, 4, 5, 6], frame(layout), 2, &mut values).unwrap();
            values
        };
        assert_eq!(of(Layout::Nhwc), [1.0, 1.0, 0.75, 7.0, 4.0, 2.25]);
        assert_eq!(of(Layout::Nchw), [1.0, 7.0, 1.0, 4.0, 0.75, 2.25]);
        let few = Pictures { mean: vec![1.0, 2.0], ..Pictures::default() };
        assert!(few.append(&[0; 6], frame(Layout::Nchw), 2, &mut Vec::new()).is_err());
    }

    #[test]
    fn factors_are_numbers_or_fractions() {
        assert_eq!(factor("1/255"), Ok(1.0 / 255.0));
        assert_eq!(factor("0.5"), Ok(0.5));
        for bad in ["", "0", "1/0", "x", "1/", "inf", "NaN"] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_for_floats_need_a_scale() {
        let bytes = Tensor::from_vec(vec![0u8, 51, 102, 255], [1, 1, 2, 2]).unwrap();
        let sample = Sample::Values(Shape::new(&[1, 2, 2]).unwrap());
        assert!(Pictures::default().array(bytes.clone(), "x", &sample).is_err());
        let scaled = Pictures { scale: Some(1.0 / 255.0), ..Pictures::default() };
        let values = scaled.array(bytes, "x", &sample).unwrap().to_vec::<f32>().unwrap();
        assert!(
            values.iter().zip([0.0, 0.2, 0.4, 1.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6)
        );
    }
}
