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
        if let Some(Spoiled { channel, with, without }) =
            spoiled(&moved, float_channels, int8_channels)
        {
            faults.push(format!(
                "what `{name}` adds to channel {channel} takes its mean {with:.2} deviations away from the float model's, \
                 which is {without:.2} without it"
            ));
        }
    }
    Ok(faults)
}

/// A channel whose mean a correction takes further from the float model's than it may.
#[derive(Debug, PartialEq)]
struct Spoiled {
    channel: usize,
    /// How many deviations its mean is off with the correction.
    with: f64,
    /// The same without it.
    without: f64,
}

/// The channel that what is added to each spoils most, if it is more than is free.
fn spoiled(moved: &[f64], float: &[Moments], int8: &[Moments]) -> Option<Spoiled> {
    let still = STILL * typical(float);
    let off = moved.iter().zip(float.iter().zip(int8)).enumerate();
    let all = off.map(|(channel, (moved, (float, int8)))| {
        let off = int8.mean() - float.mean();
        let rounding = f64::from(f32::EPSILON) * float.mean().abs();
        let least = (still + rounding).max(f64::from(f32::MIN_POSITIVE));
        let deviation = float.deviation().max(least);
        let (with, without) = (off.abs() / deviation, (off - moved).abs() / deviation);
        Spoiled { channel, with, without }
    });
    let worst = all.max_by(|a, b| (a.with - a.without).total_cmp(&(b.with - b.without)));
    worst.filter(|worst| exceeds(worst.with - worst.without, FREE))
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
    use crate::autograd::Role;
    use crate::int8::{Encoding, Granularity, Int8Weight, QWeight};
    use crate::models::{Architecture, MlpConfig};
    use crate::nn::Init;
    use crate::tensor::Tensor;

    /// A hundred values with this mean and standard deviation.
    fn of(mean: f64, deviation: f64) -> Moments {
        let squares = 100.0 * (deviation.powi(2) + mean.powi(2));
        Moments { count: 100.0, sum: 100.0 * mean, squares }
    }

    #[test]
    fn a_mean_may_be_taken_half_a_deviation_away() {
        let float = [of(3.0, 2.0), of(-1.0, 2.0)];
        // The correction of channel 1 is all that it is off by.
        let by = |off: f64| spoiled(&[0.0, off], &float, &[of(3.0, 2.0), of(-1.0 + off, 2.0)]);
        assert_eq!((by(0.99), by(-0.99)), (None, None));
        let worst = by(1.01).unwrap();
        assert!(worst.channel == 1 && worst.without < 1e-9, "{worst:?}");
        assert!((worst.with - 0.505).abs() < 1e-9, "{worst:?}");
        assert!(by(-1.01).is_some() && by(f64::NAN).is_some());
        // One that is far off without its correction is not the one that the correction spoils.
        let both = spoiled(&[-2.0, 1.01], &float, &[of(13.0, 2.0), of(0.01, 2.0)]).unwrap();
        assert_eq!(both.channel, 1);
        // However large it is, a correction that brings a mean nearer is one.
        assert_eq!(spoiled(&[50.0], &float[..1], &[of(3.5, 2.0)]), None);
    }

    /// Of two channels, one of which is silent, the typical deviation is sqrt(1/2), and a tenth of it what the silent one is
    /// held to.
    #[test]
    fn a_silent_channel_is_held_to_a_tenth_of_what_others_deviate_by() {
        let by = |off: f64| {
            spoiled(&[0.0, off], &[of(0.0, 1.0), of(0.0, 0.0)], &[of(0.0, 1.0), of(off, 0.0)])
        };
        let free = 0.5 * 0.1 * 0.5f64.sqrt();
        assert_eq!(by(0.99 * free), None);
        assert_eq!(by(1.01 * free).map(|worst| worst.channel), Some(1));
        // And where none deviates, to what floats of its size are rounded by: 2^-23 of 2^20.
        let by = |off: f64| {
            let mean = f64::from(1 << 20);
            spoiled(&[off], &[of(mean, 0.0)], &[of(mean + off, 0.0)])
        };
        assert!(by(1.0 / 17.0).is_none() && by(1.0 / 15.0).is_some());
    }

    /// By hand: a shift of 0.5 where the norm left 0.1, and a bias of 1.75 where folding gives 1.5, for the first of two channels.
    #[test]
    fn what_is_added_is_what_neither_the_norm_nor_the_float_bias_explain() {
        let of = |values: [f32; 2]| Tensor::from_vec(values.to_vec(), [2]).unwrap();
        let was = Param::new(Tensor::ones([2, 3]).unwrap(), Role::LinearWeight);
        let weight = QWeight::quantize(was.value().unwrap(), Granularity::PerChannel).unwrap();
        let weight = weight.with_shift([0.5, 0.25].into()).unwrap();
        let mut is = was.clone();
        is.store(Stored::Int8(Int8Weight::new(weight, Encoding::PerRow)));
        let bias = [of([1.0, 2.0]), of([1.75, 2.5])].map(|b| Param::new(b, Role::Vector));
        let [was_bias, is_bias] = &bias;
        let mut folded = Folded::default();
        let moved = |folded: &Folded, bias| moved([&was, &is], bias, folded).unwrap();
        let near = |got: Vec<f64>, want: [f64; 2]| {
            let apart = got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6);
            assert!(apart && got.len() == 2, "{got:?} and not {want:?}");
        };
        near(moved(&folded, None), [0.5, 0.25]);
        near(moved(&folded, Some([was_bias, is_bias])), [0.5 + 0.75, 0.25 + 0.5]);
        folded.shifts.insert(was.id(), [0.1, 0.25].into());
        folded.values.insert(was_bias.id(), of([1.5, 2.5]));
        near(moved(&folded, None), [0.4, 0.0]);
        near(moved(&folded, Some([was_bias, is_bias])), [0.4 + 0.25, 0.0]);
    }

    /// Passes of 64, as many as 256 samples take.
    #[test]
    fn a_few_passes_tell_what_a_channel_is_like() {
        let config = MlpConfig { inputs: 2, hidden: vec![], outputs: 3 };
        let model = Architecture::Mlp(config).build(&mut Init::seed(1)).unwrap();
        let of = |samples: usize| {
            let held_out = HeldOut::new([Tensor::ones([samples, 2]).unwrap()], []).unwrap();
            gathered(&*model, &held_out).unwrap()["layers.0.weight"][2].count
        };
        assert_eq!([of(64), of(100), of(256), of(1000)], [64.0, 100.0, 256.0, 256.0]);
    }
}
