//! How a file holds an int8 weight called `conv.weight`:
//!
//! | tensor | element type and shape |
//! |---|---|
//! | `conv.weight` | I8 in the layer's own shape |
//! | `conv.weight_scale` | F32 `[out]` per channel, F32 `[1]` per tensor, F16 `[out, blocks]` in blocks |
//! | `conv.weight_zero_point` | I8 `[out]`, if 0 is another level than 0 in any channel |
//! | `conv.weight_shift` | F32 `[out]`, if the layer adds something to each channel beside its bias |
//! | `conv.input_scale`, `conv.input_zero_point` | F32 `[1]` and U8 `[1]`, for static activations |
//!
//! For other activations the metadata entry `input_mode` maps the weight's name to `dynamic`,
//! `dynamic16` or `weight-only`.

use super::entry::Entry;
use super::{ContentError, FileDtype, TensorFile};
use crate::Result;
use crate::autograd::{Param, Role, Stored};
use crate::int8::{BLOCK, Encoding, Int8Error, Int8Weight, QParams, QWeight, Scales};
use crate::tensor::{Shape, Tensor};
use half::f16;
use std::collections::BTreeMap;

fn scale_name(weight: &str) -> String {
    format!("{weight}_scale")
}

fn zero_point_name(weight: &str) -> String {
    format!("{weight}_zero_point")
}

fn shift_name(weight: &str) -> String {
    format!("{weight}_shift")
}

/// The names of a static activation's scale and zero point, which belong to the layer.
fn input_names(weight: &str) -> [String; 2] {
    let layer = match weight.strip_suffix("weight") {
        Some(layer) => layer.to_string(),
        None => format!("{weight}."),
    };
    [format!("{layer}input_scale"), format!("{layer}input_zero_point")]
}

/// Rows, and 16-bit scales in each, of a weight in blocks.
fn block_grid(weight: &Shape) -> [usize; 2] {
    let rows = weight.first().copied().unwrap_or(0);
    [rows, (weight.len() / rows.max(1)).div_ceil(BLOCK)]
}

pub(super) fn entries<'a>(name: &'a str, weight: &'a Int8Weight) -> Result<Vec<Entry<'a>>> {
    let scale = match weight.scales() {
        Scales::PerTensor(scale) => {
            Entry::tensor(scale_name(name), &Tensor::from_vec(vec![*scale], [1])?)?
        }
        Scales::PerChannel(scales) => {
            Entry::tensor(scale_name(name), &Tensor::from_vec(scales.to_vec(), [scales.len()])?)?
        }
        Scales::Blocks(scales) => {
            let grid = Shape::new(&block_grid(&weight.shape()))?;
            Entry::halves(scale_name(name), scales, grid)
        }
    };
    let mut entries = vec![Entry::weight(name, weight), scale];
    if !weight.zero_points().is_empty() {
        let levels = weight.zero_points();
        let levels = Tensor::from_vec(levels.to_vec(), [levels.len()])?;
        entries.push(Entry::tensor(zero_point_name(name), &levels)?);
    }
    if let Some(shift) = weight.shift() {
        let shift = Tensor::from_vec(shift.to_vec(), [shift.len()])?;
        entries.push(Entry::tensor(shift_name(name), &shift)?);
    }
    if let Encoding::Static(params) = weight.input() {
        let [scale, zero_point] = input_names(name);
        entries.push(Entry::tensor(scale, &Tensor::from_vec(vec![params.scale], [1])?)?);
        entries.push(Entry::tensor(zero_point, &Tensor::from_vec(vec![params.zero_point], [1])?)?);
    }
    Ok(entries)
}

/// An int8 weight that a file was found to hold: all but its values.
pub(super) struct Plan<'a> {
    name: &'a str,
    shape: Shape,
    scales: Scales,
    zero_points: Option<Vec<i8>>,
    shift: Option<Box<[f32]>>,
    input: Encoding,
}

