//! The ladder: the fastest way of quantizing a model whose error stays within a budget.

mod search;
mod trial;

use super::model::{check, is_weight, observe};
use super::{Activations, QuantConfig, QuantError, QuantReport, Rung};
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId};
use crate::int8::Granularity;
use crate::nn::Forward;
use search::{Climb, Layer, Standing};
use std::collections::BTreeMap;
use trial::{Judge, Trials};

/// Share of the weight bytes that may stay float, as the audit's gate `coverage` allows.
const MOST_FLOAT: f64 = 0.1;

/// Calibration batches that each layer is tried on, on each rung.
const SENSITIVITY_BATCHES: usize = 2;

/// What the search aims at and is content with, as a share of the largest error: other data judges, for
/// which 0.99 % on 128 photographs was 1.03 % on 600 others.
const AIM: f64 = 0.95;

/// Models that are judged at most. Three or four are usual.
const MOST_TRIALS: usize = 20;

/// How a model was quantized, and what that cost.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The settings, the layers that were raised included.
    pub config: QuantConfig,
    /// The layers that stand higher than the others.
    pub raised: BTreeMap<String, Rung>,
    /// What quantizing has done.
    pub report: QuantReport,
    /// Relative L2 error of the output on the held-out inputs ([`relative_error`](super::relative_error)).
    pub error: f64,
    /// Whether that is within the budget.
    pub is_within: bool,
    /// All models that were judged on the held-out inputs, the fastest first.
    pub tried: Vec<Trial>,
}

/// A model that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The layers that stood higher than the others.
    pub raised: BTreeMap<String, Rung>,
    /// Relative L2 error of the output on the held-out inputs.
    pub error: f64,
}

/// Quantizes a model in place, as fast as its output error allows: every layer starts on the first
/// [`Rung`], static or dynamic as `config` says, and those are raised that save the most error for their
/// time, until the error on the held-out inputs is at most `max_error` (0.01 is 1 %).
///
/// What a layer costs on a rung is the error of a float model in which it alone is quantized, on the first
/// calibration batches. Weights that `config` skips or gives a rung stay as it says, and at most a tenth of
/// the weight bytes stays float. If no way is within the budget the model is left quantized in the
/// best that was found, and [`Ladder::is_within`] says so. `progress` is told how many of how many trials
/// are done.
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::Var, nn::{Init, Linear}};
/// use tinytorch::quant::{QuantConfig, quantize_within};
///
/// let mut model = Linear::new(64, 16, &mut Init::seed(1))?;
/// let mut rng = Rng::seed(2);
/// let mut batch = || Tensor::randn([64, 64], 1.0, &mut rng).map(Var::from);
/// let (calibration, held_out) = ([batch()?], [batch()?]);
/// let config = QuantConfig::default();
/// let ladder = quantize_within(&mut model, &calibration, &held_out, 0.008, &config, &mut |_, _| ())?;
/// assert!(ladder.is_within && ladder.error <= 0.008 && ladder.tried[0].error > 0.008);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`quantize_model`](super::quantize_model), and [`QuantError::Ladder`] for a budget that is no error,
/// for weight-only settings, or without held-out inputs. The model is then as it was before.
pub fn quantize_within<M, X>(
    model: &mut M,
    calibration: &[X],
    held_out: &[X],
    max_error: f64,
    config: &QuantConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Ladder>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    let first = match config.activations {
        Activations::Static => Rung::StaticA8,
        Activations::Dynamic => Rung::DynamicA8,
        Activations::Float => {
            let problem = "weight-only models have one rung; choose static or dynamic activations";
            return Err(QuantError::Ladder { problem }.into());
        }
    };
    if !(max_error.is_finite() && max_error > 0.0) {
        let problem = "the largest error must be a positive number, such as 0.01 for 1 %";
        return Err(QuantError::Ladder { problem }.into());
    }
    if held_out.is_empty() {
        let problem = "no inputs are held out to judge the error by; keep some from calibration";
        return Err(QuantError::Ladder { problem }.into());
    }
    let base = QuantConfig { granularity: Granularity::PerChannel, wide: vec![], ..config.clone() };
    check(&*model, &base)?;
    let (folds, ranges) = observe(&*model, calibration.iter().cloned().map(Ok), &base)?;
    let judge = Judge::new(&*model, held_out)?;
    let mut trials = Trials::new(model, folds, ranges);

    let error = trials.error(&base, &judge)?;
    let mut tried = vec![Trial { raised: BTreeMap::new(), error }];
    if !within(error, AIM * max_error) {
        let sample = &calibration[..calibration.len().min(SENSITIVITY_BATCHES)];
        let mut climb = measure(&mut trials, sample, first, &base, progress)?;
        while tried.len() < MOST_TRIALS && advance(&mut climb, &tried, max_error) {
            let raised = climb.raised();
            let error = trials.error(&with_layers(&base, &raised), &judge)?;
            tried.push(Trial { raised, error });
            if within(error, AIM * max_error) {
                break;
            }
        }
    }
    let best = match last(&tried) {
        trial if within(trial.error, max_error) => trial,
        _ => tried.iter().min_by(|a, b| a.error.total_cmp(&b.error)).unwrap_or(&tried[0]),
    };
    let Trial { raised, error } = best.clone();
    let config = with_layers(&base, &raised);
    let report = trials.keep(&config)?;
    config.warn(&report);
    Ok(Ladder { config, raised, report, error, is_within: within(error, max_error), tried })
}

