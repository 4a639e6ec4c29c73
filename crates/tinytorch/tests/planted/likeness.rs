//! Faults of models whose outputs are held against each other by what they are for.

use super::models::{Impostor, Instead};
use super::{Stage, assert_caught, audit};
use std::sync::Arc;
use tinytorch::audit::{Cosine, Outcome, Subject};

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
