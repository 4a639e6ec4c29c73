//! Data for models whose inputs have names: an .npz with an array for each, and labels.

use crate::open::has_extension;
use crate::pictures::{self, Pictures};
use crate::problem::Problem;
use anyhow::Result;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::{Npz, read_npy};
use tinytorch::models::{Model, Sample};
use tinytorch::tensor::{Dtype, Element};

/// Names of the array that says what is right.
const LABELS: [&str; 3] = ["labels", "label", "y"];

/// An array for each input of a model, in its order.
pub(crate) struct Arrays {
    pub(crate) inputs: Vec<Tensor>,
    /// The class of each sample, if the file tells.
    pub(crate) labels: Option<Tensor>,
    /// What pictures were made into, for people to read.
    pub(crate) told: Option<String>,
}

impl Arrays {
    /// Whether a path is read by the names of a model's inputs.
    pub(crate) fn are_in(path: &Path, model: &dyn Model) -> bool {
        match model.input_names().len() {
            0 => false,
            1 if has_extension(path, "npy") || pictures::are_at(path) => true,
            _ => has_extension(path, "npz"),
        }
    }

    /// Reads the arrays, or pictures; of arrays other than the model's inputs only labels are looked at.
    pub(crate) fn read(path: &Path, model: &dyn Model, pictures: &Pictures) -> Result<Arrays> {
        let (names, samples) = (model.input_names(), model.samples()?);
        let data = path.display().to_string();
        if !has_extension(path, "npz") && !has_extension(path, "npy") {
            let (input, classes, told) = pictures.read(path, model)?;
            let count = input.shape()[0];
            let labels = classes.map(|classes| Tensor::from_vec(classes, [count])).transpose()?;
            return Ok(Arrays { inputs: vec![input], labels, told: Some(told) });
        }
        if has_extension(path, "npy") {
            let input = exactly(read_npy(path)?, dtype_of(&samples[0]))?;
            let input = pictures.array(input, &names[0], &samples[0])?;
            check_types(&data, &names, std::slice::from_ref(&input), &samples)?;
            return Ok(Arrays { inputs: vec![input], labels: None, told: None });
        }
        let mut arrays = Npz::open(path)?;
        let known: Vec<String> = arrays.names().map(String::from).collect();
        let mut inputs = Vec::with_capacity(names.len());
        for (name, sample) in names.iter().zip(&samples) {
            if !known.contains(name) {
                let (input, holds) = (name.clone(), known.join(", "));
                return Err(Problem::NoArray { data, input, holds }.into());
            }
            let input = exactly(arrays.read(name)?, dtype_of(sample))?;
            inputs.push(pictures.array(input, name, sample)?);
        }
        check_types(&data, &names, &inputs, &samples)?;
        let count = samples_in(&inputs);
        for (name, input) in names.iter().zip(&inputs) {
            let got = input.shape().first().copied().unwrap_or(0);
            if got != count || got == 0 {
                let array = name.clone();
                return Err(Problem::UnevenArray { data, array, got, expected: count }.into());
            }
        }
        let is_free = |label: &&&str| {
            known.iter().any(|name| name == **label) && !names.iter().any(|name| name == **label)
        };
        let labels = match LABELS.iter().find(is_free) {
            Some(name) => Some(classes(&data, name, &arrays.read(name)?, count)?),
            None => None,
        };
        Ok(Arrays { inputs, labels, told: None })
    }

    /// At most so many samples, spread over all of them; as many as fill passes of `fixed`.
    pub(crate) fn some(self, count: usize, fixed: Option<usize>) -> Result<Vec<Tensor>> {
        spread(&self.inputs, count, fixed)
    }
}

/// At most so many samples of these inputs, spread over all of them; as many as fill passes of `fixed`.
pub(crate) fn spread(inputs: &[Tensor], count: usize, fixed: Option<usize>) -> Result<Vec<Tensor>> {
    let all = samples_in(inputs);
    let fixed = fixed.unwrap_or(1).max(1);
    let passes = (count.min(all) / fixed).max(1);
    let step = (all / fixed).max(1) as f64 / passes as f64;
    let starts = (0..passes).map(|pass| (pass as f64 * step) as usize * fixed);
    let starts: Vec<usize> = starts.collect();
    let chosen = |input: &Tensor| {
        let parts = starts.iter().map(|&start| input.slice(0, start..all.min(start + fixed)));
        let parts = parts.collect::<tinytorch::Result<Vec<_>>>()?;
        joined(&parts)
    };
    inputs.iter().map(chosen).collect()
}

/// Samples in the first input.
fn samples_in(inputs: &[Tensor]) -> usize {
    inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(0)
}

/// Tensors of one type, one after the other.
pub(crate) fn joined(parts: &[Tensor]) -> Result<Tensor> {
    Ok(match parts.first().map(Tensor::dtype) {
        Some(Dtype::I64) => Tensor::cat::<i64>(parts, 0)?,
        Some(Dtype::I32) => Tensor::cat::<i32>(parts, 0)?,
        Some(Dtype::U8) => Tensor::cat::<u8>(parts, 0)?,
        Some(Dtype::I8) => Tensor::cat::<i8>(parts, 0)?,
        Some(Dtype::Bool) => Tensor::cat::<bool>(parts, 0)?,
        Some(Dtype::F32) | None => Tensor::cat::<f32>(parts, 0)?,
    })
}

fn dtype_of(sample: &Sample) -> Dtype {
    match sample {
        Sample::Ids { .. } => Dtype::I64,
        _ => Dtype::F32,
    }
}

fn check_types(data: &str, names: &[String], inputs: &[Tensor], of: &[Sample]) -> Result<()> {
    for ((name, input), sample) in names.iter().zip(inputs).zip(of) {
        let (got, expected) = (input.dtype(), dtype_of(sample));
        if got != expected {
            let (data, array) = (data.to_string(), name.clone());
            return Err(Problem::ArrayType { data, array, got, expected }.into());
        }
    }
    Ok(())
}

/// Labels as a class for each sample.
fn classes(data: &str, name: &str, labels: &Tensor, samples: usize) -> Result<Tensor> {
    let wrong = |got: String| {
        let (data, array) = (data.to_string(), name.to_string());
        Problem::NoLabels { data, array, got, samples }
    };
    let is_list = labels.len() == samples && labels.shape().first() == Some(&samples);
    if labels.dtype() == Dtype::F32 || !is_list {
        return Err(wrong(format!("{} {}", labels.dtype(), labels.shape())).into());
    }
    Ok(labels.to_dtype::<i64>()?.reshape([samples])?)
}

/// Integers and truth values as a model has them: files are read as wider types than they were written with.
pub(crate) fn exactly(tensor: Tensor, dtype: Dtype) -> Result<Tensor> {
    let converted = match (tensor.dtype(), dtype) {
        (Dtype::I64, Dtype::I32) => same::<i32>(&tensor)?,
        (Dtype::U8, Dtype::Bool) => same::<bool>(&tensor)?,
        _ => None,
    };
    Ok(converted.unwrap_or(tensor))
}

/// The same numbers as another type, if it has all of them.
fn same<T: Element>(tensor: &Tensor) -> Result<Option<Tensor>> {
    let converted = tensor.to_dtype::<T>()?;
    let back = converted.to_dtype::<i64>()?.to_vec::<i64>()?;
    let are_same = back == tensor.to_dtype::<i64>()?.to_vec::<i64>()?;
    Ok(are_same.then_some(converted))
}
