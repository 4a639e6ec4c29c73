//! Samples that cannot judge.

use super::drawn::Kind;
use super::{Listed, Planted};
use tinytorch::Tensor;
use tinytorch::data::{Dataset, Examples};

pub(super) const FAULTS: &[Listed] = &[
    ("samples that calibration has seen", |d, rng| {
        if d.kind == Kind::Gpt {
            return None;
        }
        let seen = 1 + rng.below(20);
        let (train, held_out) = (&d.base.train, &d.base.held_out);
        let rest = held_out.len() - seen;
        let parts = [
            train.inputs().slice(0, 0..seen).unwrap(),
            held_out.inputs().slice(0, 0..rest).unwrap(),
        ];
        let inputs = Tensor::cat::<f32>(&parts, 0).unwrap();
        let labels = [
            train.labels().slice(0, 0..seen).unwrap(),
            held_out.labels().slice(0, 0..rest).unwrap(),
        ];
        let samples = Examples::new(inputs, Tensor::cat::<i64>(&labels, 0).unwrap()).unwrap();
        let culprit = format!("{seen} of {} samples were calibrated on", held_out.len());
        Some(Planted::new(Ok(d.judged_by(samples)), "unseen", culprit))
    }),
    ("labels of other classes", |d, rng| {
        if d.kind == Kind::Gpt {
            return None;
        }
        let held_out = &d.base.held_out;
        let by = 1 + rng.below(9) as i64;
        let labels = held_out.labels().to_vec::<i64>().unwrap();
        let labels: Vec<i64> = labels.into_iter().map(|label| (label + by) % 10).collect();
        let labels = Tensor::from_vec(labels, [held_out.len()]).unwrap();
        let samples = Examples::new(held_out.inputs().clone(), labels).unwrap();
        Some(Planted::new(Ok(d.judged_by(samples)), "f32_floor", "accuracy"))
    }),
];
