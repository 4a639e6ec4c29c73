//! The time that a layer takes on each rung: measured on this machine, or told.

use super::alone::Alone;
use super::rungs::RUNGS;
use super::work::{Call, Kind};
use crate::autograd::Stored;
use crate::plan::Plan;
use crate::tensor::{Shape, Tensor};
use crate::{Result, Rng};
use std::time::Duration;
use tinytorch_kernels::Isa;

/// Operations of a timed product at most; larger ones are timed on a part of their rows. A core does them in
/// a millisecond or two as floats.
const MOST_TIMED: u64 = 1 << 25;

/// Rounds over all rungs, of which the fastest counts: what else the machine does makes a layer slower and never faster. On two
/// cores that nineteen processes wanted, medians of seven on both of UltraFace's and YuNet's layers were up to 33 times apart from run to run,
/// the fastest of 15 on one up to 1.27 times.
const ROUNDS: usize = 15;

/// What a rung takes in a round at least, in as many runs as that needs.
const SHORTEST: Duration = Duration::from_micros(100);

/// What layers cost on each rung of the ladder.
///
/// ```
/// use tinytorch::{Isa, quant::Prices};
/// let on_this_machine = Prices::measured(Isa::active());
/// let twice_for_each_step = Prices::table([1.0, 2.0, 4.0, 8.0, 16.0]);
/// ```
#[derive(Debug)]
pub struct Prices(Source);

#[derive(Debug)]
enum Source {
    Measured { isa: Isa, known: Vec<Known> },
    Table([f64; RUNGS.len()]),
}

/// What has been measured.
#[derive(Debug)]
struct Known {
    kind: Kind,
    input: Shape,
    weight: Shape,
    rungs: Vec<usize>,
    seconds: Vec<f64>,
}

impl Prices {
    /// Seconds that deployed layers take on this machine with these kernels: each distinct shape is timed
    /// when it is met, on one thread, a few milliseconds on each rung.
    pub fn measured(isa: Isa) -> Prices {
        Prices(Source::Measured { isa, known: Vec::new() })
    }

    /// So many units of time for each operation on each of the [`RUNGS`].
    ///
    /// With these, a search finds the same on every machine.
    pub fn table(factors: [f64; RUNGS.len()]) -> Prices {
        Prices(Source::Table(factors))
    }

    /// What a layer with these uses costs when its weight is stored in one way or another; each comes with the
    /// index of its rung.
    pub(super) fn of(&mut self, calls: &[Call], stored: &[(usize, Stored)]) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; stored.len()];
        match &mut self.0 {
            Source::Table(factors) => {
                // Rows that are looked up are next to nothing, but not free.
                let flops: u64 = calls.iter().map(|call| call.flops).sum();
                for (sum, (rung, _)) in sums.iter_mut().zip(stored) {
                    *sum = flops.max(1) as f64 * factors[*rung];
                }
            }
            Source::Measured { isa, known } => {
                for call in calls {
                    let seconds = times(call, stored, *isa, known)?;
                    sums.iter_mut().zip(seconds).for_each(|(sum, time)| *sum += time);
                }
            }
        }
        Ok(sums)
    }
}

/// The seconds that one call takes on each rung.
fn times(
    call: &Call,
    stored: &[(usize, Stored)],
    isa: Isa,
    known: &mut Vec<Known>,
) -> Result<Vec<f64>> {
    let Some((_, first)) = stored.first() else { return Ok(Vec::new()) };
    let (input, share) = part_of(call)?;
    if input.contains(&0) {
        return Ok(vec![0.0; stored.len()]);
    }
    let (kind, weight) = (call.kind, first.shape());
    let rungs: Vec<usize> = stored.iter().map(|(rung, _)| *rung).collect();
    let same =
        |k: &&Known| k.kind == kind && k.input == input && k.weight == weight && k.rungs == rungs;
    let seconds = match known.iter().find(same) {
        Some(known) => known.seconds.clone(),
        None => {
            let seconds = measure(kind, &input, stored, isa)?;
            known.push(Known { kind, input, weight, rungs, seconds: seconds.clone() });
            seconds
        }
    };
    Ok(seconds.into_iter().map(|seconds| seconds * share).collect())
}

