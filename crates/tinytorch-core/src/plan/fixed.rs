//! Sizes that a program has from its example, where an input has others.

use super::PlanError;
use super::program::{Instruction, Origin, Program, ValueId};
use crate::graph::{Properties, Sizes};
use crate::tensor::{Shape, TensorError};
use crate::{Error, Result};
use std::collections::{BTreeSet, VecDeque};

/// Refuses a value that a step gives the shape it had in the example although what the step reads has another,
/// where that can only be wrong: a reshape to numbers, and the part of an axis that was the whole axis.
/// `shapes` are those of this value and of those before it, `example` those of the example.
pub(super) fn check(
    program: &Program,
    id: ValueId,
    shapes: &[Shape],
    example: &[Shape],
) -> Result<()> {
    let Some((op, properties)) = op(program, id) else { return Ok(()) };
    let Some(&read) = reads(program, id).first() else { return Ok(()) };
    let (input, traced) = (shapes[read], example[read]);
    let was_whole = traced == example[id];
    let is_fixed = match properties.sizes {
        Sizes::Follow => false,
        Sizes::Some => was_whole,
        Sizes::All => properties.reshapes,
    };
    if !is_fixed || input == traced || shapes[id] != example[id] {
        return Ok(());
    }
    let expected = "its sizes are numbers that hold for the second alone";
    Err(TensorError::Mismatch { op, left: input, right: traced, expected }.into())
}

/// The error of a plan that cannot place value `id` for an input of shape `shape` because of `source`.
pub(super) fn explain(
    program: &Program,
    id: ValueId,
    shape: Shape,
    example: Option<&[Shape]>,
    source: Error,
) -> PlanError {
    let source = match layer(program, id) {
        Some((layer, after)) => source.in_layer(layer, after),
        None => source,
    };
    let source = Box::new(source);
    match example.and_then(|example| culprit(program, id, example)) {
        Some((step, sizes)) => PlanError::FixedSizes { shape, step, sizes, source },
        None => PlanError::Shape { shape, source },
    }
}

/// The nearest step that has sizes of the example, at `id` or before it, and these sizes.
fn culprit(program: &Program, id: ValueId, example: &[Shape]) -> Option<(String, Shape)> {
    let sizes = |id| op(program, id).map_or(Sizes::Follow, |(_, properties)| properties.sizes);
    if sizes(id) == Sizes::Follow {
        let constant = reads(program, id).into_iter().find(|&read| is_traced(program, read));
        if let Some(constant) = constant {
            return Some(("a constant that it made".to_string(), example[constant]));
        }
    }
    let mut before = ancestors(program, id);
    let fixed =
        before.find(|&at| sizes(at) == Sizes::All || at == id && sizes(at) != Sizes::Follow)?;
    let (name, _) = op(program, fixed)?;
    let place = match layer(program, fixed) {
        Some((layer, true)) => format!(" after layer `{layer}`"),
        Some((layer, false)) => format!(" of layer `{layer}`"),
        None => String::new(),
    };
    Some((format!("`{name}`{place}"), example[fixed]))
}

/// Whether a value is a constant of several elements that is no parameter, such as a mask that the model
/// made from its input's sizes.
fn is_traced(program: &Program, id: ValueId) -> bool {
    let value = &program.values[program.root(id)];
    matches!(&value.origin, Origin::Constant(tensor) if tensor.len() > 1 && !value.is_param)
}

/// The layer that writes a value, or else the last before it, and whether it is one before.
fn layer(program: &Program, id: ValueId) -> Option<(&str, bool)> {
    ancestors(program, id).find_map(|at| {
        let weight = program.writer(at)?.weight.as_deref()?;
        Some((weight.rsplit_once('.')?.0, at != id))
    })
}

/// Name and properties of the op that gives a value.
fn op(program: &Program, id: ValueId) -> Option<(&'static str, Properties)> {
    if let Origin::Reshaped { op, .. } = &program.values[id].origin {
        return Some((op.name(), op.properties()));
    }
    program
        .writer(id)
        .map(|instruction| (instruction.action.name(), instruction.action.properties()))
}

/// What the step that gives a value reads.
fn reads(program: &Program, id: ValueId) -> Vec<ValueId> {
    match &program.values[id].origin {
        Origin::Reshaped { inputs, .. } => inputs.iter().copied().flatten().collect(),
        _ => program.writer(id).map_or(Vec::new(), |Instruction { inputs, .. }| inputs.clone()),
    }
}

/// A value and all that it is computed from, the nearest first.
fn ancestors(program: &Program, id: ValueId) -> impl Iterator<Item = ValueId> {
    let (mut met, mut next) = (BTreeSet::from([id]), VecDeque::from([id]));
    std::iter::from_fn(move || {
        let id = next.pop_front()?;
        next.extend(reads(program, id).into_iter().filter(|&read| met.insert(read)));
        Some(id)
    })
}
