//! What an int8 graph does between its weights, held against what the float graph does there.

use super::counterparts::own_version;
use super::draft::{DEQUANTIZE, QUANTIZE};
use super::settings::{attribute, other_attribute};
use super::side::is_same_constant;
use super::wiring::{Givers, Wiring};
use crate::error::shown;
use crate::frame::is_absent;
use crate::node::operator;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, BTreeSet};

/// Operators that no tool writes as one another, since they give other numbers.
const FUNCTIONS: [&str; 19] = [
    "AveragePool",
    "Celu",
    "Clip",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "LogSoftmax",
    "MaxPool",
    "Mish",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
];

/// Operators that are told sizes, which tools write in several ways.
const OF_SHAPES: [&str; 2] = ["Expand", "Reshape"];

/// How windows are padded, which tools write in one way or the other.
const PADS: [&str; 2] = ["auto_pad", "pads"];

/// Attributes that say how weights lie.
const OF_STORAGE: [&str; 1] = ["transB"];

/// What steps of an int8 graph do otherwise than the steps of the float graph that give values of the same names, a
/// sentence each, and how many steps there are of these names. Quantizing changes weights and adds roundings: what lies
/// between keeps its operator, its settings and what it reads, whether samples show them or not, and so does what lies in the bodies
/// of loops and branches. `same` tells of two values of the float graph by name whether they are known to be equal.
pub(crate) fn between(
    float: &ModelProto,
    int8: &ModelProto,
    same: &dyn Fn(&str, &str) -> bool,
) -> (Vec<String>, usize) {
    let (Some(of_float), Some(of_int8)) = (&float.graph, &int8.graph) else {
        return (Vec::new(), 0);
    };
    let versions = [float, int8].map(own_version);
    let (faults, compared, wiring) = (Vec::new(), 0, Wiring::new(same));
    let mut between = Between { versions, faults, compared, wiring };
    between.graphs([of_float, of_int8], &[&[], &[]], [&Givers::default(), &Givers::default()]);
    let Between { mut faults, compared, wiring, .. } = between;
    faults.extend(wiring.faults());
    (faults, compared)
}

struct Between<'s> {
    versions: [i64; 2],
    faults: Vec<String>,
    compared: usize,
    wiring: Wiring<'s>,
}

impl Between<'_> {
    /// Compares two graphs; `around` are those that the float and the int8 one lie in, and `outer` what these give.
    fn graphs(
        &mut self,
        graphs: [&GraphProto; 2],
        around: &[&[&GraphProto]; 2],
        outer: [&Givers<'_>; 2],
    ) {
        let around = [0, 1].map(|i| [around[i], &[graphs[i]]].concat());
        let givers = [0, 1].map(|i| outer[i].and_of(graphs[i]));
        let [of_float, of_int8] = graphs;
        let were: BTreeMap<&str, &NodeProto> = of_float.node.iter().filter_map(by_output).collect();
        for (name, is) in of_int8.node.iter().filter_map(by_output) {
            let Some(&was) = were.get(name) else { continue };
            let operators = [was, is].map(operator);
            if operators.iter().any(|operator| [QUANTIZE, DEQUANTIZE].contains(&&**operator)) {
                continue;
            }
            let name = shown(name);
            let [before, now] = operators.each_ref().map(|operator| shown(operator));
            if operators[0] != operators[1] {
                let are_functions = operators.iter().all(|one| FUNCTIONS.contains(&one.as_str()));
                self.faults.extend(are_functions.then(|| {
                    format!("`{name}` comes from {now}, and in the float model from {before}")
                }));
                continue;
            }
            self.compared += 1;
            let other = other_setting([was, is], self.versions)
                .or_else(|| other_constant([&around[0], &around[1]], [was, is]));
            self.faults.extend(other.map(|other| {
                format!("the {now} that gives `{name}` has {other} in the float model")
            }));
            self.wiring.compare(givers.each_ref(), [was, is]);
            for (was, is) in bodies(was).zip(bodies(is)) {
                self.graphs([was, is], &[&around[0], &around[1]], givers.each_ref());
            }
        }
        let ends = [of_float, of_int8].map(|graph| names(&graph.output));
        self.wiring.compare_ends(givers.each_ref(), [&ends[0], &ends[1]]);
        for (what, values) in [
            ("takes", [&of_float.input, &of_int8.input]),
            ("gives", [&of_float.output, &of_int8.output]),
        ] {
            let [was, is] = values.map(|values| names(values));
            let all =
                |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            if was != is && all(&was) == all(&is) {
                let first =
                    was.iter().zip(&is).find(|(was, is)| was != is).map_or("", |(_, is)| is);
                let first = shown(first);
                self.faults.push(format!(
                    "a graph {what} `{first}` in another place than in the float model"
                ));
            }
        }
    }
}

fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().filter_map(|attribute| attribute.g.as_ref())
}

fn names(values: &[ValueInfoProto]) -> Vec<&str> {
    values.iter().map(|value| value.name.as_str()).collect()
}

fn by_output(node: &NodeProto) -> Option<(&str, &NodeProto)> {
    node.output.first().map(|name| (name.as_str(), node))
}

/// The first attribute that has another value. An axis may be counted from either end.
fn other_setting([was, is]: [&NodeProto; 2], versions: [i64; 2]) -> Option<String> {
    let pads_itself = |node: &NodeProto| {
        attribute(node, "auto_pad").is_some_and(|pads| !matches!(&pads.s[..], b"" | b"NOTSET"))
    };
    let are_named = pads_itself(was) || pads_itself(is);
    let is_from_other_end = matches!(
        [was, is].map(|node| attribute(node, "axis")),
        [Some(before), Some(now)] if (before.i < 0) != (now.i < 0)
    );
    other_attribute([was, is], versions, |name| {
        OF_STORAGE.contains(&name)
            || are_named && PADS.contains(&name)
            || is_from_other_end && name == "axis"
    })
}

/// The first input that is a constant in both graphs and has another value.
fn other_constant(around: [&[&GraphProto]; 2], nodes: [&NodeProto; 2]) -> Option<String> {
    if OF_SHAPES.contains(&operator(nodes[0]).as_str()) {
        return None;
    }
    let inputs = nodes[0].input.len().min(nodes[1].input.len());
    (0..inputs).find_map(|place| {
        let constant = |i: usize| constant(around[i], nodes[i].input[place].as_str());
        let (before, now) = (constant(0)?, constant(1)?);
        (!is_same_constant(before, now)).then(|| format!("another input {place} than"))
    })
}

/// The values of this name, if the graph or one around it has them.
fn constant<'g>(around: &[&'g GraphProto], name: &str) -> Option<&'g TensorProto> {
    let all = around.iter().rev().flat_map(|graph| &graph.initializer);
    all.into_iter().find(|constant| constant.name == name).filter(|found| !is_absent(found))
}