/// The rows of a call's input that are timed, and how many times that all of them are.
fn part_of(call: &Call) -> Result<(Shape, f64)> {
    let rows = match call.kind {
        Kind::LookUp => return Ok((call.input, 1.0)),
        Kind::Linear => call.input.len() / call.input.last_dim().max(1),
        Kind::Conv(_) => call.input[0],
    };
    let fit = (MOST_TIMED / (call.flops / rows.max(1) as u64).max(1)).max(1) as usize;
    let timed = rows.min(fit);
    let input = match call.kind {
        Kind::Conv(_) => call.input.with(0, timed),
        _ => Shape::new(&[timed, call.input.last_dim()])?,
    };
    Ok((input, rows as f64 / timed.max(1) as f64))
}

/// The seconds that a model takes for a layer on each rung, on one thread: of two, of which another program holds up one, a layer
/// takes now once and now twice as long. The rungs take turns, so that whatever else the machine does hits all of them.
///
/// Where the first rung is open to it, most layers around it exchange levels, and what passes between them
/// and the layer as floats is part of its price. A 1 x 1 convolution of 32 channels at 60 x 80 pixels took
/// 689 us in int8 and 274 in float between floats, 100 and 374 between levels.
fn measure(kind: Kind, input: &Shape, stored: &[(usize, Stored)], isa: Isa) -> Result<Vec<f64>> {
    let alone = || fastest(kind, input, stored, isa);
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(alone),
        // A system without another thread has one.
        Err(_) => alone(),
    }
}

fn fastest(kind: Kind, input: &Shape, stored: &[(usize, Stored)], isa: Isa) -> Result<Vec<f64>> {
    let input = match kind {
        Kind::LookUp => Tensor::from_vec(vec![0i64; input.len()], *input)?,
        _ => Tensor::randn(*input, 1.0, &mut Rng::seed(0))?,
    };
    let among_levels = stored.iter().any(|(rung, _)| *rung == 0);
    let mut runs = Vec::with_capacity(stored.len());
    for (_, stored) in stored {
        let alone = Alone::new(stored.clone(), kind);
        let layer = if among_levels { alone.before_levels()? } else { alone };
        let mut timed = Timed::compile(&layer, &input, isa)?;
        let once = timed.seconds(&input, 1)?;
        let repeats = (SHORTEST.as_secs_f64() / once.max(1e-9)).ceil().clamp(1.0, 1e4) as usize;
        runs.push((timed, repeats, f64::INFINITY));
    }
    for _ in 0..ROUNDS {
        for (timed, repeats, fastest) in &mut runs {
            *fastest = fastest.min(timed.seconds(&input, *repeats)?);
        }
    }
    Ok(runs.into_iter().map(|(_, _, fastest)| fastest).collect())
}

/// A compiled layer, and which of its steps count.
struct Timed {
    plan: Plan,
    counts: Vec<bool>,
}

impl Timed {
    fn compile(layer: &Alone, input: &Tensor, isa: Isa) -> Result<Timed> {
        let mut plan = Plan::compile(layer, input)?.on(isa);
        plan.run(input)?;
        let counts = plan.steps().iter().map(|step| layer.counts(step)).collect();
        Ok(Timed { plan, counts })
    }

    /// The mean time that the steps that count take together.
    fn seconds(&mut self, input: &Tensor, repeats: usize) -> Result<f64> {
        let mut sum = Duration::ZERO;
        for _ in 0..repeats {
            let steps = self.plan.profile(input)?;
            let counted = steps.iter().zip(&self.counts).filter(|(_, counts)| **counts);
            sum += counted.map(|(step, _)| step.time).sum::<Duration>();
        }
        Ok(sum.as_secs_f64() / repeats as f64)
    }
}
