//! Quantization-aware training: preparing a model for it, and making it int8 afterwards.

use crate::Result;
use crate::autograd::{ParamId, Stored};
use crate::int8::Int8Weight;
use crate::nn::{Forward, Module};
use crate::ops::FakeQuant;
use crate::quant::{
    Parts, QuantConfig, QuantError, QuantReport, WeightReport, calibrate, input_of, is_weight,
    static_range,
};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// What [`prepare_qat`] has done to a model.
#[derive(Clone, Debug, Default)]
pub struct QatReport {
    /// The weights that are rounded from here on.
    pub prepared: Vec<String>,
    /// The weights that are not, each with the reason.
    pub skipped: Vec<(String, &'static str)>,
    /// Batch norms that their convolution does, which are the identity from here on.
    pub folded: Vec<String>,
}

/// Prepares a model for quantization-aware training: its weights and what they multiply are rounded to
/// int8 steps as they are used, and stay floats that any trainer trains. [`convert`] makes them int8.
///
/// ```text
/// y = x' W'^T + b     W' = s_w round(clamp(W / s_w, -max, max))     x' likewise, with 256 levels
/// ```
///
/// The gradient passes the rounding unchanged. The steps `s` are trained too: they begin as
/// [`quantize_model`](crate::quant::quantize_model) would choose them, so that a model that is prepared and
/// converted without training in between equals one quantized after training. The steps are parameters,
/// held as logarithms: `fc.weight_log_step`, and `fc.weight_input_log_step` for static activations; freeze those to
/// keep the observed ranges. Weight decay pulls a logarithm toward a step of 1, so keep it small.
///
/// A batch norm that [`quantize_model`](crate::quant::quantize_model) would fold is folded here, before the
/// training, so that the rounded weight is the one that int8 multiplies; `conv.weight_shift` trains in place of the
/// bias that a convolution may lack. Other batch norms train as ever and stay floats.
///
/// `config` is what [`quantize_model`](crate::quant::quantize_model) takes. Its scales are per tensor or per channel; with
/// fewer than 8 `weight_bits` the values use fewer steps and are stored as int8 all the same.
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::{Ctx, Var}, nn::{Forward, Init, Linear}};
/// use tinytorch::optim::{Adam, Optimizer};
/// use tinytorch::{fit::{convert, prepare_qat}, quant::QuantConfig};
///
/// let mut model = Linear::new(16, 4, &mut Init::seed(1))?;
/// let x = Var::from(Tensor::randn([32, 16], 1.0, &mut Rng::seed(2))?);
/// prepare_qat(&mut model, [Ok(x.clone())], &QuantConfig::default())?;
///
/// let mut adam = Adam::new(0.01);
/// for step in 0..5 {
///     let mut ctx = Ctx::train(Rng::seed(step));
///     let y = model.forward(&x, &mut ctx)?;
///     let loss = y.mul(&y, &mut ctx)?.mean(&mut ctx)?;
///     let grads = ctx.backward(&loss)?;
///     adam.step(&mut model, grads)?;
/// }
/// let rounded = model.forward(&x, &mut Ctx::eval())?;
/// convert(&mut model)?;
/// let int8 = model.forward(&x, &mut Ctx::eval())?;
/// assert!(model.weight.int8().is_some());
/// assert!(int8.value().allclose(rounded.value(), 1e-4, 1e-5)?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`quantize_model`](crate::quant::quantize_model); [`QuantError::AlreadyPrepared`], and
/// [`Int8Error::LearnedBlocks`](crate::int8::Int8Error::LearnedBlocks) for scales in blocks. The model is
/// then as it was before.
pub fn prepare_qat<M, X>(
    model: &mut M,
    calibration: impl IntoIterator<Item = Result<X>>,
    config: &QuantConfig,
) -> Result<QatReport>
where
    M: Forward<X> + ?Sized,
{
    let mut prepared = calibrate(&*model, calibration, config)?;
    // Beside a bare parameter there is no place for what its norm adds.
    let weights: BTreeSet<String> =
        model.named_weights().into_iter().map(|(name, _)| name).collect();
    prepared.folds.retain(|fold| weights.contains(&fold.weight));
    let scheme_of = |name: &str| config.scheme_of(name);
    let Parts { folded, mut changes } = Parts::new(&*model, &prepared.folds, &scheme_of)?;
    let mut report = QatReport { folded: folded.norms.clone(), ..QatReport::default() };
    for (name, weight) in model.named_weights() {
        let scheme = config.scheme_of(&name);
        if scheme.is_float() {
            report.skipped.push((name, "skipped on request"));
            continue;
        }
        let value = folded.values.get(&weight.id()).map_or_else(|| weight.value(), Ok)?;
        let (input, _) = input_of(&name, weight, scheme, &prepared)?;
        let shift = folded.shifts.get(&weight.id()).map(|shift| &**shift);
        let (granularity, bits) = (scheme.granularity(), scheme.weight_bits());
        let fake = FakeQuant::start(value, granularity, bits, input, shift).map_err(|source| {
            QuantError::Weight { name: name.clone(), source: Box::new(source) }
        })?;
        changes.rounding.insert(weight.id(), fake);
        report.prepared.push(name);
    }
    for (name, param) in model.named_params() {
        let shown = report.skipped.iter().any(|(skipped, _)| *skipped == name);
        if is_weight(param) && !shown && !changes.rounding.contains_key(&param.id()) {
            report.skipped.push((name, "its layer holds it as a bare parameter"));
        }
    }
    if changes.rounding.is_empty() {
        return Err(QuantError::NothingToQuantize { params: model.named_params().len() }.into());
    }
    changes.stored = folded.values.into_iter().map(|(id, v)| (id, Stored::F32(v))).collect();
    changes.commit(model);
    Ok(report)
}

