//! Calibration: what passes of the float model over sample data tell about quantizing it.

use super::fold::find_folds;
use super::prepared::Prepared;
use super::{QuantConfig, QuantError, RangeEstimator, check};
use crate::Result;
use crate::autograd::{Ctx, Observer, ParamId};
use crate::nn::{Forward, Module, Outputs};
use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;

/// Runs `batches` through a float model and takes down all that quantizing it needs to know, which
/// [`apply`](super::apply) uses. Activations that are not static need one batch at most, and no other is asked for.
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::Var, nn::{Init, Linear}};
/// use tinytorch::quant::{QuantConfig, apply, calibrate};
///
/// let mut model = Linear::new(32, 8, &mut Init::seed(1))?;
/// let mut rng = Rng::seed(2);
/// let mut batch = || Tensor::randn([16, 32], 1.0, &mut rng).map(Var::from);
/// let config = QuantConfig::default();
/// let mut prepared = calibrate(&model, [batch(), batch()], &config)?;
/// let elsewhere = calibrate(&model, [batch()], &config)?;
/// prepared.merge(&elsewhere)?;
/// assert_eq!((prepared.batches(), prepared.samples()), (3, 48));
/// apply(&mut model, &prepared)?;
/// assert!(model.weight.int8().is_some());
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`Calibrator::new`], [`Calibrator::observe`] and [`Calibrator::finish`].
pub fn calibrate<M, X>(
    model: &M,
    batches: impl IntoIterator<Item = Result<X>>,
    config: &QuantConfig,
) -> Result<Prepared>
where
    M: Forward<X> + ?Sized,
{
    let mut calibrator = Calibrator::new(model, config)?;
    let mut batches = batches.into_iter();
    while calibrator.wants_more() {
        let Some(batch) = batches.next() else { break };
        let seen = calibrator.batches();
        let batch = batch
            .map_err(|source| QuantError::Calibration { batch: seen, source: Box::new(source) })?;
        calibrator.observe(model, &batch)?;
    }
    calibrator.finish()
}

/// [`calibrate`], a batch at a time and without holding on to the model meanwhile.
#[derive(Clone, Debug)]
pub struct Calibrator {
    prepared: Prepared,
    traced: bool,
}

impl Calibrator {
    /// A calibration that has seen nothing.
    ///
    /// # Errors
    /// [`QuantError`] for a model or a configuration that cannot be quantized.
    pub fn new<M: Module + ?Sized>(model: &M, config: &QuantConfig) -> Result<Calibrator> {
        check(model, config)?;
        Ok(Calibrator { prepared: Prepared::new(config), traced: false })
    }

    /// Whether another batch would tell more.
    pub fn wants_more(&self) -> bool {
        self.prepared.config().is_static_anywhere() || !self.traced
    }

    /// Batches seen.
    pub fn batches(&self) -> usize {
        self.prepared.batches
    }

    /// Runs a batch through `model`, which is the one that the calibration began with or a clone of it.
    ///
    /// # Errors
    /// [`QuantError::Calibration`] for a batch that does not run, [`QuantError::Activation`] for NaN or
    /// infinite activations, [`QuantError::Outputs`] for NaN in an output. The calibration is then as it was before.
    pub fn observe<M, X>(&mut self, model: &M, batch: &X) -> Result<()>
    where
        M: Forward<X> + ?Sized,
    {
        let index = self.prepared.batches;
        let unable = |source| QuantError::Calibration { batch: index, source: Box::new(source) };
        let folds = match self.traced {
            false => Some(find_folds(model, batch).map_err(unable)?),
            true => None,
        };
        if self.prepared.config().is_static_anywhere() {
            let ranges = self.prepared.ranges.clone();
            let mut watch = Watch::new(model, self.prepared.config(), ranges);
            let outcome = model.call(batch, &mut Ctx::eval().observed(&mut watch));
            let Watch { ranges, unusable, .. } = watch;
            if let Some((name, value)) = unusable {
                return Err(QuantError::Activation { name, value, batch: index }.into());
            }
            let outputs = outcome.map_err(unable)?;
            if let Some(output) = first_not_a_number(&outputs)? {
                return Err(QuantError::Outputs { output }.into());
            }
            self.prepared.samples += samples(&outputs);
            self.prepared.ranges = ranges;
        }
        if let Some(folds) = folds {
            self.prepared.folds = folds;
            self.traced = true;
        }
        self.prepared.batches += 1;
        Ok(())
    }

    /// What has been found.
    ///
    /// # Errors
    /// [`QuantError::EmptyCalibration`] without a batch where activations are static.
    pub fn finish(self) -> Result<Prepared> {
        if self.prepared.batches == 0 && self.prepared.config().is_static_anywhere() {
            return Err(QuantError::EmptyCalibration.into());
        }
        Ok(self.prepared)
    }
}

/// The first float output that holds NaN. Infinities are sound where scores are hidden.
fn first_not_a_number(outputs: &impl Outputs) -> Result<Option<usize>> {
    let floats = outputs.vars().into_iter().filter(|var| var.value().dtype() == Dtype::F32);
    for (output, var) in floats.enumerate() {
        if var.value().contiguous()?.as_slice::<f32>()?.iter().any(|value| value.is_nan()) {
            return Ok(Some(output));
        }
    }
    Ok(None)
}

/// The first axis of the first output.
fn samples(outputs: &impl Outputs) -> usize {
    let vars = outputs.vars();
    vars.first().map_or(0, |var| var.shape().first().copied().unwrap_or(1))
}

/// Takes in the activations that weights multiply.
struct Watch {
    names: BTreeMap<ParamId, String>,
    empty: RangeEstimator,
    ranges: BTreeMap<String, RangeEstimator>,
    /// The first activation that is not finite.
    unusable: Option<(String, f32)>,
}

impl Watch {
    fn new<M: Module + ?Sized>(
        model: &M,
        config: &QuantConfig,
        ranges: BTreeMap<String, RangeEstimator>,
    ) -> Watch {
        let names = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
        let empty = RangeEstimator::new(config.range);
        Watch { names: names.collect(), empty, ranges, unusable: None }
    }
}

impl Observer for Watch {
    fn activation(&mut self, weight: ParamId, activation: &Tensor) -> Result<()> {
        if activation.dtype() != Dtype::F32 {
            // Indices that look up rows of an embedding have no range.
            return Ok(());
        }
        // A weight that the module does not show cannot be quantized either.
        let Some(name) = self.names.get(&weight) else { return Ok(()) };
        let dense = activation.contiguous()?;
        let values = dense.as_slice::<f32>()?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(&bad) => {
                self.unusable.get_or_insert((name.clone(), bad));
            }
            None => self
                .ranges
                .entry(name.clone())
                .or_insert_with(|| self.empty.clone())
                .observe(values),
        }
        Ok(())
    }
}
