//! The values of a graph by what gives them, whatever lies between that changes nothing.

use super::draft::is_own;
use super::settings::UNORDERED;
use crate::frame::is_absent;
use crate::memory::BATCH_NORM;
use crate::node::operator;
use crate::proto::{GraphProto, NodeProto, TensorProto};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The one number that a constant or a parameter of this name holds, if it is one.
pub(crate) type Single<'m> = &'m dyn Fn(&str) -> Option<f32>;

/// What gives a value.
#[derive(Clone, Copy)]
pub(super) enum Giver<'m> {
    Nothing,
    Input(usize),
    Param(&'m TensorProto),
    Constant(&'m TensorProto),
    /// A node, and which of its outputs.
    Node(&'m NodeProto, usize),
}

/// One of two graphs that are compared.
pub(super) struct Side<'m> {
    pub(super) givers: BTreeMap<&'m str, Giver<'m>>,
    single: Single<'m>,
    /// What a value is made of: alike for values that the same operators make of alike ones, in whatever order where that
    /// does not matter, with or without norms and biases.
    makings: BTreeMap<&'m str, u64>,
}

/// What two values of a float and an int8 graph come down to, each behind what changes nothing.
pub(super) struct Meeting<'m> {
    pub(super) values: [(&'m str, Giver<'m>); 2],
    /// The scales of the batch norms between that the int8 graph lacks.
    pub(super) folded: Vec<&'m str>,
}

impl<'m> Side<'m> {
    /// What a value of the float graph and one of the int8 graph come down to.
    pub(super) fn meeting(sides: &[Side<'m>; 2], was: &'m str, is: &'m str) -> Meeting<'m> {
        let (mut was, mut giver) = sides[0].behind(was);
        let (mut is, mut other) = sides[1].behind(is);
        let mut folded = Vec::new();
        loop {
            let alone = sides[0].left_alone(giver);
            // A factor of one that the float model has is judged by what became of it.
            let became = sides[1].beside_number(other).filter(|_| are_one_operator(giver, other));
            if alone.is_some() && became.is_some() {
                break;
            }
            if let Some(alone) = sides[1].left_alone(other) {
                (is, other) = sides[1].behind(alone);
            } else if let Some(alone) = alone {
                (was, giver) = sides[0].behind(alone);
            } else {
                break;
            }
        }
        while let (Giver::Node(norm, 0), false) = (giver, is_norm(other)) {
            let scale = norm.input.get(1).map(|scale| sides[0].behind(scale).0);
            let (Some(scale), true) = (scale, is_norm(giver)) else { break };
            folded.push(scale);
            (was, giver) = sides[0].behind(&norm.input[0]);
        }
        Meeting { values: [(was, giver), (is, other)], folded }
    }

    pub(super) fn of(graph: &'m GraphProto, single: Single<'m>) -> Side<'m> {
        let mut givers = BTreeMap::new();
        for (i, input) in graph.input.iter().enumerate() {
            givers.insert(input.name.as_str(), Giver::Input(i));
        }
        for tensor in &graph.initializer {
            let giver =
                if is_absent(tensor) { Giver::Param(tensor) } else { Giver::Constant(tensor) };
            givers.insert(tensor.name.as_str(), giver);
        }
        for node in &graph.node {
            for (i, output) in node.output.iter().enumerate() {
                givers.insert(output.as_str(), Giver::Node(node, i));
            }
        }
        let mut side = Side { givers, single, makings: BTreeMap::new() };
        // Nodes stand behind those that give what they read.
        for node in &graph.node {
            for (i, output) in node.output.iter().enumerate() {
                let making = side.made_by(node, i);
                side.makings.insert(output, making);
            }
        }
        side
    }

    /// The name behind nodes that pass their input on, and what gives it.
    pub(super) fn behind<'n>(&self, mut name: &'n str) -> (&'n str, Giver<'m>)
    where
        'm: 'n,
    {
        loop {
            let giver = self.givers.get(name).copied().unwrap_or(Giver::Nothing);
            let passed = match giver {
                Giver::Node(node, 0) if passes(node) => node.input.first(),
                _ => None,
            };
            let Some(passed) = passed else { return (name, giver) };
            name = passed;
        }
    }

