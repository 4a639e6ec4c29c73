//! The samples whose answers have changed, and how far the outputs of each sample are off.

use super::answers::Answers;
use super::spread::{Spread, squared_distance};
use super::{Evidence, Rows, Subject};
use crate::Result;
use crate::tensor::{Dtype, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;

/// Samples that are told.
const TOLD: usize = 24;

/// Confusions that are told, those of most answers.
const CONFUSIONS: usize = 24;

/// Pixels of a sample that is drawn at most.
const PIXELS: usize = 1024;

/// Bars of the histogram of errors.
const BARS: usize = 24;

/// A sample to which both models give other answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Its place in the data.
    pub sample: usize,
    /// The class that the float model chooses.
    pub float: i64,
    /// The class that the int8 model chooses.
    pub int8: i64,
    /// The class that is right, if that is known.
    pub right: Option<i64>,
    /// The sample as a picture, if it is a small one.
    #[serde(skip)]
    pub picture: Option<Picture>,
}

/// A picture in shades of gray, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels of a row.
    pub width: usize,
    /// From 0, the least value of the sample, to 255, the largest.
    pub shades: Vec<u8>,
}

/// How many answers of one class in float are another in int8.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The class that the float model chooses.
    pub float: i64,
    /// The class that the int8 model chooses instead.
    pub int8: i64,
    /// How often.
    pub answers: usize,
}

/// How far the outputs of single samples are off, as a histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SampleErrors {
    /// The largest distance of a sample's outputs, in percent of what the outputs of samples differ by.
    pub largest_percent: f64,
    /// The sample of that distance.
    pub largest_sample: usize,
    /// Samples by their distance, in equal parts of 0 to the largest.
    pub counts: Vec<u64>,
}

/// What has changed, the first samples, and the confusions of most answers.
pub(super) fn of(subject: &Subject, answers: &Answers) -> Result<(Vec<Changed>, Vec<Confusion>)> {
    let mut counted: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    let mut changed = Vec::new();
    for (answer, _) in answers.same().enumerate().filter(|(_, same)| !same) {
        let (float, int8) = answers.pair(answer);
        *counted.entry((float, int8)).or_default() += 1;
        if changed.len() < TOLD {
            let sample = answers.sample_of(answer);
            let right = answers.right.as_ref().map(|right| right[answer]);
            let picture = picture(&*subject.held_out.inputs()[0], sample)?;
            changed.push(Changed { sample, float, int8, right, picture });
        }
    }
    let confusion = |((float, int8), answers)| Confusion { float, int8, answers };
    let mut confusions: Vec<Confusion> = counted.into_iter().map(confusion).collect();
    confusions.sort_by_key(|confusion| std::cmp::Reverse(confusion.answers));
    confusions.truncate(CONFUSIONS);
    Ok((changed, confusions))
}

/// A sample `[channels, height, width]` of few pixels, the mean of its channels.
fn picture(inputs: &dyn Rows, sample: usize) -> Result<Option<Picture>> {
    let shape = inputs.shape();
    let &[_, channels, height, width] = shape.dims() else { return Ok(None) };
    let pixels = height * width;
    if inputs.dtype() != Dtype::F32 || !(1..=PIXELS).contains(&pixels) || channels == 0 {
        return Ok(None);
    }
    let values = inputs.rows(sample..sample + 1)?.to_vec::<f32>()?;
    let mean =
        |pixel: usize| values.iter().skip(pixel).step_by(pixels).sum::<f32>() / channels as f32;
    let means: Vec<f32> = (0..pixels).map(mean).collect();
    let low = means.iter().copied().fold(f32::INFINITY, f32::min);
    let high = means.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shade = |v: &f32| ((v - low) / (high - low).max(f32::MIN_POSITIVE) * 255.0) as u8;
    Ok(Some(Picture { width, shades: means.iter().map(shade).collect() }))
}

/// How far each sample's first output is off; `None` where that is no floats.
pub(super) fn sample_errors(evidence: &Evidence) -> Result<Option<SampleErrors>> {
    let (Some(float), Some(int8)) = (evidence.float.first(), evidence.int8.first()) else {
        return Ok(None);
    };
    if float.dtype() != Dtype::F32 || int8.shape() != float.shape() {
        return Ok(None);
    }
    let mut spread = Spread::default();
    spread.add(float)?;
    let samples = float.shape()[0];
    let typical = match spread.around_means() {
        0.0 => spread.size(),
        differ => differ,
    } / (samples.max(1) as f64).sqrt();
    let mut errors = Vec::with_capacity(samples);
    for row in 0..samples {
        let part = |t: &Tensor| t.slice(0, row..row + 1);
        errors.push(squared_distance(&part(int8)?, &part(float)?)?.sqrt() / typical * 100.0);
    }
    Ok(Some(histogram(&errors)))
}

fn histogram(errors: &[f64]) -> SampleErrors {
    let finite = errors.iter().copied().enumerate().filter(|(_, error)| error.is_finite());
    let largest = finite.clone().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((largest_sample, largest_percent)) = largest else { return SampleErrors::default() };
    let mut counts = vec![0; BARS];
    for (_, error) in finite {
        let share = error / largest_percent.max(f64::MIN_POSITIVE);
        counts[((share * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    SampleErrors { largest_percent, largest_sample, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_size() {
        let of = histogram(&[0.0, 1.2, 2.4, f64::NAN, 0.05]);
        assert_eq!((of.largest_sample, of.largest_percent), (2, 2.4));
        assert_eq!(of.counts.iter().sum::<u64>(), 4);
        assert_eq!((of.counts[0], of.counts[12], of.counts[23]), (2, 1, 1));
        assert_eq!(histogram(&[f64::NAN]), SampleErrors::default());
    }

    #[test]
    fn a_small_image_is_drawn_from_its_least_to_its_largest_value() {
        let values = vec![0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0];
        let image = Tensor::from_vec(values, [1, 2, 2, 2]).unwrap();
        let drawn = picture(&image, 0).unwrap().unwrap();
        assert_eq!((drawn.width, drawn.shades), (2, vec![0, 85, 170, 255]));
        assert!(picture(&Tensor::ones([2, 5]).unwrap(), 0).unwrap().is_none());
    }
}
