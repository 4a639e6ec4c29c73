//! Faults of models whose outputs are held against each other by what they are for.

use super::models::{Impostor, Instead};
use super::{Stage, assert_caught, audit, audit_with, faulty};
use std::sync::Arc;
use tinytorch::Result;
use tinytorch::Tensor;
use tinytorch::audit::{Alike, Cosine, Likeness, Outcome, Subject};
use tinytorch_kernels::isa::Fault;

/// Judged by the direction of the rows, which must reach `limit`, or the cosine's own.
fn by_direction(subject: Subject, limit: Option<f64>) -> Subject {
    subject.alike_by(Arc::new(Cosine), limit)
}

#[test]
fn rows_that_point_elsewhere() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let mut turned = base.subject();
    turned.int8 = Impostor::boxed(turned.int8, Instead::Turned);
    let mut swapped = base.subject();
    swapped.int8 = Impostor::boxed(swapped.int8, Instead::Order(vec![0, 2, 1, 3, 4]));
    let pulled = base.edited(|file| {
        file.change("layers.4.bias", |values: &mut [f32]| values[7] += 5.0);
    });
    for faulty in [turned, swapped, pulled] {
        assert_caught(&audit(&by_direction(faulty, None)), "likeness", "mean cosine");
    }
}

/// As long as all others are where they were, their mean tells of a row in ten, and the reason names the worst.
#[test]
fn rows_of_one_class_that_are_lost() {
    let stage = Stage::enter();
    let lost = stage.mlp().edited(|file| {
        file.change("layers.4.weight", |values: &mut [i8]| values[3 * 63..4 * 63].fill(0));
    });
    let report = audit(&by_direction(lost, None));
    assert_caught(&report, "likeness", "the lowest is");
}

/// Parameters, files and ranges are sound; what is wrong is the code that runs them.
#[test]
fn kernels_that_turn_rows() {
    let stage = Stage::enter();
    for fault in [Fault::DroppedTail, Fault::SaturatingPairs] {
        let subject = by_direction(stage.mlp().subject(), None);
        assert_caught(&audit_with(&subject, &faulty(fault)), "likeness", "mean cosine");
    }
}

/// How long the rows of the first output are on average: one number for all samples.
struct Length;

impl Likeness for Length {
    fn name(&self) -> &str {
        "length"
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> Result<Alike> {
        let length = |outputs: &[Tensor]| -> Result<f64> {
            let (values, rows) = (outputs[0].to_vec::<f32>()?, outputs[0].shape()[0]);
            let lengths = values.chunks(values.len() / rows);
            let length = |row: &[f32]| row.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
            Ok(lengths.map(length).sum::<f64>() / rows as f64)
        };
        Ok(Alike::Whole { int8: length(int8)?, float: length(float)? })
    }
}

/// Their direction is what it was.
#[test]
fn rows_that_are_shorter() {
    let stage = Stage::enter();
    let by_length = |factor: f32| {
        stage
            .mlp()
            .edited(|file| {
                for name in ["layers.4.weight_scale", "layers.4.bias"] {
                    file.change(name, |v: &mut [f32]| v.iter_mut().for_each(|v| *v *= factor));
                }
            })
            .alike_by(Arc::new(Length), None)
    };
    assert_caught(&audit(&by_length(0.95)), "likeness", "length: ");
    let sound = audit(&by_length(1.0));
    let sound = sound.gates.iter().find(|gate| gate.id == "likeness").unwrap();
    assert_eq!(sound.result, Outcome::Pass, "{}", sound.reason);
}

/// Both sides of the limit: what is measured, a hair more and a hair less.
#[test]
fn a_likeness_that_is_asked_for_is_the_limit() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let of = |limit: Option<f64>| {
        let report = audit(&by_direction(base.subject(), limit));
        report.gates.into_iter().find(|gate| gate.id == "likeness").unwrap()
    };
    let sound = of(None);
    assert_eq!((sound.result, sound.limit), (Outcome::Pass, Some(0.999)), "{}", sound.reason);
    let interval = sound.interval.unwrap();
    let hair = 1e-3 * (1.0 - interval.low);
    assert_eq!(of(Some(interval.low - hair)).result, Outcome::Pass);
    assert_eq!(of(Some(interval.low + hair)).result, Outcome::Unknown);
    assert_eq!(of(Some(interval.high + hair)).result, Outcome::Fail);
}
