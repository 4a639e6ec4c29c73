//! Whether calibration has earned its keep.

use crate::Result;
use crate::audit::interval::FEWEST;
use crate::audit::passes;
use crate::audit::{AuditOptions, Evidence, Gate, HeldOut, Interval, Outcome, Subject, compare};
use crate::autograd::Var;
use crate::int8::Encoding;
use crate::models::{ListModel, Model, compile};
use crate::quant::{apply, prepare_without_data};
use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;
use tinytorch_kernels::int8::QParams;

const ID: &str = "calibration";

/// Calibration earned its keep: on held-out samples the model is nearer to the float one than it would
/// be with the best ranges that can be had without data, beyond what chance explains. Those are the range of
/// the inputs themselves, as known to whoever feeds them, the statistics of batch norms, and what the weights
/// make of both.
pub(crate) fn calibration(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    let inputs_of_int8 = inputs(&*subject.int8);
    let fixed =
        inputs_of_int8.values().filter(|input| matches!(input, Encoding::Static(_))).count();
    if let Some(reason) = too_few(fixed, inputs_of_int8.len()) {
        return Ok(Gate::not_applicable(ID, reason));
    }
    let example = subject.held_out.first(1)?;
    let input: Vec<Var> = example.iter().map(Var::from).collect();
    let mut data_free = subject.float.clone();
    let config = subject.config_as_stored()?.knowingly();
    let range = range_of(&subject.held_out)?;
    let model: &dyn ListModel = &*data_free;
    let quantized = prepare_without_data(model, &input, &config, range).and_then(|prepared| {
        let model: &mut dyn ListModel = &mut *data_free;
        apply(model, &prepared)
    });
    if let Err(error) = quantized {
        return Ok(Gate::not_applicable(ID, format!("there is nothing to compare with: {error}")));
    }
    if are_alike(&inputs(&*subject.int8), &inputs(&*data_free)) {
        let reason = "calibration found the ranges that are known without data";
        return Ok(Gate::not_applicable(ID, reason.to_string()));
    }
    let mut plan = compile(&*data_free, &example)?.on(options.deployed);
    let outputs = passes::outputs(&mut plan, &subject.held_out)?;
    let without = squared_errors(&outputs, &evidence.float)?;
    let with = squared_errors(&evidence.int8, &evidence.float)?;
    let error = |outputs: &[Tensor]| {
        Ok::<_, crate::Error>(compare::worst(&compare::errors(outputs, &evidence.float)?).1 * 100.0)
    };
    let errors = told([error(&evidence.int8)?, error(&outputs)?]);
    let reason = format!("{errors}; the share of the squared error that is saved");
    judged(&with, &without, reason)
}

/// Why calibration has too small a part in a model to be judged by it, if it has: less than half of the layers.
fn too_few(fixed: usize, all: usize) -> Option<String> {
    match fixed {
        0 => Some("no activation has a fixed range, so there are none to calibrate".to_string()),
        _ if 2 * fixed < all => {
            Some(format!("only {fixed} of {all} int8 layers have ranges from calibration"))
        }
        _ => None,
    }
}

/// How what each int8 weight multiplies is quantized.
fn inputs(model: &dyn Model) -> BTreeMap<String, Encoding> {
    let params = model.named_params().into_iter();
    params.filter_map(|(name, param)| Some((name, param.int8()?.input()))).collect()
}

/// Whether all fixed ranges of a model are those of another: where inputs fill the range that they have by
/// nature, there is nothing for calibration to find, and which of two equal ranges rounds a little better is chance.
fn are_alike(one: &BTreeMap<String, Encoding>, other: &BTreeMap<String, Encoding>) -> bool {
    one.iter().all(|(name, input)| match (input, other.get(name)) {
        (Encoding::Static(one), Some(Encoding::Static(other))) => is_one_range(*one, *other),
        (Encoding::Static(_), _) => false,
        _ => true,
    })
}

/// Whether two ranges end within a level of each other, but for half a level by which the whole number that stands for 0 moves each.
fn is_one_range(one: QParams, other: QParams) -> bool {
    /// A little more than two, for the rounding of the ends.
    const LEVELS: f32 = 2.001;
    let step = one.scale.max(other.scale);
    [0, u8::MAX]
        .into_iter()
        .all(|level| (one.dequantize(level) - other.dequantize(level)).abs() <= LEVELS * step)
}