impl<'a> Plan<'a> {
    pub(super) fn check(
        file: &TensorFile,
        name: &'a str,
        param: &Param,
        modes: &mut InputModes,
    ) -> Result<Plan<'a>> {
        let shape = file.info(name)?.shape;
        let scales = read_scales(file, &scale_name(name), &shape)?;
        let zero_points = read_zero_points(file, name, &shape)?;
        let shift = read_shift(file, name, param, &shape)?;
        let input = match modes.take(name) {
            Some(InputMode::Dynamic) => Encoding::PerRow,
            Some(InputMode::Dynamic16) => Encoding::PerRow16,
            Some(InputMode::WeightOnly) => Encoding::F32,
            None => Encoding::Static(read_params(file, name)?),
        };
        Ok(Plan { name, shape, scales, zero_points, shift, input })
    }

    /// The tensors beside the weight that were used.
    pub(super) fn tensors(&self) -> impl Iterator<Item = String> {
        let is_static = matches!(self.input, Encoding::Static(_));
        let input = is_static.then(|| input_names(self.name));
        let zero_points = self.zero_points.is_some().then(|| zero_point_name(self.name));
        let shift = self.shift.is_some().then(|| shift_name(self.name));
        let beside = zero_points.into_iter().chain(shift).chain(input.into_iter().flatten());
        [scale_name(self.name)].into_iter().chain(beside)
    }

    /// Streams the rows into the packed weight, which is the only memory of its size.
    pub(super) fn read(self, file: &TensorFile) -> Result<Stored> {
        let mut reading = file.reading(self.name)?;
        let mut bytes = Vec::new();
        let weight = QWeight::from_rows(self.shape, self.scales, |_, row| {
            bytes.resize(row.len(), 0);
            reading.fill(&mut bytes)?;
            row.iter_mut().zip(&bytes).for_each(|(to, from)| *to = from.cast_signed());
            Ok(())
        });
        let weight = match weight {
            // Damage explains what cannot be packed.
            Ok(_) | Err(crate::Error::Int8(_)) => reading.all(|_| ()).and(weight),
            unread => unread,
        };
        let weight = match self.zero_points {
            Some(levels) => weight.and_then(|weight| weight.with_zero_points(&levels)),
            None => weight,
        };
        let weight = match self.shift {
            Some(shift) => weight.and_then(|weight| weight.with_shift(shift)),
            None => weight,
        };
        match weight {
            Ok(weight) => Ok(Stored::Int8(Int8Weight::new(weight, self.input))),
            Err(crate::Error::Int8(problem)) => {
                let tensor = self.name.to_string();
                Err(file.problem(ContentError::Int8 { tensor, problem }))
            }
            Err(error) => Err(error),
        }
    }
}

fn read_scales(file: &TensorFile, name: &str, weight: &Shape) -> Result<Scales> {
    let (tensor, info) = (|| name.to_string(), file.info(name)?);
    if weight.is_empty() {
        let problem = Int8Error::Shape { shape: *weight };
        return Err(file.problem(ContentError::Int8 { tensor: tensor(), problem }));
    }
    match info.dtype {
        FileDtype::F16 => {
            file.expect_shape(name, Shape::new(&block_grid(weight))?)?;
            let scales = file.values(name, f16::from_le_bytes)?;
            check_scales(file, name, scales.iter().map(|s| s.to_f32()))?;
            Ok(Scales::Blocks(scales.into()))
        }
        FileDtype::F32 => {
            let rows = weight[0];
            // A weight of one row reads as per channel, the usual form; the numbers are the same.
            let per_tensor = info.shape.dims() == [1] && rows != 1;
            file.expect_shape(name, Shape::new(&[if per_tensor { 1 } else { rows }])?)?;
            let scales = file.values(name, f32::from_le_bytes)?;
            check_scales(file, name, scales.iter().copied())?;
            Ok(if per_tensor {
                Scales::PerTensor(scales[0])
            } else {
                Scales::PerChannel(scales.into())
            })
        }
        got => {
            let expected = "F32, or F16 in blocks,";
            Err(file.problem(ContentError::Dtype { tensor: tensor(), got, expected }))
        }
    }
}

/// The level that stands for 0 in each row, if the file says so.
fn read_zero_points(file: &TensorFile, weight: &str, shape: &Shape) -> Result<Option<Vec<i8>>> {
    let name = zero_point_name(weight);
    if !file.contains(&name) {
        return Ok(None);
    }
    let got = file.info(&name)?.dtype;
    if got != FileDtype::I8 {
        return Err(file.problem(ContentError::Dtype { tensor: name, got, expected: "I8" }));
    }
    file.expect_shape(&name, Shape::new(&shape[..1])?)?;
    Ok(Some(file.bytes(&name)?.iter().map(|level| level.cast_signed()).collect()))
}

