//! What each layer costs on each rung, tried on its own.

use super::prices::Prices;
use super::rungs::RUNGS;
use super::search::{Climb, Layer, Position};
use super::trial::{Judge, Trials};
use super::watch::{Cost, Watch};
use super::work::Work;
use crate::Result;
use crate::autograd::{ParamId, Role, Stored};
use crate::int8::{BLOCK, Granularity};
use crate::nn::{Forward, Module};
use crate::quant::correct::Corrector;
use crate::quant::input::takes_16_bits;
use crate::quant::{Activations, QuantConfig, Scheme, is_weight};

/// Share of the weight bytes that may stay float, as the audit's gate `coverage` allows.
const MOST_FLOAT: f64 = 0.1;

/// Models that are usually judged before one is within the budget.
const USUAL_MODELS: usize = 3;

/// A weight that can be quantized.
struct Weight {
    name: String,
    id: ParamId,
    role: Role,
    float: Stored,
}

/// Tries every layer whose scheme is open on every rung from `first` on, in a model that is float otherwise. A pass
/// takes so many seconds, and a model is judged in `judged` of them. Means are corrected if the final model's are.
#[expect(clippy::too_many_arguments, reason = "what a search knows, each of another kind")]
pub(super) fn measure<M, X>(
    trials: &mut Trials<'_, M>,
    sample: &[&X],
    first: usize,
    base: &QuantConfig,
    (max_error, has_classes): (f64, bool),
    prices: &mut Prices,
    (seconds_of_pass, judged): (f64, usize),
    is_corrected: bool,
    watch: &mut dyn Watch,
) -> Result<Climb>
where
    M: Forward<X> + ?Sized,
{
    let judge = Judge::new(trials.model(), sample.to_vec(), Vec::new(), has_classes)?;
    let folds = trials.folds();
    let corrector = match is_corrected {
        true => Some(Corrector::new(trials.model(), sample.to_vec(), folds)?),
        false => None,
    };
    let work = Work::of(trials.model(), sample.first().copied())?;
    let weights = weights_of(trials.model());
    let bits = base.scheme.weight_bits();
    let only_fixed = base.searches_fixed_ranges;
    let rungs = |weight| {
        let open = move |(_, rung): &(usize, Scheme)| {
            !rung.is_float() && suits(*rung, weight) && (rung.is_static() || !only_fixed)
        };
        RUNGS.into_iter().enumerate().skip(first).filter(open)
    };
    let is_open = |weight: &&Weight| !base.settles(&weight.name);
    let all = weights.iter().filter(is_open).map(|weight| rungs(weight).count()).sum();
    let passes = all * sample.len() + USUAL_MODELS * judged;
    watch.cost(Cost { trials: all, passes, seconds: passes as f64 * seconds_of_pass });
    let (mut layers, mut done) = (Vec::new(), 0);
    for weight in weights.iter().filter(is_open) {
        if !watch.goes_on() {
            break;
        }
        let Weight { name, id, float, .. } = weight;
        let (mut tried, mut stored) = (Vec::new(), Vec::new());
        for (rung, scheme) in rungs(weight) {
            let scheme = scheme.with_bits(bits);
            let (off, int8) = trials.off_with_layer(name, scheme, &judge, corrector.as_ref())?;
            if let Some(int8) = int8 {
                stored.push((rung, int8));
                tried.push((scheme, off.against(max_error).powi(2)));
            }
            done += 1;
            watch.tried(done, all);
        }
        tried.push((Scheme::Float, 0.0));
        stored.push((RUNGS.len() - 1, float.clone()));
        let times = prices.of(work.calls(*id), &stored)?;
        let positions = tried
            .into_iter()
            .zip(times)
            .map(|((scheme, squared_error), time)| Position { scheme, squared_error, time });
        let float_bytes = bytes(float);
        layers.push(Layer { name: name.clone(), float_bytes, positions: positions.collect() });
    }
    Ok(Climb::new(layers, floats_left(&weights, base)))
}

/// Whether a weight gains by standing on the rung. Scales in blocks are a scale for each channel where the
/// channels of a kernel are so short, and a depthwise kernel of nine took 50 times the time with them.
fn suits(rung: Scheme, weight: &Weight) -> bool {
    let shape = weight.float.shape();
    let k: usize = shape.iter().skip(1).product();
    let one_block = matches!(weight.role, Role::ConvWeight { .. }) && k <= BLOCK;
    match rung.granularity() {
        Granularity::Blocks if one_block => false,
        _ => rung.activations() != Activations::Dynamic16 || takes_16_bits(weight.role, &shape),
    }
}

fn bytes(stored: &Stored) -> usize {
    stored.shape().len() * size_of::<f32>()
}

fn weights_of<M: Module + ?Sized>(model: &M) -> Vec<Weight> {
    let params = model.named_params().into_iter().filter(|(_, param)| is_weight(param));
    let weights = params.map(|(name, param)| {
        let float = param.stored().clone();
        Weight { name, id: param.id(), role: param.role(), float }
    });
    weights.collect()
}

/// Bytes of weights that may stay float beside those that were to stay so anyhow.
fn floats_left(weights: &[Weight], base: &QuantConfig) -> usize {
    let all: usize = weights.iter().map(|weight| bytes(&weight.float)).sum();
    let given = weights.iter().filter(|weight| base.keeps_float(&weight.name));
    let given: usize = given.map(|weight| bytes(&weight.float)).sum();
    ((MOST_FLOAT * all as f64) as usize).saturating_sub(given)
}
