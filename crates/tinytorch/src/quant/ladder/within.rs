//! The search for the fastest way within a budget.

use super::prices::Prices;
use super::rungs::{Priced, RUNGS};
use super::search::Climb;
use super::sensitivity::measure;
use super::trial::{Judge, Off, Trials};
use super::watch::{Progress, Watch};
use crate::Result;
use crate::nn::Forward;
use crate::quant::correct::Corrector;
use crate::quant::equalize::{candidates, undo};
use crate::quant::{
    Activations, Equalization, Prepared, QuantConfig, QuantError, QuantReport, Scheme, Tried,
    calibrate, check, equalize,
};
use std::collections::BTreeMap;
use std::time::Instant;

/// Calibration batches that each layer is tried on, on each rung.
const SENSITIVITY_BATCHES: usize = 2;

/// What the search aims at and is content with, as a share of the largest error: other data judges, for
/// which 0.99 % on 128 photographs was 1.03 % on 600 others.
const AIM: f64 = 0.95;

/// Calibration batches that the means of channels are corrected by, at most.
const CORRECTING_BATCHES: usize = 32;

/// What equalizing or correcting must leave of the error to be worth having a model that is no mere rounding of the one in
/// the float file.
const PAYS: f64 = 0.95;

/// Models that are judged at most. Three or four are usual.
const MOST_TRIALS: usize = 20;

/// How a model was quantized, and what that cost.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The settings, the layers that were raised included.
    pub config: QuantConfig,
    /// The layers that stand higher than the others.
    pub raised: BTreeMap<String, Scheme>,
    /// What the layers that were tried take on each rung that is open to them, in the unit of the prices;
    /// none where the first model that was judged was within the budget.
    pub prices: Vec<Priced>,
    /// What quantizing has done.
    pub report: QuantReport,
    /// Relative L2 error of the output on the held-out inputs ([`relative_error`](crate::quant::relative_error)); of
    /// several outputs that of the one that is furthest off.
    pub error: f64,
    /// The error of each float output.
    pub errors: Vec<f64>,
    /// The class whose answers were lost, if there was one: [`Trial::lost_class`].
    pub lost_class: Option<usize>,
    /// Whether the error is within the budget, and no class of answers is lost.
    pub is_within: bool,
    /// All models that were judged on the held-out inputs, the fastest first.
    pub tried: Vec<Trial>,
}

/// A model that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The layers that stood higher than the others.
    pub raised: BTreeMap<String, Scheme>,
    /// Relative L2 error of the output on the held-out inputs, of several the one that is furthest off.
    pub error: f64,
    /// The error of each float output.
    pub errors: Vec<f64>,
    /// The class whose answers were lost, if there was one, on all inputs: the place of the float model's largest
    /// number in a row of the first output. However rare it is, such a model is not within any budget.
    pub lost_class: Option<usize>,
}

impl Trial {
    fn new(raised: BTreeMap<String, Scheme>, off: &Off) -> Trial {
        let (error, errors) = (off.error(), off.errors.clone());
        Trial { raised, error, errors, lost_class: off.lost }
    }
}

/// What the fastest model within a budget is searched by.
#[derive(Debug)]
pub struct Search<'a, X> {
    /// Batches that find the ranges, and what a layer costs.
    pub calibration: &'a [X],
    /// Other batches, by which models are judged.
    pub held_out: &'a [X],
    /// The largest error of an output: 0.01 is 1 %.
    pub max_error: f64,
    /// The settings to start with. Weights that a pattern names stay as it says.
    pub config: &'a QuantConfig,
    /// What a layer takes on each rung.
    pub prices: &'a mut Prices,
    /// Whether the largest number in a row of the first output is an answer, so that no class of them may be lost. Numbers do
    /// not tell: a classifier's may look as a direction's or a box's do. Whoever has labels knows.
    pub has_classes: bool,
}

/// Quantizes a model in place, as fast as its output error allows: every layer starts on the first of the
/// [`RUNGS`], static or dynamic as the settings say, and those are raised that save the most error for
/// their time, until the error on the held-out inputs is at most that of the budget and, where there are classes, none of
/// them, however rare, has lost its answers.
///
/// What a layer costs on a rung is the error of a float model in which it alone is quantized, on the first
/// calibration batches, and its time by the prices. At most a tenth of the weight bytes stays float. If no way is
/// within the budget the model is left quantized in the best that was found, and [`Ladder::is_within`] says so.
/// `progress` is told how many of how many trials are done.
///
/// ```
/// use tinytorch::{Isa, Rng, Tensor, autograd::Var, nn::{Init, Linear}};
/// use tinytorch::quant::{Prices, QuantConfig, Search, quantize_within};
///
/// let mut model = Linear::new(64, 16, &mut Init::seed(1))?;
/// let mut rng = Rng::seed(2);
/// let mut batch = || Tensor::randn([64, 64], 1.0, &mut rng).map(Var::from);
/// let data = [vec![batch()?], vec![batch()?]];
/// let [calibration, held_out] = &data;
/// let search = Search {
///     calibration,
///     held_out,
///     max_error: 0.008,
///     config: &QuantConfig::default(),
///     prices: &mut Prices::measured(Isa::active()),
///     has_classes: false,
/// };
/// let ladder = quantize_within(&mut model, search, &mut |_, _| ())?;
/// assert!(ladder.is_within && ladder.error <= 0.008 && ladder.tried[0].error > 0.008);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`quantize_model`](crate::quant::quantize_model), and [`QuantError::Ladder`] for a budget that is no error,
/// for weight-only settings, or without held-out inputs. The model is then as it was before.
pub fn quantize_within<M, X>(
    model: &mut M,
    search: Search<'_, X>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Ladder>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    quantize_watched(model, search, &mut Progress(progress))
}

