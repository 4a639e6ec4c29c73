//! Quantizing within a budget, and what that costs in time.

use super::samples::Samples;
use super::steps::Steps;
use crate::output::Progress;
use crate::table::Table;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;
use tinytorch::autograd::Var;
use tinytorch::int8::WeightBits;
use tinytorch::models::{ListModel, Model, Stepped, compile, run};
use tinytorch::nn::Forward;
use tinytorch::plan::Plan;
use tinytorch::quant::{
    Cost, Ladder, Priced, Prices, QuantConfig, RUNGS, Scheme, Search, Watch, quantize_model,
    quantize_watched,
};
use tinytorch::stats::{Settings, compare};
use tinytorch::{Isa, Tensor};

/// Samples per pass at most.
const BATCH: usize = 64;

/// One batch in this many judges; the others calibrate.
const HELD_OUT: usize = 4;

/// Samples of a timed pass.
const TIMED: usize = 32;

/// Bytes of float parameters above which a model is large: it is not timed, since its plan would hold them again, as would a copy
/// to time beside, where quantizing 95 MB within a budget takes 1.6 times that (`scripts/onnx_memory.py`).
const LARGE: usize = 64 << 20;

/// The stable form of `ladder` in `--json`.
#[derive(Serialize)]
pub(crate) struct Climbed {
    max_error: f64,
    /// Of the output, on held-out samples of the calibration data.
    error: f64,
    pub(super) within: bool,
    /// The class that has lost its answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost_class: Option<usize>,
    /// With every layer on the first rung.
    fastest_error: f64,
    held_out_samples: usize,
    raised: BTreeMap<String, Scheme>,
    /// Seconds that each layer takes on each rung that is open to it, measured on this machine.
    prices: BTreeMap<String, BTreeMap<String, f64>>,
    models_tried: usize,
    /// The error of each float output, by name.
    errors: BTreeMap<String, f64>,
    /// What trying layers was to cost, if any were tried.
    planned: Option<Planned>,
    seconds: f64,
    /// Whether the time ran out before the search had ended.
    interrupted: bool,
    batch: usize,
    /// `null` for a large model, which is not timed.
    time_of_float: Option<f64>,
    time_of_fastest: Option<f64>,
}

/// The stable form of `planned`.
#[derive(Clone, Copy, Serialize)]
struct Planned {
    trials: usize,
    passes: usize,
    seconds: f64,
}

/// A search within a budget, as the user wants it.
pub(crate) struct Budget<'a> {
    pub(crate) max_error: f64,
    /// Whether the data say that the first output tells classes, of which none may be lost then.
    pub(crate) has_classes: bool,
    /// After so many seconds the best is kept that was found until then.
    pub(crate) seconds: Option<f64>,
    /// Told what the search will cost, in a line.
    pub(crate) tell: &'a mut dyn FnMut(&str),
}

/// Follows a search, and ends it when its time has come.
struct Watched<'a, 'p> {
    budget: &'a mut Budget<'p>,
    progress: &'a mut Progress<'p>,
    started: Instant,
    planned: Option<Planned>,
    interrupted: bool,
}

impl Watch for Watched<'_, '_> {
    fn cost(&mut self, Cost { trials, passes, seconds }: Cost) {
        self.planned = Some(Planned { trials, passes, seconds });
        let ends = match self.budget.seconds {
            Some(limit) if limit < seconds => format!(", of which {limit} are given to it"),
            _ => String::new(),
        };
        (self.budget.tell)(&format!(
            "the search takes {trials} trials of layers, {passes} passes of a batch: about {seconds:.0} seconds{ends}"
        ));
    }

    fn tried(&mut self, done: usize, of: usize) {
        (self.progress)("trying layers", done, of);
    }

    fn goes_on(&mut self) -> bool {
        let limit = self.budget.seconds.unwrap_or(f64::INFINITY);
        self.interrupted |= self.started.elapsed().as_secs_f64() > limit;
        !self.interrupted
    }
}

/// The calibration samples, cut into batches.
pub(super) struct Batches {
    pub(super) calibration: Vec<Vec<Var>>,
    held_out: Vec<Vec<Var>>,
    held_out_samples: usize,
}

