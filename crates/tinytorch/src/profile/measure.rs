//! What a pass costs.

use super::layers::Layers;
use super::stopwatch::timed;
use super::table::table;
use super::{HeapUse, ParameterCount, Profile, ProfileError};
use crate::Result;
use crate::autograd::{Ctx, Feed};
use crate::nn::Forward;
use crate::stats::Quartiles;
use std::time::Instant;
use tinytorch_kernels::os::{KeepFreed, ProcessMemory, alloc};

/// Passes that [`profile`] times, and as many again that it observes, each in two ways.
pub const PASSES: usize = 20;

/// Seconds that these may take together, but for one of each.
const PATIENCE: f64 = 60.0;

/// Profiles inference passes of a model, float or int8, on `input`, a tensor or several.
///
/// # Errors
/// If the model does not run on the input.
pub fn profile<M, F>(model: &M, input: &F) -> Result<Profile>
where
    M: Forward<F::Input> + ?Sized,
    F: Feed,
{
    profile_passes(model, input, PASSES)
}

/// [`profile`] over another number of passes, or over fewer if those would take more than a minute:
/// [`Profile::passes`] says how many.
///
/// # Errors
/// As [`profile`], and [`ProfileError::Zero`] for 0 passes.
pub fn profile_passes<M, F>(model: &M, input: &F, passes: usize) -> Result<Profile>
where
    M: Forward<F::Input> + ?Sized,
    F: Feed,
{
    if passes == 0 {
        return Err(ProfileError::Zero { what: "the number of passes" }.into());
    }
    // Without a tape, inputs are constants.
    let input = input.enter(&mut Ctx::eval());
    let mut layers = Layers::of(model);
    let first = timed(model, &input)?;
    let started = Instant::now();
    let heap = heap_of_a_pass(model, &input)?;
    let seconds = started.elapsed().as_secs_f64();
    let passes = passes_within(PATIENCE, seconds, passes);
    // What takes so long that it runs once has warmed up meanwhile.
    let (mut times, mut observed) = match passes {
        1 => (vec![seconds], vec![first]),
        _ => (Vec::with_capacity(passes), Vec::with_capacity(passes)),
    };
    for _ in times.len()..passes {
        let started = Instant::now();
        model.call(&input, &mut Ctx::eval())?;
        times.push(started.elapsed().as_secs_f64());
        observed.push(timed(model, &input)?);
    }
    // After all others, since it changes what the C library keeps: without that, what is freed between ops would take
    // longer than what else happens there.
    let kept = KeepFreed::new();
    let computed =
        (0..passes).map(|_| layers.watched(model, &input)).collect::<Result<Vec<_>>>()?;
    drop(kept);
    let rows = table(&observed, computed);
    let sum = |of: fn(&super::LayerRow) -> u64| rows.iter().map(of).sum();
    Ok(Profile {
        parameters: ParameterCount::of(model),
        flops: sum(|row| row.flops),
        read_bytes: sum(|row| row.read_bytes),
        written_bytes: sum(|row| row.written_bytes),
        heap,
        resident_bytes: ProcessMemory::now().ok().map(|memory| memory.resident),
        seconds: Quartiles::of(&times),
        passes,
        table_nanoseconds: sum(|row| row.nanoseconds),
        layers: rows,
    })
}

/// Of so many passes, each timed once, observed, and observed as every op runs twice, those that take no longer, and one at least.
fn passes_within(patience: f64, seconds: f64, most: usize) -> usize {
    ((patience / (4.0 * seconds)) as usize).clamp(1, most.max(1))
}

fn heap_of_a_pass<M: Forward<X> + ?Sized, X>(model: &M, input: &X) -> Result<Option<HeapUse>> {
    let before = alloc::stats();
    alloc::reset_peak();
    let output = model.call(input, &mut Ctx::eval())?;
    let after = alloc::stats();
    drop(output);
    let beyond = |bytes: usize, before: usize| bytes.saturating_sub(before) as u64;
    Ok(before.zip(after).map(|(before, after)| HeapUse {
        live_bytes: beyond(after.live_bytes, before.live_bytes),
        peak_bytes: beyond(after.peak_bytes, before.live_bytes),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_that_take_long_are_fewer() {
        let of = |seconds| passes_within(60.0, seconds, 20);
        assert_eq!([0.0, 0.75, 0.8, 1.5, 14.0, 16.0, 400.0].map(of), [20, 20, 18, 10, 1, 1, 1]);
    }

    /// A pass whose ops are timed one by one takes what a pass takes that nobody observes, so that they add up to it: within a
    /// tenth, as far as the machine's noise lets one tell.
    #[test]
    fn what_the_parts_take_is_what_a_pass_takes() {
        use crate::models::Architecture;
        use crate::nn::Init;
        use crate::stats::{Settings, compare};
        for (preset, samples) in [("digits-cnn", 64), ("digits-mlp", 300)] {
            let architecture = Architecture::preset(preset).unwrap();
            let model = architecture.build(&mut Init::seed(1)).unwrap();
            let input = architecture.example(samples).unwrap().enter(&mut Ctx::eval());
            let whole = || model.call(&input, &mut Ctx::eval()).map(drop);
            let parts = || timed(&*model, &input).map(drop);
            let parts = compare(whole, parts, &Settings::default()).unwrap();
            assert!(parts.low < 1.1 && parts.high > 0.9, "{preset}: {parts:?}");
        }
    }
}
