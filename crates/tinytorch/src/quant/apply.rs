//! Making a model int8, of what calibration has found.

use super::calibrate::calibrate;
use super::changes::{Changes, Parts};
use super::check::{check, check_names, is_weight};
use super::correct::Corrections;
use super::input::input_of;
use super::{Prepared, QuantConfig, QuantError, QuantReport, Scheme, WeightReport};
use crate::Result;
use crate::autograd::{Param, Stored};
use crate::int8::{Int8Weight, QWeight, Scales};
use crate::nn::{Forward, Module};
use crate::tensor::Tensor;

/// Quantizes a model in place: every weight of a linear layer, a convolution or an embedding becomes
/// int8 and **its float values are gone**. `model.clone()` beforehand keeps the original.
///
/// `calibration` is a stream of inputs from the training data. Its first batch shows which batch
/// norms follow a convolution and are folded into it; static activations take their ranges from all
/// of it. If anything fails the model is as it was before. It is [`calibrate`] and then [`apply`].
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::{Ctx, Var}, nn::{Forward, Init, Linear}};
/// use tinytorch::quant::{QuantConfig, quantize_model};
///
/// let model = Linear::new(64, 16, &mut Init::seed(1))?;
/// let x = Var::from(Tensor::randn([32, 64], 1.0, &mut Rng::seed(2))?);
///
/// let mut int8 = model.clone();
/// let report = quantize_model(&mut int8, [Ok(x.clone())], &QuantConfig::default())?;
/// assert_eq!(report.float_bytes(), 64 * 16 * 4);
/// assert_eq!(report.int8_bytes(), 64 * 16 + 16 * 4);
///
/// let (float, int8) = (model.forward(&x, &mut Ctx::eval())?, int8.forward(&x, &mut Ctx::eval())?);
/// assert!(int8.value().allclose(float.value(), 0.0, 0.05)?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`QuantError`]: a model that is int8 already or has nothing to quantize, weights or activations
/// that are NaN or infinite, calibration that is empty or does not run.
pub fn quantize_model<M, X>(
    model: &mut M,
    calibration: impl IntoIterator<Item = Result<X>>,
    config: &QuantConfig,
) -> Result<QuantReport>
where
    M: Forward<X> + ?Sized,
{
    let prepared = calibrate(&*model, calibration, config)?;
    apply(model, &prepared)
}

/// Quantizes a model in place, as [`quantize_model`] does, with what [`calibrate`] has found on it or on a
/// clone of it, at once or [merged](Prepared::merge) from several machines.
///
/// # Errors
/// As [`quantize_model`]; [`QuantError::NeverRan`] for a weight without a range, and
/// [`QuantError::OtherModel`] for findings about weights or batch norms that the model does not have. The
/// model is then as it was before.
pub fn apply<M: Module + ?Sized>(model: &mut M, prepared: &Prepared) -> Result<QuantReport> {
    apply_corrected(model, prepared, &Corrections::new())
}

/// [`apply`], with the means of channels corrected.
pub(super) fn apply_corrected<M: Module + ?Sized>(
    model: &mut M,
    prepared: &Prepared,
    corrections: &Corrections,
) -> Result<QuantReport> {
    let config = prepared.config();
    let (changes, report) = changes_of(&*model, prepared, corrections)?;
    changes.commit(model);
    config.warn(&report);
    Ok(report)
}

/// All that [`apply`] changes, after every check.
pub(super) fn changes_of<M: Module + ?Sized>(
    model: &M,
    prepared: &Prepared,
    corrections: &Corrections,
) -> Result<(Changes, QuantReport)> {
    let config = prepared.config();
    check(model, config)?;
    check_names(model, prepared)?;
    changes_by(model, prepared, &|name| config.scheme_of(name), corrections)
}

/// What these schemes change in a model that can be quantized.
pub(super) fn changes_by<M: Module + ?Sized>(
    model: &M,
    prepared: &Prepared,
    scheme_of: &dyn Fn(&str) -> Scheme,
    corrections: &Corrections,
) -> Result<(Changes, QuantReport)> {
    let Parts { folded, mut changes } = Parts::new(model, &prepared.folds, scheme_of)?;
    let mut report = QuantReport { folded: folded.norms.clone(), ..QuantReport::default() };
    for (name, param) in model.named_params() {
        if !is_weight(param) {
            if let Some(value) = folded.values.get(&param.id()) {
                report.changed.push(name);
                changes.stored.insert(param.id(), Stored::F32(value.clone()));
            }
            continue;
        }
        let scheme = scheme_of(&name);
        if scheme.is_float() {
            report.skipped.push((name, "skipped on request"));
            continue;
        }
        let value = folded.values.get(&param.id()).map_or_else(|| param.value(), Ok)?;
        let correction = corrections.get(&name);
        if correction.is_some() {
            report.corrected.push(name.clone());
        }
        let shift = sum(folded.shifts.get(&param.id()).map(|shift| &**shift), correction);
        let (weight, entry) = quantize(name, param, value, shift, scheme, prepared)?;
        report.weights.push(entry);
        changes.stored.insert(param.id(), Stored::Int8(weight));
    }
    Ok((changes, report))
}

/// What a norm has left to each channel, and what corrects its mean.
fn sum(shift: Option<&[f32]>, correction: Option<&Vec<f32>>) -> Option<Box<[f32]>> {
    match (shift, correction) {
        (Some(shift), Some(correction)) => {
            Some(shift.iter().zip(correction).map(|(shift, own)| shift + own).collect())
        }
        (None, Some(one)) => Some(one.as_slice().into()),
        (shift, None) => shift.map(Into::into),
    }
}

fn quantize(
    name: String,
    param: &Param,
    value: &Tensor,
    shift: Option<Box<[f32]>>,
    scheme: Scheme,
    prepared: &Prepared,
) -> Result<(Int8Weight, WeightReport)> {
    let (input, input_range) = input_of(&name, param, scheme, prepared)?;
    let (granularity, bits) = (scheme.granularity(), scheme.weight_bits());
    let weight = Scales::covering(value, granularity, bits)
        .and_then(|scales| QWeight::round(value, scales, bits))
        .and_then(|weight| match shift {
            Some(shift) => weight.with_shift(shift),
            None => Ok(weight),
        })
        .map_err(|source| QuantError::Weight { name: name.clone(), source: Box::new(source) })?;
    let weight = Int8Weight::new(weight, input);
    let entry = WeightReport::new(name, value, &weight, input_range)?;
    Ok((weight, entry))
}
