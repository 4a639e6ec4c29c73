//! What fixed ranges leave room for: how many activations lie outside of them, also for brighter inputs.

use super::distribution::{clipped, percent};
use super::passes::in_batches;
use super::rows::Scaled;
use super::{AuditOptions, Metric, Rows, Subject, task};
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId, Var};
use crate::int8::{Encoding, QParams};
use crate::models::{compile, run};
use crate::tensor::{Dtype, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many times brighter inputs are than the held-out ones.
const FACTORS: [f32; 3] = [1.0, 1.5, 2.0];

/// How many activations lie outside of the ranges that calibration fixed, for inputs that are so many times
/// as large as the held-out ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saturation {
    /// How many times as large.
    pub factor: f64,
    /// Activations more than half a step outside, in percent of all that a range holds.
    pub percent: f64,
    /// The layer with the most, by its weight.
    pub worst_layer: String,
    /// Those of this layer, in percent.
    pub worst_percent: f64,
    /// Share of the samples that both models answer alike, in percent; `null` if they choose no class.
    pub agreement: Option<f64>,
}

/// Measures on all samples; nothing where no range is fixed or no input is a number.
///
/// # Errors
/// If a model does not run on the data.
pub(super) fn saturation(subject: &Subject, options: &AuditOptions) -> Result<Vec<Saturation>> {
    let mut ranges = BTreeMap::new();
    for (name, param) in subject.int8.named_params() {
        if let Some(Encoding::Static(params)) = param.int8().map(|weight| weight.input()) {
            ranges.insert(name, params);
        }
    }
    let has_numbers = subject.held_out.inputs().iter().any(|rows| rows.dtype() == Dtype::F32);
    if ranges.is_empty() || !has_numbers {
        return Ok(Vec::new());
    }
    let ids = subject.float.named_params().into_iter();
    let names: BTreeMap<ParamId, String> = ids.map(|(name, param)| (param.id(), name)).collect();
    FACTORS.iter().map(|&factor| at(factor, subject, options, &names, &ranges)).collect()
}

fn at(
    factor: f32,
    subject: &Subject,
    options: &AuditOptions,
    names: &BTreeMap<ParamId, String>,
    ranges: &BTreeMap<String, QParams>,
) -> Result<Saturation> {
    let inputs = subject.held_out.inputs().iter();
    let inputs =
        inputs.map(|rows| Arc::new(Scaled { rows: rows.clone(), factor }) as Arc<dyn Rows>);
    let brighter = subject.held_out.with_inputs(inputs.collect())?;
    let mut outside = Outside { names, ranges, counts: BTreeMap::new() };
    let float = in_batches(&brighter, brighter.len(), |batch| {
        let inputs: Vec<Var> = batch.iter().map(Var::from).collect();
        let mut ctx = Ctx::eval().observed(&mut outside);
        let outputs = subject.float.forward_list(&inputs, &mut ctx)?;
        Ok(outputs.into_iter().map(Var::into_value).collect::<Vec<Tensor>>())
    })?;
    let mut plan = compile(&*subject.int8, &brighter.first(1)?)?.on(options.deployed);
    let int8 = in_batches(&brighter, brighter.len(), |batch| run(&mut plan, batch))?;
    let answers = (subject.task.answers(&float)?, subject.task.answers(&int8)?);
    let agreement = match answers {
        (Some(float), Some(int8)) => Some(task::same_share(&float, &int8)? * 100.0),
        _ => None,
    };
    let share = |&(clipped, seen): &(usize, usize)| percent(clipped, seen);
    let worst = outside.counts.iter().max_by(|a, b| share(a.1).total_cmp(&share(b.1)));
    let (worst_layer, worst_percent) =
        worst.map_or((String::new(), 0.0), |(name, count)| (name.clone(), share(count)));
    let all = outside.counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let factor = f64::from(factor);
    Ok(Saturation { factor, percent: share(&all), worst_layer, worst_percent, agreement })
}

/// Counts the activations of the float model that lie outside of the int8 model's ranges.
struct Outside<'a> {
    names: &'a BTreeMap<ParamId, String>,
    ranges: &'a BTreeMap<String, QParams>,
    /// Those outside, and all.
    counts: BTreeMap<String, (usize, usize)>,
}

impl Observer for Outside<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let name = run.weight.and_then(|id| self.names.get(&id));
        let Some((name, params)) = name.and_then(|name| self.ranges.get_key_value(name)) else {
            return Ok(());
        };
        if run.op.properties().looks_up || run.inputs[0].dtype() != Dtype::F32 {
            return Ok(());
        }
        let values = run.inputs[0].to_vec::<f32>()?;
        let count = self.counts.entry(name.clone()).or_default();
        count.0 += clipped(&values, *params);
        count.1 += values.len();
        Ok(())
    }
}