/// The errors in percent, calibrated and without data, if they are any: one sample has none, as its outputs have no spread.
fn told([with, without]: [f64; 2]) -> String {
    match with.is_finite() && without.is_finite() {
        true => format!(
            "error {with:.2} % calibrated, {without:.2} % with the best ranges without data"
        ),
        false => "the outputs have no spread to tell an error by".to_string(),
    }
}

/// Judges the squared errors of every sample, calibrated and without data.
fn judged(with: &[f64], without: &[f64], reason: String) -> Result<Gate> {
    if without == with {
        let reason = "calibrated and data-free ranges give the same outputs".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    }
    let saved = |of: &[usize]| {
        let sum = |errors: &[f64]| of.iter().map(|&i| errors[i]).sum::<f64>();
        let (with, without) = (sum(with), sum(without));
        if with == without { 0.0 } else { (1.0 - with / without) * 100.0 }
    };
    let all: Vec<usize> = (0..with.len()).collect();
    // The smallest positive number as limit: an interval that touches 0 does not exclude it.
    let gate = Gate::at_least(ID, saved(&all), f64::MIN_POSITIVE, "% saved", reason);
    if with.len() < FEWEST {
        // Of few samples chance decides that ranges for many harm, as much as that they help.
        let gate = gate.undecided(&format!("{} samples are too few to tell", with.len()));
        return Ok(Gate { result: Outcome::Unknown, ..gate });
    }
    let interval = Interval::by_drawing(with.len(), |of| Ok::<_, crate::Error>(saved(of)))?;
    Ok(gate.decided_by(interval))
}

/// The range of a model's float inputs; `None` if it has none.
fn range_of(held_out: &HeldOut) -> Result<Option<(f32, f32)>> {
    let mut range: Option<(f32, f32)> = None;
    for batch in held_out.batches() {
        for input in batch?.iter().filter(|input| input.dtype() == Dtype::F32) {
            for value in input.to_vec::<f32>()? {
                let (low, high) = range.unwrap_or((value, value));
                range = Some((low.min(value), high.max(value)));
            }
        }
    }
    Ok(range)
}

