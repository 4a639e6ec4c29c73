//! Passes of models that others have trained or exported.

use super::Planned;
use crate::case::{Case, Onnx, Work};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tinytorch::tensor::Dtype;
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::{Dim, OnnxModel, ValueInfo};

/// What a dimension without a size is, but for a free first one, which is the batch.
const LENGTH: usize = 128;

/// The batches of a model whose first dimensions are free.
const BATCHES: [usize; 2] = [1, 32];

/// Samples to calibrate on, or a batch if that is more.
const CALIBRATION: usize = 8;

/// The cases of some files: at several batches where their inputs leave the batch open.
///
/// # Errors
/// A file is no model that runs.
pub(super) fn cases(files: &[PathBuf]) -> Result<Vec<Planned>> {
    let mut cases = Vec::new();
    for file in files {
        let model = OnnxModel::open(file)?;
        let name = file.file_stem().context("a model's file has a name")?.to_string_lossy();
        let batches = if model.inputs().iter().all(has_free_batch) { &BATCHES[..] } else { &[1] };
        for &batch in batches {
            let (file, inputs) = (file.clone(), model.inputs().to_vec());
            let write = move |folder: &Path, name: &str| write(&file, &inputs, batch, folder, name);
            cases.push(Planned::new(format!("{name}, batch {batch}"), write));
        }
    }
    Ok(cases)
}

fn has_free_batch(input: &ValueInfo) -> bool {
    let first = input.dims.as_ref().and_then(|dims| dims.first());
    matches!(first, Some(Dim::Open(_)))
}

fn write(
    file: &Path,
    inputs: &[ValueInfo],
    batch: usize,
    folder: &Path,
    name: &str,
) -> Result<Case> {
    // Ranges of activations are fixed beforehand for images, and found for each row of a text.
    let is_of_images = inputs.iter().any(|input| sizes(input, batch).len() == 4);
    let int8 = if is_of_images { "int8 static" } else { "int8 dynamic" };
    let names = inputs.iter().map(|input| input.name.clone()).collect();
    let case = Case {
        name: name.into(),
        folder: folder.into(),
        variants: vec!["f32".into(), int8.into()],
        work: Work::Onnx(Onnx { file: file.canonicalize()?, inputs: names }),
    };
    case.save()?;
    let mut rng = Rng::seed(2);
    for (i, input) in inputs.iter().enumerate() {
        let sizes = sizes(input, batch);
        let several = [&[CALIBRATION.div_ceil(batch)], &sizes[..]].concat();
        case.write(&format!("input-{i}"), &drawn(input.dtype, &sizes, &mut rng)?)?;
        case.write(&format!("calibration-{i}"), &drawn(input.dtype, &several, &mut rng)?)?;
    }
    Ok(case)
}

fn sizes(input: &ValueInfo, batch: usize) -> Vec<usize> {
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Size(size) => *size,
        Dim::Open(_) if axis == 0 => batch,
        Dim::Open(_) => LENGTH,
    };
    input.dims.iter().flatten().enumerate().map(size).collect()
}

/// Floats around 0; integers, which are ids and masks, are 1.
fn drawn(dtype: Dtype, sizes: &[usize], rng: &mut Rng) -> Result<Tensor> {
    Ok(match dtype {
        Dtype::F32 => Tensor::randn(sizes, 1.0, rng)?,
        _ => Tensor::full(1i64, sizes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tinytorch::tensor::Number;

    fn input(dims: Vec<Dim>) -> ValueInfo {
        let (name, dims) = ("x".into(), Some(dims));
        ValueInfo { name, number: Number::F32, dtype: Dtype::F32, dims }
    }

    #[test]
    fn a_free_first_dimension_is_the_batch_and_others_are_lengths() {
        let free = input(vec![Dim::Open("batch".into()), Dim::Open(String::new()), Dim::Size(3)]);
        assert!(has_free_batch(&free));
        assert_eq!(sizes(&free, 32), [32, LENGTH, 3]);
        let fixed = input(vec![Dim::Size(1), Dim::Size(3)]);
        assert!(!has_free_batch(&fixed));
        assert_eq!(sizes(&fixed, 32), [1, 3]);
    }
}
