//! From a float model to an int8 one.

use super::ladder::{Budget, Climbed, climb};
use super::samples::Samples;
use super::steps::Steps;
use crate::output::Progress;
use anyhow::Result;
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::files::{Provenance, digest_params};
use tinytorch::models::{ListModel, Model, PassBytes, Stepped};
use tinytorch::quant::{Prepared, QuantConfig, QuantRecord, QuantReport, apply, quantize_model};

/// Samples per calibration pass at most; the ranges do not depend on it.
const BATCH: usize = 64;

/// Bytes that an op of a calibration pass may compute: it reads as many, and often adds as many more.
const COMPUTED: usize = 4 << 20;

/// What quantizing has done.
pub(crate) struct Made {
    pub(crate) report: QuantReport,
    /// The settings that were found, if a budget was given, or else those that were asked for.
    pub(crate) config: QuantConfig,
    pub(crate) climbed: Option<Climbed>,
    pub(crate) calibration_samples: usize,
}

impl Made {
    /// Whether the budget was kept, if there was one.
    pub(crate) fn is_within(&self) -> bool {
        self.climbed.as_ref().is_none_or(|climbed| climbed.within)
    }
}

/// Turns the weights of `model` into int8, within a budget if one is given, calibrated on `samples`; the
/// provenance then tells how.
pub(crate) fn make<'p>(
    model: &mut dyn Model,
    samples: &Samples,
    config: QuantConfig,
    budget: Option<&mut Budget<'p>>,
    provenance: &mut Provenance,
    progress: &mut Progress<'p>,
) -> Result<Made> {
    provenance.float_sha256 = Some(digest_params(&*model)?);
    let calibration_samples = samples.count();
    let (report, config, climbed) = match budget {
        None => (quantize(model, samples, &config, progress)?, config, None),
        Some(budget) => {
            let (ladder, climbed) = climb(model, samples, budget, &config, progress)?;
            (ladder.report, ladder.config, Some(climbed))
        }
    };
    QuantRecord::new(&config, &report).write(provenance)?;
    Ok(Made { report, config, climbed, calibration_samples })
}

/// Turns the weights of `model` into int8 by what calibrations have found; the provenance then tells how.
pub(crate) fn make_of(
    model: &mut dyn Model,
    prepared: &Prepared,
    provenance: &mut Provenance,
) -> Result<Made> {
    provenance.float_sha256 = Some(digest_params(&*model)?);
    let report = apply(model as &mut dyn ListModel, prepared)?;
    let config = prepared.config().clone();
    QuantRecord::new(&config, &report).write(provenance)?;
    Ok(Made { report, config, climbed: None, calibration_samples: prepared.samples() })
}

/// How many samples a calibration pass has.
fn batch_of(model: &dyn Model, samples: &[Tensor]) -> Result<usize> {
    let one = samples.iter().map(|input| input.slice(0, 0..1));
    let one = one.collect::<tinytorch::Result<Vec<Tensor>>>()?;
    // What keeps it from running, calibration tells.
    Ok(PassBytes::of(model, &one)
        .map_or(BATCH, |of_one| (COMPUTED / of_one.largest.max(1)).clamp(1, BATCH)))
}

fn quantize(
    model: &mut dyn Model,
    samples: &Samples,
    config: &QuantConfig,
    progress: &mut Progress<'_>,
) -> Result<QuantReport> {
    let samples = match samples {
        Samples::Apart(samples) => samples,
        Samples::Steps(sequence) => {
            let Steps { calibration, .. } = Steps::of(model, sequence)?;
            let batches = calibration.into_iter().map(Ok);
            return Ok(quantize_model(&mut Stepped(model), batches, config)?);
        }
    };
    let n = samples[0].shape()[0];
    let size = model.fixed_batch().map_or_else(|| batch_of(model, samples), Ok)?;
    let steps = n.div_ceil(size);
    let batches = (0..steps).map(|step| {
        progress("calibrating", step, steps);
        let start = step * size;
        let part = |input: &Tensor| input.slice(0, start..n.min(start + size)).map(Var::from);
        samples.iter().map(part).collect::<tinytorch::Result<Vec<Var>>>()
    });
    let report = quantize_model(model as &mut dyn ListModel, batches, config)?;
    progress("calibrating", steps, steps);
    Ok(report)
}
