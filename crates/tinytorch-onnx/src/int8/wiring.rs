//! Which values the steps of an int8 graph read, held against what the steps of the same names read in the float graph.

use super::draft::{DEQUANTIZE, QUANTIZE, is_own};
use super::settings::{UNORDERED, attribute};
use super::side::passes;
use super::weights::QUANTIZED;
use crate::error::shown;
use crate::memory::BATCH_NORM;
use crate::node::operator;
use crate::proto::{GraphProto, NodeProto};
use crate::tensor::{self, element};
use std::collections::{BTreeMap, BTreeSet};

/// Layers, whose levels may begin at 0, so that what quantizes does an activation before them.
const LAYERS: [&str; 3] = ["Conv", "Gemm", "MatMul"];

/// Activations that end at 0.
const ENDING: [&str; 2] = ["Clip", "Relu"];

/// What gives the values of a graph, and of those around it.
#[derive(Clone, Default)]
pub(super) struct Givers<'g> {
    nodes: BTreeMap<&'g str, &'g NodeProto>,
    names: BTreeSet<&'g str>,
}

impl<'g> Givers<'g> {
    /// These values and those of a graph within.
    pub(super) fn and_of(&self, graph: &'g GraphProto) -> Givers<'g> {
        let mut all = self.clone();
        all.names.extend(graph.input.iter().map(|input| input.name.as_str()));
        all.names.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
        for node in &graph.node {
            all.names.extend(node.output.iter().map(String::as_str));
            all.nodes.extend(node.output.first().map(|name| (name.as_str(), node)));
        }
        all
    }

    /// The names of a value, from this one back through nodes that do not count.
    fn behind<'n>(&self, name: &'n str, counts: impl Fn(&NodeProto) -> bool) -> Vec<&'n str>
    where
        'g: 'n,
    {
        let mut names = vec![name];
        let mut last = name;
        while let Some(node) = self.nodes.get(last).filter(|node| !counts(node))
            && let Some(input) = node.input.first().filter(|_| names.len() <= self.nodes.len())
        {
            last = input.as_str();
            names.push(last);
        }
        names.into_iter().map(|name| name.strip_suffix(QUANTIZED).unwrap_or(name)).collect()
    }
}

/// Whose edges are compared.
struct Reader {
    what: String,
    is_layer: bool,
    is_unordered: bool,
}

/// What was found of the edges that lead to steps.
pub(super) struct Wiring<'s> {
    /// Whether two values of the float graph are the same by what is known of them: tools make one of equal constants.
    same: &'s dyn Fn(&str, &str) -> bool,
    alike: usize,
    faults: Vec<String>,
}

impl<'s> Wiring<'s> {
    pub(super) fn new(same: &'s dyn Fn(&str, &str) -> bool) -> Wiring<'s> {
        Wiring { same, alike: 0, faults: Vec::new() }
    }

    /// Compares what two nodes of one operator and one output read.
    pub(super) fn compare(&mut self, givers: [&Givers<'_>; 2], [was, is]: [&NodeProto; 2]) {
        let operator = operator(is);
        let output = shown(is.output.first().map_or("", String::as_str));
        let reader = Reader {
            what: format!("the {} that gives `{output}` reads", shown(&operator)),
            is_layer: LAYERS.contains(&operator.as_str()),
            is_unordered: UNORDERED.contains(&operator.as_str()),
        };
        let [was, is] = [was, is].map(|node| node.input.iter().map(String::as_str));
        self.edges(givers, &reader, [&was.collect::<Vec<_>>(), &is.collect::<Vec<_>>()]);
    }

    /// Compares what two graphs within nodes give.
    pub(super) fn compare_ends(&mut self, givers: [&Givers<'_>; 2], [was, is]: [&[&str]; 2]) {
        let what = "a graph within a node gives".to_string();
        let reader = Reader { what, is_layer: false, is_unordered: false };
        self.edges(givers, &reader, [was, is]);
    }

    fn edges(&mut self, givers: [&Givers<'_>; 2], reader: &Reader, [was, is]: [&[&str]; 2]) {
        let of_float = |node: &NodeProto| {
            let is_norm = node.op_type == BATCH_NORM;
            let may_be_range = reader.is_layer && ENDING.contains(&node.op_type.as_str());
            !(is_own(node) && (passes(node) || is_norm || may_be_range || keeps_floats(node)))
        };
        let of_int8 = |node: &NodeProto| {
            let rounds = [QUANTIZE, DEQUANTIZE].contains(&node.op_type.as_str());
            !(is_own(node) && (passes(node) || rounds || keeps_floats(node)))
        };
        let before: Vec<_> = was.iter().map(|name| givers[0].behind(name, of_float)).collect();
        let now = is.iter().map(|name| givers[1].behind(name, of_int8));
        let mut taken = BTreeSet::new();
        for (place, now) in now.enumerate().take(before.len()) {
            let others = (0..before.len()).filter(|other| reader.is_unordered && *other != place);
            let mut is_it = |other: &usize| {
                before[*other].iter().any(|name| now.contains(name)) && taken.insert(*other)
            };
            if std::iter::once(place).chain(others).any(|other| is_it(&other)) {
                self.alike += 1;
                continue;
            }
            // A name that the float graph does not have says nothing.
            let Some(other) = now.iter().rev().find(|name| givers[0].names.contains(**name)) else {
                continue;
            };
            if before[place].iter().any(|own| (self.same)(own, other)) {
                self.alike += 1;
                continue;
            }
            self.faults.push(format!(
                "{} `{}`, and `{}` in the float model",
                reader.what,
                shown(other),
                shown(was[place])
            ));
        }
    }

    /// What is wrong, if the same names mean the same values in both graphs: most edges lead from and to the same ones then.
    pub(super) fn faults(self) -> Vec<String> {
        if self.faults.len() > self.alike { Vec::new() } else { self.faults }
    }
}

/// Whether a node turns floats into floats of another width.
fn keeps_floats(node: &NodeProto) -> bool {
    let to = attribute(node, "to").and_then(|to| i32::try_from(to.i).ok());
    node.op_type == "Cast" && to.is_some_and(|to| tensor::held(to) == element::F32)
}
