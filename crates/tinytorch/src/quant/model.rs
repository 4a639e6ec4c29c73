use super::fold::{Fold, Folded, find_folds};
use super::{Calibration, QuantError, QuantReport, RangeMethod, Rung, WeightReport};
use crate::Result;
use crate::autograd::{Param, ParamId, Role, Stored};
use crate::int8::{Encoding, Granularity, Int8Weight, QParams, QWeight, Scales, WeightBits};
use crate::nn::{Forward, Module};
use crate::ops::FakeQuant;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use tinytorch_kernels::int8::Int8Error;

/// How the activations of quantized layers are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// 8 bits, one range per layer, fixed by calibration.
    #[default]
    Static,
    /// 8 bits, each row over its own range, found when it arrives; needs no calibration.
    Dynamic,
    /// Float: only the weights are int8.
    Float,
}

/// How a model is quantized.
#[derive(Clone, Debug, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct QuantConfig {
    /// How many weights share a scale.
    pub granularity: Granularity,
    /// How many of the 8 bits in which a weight is stored its values use.
    #[serde(default)]
    pub weight_bits: WeightBits,
    /// How activations are handled.
    pub activations: Activations,
    /// How static ranges are chosen.
    pub range: RangeMethod,
    /// Dotted names of weights to leave as floats.
    pub skip: Vec<String>,
    /// How the names of linear weights end whose activations, where they are dynamic, take 16 bits
    /// instead of 8, at twice the products: `weight` for all of them.
    #[serde(default)]
    pub wide: Vec<String>,
    /// Weights, by their dotted names, that are quantized in another way than the others.
    #[serde(default)]
    pub layers: BTreeMap<String, Rung>,
    /// Whether the caller knows that the float weights are destroyed; otherwise a warning says so.
    #[serde(skip)]
    pub destroys_floats_knowingly: bool,
}

impl QuantConfig {
    /// Warns, unless the caller knows, that floats are gone.
    pub(super) fn warn(&self, report: &QuantReport) {
        if !self.destroys_floats_knowingly {
            tracing::warn!(
                weights = report.weights.len(),
                "quantize_model replaces float weights in place and they cannot be restored; \
                 clone the model first to keep them"
            );
        }
    }
}

/// Quantizes a model in place: every weight of a linear layer, a convolution or an embedding becomes
/// int8 and **its float values are gone**. `model.clone()` beforehand keeps the original.
///
/// `calibration` is a stream of inputs from the training data. Its first batch shows which batch
/// norms follow a convolution and are folded into it; static activations take their ranges from all
/// of it. If anything fails the model is as it was before.
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
    let (folds, ranges) = observe(&*model, calibration, config)?;
    let report = quantize(model, &folds, &ranges, config)?;
    config.warn(&report);
    Ok(report)
}

/// Refuses what cannot be quantized, and finds out what the calibration data can tell: which batch norms
/// fold, and the ranges of static activations.
pub(super) fn observe<M, X>(
    model: &M,
    calibration: impl IntoIterator<Item = Result<X>>,
    config: &QuantConfig,
) -> Result<(Vec<Fold>, Calibration)>
where
    M: Forward<X> + ?Sized,
{
    check(model, config)?;
    let mut calibration = calibration.into_iter().peekable();
    let folds = match calibration.peek() {
        Some(Ok(example)) => find_folds(model, example)
            .map_err(|source| QuantError::Calibration { batch: 0, source: Box::new(source) })?,
        _ => Vec::new(),
    };
    let mut ranges = Calibration::new(config.range);
    if config.is_static_anywhere() {
        ranges.run(model, calibration)?;
    }
    Ok((folds, ranges))
}

