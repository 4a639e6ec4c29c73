//! What would help a model that is too far from its floats: which layers to raise, by how much the error falls,
//! what it costs. All of it is measured, on the held-out samples.

use super::{AuditOptions, Evidence, Gate, Outcome, Subject, compare, passes};
use crate::Result;
use crate::autograd::{Param, Role, Stored};
use crate::int8::{Encoding, Granularity, Int8Weight, QWeight};
use crate::models::{Model, compile};
use crate::plan::Plan;
use crate::quant::Folded;
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Gates that a more precise layer can help.
const HELPED: [&str; 4] = ["output_error", "accuracy", "agreement", "classes"];

/// Gates that must not have failed: what they find no precision mends.
const BEFORE: [&str; 5] = ["structure", "coverage", "determinism", "overflow", "batches"];

/// Layers that are tried alone, those that add most to their own outputs.
const TRIED: usize = 12;

/// Samples that layers are tried alone on; what is told is measured on all.
const SAMPLES: usize = 256;

/// Layers that are raised at most.
const MOST: usize = 4;

/// Passes of each model, taken in turn, of which the median is the time.
const PASSES: usize = 15;

/// Samples of a pass that is timed.
const BATCH: usize = 32;

/// What a layer's weight and input become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Raised {
    /// Weights with a scale for every 32 values, inputs of 16 bits with a range for each row.
    #[serde(rename = "16-bit rows")]
    Rows16,
    /// Floats, as `--skip` leaves them.
    #[serde(rename = "float")]
    Float,
}

impl Raised {
    /// The words that tables and reports use.
    pub fn word(self) -> &'static str {
        match self {
            Raised::Rows16 => "16-bit rows",
            Raised::Float => "float",
        }
    }
}

/// A layer that would help if it were raised, after those before it in the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The name of its weight.
    pub layer: String,
    /// What it would become.
    pub to: Raised,
    /// The largest relative error of an output, in percent, before.
    pub error_before_percent: f64,
    /// The same after.
    pub error_after_percent: f64,
    /// By how many bytes all weights together grow.
    pub more_bytes: usize,
    /// By how much a pass of 32 samples takes longer, in percent; `null` if no time was taken.
    pub slower_percent: Option<f64>,
}

/// Measures which layers would help, if precision is what is missing.
///
/// Up to twelve layers are raised alone; those that save most of the error are then raised one after the other
/// until the error is within the budget.
///
/// # Errors
/// If a model does not run on the data.
pub(super) fn of(
    subject: &Subject,
    evidence: &Evidence,
    gates: &[Gate],
    max_error: f64,
    options: &AuditOptions,
) -> Result<Vec<Advice>> {
    let failed = |ids: &[&str]| {
        gates.iter().any(|gate| ids.contains(&gate.id) && gate.result == Outcome::Fail)
    };
    if !failed(&HELPED) || failed(&BEFORE) {
        return Ok(Vec::new());
    }
    let floats = Floats::of(subject, &evidence.folded)?;
    let few = Judge::of(evidence, SAMPLES)?;
    let mut found = Vec::new();
    for layer in tried(evidence) {
        for to in [Raised::Rows16, Raised::Float] {
            let mut model = subject.int8.clone();
            if floats.raise(&mut *model, layer, to)?.is_none() {
                continue;
            }
            // A way that the model does not run in is none.
            let Ok(error) = few.error(subject, &*model, options) else { continue };
            found.push((error, layer, to));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));

    let all = Judge::of(evidence, usize::MAX)?;
    let (mut model, mut advice) = (subject.int8.clone(), Vec::new());
    let mut before = compare::worst(&compare::errors(&evidence.int8, &evidence.float)?).1;
    let mut raised = BTreeSet::new();
    for (_, layer, to) in found {
        if advice.len() == MOST || (before <= max_error && !advice.is_empty()) {
            break;
        }
        if raised.contains(layer) {
            continue;
        }
        let mut next = model.clone();
        let Some(more_bytes) = floats.raise(&mut *next, layer, to)? else { continue };
        let after = all.error(subject, &*next, options)?;
        // What saves nothing after the others is no advice.
        if compare::exceeds(after, before) || after == before {
            continue;
        }
        let slower_percent = match options.latency {
            true => Some(slower(subject, &*model, &*next, options)?),
            false => None,
        };
        advice.push(Advice {
            layer: layer.to_string(),
            to,
            error_before_percent: before * 100.0,
            error_after_percent: after * 100.0,
            more_bytes,
            slower_percent,
        });
        raised.insert(layer);
        (model, before) = (next, after);
    }
    Ok(advice)
}

