//! What each layer costs on each rung, tried on its own.

use super::search::{Climb, Layer, Standing};
use super::trial::{Judge, Trials};
use super::with_layers;
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId, Role, Var};
use crate::nn::{Forward, Module};
use crate::quant::{QuantConfig, Rung, is_weight};
use std::collections::BTreeMap;

/// Share of the weight bytes that may stay float, as the audit's gate `coverage` allows.
const MOST_FLOAT: f64 = 0.1;

/// A weight that can be quantized.
struct Weight {
    name: String,
    id: ParamId,
    role: Role,
    /// As floats.
    bytes: usize,
}

/// Tries every layer whose rung is open on every rung from `first` on, in a model that is float otherwise.
pub(super) fn measure<M, X>(
    trials: &mut Trials<'_, M>,
    sample: &[X],
    first: Rung,
    base: &QuantConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Climb>
where
    M: Forward<X, Output = Var> + ?Sized,
{
    let judge = Judge::new(trials.model(), sample)?;
    let work = Work::of(trials.model(), sample)?;
    let weights = weights_of(trials.model());
    let floats = weights.iter().map(|weight| (weight.name.clone(), Rung::F32)).collect();
    let floats = with_layers(base, &floats);

    let is_open = |weight: &&Weight| {
        !base.layers.contains_key(&weight.name) && !base.skip.contains(&weight.name)
    };
    let rungs = |role| {
        let open = move |rung: &Rung| *rung >= first && *rung != Rung::F32 && rung.suits(role);
        Rung::ALL.into_iter().filter(open)
    };
    let all = weights.iter().filter(is_open).map(|weight| rungs(weight.role).count()).sum();
    let (mut layers, mut done) = (Vec::new(), 0);
    for Weight { name, id, role, bytes } in weights.iter().filter(is_open) {
        let mut standings = Vec::new();
        for rung in rungs(*role) {
            let mut config = floats.clone();
            config.layers.insert(name.clone(), rung);
            let squared_error = trials.error(&config, &judge)?.powi(2);
            standings.push(Standing { rung, squared_error, time: work.time(*id, rung) });
            done += 1;
            progress(done, all);
        }
        let time = work.time(*id, Rung::F32);
        standings.push(Standing { rung: Rung::F32, squared_error: 0.0, time });
        layers.push(Layer { name: name.clone(), float_bytes: *bytes, standings });
    }
    Ok(Climb::new(layers, floats_left(&weights, base)))
}

fn weights_of<M: Module + ?Sized>(model: &M) -> Vec<Weight> {
    let params = model.named_params().into_iter().filter(|(_, param)| is_weight(param));
    let weights = params.map(|(name, param)| {
        let bytes = param.shape().len() * size_of::<f32>();
        Weight { name, id: param.id(), role: param.role(), bytes }
    });
    weights.collect()
}

/// Bytes of weights that may stay float beside those that were to stay so anyhow.
fn floats_left(weights: &[Weight], base: &QuantConfig) -> usize {
    let all: usize = weights.iter().map(|weight| weight.bytes).sum();
    let given = weights.iter().filter(|weight| base.keeps_float(&weight.name));
    let given: usize = given.map(|weight| weight.bytes).sum();
    ((MOST_FLOAT * all as f64) as usize).saturating_sub(given)
}

/// Operations that the layers of a model do, by their weights.
#[derive(Default)]
struct Work(BTreeMap<ParamId, u64>);

impl Work {
    fn of<M, X>(model: &M, sample: &[X]) -> Result<Work>
    where
        M: Forward<X, Output = Var> + ?Sized,
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
