//! What an int8 graph does between its weights, held against what the float graph does there.

use super::draft::{DEQUANTIZE, QUANTIZE};
use crate::error::shown;
use crate::node::operator;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::BTreeMap;

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

/// Operators whose inputs after the first are settings.
const SET_BY_INPUTS: [&str; 4] = ["Clip", "Pad", "Resize", "Slice"];

/// Attributes that say how numbers are stored or weights lie.
const OF_STORAGE: [&str; 4] = ["saturate", "to", "transA", "transB"];

/// How windows are padded, which tools write in one way or the other.
const PADS: [&str; 2] = ["auto_pad", "pads"];

/// Attributes' types, as the format numbers them.
const FLOAT: i32 = 1;
const INTEGER: i32 = 2;
const STRING: i32 = 3;
const FLOATS: i32 = 6;
const INTEGERS: i32 = 7;

/// What steps of an int8 graph do otherwise than the steps of the float graph that give values of the same names, a
/// sentence each, and how many steps there are of these names. Quantizing changes weights and adds roundings: what lies
/// between keeps its operator and its settings, whether samples show them or not.
pub(crate) fn between(float: &ModelProto, int8: &ModelProto) -> (Vec<String>, usize) {
    let (mut faults, mut compared) = (Vec::new(), 0);
    let (Some(of_float), Some(of_int8)) = (&float.graph, &int8.graph) else {
        return (faults, compared);
    };
    let is_one_version = float.opset_import == int8.opset_import;
    let were: BTreeMap<&str, &NodeProto> = of_float.node.iter().filter_map(by_output).collect();
    for (name, is) in of_int8.node.iter().filter_map(by_output) {
        let Some(was) = were.get(name) else { continue };
        let operators = [*was, is].map(operator);
        if operators.iter().any(|operator| [QUANTIZE, DEQUANTIZE].contains(&&**operator)) {
            continue;
        }
        let name = shown(name);
        let [before, now] = operators.each_ref().map(|operator| shown(operator));
        if operators[0] != operators[1] {
            let are_functions = operators.iter().all(|one| FUNCTIONS.contains(&one.as_str()));
            faults.extend(are_functions.then(|| {
                format!("`{name}` comes from {now}, and in the float model from {before}")
            }));
            continue;
        }
        compared += 1;
        let other = other_attribute(was, is, is_one_version)
            .or_else(|| other_input([of_float, of_int8], [*was, is]));
        faults.extend(
            other.map(|other| {
                format!("the {now} that gives `{name}` has {other} in the float model")
            }),
        );
    }
    (faults, compared)
}

fn by_output(node: &NodeProto) -> Option<(&str, &NodeProto)> {
    node.output.first().map(|name| (name.as_str(), node))
}

/// The first attribute that has another value. What a node leaves out has the default of its version, which may be another, and
/// an axis may be counted from either end.
fn other_attribute(was: &NodeProto, is: &NodeProto, is_one_version: bool) -> Option<String> {
    let pads_itself = |node: &NodeProto| {
        attribute(node, "auto_pad").is_some_and(|pads| !matches!(&pads.s[..], b"" | b"NOTSET"))
    };
    let are_named = pads_itself(was) || pads_itself(is);
    let is_left_out = |name: &&str| OF_STORAGE.contains(name) || are_named && PADS.contains(name);
    let names = was.attribute.iter().chain(&is.attribute).map(|attribute| attribute.name.as_str());
    names.filter(|name| !is_left_out(name)).find_map(|name| {
        let (before, now) = (attribute(was, name), attribute(is, name));
        let is_other = match (before, now) {
            (Some(before), Some(now)) if name == "axis" && (before.i < 0) != (now.i < 0) => false,
            (Some(before), Some(now)) => value(before) != value(now),
            (Some(one), None) | (None, Some(one)) => is_one_version && !is_usual(one),
            (None, None) => false,
        };
        let told = |attribute: Option<&AttributeProto>| {
            attribute.and_then(value).unwrap_or_else(|| "the default".to_string())
        };
        is_other.then(|| format!("{} {}, and {}", shown(name), told(now), told(before)))
    })
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// An attribute's value in words; `None` of one that holds a graph or a tensor.
fn value(attribute: &AttributeProto) -> Option<String> {
    match attribute.r#type {
        FLOAT => Some(attribute.f.to_string()),
        INTEGER => Some(attribute.i.to_string()),
        STRING => Some(shown(&String::from_utf8_lossy(&attribute.s))),
        FLOATS => Some(format!("{:?}", attribute.floats)),
        INTEGERS => Some(format!("{:?}", attribute.ints)),
        _ => None,
    }
}

/// Whether an attribute says what most operators do without it.
fn is_usual(attribute: &AttributeProto) -> bool {
    match attribute.r#type {
        FLOAT => [0.0, 1.0].contains(&attribute.f),
        INTEGER => [0, 1].contains(&attribute.i),
        STRING => matches!(&attribute.s[..], b"" | b"NOTSET"),
        INTEGERS => [0, 1].iter().any(|usual| attribute.ints.iter().all(|i| i == usual)),
        _ => true,
    }
}

/// The first input that is a setting and has another value.
fn other_input(graphs: [&GraphProto; 2], nodes: [&NodeProto; 2]) -> Option<String> {
    if !SET_BY_INPUTS.contains(&operator(nodes[0]).as_str()) {
        return None;
    }
    let inputs = nodes[0].input.len().min(nodes[1].input.len());
    (1..inputs).find_map(|place| {
        let constant = |i: usize| constant(graphs[i], nodes[i].input[place].as_str());
        let (before, now) = (constant(0)?, constant(1)?);
        (before != now).then(|| format!("another input {place} than"))
    })
}

/// A constant of a graph, without its name.
fn constant(graph: &GraphProto, name: &str) -> Option<TensorProto> {
    let found = graph.initializer.iter().find(|constant| constant.name == name)?;
    Some(TensorProto { name: String::new(), ..found.clone() })
}