    /// What a node reads that multiplies it by one or adds zero to it, if that is all that it does.
    pub(super) fn left_alone(&self, giver: Giver<'m>) -> Option<&'m str> {
        let Giver::Node(node, _) = giver else { return None };
        let neutral = match node.op_type.as_str() {
            "Mul" | "Div" => 1.0,
            _ => 0.0,
        };
        self.beside_number(giver).and_then(|(name, number)| (number == neutral).then_some(name))
    }

    /// What a node reads that multiplies it by one number or adds one to it, and the number.
    fn beside_number(&self, giver: Giver<'m>) -> Option<(&'m str, f32)> {
        let Giver::Node(node, _) = giver else { return None };
        let either = match node.op_type.as_str() {
            "Mul" | "Add" => true,
            "Div" | "Sub" => false,
            _ => return None,
        };
        let ([a, b], true) = (&node.input[..], is_own(node)) else { return None };
        let of = |name: &'m str, number: &str| Some((name, (self.single)(number)?));
        of(a, b).or_else(|| of(b, a).filter(|_| either))
    }

    /// What a value is made of.
    pub(super) fn making(&self, name: &str) -> u64 {
        let (name, giver) = self.behind(name);
        match giver {
            Giver::Node(..) => self.makings.get(name).copied().unwrap_or_default(),
            Giver::Nothing => of("nothing", &[]),
            Giver::Input(i) => of("input", &[i as u64]),
            Giver::Constant(_) => of("constant", &[]),
            Giver::Param(tensor) => {
                // Rows and columns may be the other way around.
                let mut sizes: Vec<u64> = tensor.dims.iter().map(|&size| size as u64).collect();
                sizes.sort_unstable();
                of("parameter", &sizes)
            }
        }
    }

    fn made_by(&self, node: &'m NodeProto, output: usize) -> u64 {
        let giver = Giver::Node(node, output);
        let alone = self.left_alone(giver).or_else(|| {
            let first = node.input.first().map(String::as_str);
            first.filter(|_| is_norm(giver))
        });
        if let Some(name) = alone {
            return self.making(name);
        }
        let read = if is_layer(node) { 2 } else { node.input.len() };
        let mut inputs: Vec<u64> =
            node.input.iter().take(read).map(|name| self.making(name)).collect();
        if is_unordered(node) {
            inputs.sort_unstable();
        }
        inputs.push(output as u64);
        of(&operator(node), &inputs)
    }
}

fn of(what: &str, parts: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (what, parts).hash(&mut hasher);
    hasher.finish()
}

/// Whether a node gives what it reads.
pub(super) fn passes(node: &NodeProto) -> bool {
    let is_only = || node.input.len() == 1;
    is_own(node)
        && match node.op_type.as_str() {
            "Identity" | "Dropout" => true,
            "Sum" | "Mean" | "Max" | "Min" | "Concat" => is_only(),
            _ => false,
        }
}

/// Whether it is all the same in which order a node reads its inputs.
pub(super) fn is_unordered(node: &NodeProto) -> bool {
    is_own(node) && UNORDERED.contains(&node.op_type.as_str())
}

fn are_one_operator(a: Giver<'_>, b: Giver<'_>) -> bool {
    matches!((a, b), (Giver::Node(a, _), Giver::Node(b, _)) if operator(a) == operator(b))
}

fn is_norm(giver: Giver<'_>) -> bool {
    matches!(giver, Giver::Node(node, _) if node.op_type == BATCH_NORM)
}

/// Whether a third input of a node is added to its channels.
pub(super) fn is_layer(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Conv" | "Gemm") && is_own(node)
}

/// Whether two constants hold the same, whatever they are called.
pub(crate) fn is_same_constant(a: &TensorProto, b: &TensorProto) -> bool {
    let unnamed = |one: &TensorProto| TensorProto { name: String::new(), ..one.clone() };
    unnamed(a) == unnamed(b)
}