/// The shift, if there is one. An embedding has no output channels to add it to.
fn read_shift(
    file: &TensorFile,
    weight: &str,
    param: &Param,
    shape: &Shape,
) -> Result<Option<Box<[f32]>>> {
    let name = shift_name(weight);
    if param.role() == Role::Embedding || !file.contains(&name) {
        return Ok(None);
    }
    let got = file.info(&name)?.dtype;
    if got != FileDtype::F32 {
        return Err(file.problem(ContentError::Dtype { tensor: name, got, expected: "F32" }));
    }
    file.expect_shape(&name, Shape::new(&shape[..1])?)?;
    Ok(Some(file.values(&name, f32::from_le_bytes)?.into()))
}

/// The quantization of static activations.
fn read_params(file: &TensorFile, weight: &str) -> Result<QParams> {
    let [scale_name, zero_point_name] = input_names(weight);
    let one = Shape::new(&[1])?;
    for (name, dtype, expected) in
        [(&scale_name, FileDtype::F32, "F32"), (&zero_point_name, FileDtype::U8, "U8")]
    {
        let got = file.info(name)?.dtype;
        if got != dtype {
            let tensor = name.clone();
            return Err(file.problem(ContentError::Dtype { tensor, got, expected }));
        }
        file.expect_shape(name, one)?;
    }
    let scale = file.tensor(&scale_name)?.item()?;
    check_scales(file, &scale_name, [scale].into_iter())?;
    Ok(QParams { scale, zero_point: file.bytes(&zero_point_name)?[0] })
}

fn check_scales(file: &TensorFile, name: &str, scales: impl Iterator<Item = f32>) -> Result<()> {
    let usable = |scale: f32| scale > 0.0 && scale.is_finite() && scale.recip().is_finite();
    match scales.enumerate().find(|&(_, scale)| !usable(scale)) {
        None => Ok(()),
        Some((index, value)) => {
            Err(file.problem(ContentError::Scale { tensor: name.to_string(), index, value }))
        }
    }
}

/// How a weight's input is quantized, where it is not by fixed parameters.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InputMode {
    Dynamic,
    Dynamic16,
    WeightOnly,
}

/// The input modes of a file, by weight.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct InputModes(BTreeMap<String, InputMode>);

impl InputModes {
    pub(super) const KEY: &str = "input_mode";

    pub(super) fn of(params: &[(String, &Param)]) -> InputModes {
        let mode = |param: &Param| match param.int8()?.input() {
            Encoding::PerRow => Some(InputMode::Dynamic),
            Encoding::PerRow16 => Some(InputMode::Dynamic16),
            Encoding::F32 => Some(InputMode::WeightOnly),
            Encoding::Static(_) => None,
        };
        let modes = params.iter().filter_map(|(name, param)| Some((name.clone(), mode(param)?)));
        InputModes(modes.collect())
    }

    /// The metadata entry, if any weight needs one.
    pub(super) fn to_metadata(&self) -> Option<String> {
        // Strings to strings always make JSON, hence `ok`.
        (!self.0.is_empty()).then(|| serde_json::to_string(self).ok()).flatten()
    }

    pub(super) fn from_metadata(file: &TensorFile) -> Result<InputModes> {
        let Some(text) = file.metadata().get(InputModes::KEY) else {
            return Ok(InputModes::default());
        };
        serde_json::from_str(text).map_err(|error| {
            let (key, detail) = (InputModes::KEY.to_string(), error.to_string());
            file.problem(ContentError::Metadata { key, detail })
        })
    }

    fn take(&mut self, weight: &str) -> Option<InputMode> {
        self.0.remove(weight)
    }

    /// Refuses modes of weights that are not there or not int8.
    pub(super) fn expect_empty(&self, file: &TensorFile) -> Result<()> {
        let Some(name) = self.0.keys().next() else { return Ok(()) };
        let key = InputModes::KEY.to_string();
        let detail = format!("{name:?} is no int8 weight of the model");
        Err(file.problem(ContentError::Metadata { key, detail }))
    }
}
