//! The range of a model's inputs, noted in its file and held against whatever it is given later.

use crate::problem::Problem;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tinytorch::Tensor;
use tinytorch::files::Provenance;
use tinytorch::tensor::Dtype;

const TRAINING: &str = "training_inputs";
const CALIBRATION: &str = "calibration_inputs";

/// How data files become inputs; part of the note, for whoever feeds the model from elsewhere.
const NORMALIZATION: &str = "bytes are divided by 255, other numbers are taken as they are";

/// The smallest and the largest value of a model's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InputRange {
    min: f32,
    max: f32,
    normalization: String,
}

impl InputRange {
    /// The range of inputs that are not token ids.
    fn of(inputs: &Tensor) -> Result<Option<InputRange>> {
        if inputs.dtype() != Dtype::F32 || inputs.is_empty() {
            return Ok(None);
        }
        let values = inputs.to_vec::<f32>()?;
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        let (min, max) = values.iter().fold(start, |(low, high), &v| (low.min(v), high.max(v)));
        Ok(Some(InputRange { min, max, normalization: NORMALIZATION.to_string() }))
    }

    /// The range that a model's file notes: that of its training, or else of its calibration.
    fn noted(provenance: &Provenance) -> Option<InputRange> {
        let note = |key| serde_json::from_str(provenance.notes.get(key)?).ok();
        note(TRAINING).or_else(|| note(CALIBRATION))
    }

    fn note(&self, key: &str, provenance: &mut Provenance) -> Result<()> {
        provenance.notes.insert(key.to_string(), serde_json::to_string(self)?);
        Ok(())
    }
}

/// Notes the range of inputs that a model was trained with.
pub(crate) fn note_training(inputs: &Tensor, provenance: &mut Provenance) -> Result<()> {
    InputRange::of(inputs)?.map_or(Ok(()), |range| range.note(TRAINING, provenance))
}

/// Notes the range of inputs that a model was calibrated with, and refuses inputs that are all one number,
/// which show no range.
pub(crate) fn note_calibration(
    inputs: &Tensor,
    data: &str,
    provenance: &mut Provenance,
) -> Result<()> {
    let Some(range) = InputRange::of(inputs)? else { return Ok(()) };
    if range.min == range.max {
        let (data, value) = (data.to_string(), range.min);
        return Err(Problem::ConstantCalibration { data, value }.into());
    }
    range.note(CALIBRATION, provenance)
}

/// Refuses inputs of another scale than the model's file notes: values far outside its range, or, of several
/// samples, values that all lie in a small part of it.
pub(crate) fn check(inputs: &Tensor, data: &str, provenance: &Provenance) -> Result<()> {
    /// Share of the values that may lie far outside: a few outliers are no other scale.
    const OUTLIERS: f64 = 0.005;
    /// An outlier that no data of the same scale have, in widths of the range.
    const ABSURD: f32 = 1000.0;
    /// The least part of the range that several samples fill.
    const PART: f32 = 1.0 / 32.0;
    /// Samples that show what part of the range data fill.
    const SEVERAL: usize = 8;

    let Some(known) = InputRange::noted(provenance) else { return Ok(()) };
    let width = known.max - known.min;
    let Some(got) = InputRange::of(inputs)?.filter(|_| width > 0.0 && width.is_finite()) else {
        return Ok(());
    };
    let beyond =
        |v: f32, widths: f32| v < known.min - widths * width || v > known.max + widths * width;
    let is_absurd = beyond(got.min, ABSURD) || beyond(got.max, ABSURD);
    let far = match beyond(got.min, 1.0) || beyond(got.max, 1.0) {
        true => inputs.to_vec::<f32>()?.into_iter().filter(|v| beyond(*v, 1.0)).count(),
        false => 0,
    };
    let is_narrow = inputs.shape()[0] >= SEVERAL && got.max - got.min < PART * width;
    if is_absurd || is_narrow || far as f64 > OUTLIERS * inputs.len() as f64 {
        let (data, got, known) = (data.to_string(), (got.min, got.max), (known.min, known.max));
        return Err(Problem::Scale { data, got, known }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Tensor {
        Tensor::from_vec(values.to_vec(), [values.len(), 1]).unwrap()
    }

    #[test]
    fn inputs_of_another_scale_are_refused() {
        let mut provenance = Provenance::default();
        let all: Vec<f32> = (0..1000).map(|i| i as f32 / 999.0).collect();
        assert!(check(&rows(&all), "d", &provenance).is_ok());
        note_training(&rows(&all), &mut provenance).unwrap();
        let checked = |change: &dyn Fn(usize, f32) -> f32| {
            let changed: Vec<f32> = all.iter().enumerate().map(|(i, &v)| change(i, v)).collect();
            check(&rows(&changed), "d", &provenance).map_err(|error| error.to_string())
        };
        assert_eq!(checked(&|_, v| v * 1.5 - 0.3), Ok(()));
        assert_eq!(checked(&|i, v| if i == 5 { 40.0 } else { v }), Ok(()));
        let line = checked(&|_, v| v * 255.0).unwrap_err();
        assert!(line.contains("from 0 to 255") && line.contains("0 to 1"), "{line}");
        assert!(checked(&|_, v| v / 255.0).is_err());
        assert!(checked(&|i, v| if i == 5 { 3e38 } else { v }).is_err());
        assert!(check(&rows(&[0.0]), "d", &provenance).is_ok(), "one sample may be dark");
    }

    #[test]
    fn constant_calibration_shows_no_range() {
        let mut provenance = Provenance::default();
        let line = note_calibration(&rows(&[0.0; 9]), "zeros", &mut provenance).unwrap_err();
        assert!(line.to_string().contains("every value of zeros is 0"), "{line}");
        note_calibration(&rows(&[0.0, 2.0]), "d", &mut provenance).unwrap();
        assert!(check(&rows(&[900.0]), "d", &provenance).is_err());
        let ids = Tensor::from_vec(vec![7i64, 7], [2, 1]).unwrap();
        assert!(note_calibration(&ids, "ids", &mut provenance).is_ok());
    }
}
