//! The weights, ranges and steps of an int8 file against those of the float model.

use crate::open::is_onnx;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::audit::{HeldOut, Outside};
use tinytorch::autograd::{Stored, Var};
use tinytorch::int8::{Encoding, QParams};
use tinytorch::models::{ListModel, Model};
use tinytorch::quant::{Prepared, QuantConfig, calibrate};
use tinytorch_onnx::{AgainstFloat, OnnxModel, against_float};

/// Samples whose ranges are looked at.
const SAMPLES: usize = 64;

/// The share of a range that must lie outside of the levels, and would not with another zero point, before that is to blame.
const CUT: f64 = 0.25;

/// The model in this file, with what its weights, ranges and steps say wrong of the float model's, if there is something to hold them against.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn held_against<'m>(
    outside: Outside,
    file: &Path,
    [float, int8]: [&'m dyn Model; 2],
    samples: &HeldOut,
) -> Result<Outside> {
    let weights: BTreeMap<String, Tensor> = float
        .named_params()
        .into_iter()
        .filter_map(|(name, param)| match param.stored() {
            Stored::F32(value) => Some((name, value.clone())),
            _ => None,
        })
        .collect();
    let AgainstFloat { mut faults, compared } = match is_onnx(file) {
        true => against_float(file, &weights)?,
        false => AgainstFloat::default(),
    };
    let graph = |model: &'m dyn Model| model.as_any()?.downcast_ref::<OnnxModel>();
    let (changed, steps) = match (graph(float), graph(int8)) {
        (Some(float), Some(int8)) => float.steps_changed_by(int8),
        _ => Default::default(),
    };
    faults.extend(changed);
    for (name, param) in int8.named_params() {
        if let (Some(int8), Some(float)) = (param.int8(), weights.get(&name)) {
            faults.extend(turned(&name, &int8.dequantize()?, float)?);
        }
    }
    let ranges = ranges(int8);
    let seen = match ranges.is_empty() {
        true => None,
        // What cannot be calibrated has no ranges to compare with.
        false => seen(float, samples).ok(),
    };
    let mut of_inputs = 0;
    for (name, params) in &ranges {
        let Some(range) = seen.as_ref().and_then(|seen| seen.range(name)) else { continue };
        of_inputs += 1;
        faults.extend(misplaced(name, *params, range));
    }
    if compared + of_inputs + steps == 0 && faults.is_empty() {
        return Ok(outside);
    }
    let checked = format!(
        "{compared} weights and the ranges of {of_inputs} inputs are those of the float model's layers of the same names, as far as \
         scales and zero points tell, and so are the settings of {steps} steps"
    );
    Ok(outside.with_parameters(faults, checked))
}

/// How far a weight may lie from the float one, and be it for all that.
const NEAR: f64 = 0.15;

/// What is wrong with a weight by whose other order of rows and columns the int8 model's layer multiplies.
fn turned(name: &str, int8: &Tensor, float: &Tensor) -> Result<Option<String>> {
    let (is, was) = (int8.to_vec::<f32>()?, float.to_vec::<f32>()?);
    let size = match int8.shape().dims() {
        [rows, columns] if rows == columns && int8.shape() == float.shape() => *rows,
        _ => return Ok(None),
    };
    let of = |place: &dyn Fn(usize) -> usize| {
        let far = |(i, w): (usize, &f32)| f64::from(is[place(i)] - w).powi(2);
        let all: f64 = was.iter().map(|w| f64::from(*w).powi(2)).sum();
        (was.iter().enumerate().map(far).sum::<f64>() / all.max(f64::MIN_POSITIVE)).sqrt()
    };
    let (read, crossed) = (of(&|i| i), of(&|i| i % size * size + i / size));
    Ok((read > NEAR && crossed <= NEAR).then(|| {
        format!(
            "`{name}` is multiplied by rows and not by columns, or the other way round: {:.1} % off the float model's weight, {:.1} % turned",
            100.0 * read,
            100.0 * crossed
        )
    }))
}

/// What integers are over whose range is found as values come: they are counted from the middle, in steps of 1.
const INTEGERS: QParams = QParams { scale: 1.0, zero_point: 128 };

