//! What a pass costs.

use super::layers::{Layers, Table};
use super::{HeapUse, ParameterCount, Profile, ProfileError};
use crate::Result;
use crate::autograd::{Ctx, Feed};
use crate::nn::Forward;
use crate::stats::Quartiles;
use std::time::Instant;
use tinytorch_kernels::os::{ProcessMemory, alloc};

/// Passes that [`profile`] times, and as many again that it observes.
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
    let first = observed(model, &input, &mut layers)?;
    let started = Instant::now();
    let heap = heap_of_a_pass(model, &input)?;
    let seconds = started.elapsed().as_secs_f64();
    let passes = passes_within(PATIENCE, seconds, passes);
    // What takes so long that it runs once has warmed up meanwhile.
    let (mut times, mut tables) = match passes {
        1 => (vec![seconds], vec![first]),
        _ => (Vec::with_capacity(passes), Vec::with_capacity(passes)),
    };
    for _ in times.len()..passes {
        let started = Instant::now();
        model.call(&input, &mut Ctx::eval())?;
        times.push(started.elapsed().as_secs_f64());
    }
    for _ in tables.len()..passes {
        tables.push(observed(model, &input, &mut layers)?);
    }
    tables.sort_by_key(|table| table.nanoseconds);
    let table = tables.swap_remove(passes / 2);
    let sum = |of: fn(&super::LayerRow) -> u64| table.rows.iter().map(of).sum();
    Ok(Profile {
        parameters: ParameterCount::of(model),
        flops: sum(|row| row.flops),
        read_bytes: sum(|row| row.read_bytes),
        written_bytes: sum(|row| row.written_bytes),
        heap,
        resident_bytes: ProcessMemory::now().ok().map(|memory| memory.resident),
        seconds: Quartiles::of(&times),
        passes,
        table_nanoseconds: table.nanoseconds,
        layers: table.rows,
    })
}

/// Of so many passes, each timed and observed once, those that take no longer, and one at least.
fn passes_within(patience: f64, seconds: f64, most: usize) -> usize {
    ((patience / (2.0 * seconds)) as usize).clamp(1, most.max(1))
}

fn observed<M: Forward<X> + ?Sized, X>(model: &M, input: &X, layers: &mut Layers) -> Result<Table> {
    let started = Instant::now();
    model.call(input, &mut Ctx::eval().observed(layers))?;
    let elapsed = started.elapsed();
    Ok(layers.take(elapsed))
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
        assert_eq!([0.0, 1.5, 1.6, 3.0, 29.0, 31.0, 400.0].map(of), [20, 20, 18, 10, 1, 1, 1]);
    }
}
