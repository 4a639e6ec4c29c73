//! Shapes and places of all values for inputs of certain sizes.

use super::action::Action;
use super::program::{Instruction, Origin, Program, ValueId};
use super::{PlanError, fixed};
use crate::Result;
use crate::graph::{Cost, Exec, GraphError, Known};
use crate::int8::Encoding;
use crate::tensor::{Dtype, Shape, Tensor};
use std::iter::Peekable;
use std::ops::Range;
use std::slice::Iter;
use tinytorch_kernels::aligned::ALIGNMENT;

/// What a program needs to know to run on inputs of certain shapes: the shape of every value, and
/// where in the arena it lies.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) inputs: Vec<Shape>,
    pub(super) shapes: Vec<Shape>,
    /// The element types; of levels, that of the floats they stand for.
    pub(super) dtypes: Vec<Dtype>,
    /// The values that sizes and constants alone decide.
    pub(super) decided: Vec<Option<Tensor>>,
    /// The bytes of each value that lies in the arena; empty for the others.
    pub(super) places: Vec<Range<usize>>,
    /// Bytes of the arena.
    pub(super) bytes: usize,
    /// How many samples of the batch run at a time, where these are not all.
    pub(super) part: Option<usize>,
    /// What each instruction costs.
    pub(super) costs: Vec<Cost>,
    /// Whether each instruction has something to compute that is not decided.
    pub(super) runs: Vec<bool>,
    /// Whether some instruction is worth several threads.
    pub(super) shares_work: bool,
}

impl Placement {
    /// Infers every shape and lays out the arena.
    ///
    /// `example` has the shape of every value for the example that the model was traced with, once it is
    /// known.
    ///
    /// # Errors
    /// [`PlanError::Shape`] or [`PlanError::FixedSizes`] if the shapes do not fit the program's ops.
    pub(super) fn new(
        program: &Program,
        inputs: &[(Shape, Dtype)],
        example: Option<&[Shape]>,
        exec: &mut Exec,
    ) -> Result<Placement, PlanError> {
        let count = program.values.len();
        let mut placement = Placement {
            inputs: inputs.iter().map(|(shape, _)| *shape).collect(),
            shapes: vec![Shape::SCALAR; count],
            dtypes: vec![Dtype::F32; count],
            decided: vec![None; count],
            places: Vec::new(),
            bytes: 0,
            part: None,
            costs: Vec::with_capacity(program.instructions.len()),
            runs: Vec::with_capacity(program.instructions.len()),
            shares_work: false,
        };
        let mut instructions = program.instructions.iter().peekable();
        for id in 0..count {
            let placed = placement.place(program, id, inputs, &mut instructions, exec);
            let kept = placed.and_then(|()| match example {
                Some(example) => fixed::check(program, id, &placement.shapes, example),
                None => Ok(()),
            });
            if let Err(source) = kept {
                let shape = inputs.first().map_or(Shape::SCALAR, |(shape, _)| *shape);
                return Err(fixed::explain(program, id, shape, example, source));
            }
        }
        placement.lay_out(program);
        Ok(placement)
    }