/// [`quantize_model`] with ranges that are known already: merged from calibrations on several machines,
/// or [estimated without data](super::data_free_ranges). `example` shows which batch norms can be folded.
///
/// # Errors
/// As [`quantize_model`]; [`QuantError::NeverRan`] for a weight without a range.
pub fn quantize_with_ranges<M, X>(
    model: &mut M,
    example: &X,
    ranges: &Calibration,
    config: &QuantConfig,
) -> Result<QuantReport>
where
    M: Forward<X> + ?Sized,
{
    check(model, config)?;
    let folds = find_folds(&*model, example)?;
    let report = quantize(model, &folds, ranges, config)?;
    config.warn(&report);
    Ok(report)
}

/// Makes the new values, all of them, and only then puts them in place.
pub(super) fn quantize<M: Module + ?Sized>(
    model: &mut M,
    folds: &[Fold],
    ranges: &Calibration,
    config: &QuantConfig,
) -> Result<QuantReport> {
    let folded = Folded::new(&*model, folds, config)?;
    let mut report = QuantReport::default();
    let mut stored: BTreeMap<ParamId, Stored> = BTreeMap::new();
    for (name, param) in model.named_params() {
        if !is_weight(param) {
            if let Some(value) = folded.values.get(&param.id()) {
                report.changed.push(name);
                stored.insert(param.id(), Stored::F32(value.clone()));
            }
            continue;
        }
        if config.keeps_float(&name) {
            let reason = match config.layers.get(&name) {
                Some(_) => "on the rung f32",
                None => "skipped on request",
            };
            report.skipped.push((name, reason));
            continue;
        }
        let value = match folded.values.get(&param.id()) {
            Some(value) => value,
            None => param.value()?,
        };
        let shift = folded.shifts.get(&param.id()).map(|shift| &**shift);
        let (weight, entry) = quantize_param(name, param, value, shift, ranges, config)?;
        report.weights.push(entry);
        stored.insert(param.id(), Stored::Int8(weight));
    }
    report.folded.clone_from(&folded.norms);
    commit(model, stored, BTreeMap::new(), &folded.norms);
    Ok(report)
}

/// Puts the new values in place, which cannot fail, and marks the batch norms that are folded.
pub(super) fn commit<M: Module + ?Sized>(
    model: &mut M,
    mut stored: BTreeMap<ParamId, Stored>,
    mut rounding: BTreeMap<ParamId, FakeQuant>,
    norms: &[String],
) {
    model.change_weights(&mut |_, weight| {
        if let Some(fake) = rounding.remove(&weight.id()) {
            weight.set_fake_quant(fake);
        }
    });
    for (_, param) in model.named_params_mut() {
        if let Some(stored) = stored.remove(&param.id()) {
            param.store(stored);
        }
    }
    let set = model.named_flags().into_iter().filter(|(_, set)| *set).map(|(name, _)| name);
    let flags = set.chain(norms.iter().map(|norm| format!("{norm}.folded"))).collect();
    model.set_flags(&flags);
}

/// An attempt to get float weights back from an int8 model.
///
/// # Errors
/// [`QuantError::Irreversible`] naming the first int8 weight; a model without any is left as it is.
pub fn unquantize_model(model: &mut dyn Module) -> Result<()> {
    match model.named_params().into_iter().find(|(_, p)| p.int8().is_some()) {
        Some((name, _)) => Err(QuantError::Irreversible { name }.into()),
        None => Ok(()),
    }
}

/// Whether quantizing turns this parameter into int8.
pub fn is_weight(param: &Param) -> bool {
    matches!(param.role(), Role::LinearWeight | Role::ConvWeight { .. } | Role::Embedding)
}

