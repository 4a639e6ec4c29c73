//! Whether what int8 layers add to their channels takes their means to the float model's.

use super::compare::exceeds;
use super::passes::batches;
use super::{HeldOut, Subject};
use crate::Result;
use crate::autograd::{Param, ParamId, Stored};
use crate::models::{ListModel, Model};
use crate::quant::{Channels, Folded, Moments, channels};
use std::collections::BTreeMap;

/// How far a mean may be taken from the float model's, as a share of what the channel deviates by: samples that judge
/// have other means than those that calibrated. Of the 17,000 channels of a MobileNetV2 the worst was 0.16 off.
const FREE: f64 = 0.5;

/// What a channel deviates by at least, as a share of what its layer's do: one that a positive part has silenced hardly
/// deviates at all, so that any rounding is many times that.
const STILL: f64 = 0.1;

/// Samples that are looked at, at most.
const SAMPLES: usize = 256;

/// What is wrong with the corrections that the file names: each has to bring the mean of its channel nearer to the float
/// model's on the samples that judge, unless it is small. `biases` are those of the int8 model's layers, by their weights.
pub(super) fn faults(
    subject: &Subject,
    folded: &Folded,
    biases: &BTreeMap<ParamId, ParamId>,
) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if subject.corrected.is_empty() {
        return Ok(faults);
    }
    let (float, int8) = (subject.float.named_params(), subject.int8.named_params());
    let by_id: BTreeMap<ParamId, usize> =
        int8.iter().enumerate().map(|(place, (_, param))| (param.id(), place)).collect();
    let mut of_float = gathered(&*subject.float, &subject.held_out)?;
    let of_int8 = gathered(&*subject.int8, &subject.held_out)?;
    for ((name, was), (_, is)) in float.iter().zip(&int8) {
        if !subject.corrected.contains(name) {
            continue;
        }
        let (Some(float_channels), Some(int8_channels)) =
            (of_float.get_mut(name), of_int8.get(name))
        else {
            faults.push(format!("`{name}` is said to be corrected, and no layer multiplies by it"));
            continue;
        };
        folded.norm(was.id(), float_channels);
        let place = biases.get(&is.id()).and_then(|bias| by_id.get(bias));
        let bias = place.map(|&place| [float[place].1, int8[place].1]);
        let moved = moved([was, is], bias, folded)?;
        let worst = worst(float_channels, int8_channels, &moved);
        if let Some((channel, with, without)) = worst
            && exceeds(with - without, FREE)
        {
            faults.push(format!(
                "what `{name}` adds to channel {channel} takes its mean {with:.2} deviations away from the float model's, \
                 which is {without:.2} without it"
            ));
        }
    }
    Ok(faults)
}

/// The channel that what an int8 layer adds takes furthest from the float model's mean, how far it is in deviations, and
/// how far it would be without.
fn worst(float: &[Moments], int8: &[Moments], moved: &[f64]) -> Option<(usize, f64, f64)> {
    let still = STILL * typical(float);
    let channels = moved.iter().zip(float.iter().zip(int8)).enumerate();
    let off = channels.map(|(channel, (moved, (float, int8)))| {
        let off = int8.mean() - float.mean();
        let rounding = f64::from(f32::EPSILON) * float.mean().abs();
        let least = (still + rounding).max(f64::from(f32::MIN_POSITIVE));
        let deviation = float.deviation().max(least);
        (channel, off.abs() / deviation, (off - moved).abs() / deviation)
    });
    off.max_by(|a, b| (a.1 - a.2).total_cmp(&(b.1 - b.2)))
}

/// The root mean square of what the channels of a layer deviate by.
fn typical(channels: &[Moments]) -> f64 {
    let squares: f64 = channels.iter().map(|channel| channel.deviation().powi(2)).sum();
    (squares / channels.len().max(1) as f64).sqrt()
}

