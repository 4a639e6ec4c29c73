//! What a graph is compiled to: values, and instructions that compute one from others.

use super::action::Action;
use crate::graph::Compute;
use crate::int8::Encoding;
use crate::tensor::Tensor;
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Index of a value.
pub(super) type ValueId = usize;

/// What a run computes or is given.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) origin: Origin,
    /// How it is stored; an element type other than floats is as it is.
    pub(super) encoding: Encoding,
    /// The order of an image's values; [`Layout::Nchw`] is that of all other values too.
    pub(super) layout: Layout,
    /// Whether it is a parameter of the model.
    pub(super) is_param: bool,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// The plan's input of this index.
    Input(usize),
    /// Known beforehand; contiguous.
    Constant(Tensor),
    /// Written by an instruction.
    Computed,
    /// The elements of an earlier value in another shape, which the op gives for this value and the
    /// others that it reads.
    Reshaped { of: ValueId, op: Arc<dyn Compute>, inputs: Vec<Option<ValueId>> },
}

/// Computes values.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) action: Box<dyn Action>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
    /// Dotted name of the weight it was made for, if there is one.
    pub(super) weight: Option<String>,
}

/// A compiled graph.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) values: Vec<Value>,
    pub(super) instructions: Vec<Instruction>,
    pub(super) inputs: usize,
    /// Each is computed, and no instruction reads it.
    pub(super) results: Vec<ValueId>,
}

impl Program {
    /// The instruction that writes a value.
    pub(super) fn writer(&self, value: ValueId) -> Option<&Instruction> {
        self.instructions.iter().find(|instruction| instruction.outputs.contains(&value))
    }

    /// [`root`] among the program's values.
    pub(super) fn root(&self, value: ValueId) -> ValueId {
        root(&self.values, value)
    }

    /// Bytes of float weights that were packed, beside the model's own.
    pub(super) fn packed_bytes(&self) -> usize {
        self.instructions.iter().map(|i| i.action.packed_bytes()).sum()
    }

    /// Bytes of all weights and constants.
    pub(super) fn weight_bytes(&self) -> usize {
        let actions: usize = self.instructions.iter().map(|i| i.action.weight_bytes()).sum();
        let constants = self.values.iter().map(|value| match &value.origin {
            Origin::Constant(tensor) => tensor.bytes(),
            _ => 0,
        });
        actions + constants.sum::<usize>()
    }

    /// For each value that lies in the arena, the instructions that write it and read it last; `runs`
    /// says which instructions run at all.
    pub(super) fn lifetimes(&self, runs: &[bool]) -> Vec<Option<(usize, usize)>> {
        let mut lifetimes = vec![None; self.values.len()];
        let instructions = self.instructions.iter().enumerate();
        for (i, instruction) in instructions.filter(|(i, _)| runs[*i]) {
            instruction.outputs.iter().for_each(|&output| lifetimes[output] = Some((i, i)));
            for &input in &instruction.inputs {
                if let Some((_, last)) = &mut lifetimes[self.root(input)] {
                    *last = i;
                }
            }
        }
        self.results.iter().for_each(|&result| lifetimes[self.root(result)] = None);
        lifetimes
    }
}

/// The value whose memory `value` uses: itself, unless it only has another shape.
pub(super) fn root(values: &[Value], mut value: ValueId) -> ValueId {
    while let Origin::Reshaped { of, .. } = &values[value].origin {
        value = *of;
    }
    value
}