/// Refuses a model or configuration that cannot be quantized, before any work is done.
pub(super) fn check<M: Module + ?Sized>(model: &M, config: &QuantConfig) -> Result<()> {
    let params = model.named_params();
    let total = params.len();
    for (name, param) in &params {
        if let Stored::F32(value) = param.stored() {
            check_finite(name, value)?;
        }
    }
    if let Some((name, _)) = model.named_weights().iter().find(|(_, w)| w.fake_quant().is_some()) {
        return Err(QuantError::AlreadyPrepared { name: name.clone() }.into());
    }
    let weights: Vec<_> = params.into_iter().filter(|(_, p)| is_weight(p)).collect();
    for (name, param) in &weights {
        match param.stored() {
            Stored::F32(_) => {}
            Stored::Int8(_) => {
                return Err(QuantError::AlreadyQuantized { name: name.clone() }.into());
            }
            Stored::Absent(_) => return Err(QuantError::NotLoaded { name: name.clone() }.into()),
        }
    }
    let mut named = config.skip.iter().chain(config.layers.keys());
    if let Some(unknown) = named.find(|name| weights.iter().all(|(n, _)| n != *name)) {
        let known: Vec<&str> = weights.iter().map(|(name, _)| name.as_str()).collect();
        let (name, known) = (unknown.clone(), known.join(", "));
        return Err(QuantError::UnknownWeight { name, known }.into());
    }
    let is_end = |end: &&String| weights.iter().any(|(n, _)| n.ends_with(end.as_str()));
    if let Some(unknown) = config.wide.iter().find(|end| !is_end(end)) {
        let known: Vec<&str> = weights.iter().map(|(name, _)| name.as_str()).collect();
        let (name, known) = (unknown.clone(), known.join(", "));
        return Err(QuantError::NothingWide { name, known }.into());
    }
    if weights.iter().all(|(name, _)| config.keeps_float(name)) {
        return Err(QuantError::NothingToQuantize { params: total }.into());
    }
    Ok(())
}

/// Refuses a parameter that is NaN or infinite, before calibration blames what it spoils.
fn check_finite(name: &str, value: &Tensor) -> Result<()> {
    let dense = value.contiguous()?;
    let values = dense.as_slice::<f32>()?;
    let Some(index) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let source = Int8Error::NotFinite { what: "the parameter", value: values[index], index };
    Err(QuantError::Weight { name: name.to_string(), source: Box::new(source.into()) }.into())
}

/// How the input of a weight is quantized, and the range that calibration gave it.
pub(super) fn input_of(
    name: &str,
    param: &Param,
    ranges: &Calibration,
    config: &QuantConfig,
) -> Result<(Encoding, Option<(f32, f32)>)> {
    // How a table's input is quantized matters where it is an output head too; looking up a row
    // ignores it, and calibration sees no input of a table that is nothing else.
    let seen = ranges.range(param.id());
    let way = config.way(name);
    Ok(match way.activations {
        Activations::Float => (Encoding::F32, None),
        Activations::Dynamic => match param.role() {
            Role::LinearWeight | Role::Embedding if way.wide => (Encoding::PerRow16, None),
            _ => (Encoding::PerRow, None),
        },
        Activations::Static => match seen {
            Some((min, max)) => (Encoding::Static(QParams::from_range(min, max)?), seen),
            None if param.role() == Role::Embedding => (Encoding::F32, None),
            None => return Err(QuantError::NeverRan { name: name.to_string() }.into()),
        },
    })
}

fn quantize_param(
    name: String,
    param: &Param,
    value: &Tensor,
    shift: Option<&[f32]>,
    ranges: &Calibration,
    config: &QuantConfig,
) -> Result<(Int8Weight, WeightReport)> {
    let (input, input_range) = input_of(&name, param, ranges, config)?;
    let weight = Scales::covering(value, config.way(&name).granularity, config.weight_bits)
        .and_then(|scales| QWeight::round(value, scales, config.weight_bits))
        .and_then(|weight| match shift {
            Some(shift) => weight.with_shift(shift.into()),
            None => Ok(weight),
        })
        .map_err(|source| QuantError::Weight { name: name.clone(), source: Box::new(source) })?;
    let weight = Int8Weight::new(weight, input);
    let entry = WeightReport::new(name, value, &weight, input_range)?;
    Ok((weight, entry))
}