/// The int8 layers that add most to their own outputs.
fn tried(evidence: &Evidence) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let mut layers: Vec<_> = evidence
        .layers
        .iter()
        .filter(|layer| layer.ran_in_int8() && seen.insert(layer.name.as_str()))
        .collect();
    layers.sort_by(|a, b| b.own_error.total_cmp(&a.own_error));
    layers.into_iter().take(TRIED).map(|layer| layer.name.as_str()).collect()
}

/// The floats that int8 weights stand for, by name.
struct Floats(BTreeMap<String, Tensor>);

impl Floats {
    fn of(subject: &Subject, folded: &Folded) -> Result<Floats> {
        let mut floats = BTreeMap::new();
        for (name, param) in subject.float.named_params() {
            let Stored::F32(value) = param.stored() else { continue };
            floats.insert(name, folded.values.get(&param.id()).unwrap_or(value).clone());
        }
        Ok(Floats(floats))
    }

    /// Raises a layer of a model, and gives the bytes by which its weight grows; `None` where the layer cannot
    /// become that.
    fn raise(&self, model: &mut dyn Model, layer: &str, to: Raised) -> Result<Option<usize>> {
        let mut params = model.named_params_mut();
        let Some((_, param)) = params.iter_mut().find(|(name, _)| name == layer) else {
            return Ok(None);
        };
        let (Some(value), Some(int8)) = (self.0.get(layer), param.int8()) else { return Ok(None) };
        let before = int8.bytes();
        let Some(stored) = raised(param, int8, value, to)? else { return Ok(None) };
        let after = match &stored {
            Stored::Int8(weight) => weight.bytes(),
            _ => value.len() * size_of::<f32>(),
        };
        param.store(stored);
        Ok(Some(after.saturating_sub(before)))
    }
}

fn raised(param: &Param, int8: &Int8Weight, value: &Tensor, to: Raised) -> Result<Option<Stored>> {
    match (to, int8.shift()) {
        // What a batch norm has left beside an int8 weight has no place beside floats.
        (Raised::Float, Some(_)) => Ok(None),
        (Raised::Float, None) => Ok(Some(Stored::F32(value.clone()))),
        (Raised::Rows16, shift) => {
            let is_rows = matches!(param.role(), Role::LinearWeight | Role::Embedding);
            if !is_rows || int8.input() == Encoding::PerRow16 {
                return Ok(None);
            }
            let weight = QWeight::quantize(value, Granularity::Blocks)?;
            let weight = match shift {
                Some(shift) => weight.with_shift(shift.into())?,
                None => weight,
            };
            Ok(Some(Stored::Int8(Int8Weight::new(weight, Encoding::PerRow16))))
        }
    }
}

/// The float outputs for the first samples.
struct Judge {
    samples: usize,
    outputs: Vec<Tensor>,
}

impl Judge {
    fn of(evidence: &Evidence, most: usize) -> Result<Judge> {
        let all = evidence.float.first().map_or(0, |output| output.shape()[0]);
        let samples = all.min(most);
        let outputs = evidence.float.iter().map(|output| output.slice(0, 0..samples));
        Ok(Judge { samples, outputs: outputs.collect::<Result<_>>()? })
    }

    /// The largest relative error of a model's outputs.
    fn error(&self, subject: &Subject, model: &dyn Model, options: &AuditOptions) -> Result<f64> {
        let mut plan = compile(model, &subject.held_out.first(1)?)?.on(options.deployed);
        let outputs = passes::outputs_of_first(&mut plan, &subject.held_out, self.samples)?;
        Ok(compare::worst(&compare::errors(&outputs, &self.outputs)?).1)
    }
}

/// By how many percent a pass of the second model takes longer.
fn slower(
    subject: &Subject,
    first: &dyn Model,
    second: &dyn Model,
    options: &AuditOptions,
) -> Result<f64> {
    let batch = subject.held_out.first(BATCH)?;
    let plan = |model| Ok::<_, crate::Error>(compile(model, &batch)?.on(options.deployed));
    let (mut first, mut second) = (plan(first)?, plan(second)?);
    let seconds = |plan: &mut Plan| -> Result<f64> {
        let started = Instant::now();
        crate::models::run(plan, &batch)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::with_capacity(PASSES);
    for pass in 0..=PASSES {
        let ratio = seconds(&mut first).and_then(|a| Ok(seconds(&mut second)? / a))?;
        // The first finds cold caches and no memory.
        if pass > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    Ok((ratios[ratios.len() / 2] - 1.0) * 100.0)
}