/// [`quantize_within`], which tells what it will cost before layers are tried, and ends when it is told to: the best
/// model that was judged until then is kept.
///
/// # Errors
/// As [`quantize_within`].
pub fn quantize_watched<M, X>(
    model: &mut M,
    search: Search<'_, X>,
    watch: &mut dyn Watch,
) -> Result<Ladder>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    let Search { calibration, held_out, max_error, config, has_classes, .. } = search;
    let refuse = |problem| Err(QuantError::Ladder { problem }.into());
    let first = match config.scheme.activations() {
        Activations::Static => 0,
        Activations::Dynamic | Activations::Dynamic16 => 1,
        Activations::Float => {
            return refuse(
                "weight-only models have one rung; choose static or dynamic activations",
            );
        }
    };
    if !(max_error.is_finite() && max_error > 0.0) {
        return refuse("the largest error must be a positive number, such as 0.01 for 1 %");
    }
    if held_out.is_empty() {
        return refuse("no inputs are held out to judge the error by; keep some from calibration");
    }
    let scheme = RUNGS[first].with_bits(config.scheme.weight_bits());
    let base = QuantConfig { scheme, ..config.clone() };
    check(&*model, &base)?;
    let prepared = calibrate(&*model, calibration.iter().cloned().map(Ok), &base)?;
    let (judged, more) = (held_out.iter().collect(), calibration.iter().collect());
    let judge = Judge::new(&*model, judged, more, has_classes)?;
    let first = First { number: first, base };
    let begun = begin(model, prepared, &search, &first.base, &judge)?;
    let equalized = begun.equalized.clone();
    match climb(model, begun, search, &first, &judge, watch) {
        Ok(mut ladder) => {
            ladder.report.equalized = equalized;
            Ok(ladder)
        }
        Err(error) => {
            undo(model, &equalized)?;
            Err(error)
        }
    }
}

/// The rung that all layers start on.
struct First {
    number: usize,
    base: QuantConfig,
}

/// The model as the search begins with it.
struct Begun<'x, X> {
    prepared: Prepared,
    off: Off,
    equalized: Vec<Equalization>,
    /// What corrects the means of channels, if that pays.
    corrector: Option<Corrector<'x, X>>,
    /// What a batch took.
    seconds_of_pass: f64,
}

/// Brings channels to one range and corrects their means where that pays, which is tried with all layers on the first
/// rung.
fn begin<'x, M, X>(
    model: &mut M,
    prepared: Prepared,
    &Search { calibration, max_error, .. }: &Search<'x, X>,
    base: &QuantConfig,
    judge: &Judge<'_, X>,
) -> Result<Begun<'x, X>>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    let started = Instant::now();
    let off = Trials::new(&mut *model, prepared.clone()).off(base, judge, None)?;
    let seconds_of_pass = started.elapsed().as_secs_f64() / judge.batches().max(1) as f64;
    let (equalized, corrector) = (Vec::new(), None);
    let mut best = Begun { prepared, off, equalized, corrector, seconds_of_pass };
    if within(best.off.against(max_error), AIM * max_error) {
        return Ok(best);
    }
    for equalized in candidates(&*model, calibration)? {
        equalize(model, &equalized)?;
        let tried = calibrate(&*model, calibration.iter().cloned().map(Ok), base);
        let tried = tried.and_then(|prepared| {
            let off = Trials::new(&mut *model, prepared.clone()).off(base, judge, None)?;
            Ok((prepared, off))
        });
        undo(model, &equalized)?;
        let (prepared, off) = tried?;
        if pays(&off, &best.off) {
            best = Begun { prepared, off, equalized, ..best };
        }
    }
    equalize(model, &best.equalized)?;
    match corrected(model, &best, calibration, base, judge) {
        Ok((corrector, off)) if pays(&off, &best.off) => {
            Ok(Begun { off, corrector: Some(corrector), ..best })
        }
        Ok(_) => Ok(best),
        Err(error) => {
            undo(model, &best.equalized)?;
            Err(error)
        }
    }
}

/// Whether a method has left so much less of the error that it is worth it, and no class is lost by it. A class that is lost
/// either way hides no gain: what raises layers later saves it from a smaller error.
fn pays(off: &Off, before: &Off) -> bool {
    off.error() < PAYS * before.error() && (off.lost.is_none() || before.lost.is_some())
}