/// Squared distance of every sample over all outputs, each as a share of that output's square, since one may
/// be in other units than the next.
fn squared_errors(got: &[Tensor], want: &[Tensor]) -> Result<Vec<f64>> {
    let square = |row: &[f32]| -> f64 { row.iter().map(|&v| f64::from(v).powi(2)).sum() };
    let samples = want.first().map_or(0, |output| output.shape()[0]);
    let mut sums = vec![0.0; samples];
    let floats = |(_, want): &(&Tensor, &Tensor)| want.dtype() == Dtype::F32;
    for (got, want) in got.iter().zip(want).filter(floats) {
        let difference = got.sub(want)?.to_vec::<f32>()?;
        let whole = square(&want.to_vec::<f32>()?).max(f64::MIN_POSITIVE);
        let rows = difference.chunks((difference.len() / samples.max(1)).max(1));
        sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += square(row) / whole);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fourth sample has this error, the others 1.
    fn of(n: usize, fourth: f64) -> Vec<f64> {
        (0..n).map(|i| if i % 4 == 0 { fourth } else { 1.0 }).collect()
    }

    #[test]
    fn an_error_that_is_none_is_not_told() {
        assert!(told([0.5, 60.0]).starts_with("error 0.50 % calibrated, 60.00 % with"));
        for errors in [[f64::INFINITY, 1.0], [1.0, f64::NAN]] {
            assert_eq!(told(errors), "the outputs have no spread to tell an error by");
        }
    }

    #[test]
    fn ranges_whose_ends_lie_a_level_apart_are_one() {
        let is_one = |low: f32, high: f32| {
            let of = |low, high| QParams::from_range(low, high).unwrap();
            is_one_range(of(-1.0, 1.0), of(low, high))
        };
        assert!(is_one(-1.0, 1.0) && is_one(-1.004, 1.0) && is_one(-0.996, 0.999));
        assert!(!is_one(-1.04, 1.0) && !is_one(-1.0, 0.96) && !is_one(0.0, 1.0));
        let of = |name: &str, input| BTreeMap::from([(name.to_string(), input)]);
        let fixed = Encoding::Static(QParams { scale: 0.1, zero_point: 3 });
        assert!(are_alike(&of("a", fixed), &of("a", fixed)));
        assert!(are_alike(&of("a", Encoding::PerRow), &of("b", fixed)));
        assert!(!are_alike(&of("a", fixed), &of("b", fixed)));
        assert!(!are_alike(&of("a", fixed), &of("a", Encoding::PerRow)));
    }

    #[test]
    fn ends_may_lie_two_levels_apart_and_no_more() {
        let of = |zero_point| QParams { scale: 0.01, zero_point };
        assert!(is_one_range(of(100), of(102)) && is_one_range(of(102), of(100)));
        assert!(!is_one_range(of(100), of(103)) && !is_one_range(of(103), of(100)));
        // The levels of the coarser range count: 255 levels end 2.007 finer ones apart, and 1.991 coarser ones.
        let of = |scale| QParams { scale, zero_point: 0 };
        assert!(is_one_range(of(0.01), of(0.010_078_7)));
        assert!(!is_one_range(of(0.01), of(0.010_082)));
    }

    #[test]
    fn half_of_the_layers_are_enough_to_judge_by() {
        assert_eq!([too_few(2, 4), too_few(5, 5)], [None, None]);
        assert!(too_few(2, 5).unwrap().starts_with("only 2 of 5"));
        assert!(too_few(0, 0).unwrap().starts_with("no activation"));
    }

    #[test]
    fn calibration_has_to_save_error_beyond_chance() {
        let result =
            |with: &[f64], without: &[f64]| judged(with, without, String::new()).unwrap().result;
        assert_eq!(result(&of(100, 0.5), &of(100, 1.0)), Outcome::Pass);
        assert_eq!(result(&of(100, 1.5), &of(100, 1.0)), Outcome::Fail);
        assert_eq!(result(&of(29, 0.5), &of(29, 1.0)), Outcome::Unknown);
        assert_eq!(result(&of(29, 1.5), &of(29, 1.0)), Outcome::Unknown);
        assert_eq!(result(&of(30, 1.5), &of(30, 1.0)), Outcome::Fail);
        // One sample of 100 has all that is saved: it is not drawn every time.
        let mut one = vec![1.0; 100];
        one[17] = 0.5;
        assert_eq!(result(&one, &[1.0; 100]), Outcome::Unknown);
        assert_eq!(result(&one, &one), Outcome::NotApplicable);
    }

    #[test]
    fn the_range_of_the_inputs_is_that_of_all_samples_and_all_numbers() {
        let mut values = vec![0.5f32; 200];
        (values[7], values[199]) = (-1.0, 3.0);
        let floats = Tensor::from_vec(values, [200, 1]).unwrap();
        let ids = Tensor::full(9i64, [200, 2]).unwrap();
        let held_out = |inputs: Vec<Tensor>| HeldOut::new(inputs, []).unwrap();
        let both = held_out(vec![ids.clone(), floats]);
        assert_eq!(range_of(&both).unwrap(), Some((-1.0, 3.0)));
        assert_eq!(range_of(&held_out(vec![ids])).unwrap(), None);
    }

    /// By hand: an output of 3 and 4, off by 1 in the second sample; another in thousands, off by 1000 in the first; and classes.
    #[test]
    fn an_outputs_errors_are_shares_of_its_own_square() {
        let of = |values: [f32; 2]| Tensor::from_vec(values.to_vec(), [2, 1]).unwrap();
        let classes = |class: i64| Tensor::full(class, [2]).unwrap();
        let want = [of([3.0, 4.0]), of([3000.0, 4000.0]), classes(1)];
        let got = [of([3.0, 5.0]), of([4000.0, 4000.0]), classes(2)];
        assert_eq!(squared_errors(&got, &want).unwrap(), [0.04, 0.04]);
        let rows = |values: [f32; 4]| [Tensor::from_vec(values.to_vec(), [2, 2]).unwrap()];
        let errors = squared_errors(&rows([1.0, 1.0, 0.0, 4.0]), &rows([0.0; 4].map(|_| 2.0)));
        assert_eq!(errors.unwrap(), [2.0 / 16.0, 8.0 / 16.0]);
    }
}