impl Batches {
    /// Of these inputs; `fixed` is how many samples a pass takes, if it takes no other number.
    pub(super) fn of(samples: &[Tensor], fixed: Option<usize>) -> Result<Batches> {
        let n = samples[0].shape()[0];
        let size = fixed.unwrap_or_else(|| (n / (2 * HELD_OUT)).clamp(1, BATCH));
        let (mut calibration, mut held_out, mut held_out_samples) = (Vec::new(), Vec::new(), 0);
        for (i, start) in (0..n).step_by(size).enumerate() {
            let end = n.min(start + size);
            let part = |input: &Tensor| input.slice(0, start..end).map(Var::from);
            let batch = samples.iter().map(part).collect::<tinytorch::Result<Vec<Var>>>()?;
            if i % HELD_OUT == HELD_OUT - 1 {
                held_out_samples += end - start;
                held_out.push(batch);
            } else {
                calibration.push(batch);
            }
        }
        Ok(Batches { calibration, held_out, held_out_samples })
    }
}

/// Quantizes `model` as fast as the budget allows, and times it beside the float model and beside the same
/// model on the first rung.
pub(super) fn climb<'p>(
    model: &mut dyn Model,
    samples: &Samples,
    budget: &mut Budget<'p>,
    config: &QuantConfig,
    progress: &mut Progress<'p>,
) -> Result<(Ladder, Climbed)> {
    let mut others = Others::of(model);
    let max_error = budget.max_error;
    let (started, planned, interrupted) = (Instant::now(), None, false);
    let mut watch = Watched { budget, progress, started, planned, interrupted };
    let fastest = others.as_mut().map(|others| &mut *others.fastest);
    let (ladder, held_out_samples, batch) = match samples {
        Samples::Apart(samples) => {
            let fixed = model.fixed_batch();
            let Batches { calibration, held_out, held_out_samples } = Batches::of(samples, fixed)?;
            let fastest = fastest.map(|model| model as &mut dyn ListModel);
            let model: &mut dyn ListModel = &mut *model;
            let ladder = search(model, fastest, &calibration, &held_out, config, &mut watch)?;
            let timed = fixed.unwrap_or(TIMED).min(samples[0].shape()[0]);
            let batch = samples.iter().map(|input| input.slice(0, 0..timed));
            (ladder, held_out_samples, batch.collect::<tinytorch::Result<Vec<_>>>()?)
        }
        Samples::Steps(sequence) => {
            let Steps { calibration, held_out } = Steps::of(model, sequence)?;
            let mut fastest = fastest.map(|model| Stepped(model));
            let (model, fastest) = (&mut Stepped(model), fastest.as_mut());
            let judged = std::slice::from_ref(&held_out);
            let ladder = search(model, fastest, &calibration, judged, config, &mut watch)?;
            (ladder, held_out.len(), sequence.first()?)
        }
    };
    let Watched { planned, interrupted, .. } = watch;
    let mut names = model.output_names().into_iter();
    let names = (0..).map(|i| names.next().unwrap_or_else(|| format!("output {i}")));
    let times = others.map(|others| others.times(model, &batch)).transpose()?;
    let climbed = Climbed {
        max_error,
        error: ladder.error,
        within: ladder.is_within,
        lost_class: ladder.lost_class,
        fastest_error: ladder.tried.first().map_or(f64::NAN, |trial| trial.error),
        held_out_samples,
        raised: ladder.raised.clone(),
        prices: ladder.prices.iter().map(named).collect(),
        models_tried: ladder.tried.len(),
        errors: names.zip(ladder.errors.iter().copied()).collect(),
        planned,
        seconds: started.elapsed().as_secs_f64(),
        interrupted,
        batch: batch[0].shape()[0],
        time_of_float: times.map(|[float, _]| float),
        time_of_fastest: times.map(|[_, fastest]| fastest),
    };
    Ok((ladder, climbed))
}

/// Quantizes the first model within the budget, and the second, which is the same, on the first rung.
fn search<M, X>(
    model: &mut M,
    fastest: Option<&mut M>,
    calibration: &[X],
    held_out: &[X],
    config: &QuantConfig,
    watch: &mut Watched<'_, '_>,
) -> Result<Ladder>
where
    M: Forward<X> + ?Sized,
    X: Clone,
{
    let (prices, budget) = (&mut Prices::measured(Isa::active()), &*watch.budget);
    let (max_error, has_classes) = (budget.max_error, budget.has_classes);
    let search = Search { calibration, held_out, max_error, config, prices, has_classes };
    let ladder = quantize_watched(model, search, watch)?;
    if let Some(fastest) = fastest {
        let first = QuantConfig { patterns: config.patterns.clone(), ..ladder.config.clone() };
        quantize_model(fastest, calibration.iter().cloned().map(Ok), &first)?;
    }
    Ok(ladder)
}