    /// Infers the shape of a value; `instructions` are those that have not been met yet.
    fn place<'p>(
        &mut self,
        program: &'p Program,
        id: ValueId,
        inputs: &[(Shape, Dtype)],
        instructions: &mut Peekable<Iter<'p, Instruction>>,
        exec: &mut Exec,
    ) -> Result<()> {
        match &program.values[id].origin {
            Origin::Input(i) => self.set(id, inputs[*i]),
            Origin::Constant(tensor) => {
                self.set(id, (*tensor.shape(), tensor.dtype()));
                self.decided[id] = Some(tensor.clone());
            }
            Origin::Reshaped { of, op, inputs } => {
                let known: Vec<Option<Known<'_>>> =
                    inputs.iter().map(|input| input.map(|id| self.known(id))).collect();
                let (shape, dtype) = first(op.outputs(&known)?, op.name())?;
                let of = &self.decided[*of];
                let decided = of.as_ref().map(|value| value.reshape(shape)).transpose()?;
                self.set(id, (shape, dtype));
                self.decided[id] = decided;
            }
            // The other outputs of an instruction follow its first.
            Origin::Computed => {
                if let Some(instruction) = instructions.next_if(|i| i.outputs[0] == id) {
                    self.infer(instruction, exec)?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, id: ValueId, (shape, dtype): (Shape, Dtype)) {
        self.shapes[id] = shape;
        self.dtypes[id] = dtype;
    }

    /// What is known of a value.
    fn known(&self, id: ValueId) -> Known<'_> {
        Known { shape: self.shapes[id], dtype: self.dtypes[id], value: self.decided[id].as_ref() }
    }

    /// Shapes, types and decided values of what an instruction computes.
    fn infer(&mut self, instruction: &Instruction, exec: &mut Exec) -> Result<()> {
        let action: &dyn Action = &*instruction.action;
        let read: Vec<Known<'_>> = instruction.inputs.iter().map(|&id| self.known(id)).collect();
        let outputs = action.outputs(&read)?;
        let decided = action.decided(&read, exec)?;
        let shapes: Vec<Shape> = read.iter().map(|known| known.shape).collect();
        let cost = action.cost(&shapes, &first(outputs.clone(), action.name())?.0);
        let runs = decided.is_none();
        if runs {
            self.shares_work |= action.shares_work(&cost);
        }
        self.costs.push(cost);
        self.runs.push(runs);
        for (i, &id) in instruction.outputs.iter().enumerate() {
            let spec = outputs.get(i).copied().ok_or(missing(action.name(), outputs.len()))?;
            self.set(id, spec);
        }
        for (&id, value) in instruction.outputs.iter().zip(decided.into_iter().flatten()) {
            self.decided[id] = Some(value);
        }
        Ok(())
    }

    fn lay_out(&mut self, program: &Program) {
        let size = |id: usize| {
            let bytes = match program.values[id].encoding {
                Encoding::F32 => self.dtypes[id].size(),
                levels => levels.bytes(),
            };
            self.shapes[id].len() * bytes
        };
        let sizes: Vec<usize> = (0..program.values.len()).map(size).collect();
        self.places = place(&sizes, &program.lifetimes(&self.runs));
        self.bytes = self.places.iter().map(|place| place.end).max().unwrap_or(0);
    }
}

fn first(outputs: Vec<(Shape, Dtype)>, op: &'static str) -> Result<(Shape, Dtype)> {
    let count = outputs.len();
    Ok(outputs.into_iter().next().ok_or(missing(op, count))?)
}

/// An op that says less about its outputs than it has.
fn missing(op: &'static str, outputs: usize) -> GraphError {
    GraphError::OutputCount { op, outputs }
}

/// Gives each value with a lifetime a place that no value which lives at the same time shares: the
/// largest first, each at the lowest address that is free.
fn place(sizes: &[usize], lifetimes: &[Option<(usize, usize)>]) -> Vec<Range<usize>> {
    let mut order: Vec<(ValueId, (usize, usize))> =
        lifetimes.iter().enumerate().filter_map(|(id, life)| Some((id, (*life)?))).collect();
    order.sort_by_key(|&(id, _)| std::cmp::Reverse(sizes[id]));
    let mut places = vec![0..0; sizes.len()];
    let mut placed: Vec<(Range<usize>, (usize, usize))> = Vec::with_capacity(order.len());
    for (id, life) in order {
        let mut start = 0;
        // Sorted by address, so the first gap that is large enough is the lowest.
        for (taken, other) in &placed {
            let meet = life.0 <= other.1 && other.0 <= life.1;
            if meet && start + sizes[id] > taken.start {
                start = start.max(taken.end.next_multiple_of(ALIGNMENT));
            }
        }
        places[id] = start..start + sizes[id];
        let at = placed.partition_point(|(other, _)| other.start < start);
        placed.insert(at, (places[id].clone(), life));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let lifetimes: Vec<_> = (0..6).map(|i| Some((i, i + 1))).collect();
        let places = place(&[64; 6], &lifetimes);
        assert_eq!(places.iter().map(|p| p.end).max(), Some(128));
    }

    proptest! {
        #[test]
        fn values_that_live_together_never_share_bytes(
            values in proptest::collection::vec((0usize..500, 0usize..20, 0usize..5), 0..40),
        ) {
            let sizes: Vec<usize> = values.iter().map(|v| v.0).collect();
            let lifetimes: Vec<_> = values.iter().map(|v| Some((v.1, v.1 + v.2))).collect();
            let places = place(&sizes, &lifetimes);
            for (i, a) in values.iter().enumerate() {
                prop_assert_eq!(places[i].start % ALIGNMENT, 0);
                prop_assert_eq!(places[i].len(), a.0);
                for (j, b) in values.iter().enumerate().filter(|(j, b)| *j != i && b.0 > 0) {
                    let meet = a.1 <= b.1 + b.2 && b.1 <= a.1 + a.2;
                    let apart = places[i].end <= places[j].start || places[j].end <= places[i].start;
                    prop_assert!(!meet || apart || a.0 == 0);
                }
            }
        }
    }
}