/// The fixed range of what each int8 weight multiplies.
fn ranges(int8: &dyn Model) -> Vec<(String, QParams)> {
    let params = int8.named_params().into_iter();
    let fixed = params.filter_map(|(name, param)| Some((name, fixed(param.int8()?.input())?)));
    fixed.collect()
}

/// The range that a file fixes for the float model's values.
fn fixed(input: Encoding) -> Option<QParams> {
    match input {
        Encoding::Static(params) if params != INTEGERS => Some(params),
        _ => None,
    }
}

/// The ranges of what the float model's weights multiply on the first samples.
fn seen(float: &dyn Model, samples: &HeldOut) -> tinytorch::Result<Prepared> {
    let batch = float.fixed_batch().unwrap_or(SAMPLES).min(samples.len());
    let first = samples.inputs().iter().map(|input| input.rows(0..batch).map(Var::from));
    let first = first.collect::<tinytorch::Result<Vec<Var>>>();
    calibrate(float as &dyn ListModel, [first], &QuantConfig::default())
}

/// What is wrong with where a range of levels lies, if the values that it is for lie elsewhere and it is wide enough for them.
fn misplaced(name: &str, params: QParams, (low, high): (f32, f32)) -> Option<String> {
    let scale = f64::from(params.scale);
    let (low, high) = (f64::from(low), f64::from(high));
    let first = -scale * f64::from(params.zero_point);
    let last = first + 255.0 * scale;
    let span = high - low;
    let outside = (first - low).max(0.0) + (high - last).max(0.0);
    let is_cut = span > 0.0 && outside > CUT * span && 255.0 * scale > (1.0 - CUT) * span;
    let zero_point = (-low / scale).round().clamp(0.0, 255.0);
    let moved = zero_point - f64::from(params.zero_point);
    is_cut.then(|| {
        format!(
            "the zero point of what `{name}` multiplies is left out or wrong: its levels stand for {first:.3} to {last:.3}, and the float \
             model has {low:.3} to {high:.3} there, which a zero point {moved:+} levels away would hold"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_a_range_that_is_found_later_have_no_fixed_one() {
        assert_eq!(fixed(Encoding::Static(INTEGERS)), None);
        assert_eq!(fixed(Encoding::F32), None);
        let pictures = QParams { scale: 1.0, zero_point: 0 };
        assert_eq!(fixed(Encoding::Static(pictures)), Some(pictures));
    }

    #[test]
    fn a_square_weight_that_is_turned_is_named() {
        let of = |values: [f32; 4]| Tensor::from_vec(values.to_vec(), [2, 2]).unwrap();
        let float = of([1.0, 2.0, 3.0, 4.0]);
        let fault = |values: [f32; 4]| turned("w", &of(values), &float).unwrap();
        assert_eq!(fault([1.01, 2.0, 3.0, 4.0]), None);
        assert!(fault([1.01, 3.0, 2.0, 4.0]).unwrap().contains("`w`"));
        // What was trained on is another weight either way.
        assert_eq!(fault([4.0, 1.0, 2.0, 3.0]), None);
        let wide = Tensor::from_vec(vec![1.0f32, 3.0], [1, 2]).unwrap();
        assert_eq!(turned("w", &wide, &wide).unwrap(), None);
    }

    #[test]
    fn a_range_that_lies_elsewhere_is_named_and_one_that_is_narrow_is_not() {
        let params = |scale: f32, zero_point: u8| QParams { scale, zero_point };
        let told = misplaced("w", params(0.1, 128), (0.0, 25.5)).unwrap();
        assert!(told.contains("`w`") && told.contains("-128 levels"), "{told}");
        assert!(misplaced("w", params(0.1, 0), (-12.8, 12.7)).unwrap().contains("+128 levels"));
        assert_eq!(misplaced("w", params(0.1, 0), (0.0, 25.5)), None);
        assert_eq!(misplaced("w", params(0.1, 0), (0.0, 30.0)), None);
        assert_eq!(misplaced("w", params(0.1, 0), (0.0, 255.0)), None);
    }
}