/// Whether a float model's weights are what takes memory.
pub(super) fn is_large(model: &dyn Model) -> bool {
    let params = model.named_params();
    params.iter().map(|(_, param)| size_of::<f32>() * param.shape().len()).sum::<usize>() > LARGE
}

/// The models that the one within the budget is timed beside.
struct Others {
    float: Box<dyn Model>,
    /// To be quantized on the first rung.
    fastest: Box<dyn Model>,
}

impl Others {
    /// Of a small float model.
    fn of(model: &dyn Model) -> Option<Others> {
        (!is_large(model)).then(|| Others { float: model.clone_box(), fastest: model.clone_box() })
    }

    /// How many times as long as each of them the model takes for a batch.
    fn times(self, model: &dyn Model, batch: &[Tensor]) -> Result<[f64; 2]> {
        let Others { float, fastest } = self;
        Ok([time_ratio(&*float, model, batch)?, time_ratio(&*fastest, model, batch)?])
    }
}

fn named(priced: &Priced) -> (String, BTreeMap<String, f64>) {
    let times = priced
        .times
        .iter()
        .map(|(scheme, time)| (scheme.with_bits(WeightBits::EIGHT).to_string(), *time));
    (priced.weight.clone(), times.collect())
}

/// How many times as long the second model's plan takes as the first's.
fn time_ratio(first: &dyn Model, second: &dyn Model, batch: &[Tensor]) -> Result<f64> {
    let (mut first, mut second) = (compile(first, batch)?, compile(second, batch)?);
    let settings = Settings::default();
    let pass = |plan: &mut Plan| run(plan, batch).map(drop);
    Ok(compare(|| pass(&mut first), || pass(&mut second), &settings)?.ratio)
}

impl Climbed {
    fn price_table(&self) -> Table<{ RUNGS.len() + 1 }> {
        let rungs = RUNGS.map(|rung| rung.to_string());
        let mut table = Table::new(columns("microseconds per batch", |rung| rungs[rung].as_str()));
        for (layer, times) in &self.prices {
            let micros = |rung: usize| times.get(&rungs[rung]).map(|time| time * 1e6);
            table.row(columns(layer.clone(), |rung| {
                micros(rung).map_or(String::new(), |time| format!("{time:.1}"))
            }));
        }
        table
    }
}

/// A first cell, and one for each rung.
fn columns<T>(first: T, of_rung: impl Fn(usize) -> T) -> [T; RUNGS.len() + 1] {
    let mut first = Some(first);
    std::array::from_fn(|i| match first.take() {
        Some(first) => first,
        None => of_rung(i - 1),
    })
}

impl fmt::Display for Climbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        if !self.prices.is_empty() {
            writeln!(f, "{}", self.price_table())?;
        }
        let mut rungs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, scheme) in &self.raised {
            rungs.entry(scheme.to_string()).or_default().push(name);
        }
        for (rung, names) in rungs {
            writeln!(f, "raised to {rung}: {}", names.join(", "))?;
        }
        // NaN is over.
        let verdict = if self.error <= self.max_error { "within" } else { "over" };
        write!(
            f,
            "error {} on {} held-out samples, {verdict} {}",
            percent(self.error),
            self.held_out_samples,
            percent(self.max_error),
        )?;
        if self.errors.len() > 1 {
            let each =
                self.errors.iter().map(|(name, error)| format!("`{name}` {}", percent(*error)));
            write!(f, " ({})", each.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(class) = self.lost_class {
            write!(f, ", but class {class} has lost too many of its answers")?;
        }
        if !self.raised.is_empty() {
            write!(f, "; {} on the fastest rung", percent(self.fastest_error))?;
        }
        match self.time_of_float {
            Some(ratio) => {
                write!(f, "\nat batch {} it takes {ratio:.2}x the time in float", self.batch)?;
            }
            None => {
                write!(f, "\nit was not timed, for the sake of memory: `tinytorch audit` does")?
            }
        }
        if let (Some(ratio), false) = (self.time_of_fastest, self.raised.is_empty()) {
            write!(f, ", {ratio:.2}x that on the fastest rung")?;
        }
        if self.interrupted {
            write!(f, "\nthe time ran out: this is the best of {} models", self.models_tried)?;
        }
        writeln!(f)
    }
}
