//! What a graph is compiled to: values, and instructions that compute one from others.

use super::action::Action;
use crate::graph::Compute;
use crate::int8::QParams;
use crate::tensor::Tensor;
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Index of a value.
pub(super) type ValueId = usize;

/// What a run computes or is given.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    /// The order of an image's values; [`Layout::Nchw`] is that of all other values too.
    pub(super) layout: Layout,
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
    /// The elements of an earlier value in another shape.
    Reshaped(ValueId, Arc<dyn Compute>),
}

/// How the elements of a value are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// As they are: floats, or an input's own element type.
    Plain,
    /// As 8-bit levels with these parameters.
    Levels(QParams),
    /// As 8-bit levels, each row or image with its own parameters.
    RowLevels,
    /// As 16-bit levels: rows of high bytes and then rows of low bytes, each with its own parameters.
    WideRowLevels,
}

impl Kind {
    /// Bytes of an element that an instruction computes.
    pub(super) fn element_bytes(self) -> usize {
        match self {
            Kind::Plain => size_of::<f32>(),
            Kind::Levels(_) | Kind::RowLevels => 1,
            Kind::WideRowLevels => 2,
        }
    }
}

/// Computes a value.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) action: Box<dyn Action>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) output: ValueId,
    /// Dotted name of the weight it was made for, if there is one.
    pub(super) weight: Option<String>,
}

/// A compiled graph.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) values: Vec<Value>,
    pub(super) instructions: Vec<Instruction>,
    pub(super) inputs: usize,
    pub(super) output: ValueId,
}

impl Program {
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

    /// For each value that lies in the arena, the instructions that write it and read it last.
    pub(super) fn lifetimes(&self) -> Vec<Option<(usize, usize)>> {
        let mut lifetimes = vec![None; self.values.len()];
        for (i, instruction) in self.instructions.iter().enumerate() {
            lifetimes[instruction.output] = Some((i, i));
            for &input in &instruction.inputs {
                if let Some((_, last)) = &mut lifetimes[self.root(input)] {
                    *last = i;
                }
            }
        }
        lifetimes[self.root(self.output)] = None;
        lifetimes
    }
}

/// The value whose memory `value` uses: itself, unless it only has another shape.
pub(super) fn root(values: &[Value], mut value: ValueId) -> ValueId {
    while let Origin::Reshaped(of, _) = &values[value].origin {
        value = *of;
    }
    value
}
