//! Data for models whose inputs have names: an .npz with an array for each, and labels.

use crate::open::has_extension;
use crate::pictures::{self, Pictures};
use crate::problem::Problem;
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::Rows;
use tinytorch::data::{Npz, read_npy};
use tinytorch::models::{Feedback, Model, Sample, Sequence};
use tinytorch::tensor::{Dtype, Element, Shape};

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
        let mut file = Named::open(path, &names)?;
        let mut inputs = Vec::with_capacity(names.len());
        for (name, sample) in names.iter().zip(&samples) {
            inputs.push(pictures.array(file.input(name, sample)?, name, sample)?);
        }
        check_types(&data, &names, &inputs, &samples)?;
        let count = samples_in(&inputs);
        for (name, input) in names.iter().zip(&inputs) {
            let got = input.shape().first().copied().unwrap_or(0);
            let array = name.clone();
            if got == 0 {
                return Err(Problem::NoSample { data, array }.into());
            }
            if got != count {
                return Err(Problem::UnevenArray { data, array, got, expected: count }.into());
            }
        }
        let is_free = |label: &&&str| file.has(label) && !names.iter().any(|name| name == **label);
        let labels = match LABELS.iter().find(is_free) {
            Some(name) => Some(classes(&data, name, &file.read(name)?, count)?),
            None => None,
        };
        Ok(Arrays { inputs, labels, told: None })
    }

    /// Reads the steps of a sequence: an array for each input that is no state, and for a state what it begins with,
    /// which is zeros where the file has no such array.
    pub(crate) fn sequence(
        path: &Path,
        model: &dyn Model,
        pictures: &Pictures,
        feedback: &Arc<Feedback>,
    ) -> Result<Sequence> {
        let (names, samples, rows) = (model.input_names(), model.samples()?, model.first_sizes());
        let rows = |i: usize| rows.get(i).copied().flatten().unwrap_or(1);
        let given: Vec<usize> = (0..names.len()).filter(|i| !feedback.feeds(*i)).collect();
        let of_given: Vec<String> = given.iter().map(|i| names[*i].clone()).collect();
        let data = path.display().to_string();
        if !has_extension(path, "npz") && !has_extension(path, "npy") {
            return Err(Problem::NoSteps { data }.into());
        }
        let mut file = Named::open(path, &of_given)?;
        let mut inputs = Vec::with_capacity(names.len());
        for (i, (name, sample)) in names.iter().zip(&samples).enumerate() {
            inputs.push(match feedback.feeds(i) && !file.has(name) {
                true => nothing(sample, rows(i))?,
                false => pictures.array(file.input(name, sample)?, name, sample)?,
            });
        }
        check_types(&data, &names, &inputs, &samples)?;
        let of_step = given.first().map_or(1, |i| rows(*i));
        Ok(Sequence::new(feedback.clone(), inputs, of_step)?)
    }

    /// At most so many samples, spread over all of them; as many as fill passes of `fixed`.
    pub(crate) fn some(self, count: usize, fixed: Option<usize>) -> Result<Vec<Tensor>> {
        let inputs: Vec<&dyn Rows> = self.inputs.iter().map(|input| input as &dyn Rows).collect();
        spread(&inputs, count, fixed)
    }
}

/// The arrays of a file by their names; the one of an .npy goes by the name of the one input.
enum Named {
    One { name: String, array: Tensor },
    Several { data: String, arrays: Npz },
}

impl Named {
    /// Of a model with these inputs.
    fn open(path: &Path, inputs: &[String]) -> Result<Named> {
        match (has_extension(path, "npy"), inputs) {
            (true, [name]) => Ok(Named::One { name: name.clone(), array: read_npy(path)? }),
            _ => Ok(Named::Several { data: path.display().to_string(), arrays: Npz::open(path)? }),
        }
    }

    fn has(&self, wanted: &str) -> bool {
        match self {
            Named::One { name, .. } => name == wanted,
            Named::Several { arrays, .. } => arrays.names().any(|name| name == wanted),
        }
    }

    fn read(&mut self, wanted: &str) -> Result<Tensor> {
        match self {
            Named::One { array, .. } => Ok(array.clone()),
            Named::Several { arrays, .. } => Ok(arrays.read(wanted)?),
        }
    }

    /// The array of an input, in its type.
    fn input(&mut self, name: &str, sample: &Sample) -> Result<Tensor> {
        if let Named::Several { data, arrays } = self
            && !arrays.names().any(|known| known == name)
        {
            let holds = arrays.names().collect::<Vec<_>>().join(", ");
            let holds = if holds.is_empty() { "nothing".to_string() } else { holds };
            return Err(Problem::NoArray { data: data.clone(), input: name.into(), holds }.into());
        }
        exactly(self.read(name)?, dtype_of(sample))
    }
}

/// Zeros of so many rows.
fn nothing(sample: &Sample, rows: usize) -> Result<Tensor> {
    Ok(match sample {
        Sample::Values(shape) => {
            let sizes: Vec<usize> = [rows].into_iter().chain(shape.to_vec()).collect();
            Tensor::zeros(Shape::new(&sizes)?)?
        }
        _ => Tensor::full(0i64, *sample.batch(rows)?.shape())?,
    })
}

/// At most so many samples of these inputs, spread over all of them; as many as fill passes of `fixed`.
pub(crate) fn spread(
    inputs: &[&dyn Rows],
    count: usize,
    fixed: Option<usize>,
) -> Result<Vec<Tensor>> {
    let all = inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(0);
    let fixed = fixed.unwrap_or(1).max(1);
    let passes = (count.min(all) / fixed).max(1);
    let step = (all / fixed).max(1) as f64 / passes as f64;
    let starts = (0..passes).map(|pass| (pass as f64 * step) as usize * fixed);
    let starts: Vec<usize> = starts.collect();
    let chosen = |input: &&dyn Rows| {
        let parts = starts.iter().map(|&start| input.rows(start..all.min(start + fixed)));
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
