//! Models that do something else than their files say, and instruction sets that compute something else.

use super::super::faulty;
use super::super::models::{Impostor, Instead};
use super::drawn::{Drawn, Kind};
use super::{Listed, Planted};
use tinytorch::autograd::{Param, Role};
use tinytorch_kernels::Ran;
use tinytorch_kernels::isa::Fault;

pub(super) const FAULTS: &[Listed] = &[
    ("floats that run in place of int8", |d, _| {
        let float = d.base.subject().float;
        let first = d.weights().remove(0);
        let first = if d.kind == Kind::Gpt { String::new() } else { first };
        impostor(d, Instead::Float(float), "coverage", &first)
    }),
    ("a layer that is passed over", |d, _| {
        let order = layers(d)?;
        let without: Vec<usize> = order.into_iter().filter(|&layer| layer != 1).collect();
        impostor(d, Instead::Order(without), "coverage", "`layers.1.weight` never ran")
    }),
    ("layers run in another order", |d, _| {
        let mut order = layers(d)?;
        // The second and the third are of one shape where three layers are of one width.
        if order.len() < 5 {
            return None;
        }
        order.swap(1, 2);
        impostor(d, Instead::Order(order), "structure", "`layers.2.weight` ran where")
    }),
    ("a kernel that says it is float", |d, _| {
        layers(d)?;
        let saying = Instead::Saying(Ran::float("gemm_int8"));
        impostor(d, saying, "coverage", "`layers.0.weight` ran as gemm_int8")
    }),
    ("samples that are wrong in small passes", |d, rng| {
        impostor(d, Instead::WrongAmong(0..2 + rng.below(30)), "batches", "in a pass of 1")
    }),
    ("outputs that depend on the number of threads", |d, _| {
        impostor(d, Instead::Drift { by_threads: true }, "determinism", "threads give other bits")
    }),
    ("outputs that change from run to run", |d, _| {
        impostor(d, Instead::Drift { by_threads: false }, "determinism", "when it runs again")
    }),
    ("floats kept beside a weight", |d, rng| {
        let float = d.base.subject().float;
        let (name, params) = (d.weight(rng), float.named_params());
        let (_, param) = params.into_iter().find(|(other, _)| *other == name)?;
        let copy = Param::new(param.value().unwrap().clone(), Role::LinearWeight);
        // Of a small weight it may be less than what `weight_bytes` leaves for how numbers lie.
        impostor(d, Instead::Beside(vec![copy]), "structure", "parameters became")
    }),
    ("outputs that have changed places", |d, _| impostor(d, Instead::Turned, "agreement", "")),
    ("an activation that is left out", |d, _| {
        layers(d)?;
        // Where ranges begin at 0 the next layer cuts off what is below, and the outputs are the same.
        let planted = impostor(d, Instead::Linear, "output_error", "relative L2 error")?;
        Some(Planted { is_certain: false, ..planted })
    }),
    ("products that saturate in pairs", |d, _| {
        d.weights().into_iter().find(|name| has_large_pairs(d, name))?;
        // Convolutions add other pairs, so that theirs may come first among those that are named.
        on_faulty(d, Fault::SaturatingPairs, "overflow", "weight` sums to")
    }),
    ("a kernel that leaves out the last inputs", |d, _| {
        has_tails(d).then_some(())?;
        on_faulty(d, Fault::DroppedTail, "determinism", "weight` gives other bits on faulty")
    }),
    ("a kernel that races", |d, _| {
        on_faulty(d, Fault::Unsteady, "determinism", "weight` gives other bits")
    }),
];

fn impostor(drawn: &Drawn, instead: Instead, gate: &'static str, culprit: &str) -> Option<Planted> {
    let mut subject = drawn.base.subject();
    subject.int8 = Impostor::boxed(subject.int8, instead);
    Some(Planted::new(Ok(subject), gate, culprit))
}

/// The faults are those of products of bytes; decoders have activations of 16 bits.
fn on_faulty(drawn: &Drawn, fault: Fault, gate: &'static str, culprit: &str) -> Option<Planted> {
    if drawn.kind == Kind::Gpt {
        return None;
    }
    let planted = Planted::new(Ok(drawn.base.subject()), gate, culprit);
    Some(Planted { options: faulty(fault), ..planted })
}

/// The places of a perceptron's layers.
fn layers(drawn: &Drawn) -> Option<Vec<usize>> {
    (drawn.kind == Kind::Mlp).then(|| (0..drawn.weights().len()).collect())
}

/// Whether two weights side by side, times 255, sum beyond 16 bits.
fn has_large_pairs(drawn: &Drawn, name: &str) -> bool {
    let mut contents = drawn.contents();
    let shape = *contents.tensor(name).shape();
    // The rows of a convolution are packed in another order than they are filed in.
    shape.rank() == 2
        && contents
            .values::<i8>(name)
            .chunks(shape[1])
            .any(|row| row.chunks_exact(2).any(|p| (i32::from(p[0]) + i32::from(p[1])).abs() > 128))
}

/// Whether there is a layer whose inputs are no multiple of the four that one product takes.
fn has_tails(drawn: &Drawn) -> bool {
    let mut contents = drawn.contents();
    drawn.weights().iter().any(|name| {
        let shape = *contents.tensor(name).shape();
        shape.rank() == 2 && !shape[1].is_multiple_of(4)
    })
}