/// The model with all layers on the first rung and its means corrected.
fn corrected<'x, M, X>(
    model: &mut M,
    Begun { prepared, .. }: &Begun<'_, X>,
    calibration: &'x [X],
    base: &QuantConfig,
    judge: &Judge<'_, X>,
) -> Result<(Corrector<'x, X>, Off)>
where
    M: Forward<X> + ?Sized,
{
    let batches = calibration.iter().take(CORRECTING_BATCHES).collect();
    let corrector = Corrector::new(&*model, batches, &prepared.folds)?;
    let off = Trials::new(model, prepared.clone()).off(base, judge, Some(&corrector))?;
    Ok((corrector, off))
}

/// The search itself, from all layers on the first rung.
fn climb<M, X>(
    model: &mut M,
    begun: Begun<'_, X>,
    Search { calibration, max_error, prices, has_classes, .. }: Search<'_, X>,
    first: &First,
    judge: &Judge<'_, X>,
    watch: &mut dyn Watch,
) -> Result<Ladder>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    let correcting = begun.corrector.as_ref().map_or(0, |corrector| corrector.batches().len());
    let cost = (begun.seconds_of_pass, judge.batches() + correcting);
    let (Begun { prepared, off, corrector, .. }, base) = (begun, &first.base);
    let mut trials = Trials::new(model, prepared);
    let (mut tried, mut priced) = (vec![Trial::new(BTreeMap::new(), &off)], Vec::new());
    let mut offs = vec![off];
    if !within(offs[0].against(max_error), AIM * max_error) {
        let mut sample: Vec<&X> = calibration.iter().take(SENSITIVITY_BATCHES).collect();
        if let Some(class) = offs[0].lost {
            // It may be in none of these.
            sample.extend(judge.batches_of(trials.model(), class)?);
        }
        let mut climb = measure(
            &mut trials,
            &sample,
            first.number,
            base,
            (max_error, has_classes),
            prices,
            cost,
            corrector.is_some(),
            watch,
        )?;
        priced = climb.prices();
        // If the time ended while layers were tried, what it was spent on is worth one model more.
        while tried.len() < MOST_TRIALS
            && (tried.len() == 1 || watch.goes_on())
            && advance(&mut climb, &tried, offs[offs.len() - 1].against(max_error), max_error)
        {
            let raised = climb.raised();
            let off = trials.off(&with_schemes(base, &raised), judge, corrector.as_ref())?;
            tried.push(Trial::new(raised, &off));
            let is_enough = within(off.against(max_error), AIM * max_error);
            offs.push(off);
            if is_enough {
                break;
            }
        }
    }
    let last = offs.len() - 1;
    let best = match offs[last].against(max_error) {
        error if within(error, max_error) => last,
        _ => {
            let errors = offs.iter().map(|off| off.against(max_error)).enumerate();
            errors.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(last, |(place, _)| place)
        }
    };
    let Trial { raised, error, errors, lost_class } = tried[best].clone();
    let config = with_schemes(base, &raised);
    let report = trials.keep(&config, corrector.as_ref())?;
    let report = QuantReport { tried: told(&tried, &priced), ..report };
    let is_within = within(offs[best].against(max_error), max_error);
    let prices = priced;
    Ok(Ladder { config, raised, prices, report, error, errors, lost_class, is_within, tried })
}

/// What reports show of the trials: errors that are numbers, and times where layers were priced.
fn told(tried: &[Trial], priced: &[Priced]) -> Vec<Tried> {
    let time_of = |trial: &Trial, Priced { weight, times }: &Priced| {
        let raised = trial.raised.get(weight);
        let at = times.iter().find(|(scheme, _)| Some(scheme) == raised).or(times.first());
        at.map_or(0.0, |(_, time)| *time)
    };
    let told = tried.iter().map(|trial| Tried {
        error: trial.error,
        time: priced.iter().map(|priced| time_of(trial, priced)).sum(),
        raised: trial.raised.len(),
    });
    told.filter(|trial| trial.error.is_finite() && trial.time > 0.0).collect()
}

/// NaN is within nothing.
fn within(error: f64, max_error: f64) -> bool {
    error <= max_error
}

/// Moves to the next model worth a trial, whose error should be within the budget; `false` if none is left.
/// Squared errors add up only nearly, so they are scaled to what the last trial has shown.
fn advance(climb: &mut Climb, tried: &[Trial], error: f64, max_error: f64) -> bool {
    let is_new = |climb: &Climb| {
        let raised = climb.raised();
        tried.iter().all(|trial| trial.raised != raised)
    };
    let scale = error.powi(2) / climb.squared_error();
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

fn with_schemes(base: &QuantConfig, layers: &BTreeMap<String, Scheme>) -> QuantConfig {
    layers.iter().fold(base.clone(), |config, (name, scheme)| config.with(name, *scheme))
}