/// NaN is within nothing.
fn within(error: f64, max_error: f64) -> bool {
    error <= max_error
}

fn last(tried: &[Trial]) -> &Trial {
    &tried[tried.len() - 1]
}

/// Moves to the next model worth a trial, whose error should be within the budget; `false` if none is left.
/// Squared errors add up only nearly, so they are scaled to what the last trial has shown.
fn advance(climb: &mut Climb, tried: &[Trial], max_error: f64) -> bool {
    let is_new = |climb: &Climb| {
        let raised = climb.raised();
        tried.iter().all(|trial| trial.raised != raised)
    };
    let scale = last(tried).error.powi(2) / climb.squared_error();
    let aim = (AIM * max_error).powi(2) / scale;
    while climb.squared_error() > aim || !is_new(climb) {
        if !climb.raise() {
            return is_new(climb);
        }
    }
    let mut relaxed = climb.clone();
    relaxed.relax(aim);
    if is_new(&relaxed) {
        *climb = relaxed;
    }
    true
}

fn with_layers(base: &QuantConfig, layers: &BTreeMap<String, Rung>) -> QuantConfig {
    let mut config = base.clone();
    config.layers.extend(layers.iter().map(|(name, rung)| (name.clone(), *rung)));
    config
}

/// Tries every layer on every rung.
fn measure<M, X>(
    trials: &mut Trials<'_, M>,
    sample: &[X],
    first: Rung,
    base: &QuantConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Climb>
where
    M: Forward<X> + ?Sized,
{
    let judge = Judge::new(trials.model(), sample)?;
    let work = Work::of(trials.model(), sample)?;
    let params = trials.model().named_params().into_iter().filter(|(_, param)| is_weight(param));
    let weights: Vec<_> = params
        .map(|(name, param)| {
            (name, param.id(), param.role(), param.shape().len() * size_of::<f32>())
        })
        .collect();
    let all_bytes: usize = weights.iter().map(|(.., bytes)| bytes).sum();
    let is_free = |name: &String| !base.layers.contains_key(name) && !base.skip.contains(name);
    let given: usize = weights
        .iter()
        .filter_map(|(name, .., bytes)| base.keeps_float(name).then_some(*bytes))
        .sum();
    let floats: BTreeMap<String, Rung> =
        weights.iter().map(|(name, ..)| (name.clone(), Rung::F32)).collect();
    let free: Vec<_> = weights.iter().filter(|(name, ..)| is_free(name)).collect();

    let rungs = |role| {
        let open = move |rung: &Rung| *rung >= first && *rung != Rung::F32 && rung.suits(role);
        Rung::ALL.into_iter().filter(open)
    };
    let total: usize = free.iter().map(|(_, _, role, _)| rungs(*role).count()).sum();
    let (mut layers, mut done) = (Vec::new(), 0);
    for (name, id, role, float_bytes) in free {
        let mut standings = Vec::new();
        for rung in rungs(*role) {
            let mut config = with_layers(base, &floats);
            config.layers.insert(name.clone(), rung);
            let squared_error = trials.error(&config, &judge)?.powi(2);
            standings.push(Standing { rung, squared_error, time: work.time(*id, rung) });
            done += 1;
            progress(done, total);
        }
        let time = work.time(*id, Rung::F32);
        standings.push(Standing { rung: Rung::F32, squared_error: 0.0, time });
        layers.push(Layer { name: name.clone(), float_bytes: *float_bytes, standings });
    }
    let floats_left = ((MOST_FLOAT * all_bytes as f64) as usize).saturating_sub(given);
    Ok(Climb::new(layers, floats_left))
}

/// Operations that the layers of a model do, by their weights.
#[derive(Default)]
struct Work(BTreeMap<ParamId, u64>);

impl Work {
    fn of<M, X>(model: &M, sample: &[X]) -> Result<Work>
    where
        M: Forward<X> + ?Sized,
    {
        let mut work = Work::default();
        for input in sample.iter().take(1) {
            model.forward(input, &mut Ctx::eval().observed(&mut work))?;
        }
        Ok(work)
    }

    /// The time that a layer takes on a rung, relative to a layer of one operation on the first.
    ///
    /// On two threads with AVX-512 VNNI `cargo run --release -p tinytorch --example rungs` measures 1.0, 1.2
    /// to 1.5, 2.0 to 2.5 and 2.2 to 3.6 times the time of the first, for layers of several rows that
    /// quantize their input. Between others a static layer need not.
    fn time(&self, weight: ParamId, rung: Rung) -> f64 {
        // Rows that are looked up are next to nothing, but not free.
        let operations = self.0.get(&weight).map_or(1, |&flops| flops.max(1));
        let factor = match rung {
            Rung::StaticA8 => 1.0,
            Rung::DynamicA8 => 1.1,
            Rung::BlockedA8 => 1.4,
            Rung::A16 => 2.5,
            Rung::F32 => 3.0,
        };
        operations as f64 * factor
    }
}

impl Observer for Work {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        if let Some(weight) = run.weight {
            *self.0.entry(weight).or_default() += run.cost.flops;
        }
        Ok(())
    }
}