/// Makes every prepared weight int8, with the steps that it has learned, after which **its float values
/// are gone**. The model's outputs stay what they were, to the rounding of floats.
///
/// In the report, all parameters that are floats still count as changed, since training may have moved
/// any of them.
///
/// # Errors
/// [`QuantError::NotPrepared`], [`QuantError::Weight`] for weights or steps that are NaN or infinite. The
/// model is then as it was before.
pub fn convert<M: Module + ?Sized>(model: &mut M) -> Result<QuantReport> {
    let mut report = QuantReport::default();
    let mut int8: BTreeMap<ParamId, Int8Weight> = BTreeMap::new();
    for (name, weight) in model.named_weights() {
        let Some(fake) = weight.fake_quant() else { continue };
        let unusable = |source| QuantError::Weight { name: name.clone(), source: Box::new(source) };
        let value = weight.value()?;
        let packed = round(value, fake).map_err(unusable)?;
        let input_range = static_range(&packed);
        report.weights.push(WeightReport::new(name, value, &packed, input_range)?);
        int8.insert(weight.id(), packed);
    }
    if int8.is_empty() {
        return Err(QuantError::NotPrepared.into());
    }
    for (name, param) in model.named_params() {
        if is_weight(param) && param.int8().is_none() && !int8.contains_key(&param.id()) {
            report.skipped.push((name.clone(), "it was not prepared"));
        }
    }
    model.change_weights(&mut |_, weight| {
        if let Some(packed) = int8.remove(&weight.id()) {
            weight.take_fake_quant();
            weight.store(Stored::Int8(packed));
        }
    });
    let params = model.named_params().into_iter().filter(|(_, p)| p.int8().is_none());
    report.changed = params.map(|(name, _)| name).collect();
    let folded = model.named_flags().into_iter().filter(|(_, set)| *set);
    let layers = folded.filter_map(|(name, _)| Some(name.strip_suffix(".folded")?.to_string()));
    report.folded = layers.collect();
    Ok(report)
}

fn round(value: &Tensor, fake: &FakeQuant) -> Result<Int8Weight> {
    if let Some((index, &value)) =
        value.to_vec::<f32>()?.iter().enumerate().find(|(_, v)| !v.is_finite())
    {
        let what = "the weight";
        return Err(tinytorch_kernels::int8::Int8Error::NotFinite { what, index, value }.into());
    }
    fake.pack(value)
}