/// The output channels of a model's layers over the samples that judge.
fn gathered(model: &dyn Model, held_out: &HeldOut) -> Result<Channels> {
    let mut all = Channels::new();
    let mut seen = 0;
    for batch in batches(held_out, model)? {
        if seen >= SAMPLES {
            break;
        }
        let batch = batch?;
        seen += batch.first().and_then(|input| input.shape().first().copied()).unwrap_or(1).max(1);
        for (name, moments) in channels(model as &dyn ListModel, &batch)? {
            match all.get_mut(&name) {
                Some(known) => {
                    known.iter_mut().zip(&moments).for_each(|(known, own)| known.add(own))
                }
                None => {
                    all.insert(name, moments);
                }
            }
        }
    }
    Ok(all)
}

/// What an int8 layer adds to each channel beyond its float bias and the norm that was folded in.
fn moved([was, is]: [&Param; 2], bias: Option<[&Param; 2]>, folded: &Folded) -> Result<Vec<f64>> {
    let channels = is.shape()[0];
    let mut moved = vec![0.0; channels];
    let mut add = |values: &[f32], sign: f64| {
        moved.iter_mut().zip(values).for_each(|(sum, value)| *sum += sign * f64::from(*value));
    };
    if let Some(shift) = is.int8().and_then(|int8| int8.shift()) {
        add(shift, 1.0);
    }
    if let Some(shift) = folded.shifts.get(&was.id()) {
        add(shift, -1.0);
    }
    if let Some([was, is]) = bias
        && let Stored::F32(is) = is.stored()
    {
        add(&is.to_vec()?, 1.0);
        let was = folded.values.get(&was.id()).map_or_else(|| was.value(), Ok)?;
        add(&was.to_vec()?, -1.0);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel of two values.
    fn channel(mean: f64, deviation: f64) -> Moments {
        let [a, b] = [mean - deviation, mean + deviation];
        Moments { count: 2.0, sum: a + b, squares: a * a + b * b }
    }

    #[test]
    fn a_mean_may_be_taken_half_a_deviation_away_and_no_further() {
        let float = [channel(1.0, 2.0), channel(-1.0, 2.0)];
        for (taken, is_beyond) in [(0.98, false), (1.02, true), (-1.02, true)] {
            let int8 = [channel(1.0, 2.0), channel(-1.0 + taken, 2.0)];
            let (at, with, without) = worst(&float, &int8, &[0.0, taken]).unwrap();
            assert_eq!((at, exceeds(with - without, FREE)), (1, is_beyond), "{with} {without}");
        }
        // What brings a mean back to where it was is as it should be.
        let (_, with, without) = worst(&float[..1], &float[..1], &[3.0]).unwrap();
        assert_eq!((with, without), (0.0, 1.5));
    }

    #[test]
    fn a_silenced_channel_is_measured_by_what_its_layer_deviates_by() {
        let float = [channel(0.0, 1e-9), channel(0.0, 2.0)];
        let of = |mean: f64| worst(&float, &[channel(mean, 0.0), float[1]], &[mean, 0.0]).unwrap();
        // A tenth of the layer's root mean square is 0.1414.
        let (rounding, wrong) = (of(1e-6), of(0.1));
        assert!(!exceeds(rounding.1 - rounding.2, FREE), "{rounding:?}");
        assert!(wrong.0 == 0 && exceeds(wrong.1 - wrong.2, FREE), "{wrong:?}");
        assert!((wrong.1 - 0.1 / (0.1 * 2f64.sqrt())).abs() < 1e-3, "{wrong:?}");
    }

    #[test]
    fn a_layer_that_never_moves_is_measured_by_its_rounding() {
        let float = [channel(100.0, 0.0)];
        let of = |mean: f64| worst(&float, &[channel(mean, 0.0)], &[mean - 100.0]).unwrap();
        let (near, far) = (of(100.000_001), of(101.0));
        assert!(!exceeds(near.1 - near.2, FREE), "{near:?}");
        assert!(exceeds(far.1 - far.2, FREE), "{far:?}");
    }
}
