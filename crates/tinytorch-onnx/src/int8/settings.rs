//! Whether two nodes of one operator have the same settings.

use super::draft::is_own;
use crate::error::shown;
use crate::node::operator;
use crate::proto::{AttributeProto, NodeProto};
use crate::tensor;

/// Attributes' types, as the format numbers them.
const FLOAT: i32 = 1;
const INTEGER: i32 = 2;
const STRING: i32 = 3;
const FLOATS: i32 = 6;
const INTEGERS: i32 = 7;

/// Operators to which the order of their inputs is all the same.
pub(super) const UNORDERED: [&str; 9] =
    ["Add", "And", "Equal", "Max", "Mean", "Min", "Mul", "Or", "Sum"];

/// The first version of ONNX's own operators from which on no attribute that is left out has changed its meaning.
const STEADY: i64 = 13;

/// What an attribute means that is left out.
enum Usual {
    Float(f32),
    Integer(i64),
    Text(&'static [u8]),
    /// A list of nothing but this.
    Each(i64),
}

/// What ONNX's operators do without being told, from version 13 on; `None` where it hangs on something else.
fn usual(operator: &str, name: &str) -> Option<Usual> {
    use Usual::{Each, Float, Integer, Text};
    Some(match (operator, name) {
        (_, "auto_pad") => Text(b"NOTSET"),
        (_, "pads" | "output_padding") => Each(0),
        (_, "strides" | "dilations") => Each(1),
        ("Conv" | "ConvTranspose", "group") => Integer(1),
        (
            "AveragePool" | "MaxPool" | "LpPool",
            "ceil_mode" | "count_include_pad" | "storage_order",
        ) => Integer(0),
        ("Gemm", "alpha" | "beta") => Float(1.0),
        ("Gemm", "transA" | "transB") => Integer(0),
        ("LeakyRelu", "alpha") => Float(0.01),
        ("Elu" | "Celu" | "ThresholdedRelu", "alpha") => Float(1.0),
        ("Selu", "alpha") => Float(1.673_263_2),
        ("Selu", "gamma") => Float(1.050_701),
        ("HardSigmoid", "alpha") => Float(0.2),
        ("HardSigmoid", "beta") => Float(0.5),
        ("Gelu", "approximate") => Text(b"none"),
        ("Softmax" | "LogSoftmax" | "Hardmax" | "LayerNormalization" | "TopK", "axis") => {
            Integer(-1)
        }
        ("Flatten", "axis") => Integer(1),
        (
            "Gather" | "GatherElements" | "ScatterElements" | "ArgMax" | "ArgMin" | "Split",
            "axis",
        ) => Integer(0),
        ("GatherND", "batch_dims") => Integer(0),
        ("ArgMax" | "ArgMin", "keepdims") => Integer(1),
        ("ArgMax" | "ArgMin", "select_last_index") => Integer(0),
        ("TopK", "largest" | "sorted") => Integer(1),
        ("CumSum", "exclusive" | "reverse") => Integer(0),
        ("Cast", "saturate") => Integer(1),
        ("Reshape", "allowzero") => Integer(0),
        ("Shape", "start") => Integer(0),
        ("Mod", "fmod") => Integer(0),
        ("Trilu", "upper") => Integer(1),
        ("Pad", "mode") => Text(b"constant"),
        ("DepthToSpace", "mode") => Text(b"DCR"),
        ("LRN", "alpha") => Float(0.0001),
        ("LRN", "beta") => Float(0.75),
        ("LRN", "bias") => Float(1.0),
        ("Resize", "coordinate_transformation_mode") => Text(b"half_pixel"),
        ("Resize", "mode") => Text(b"nearest"),
        ("Resize", "nearest_mode") => Text(b"round_prefer_floor"),
        ("Resize", "cubic_coeff_a") => Float(-0.75),
        ("Resize", "exclude_outside" | "antialias") => Integer(0),
        ("Resize", "extrapolation_value") => Float(0.0),
        ("BatchNormalization" | "InstanceNormalization" | "LayerNormalization", "epsilon") => {
            Float(1e-5)
        }
        ("BatchNormalization", "momentum") => Float(0.9),
        ("BatchNormalization", "training_mode") => Integer(0),
        ("LayerNormalization", "stash_type") => Integer(1),
        ("RNN" | "GRU" | "LSTM", "direction") => Text(b"forward"),
        ("RNN" | "GRU" | "LSTM", "layout" | "input_forget" | "linear_before_reset") => Integer(0),
        (operator, "keepdims") if operator.starts_with("Reduce") => Integer(1),
        (operator, "noop_with_empty_axes") if operator.starts_with("Reduce") => Integer(0),
        _ => return None,
    })
}

/// The first attribute of two nodes of one operator that has another meaning, in words; `versions` are those of ONNX's own operators
/// in the files of both. `except` are attributes that may differ, and graphs within the nodes are not looked at.
pub(super) fn other_attribute(
    [was, is]: [&NodeProto; 2],
    versions: [i64; 2],
    except: impl Fn(&str) -> bool,
) -> Option<String> {
    let is_steady = versions[0] == versions[1] || versions.iter().all(|one| *one >= STEADY);
    let names = was.attribute.iter().chain(&is.attribute).map(|attribute| attribute.name.as_str());
    names.filter(|name| !except(name)).find_map(|name| {
        let (before, now) = (attribute(was, name), attribute(is, name));
        let is_other = match (before, now) {
            (Some(before), Some(now)) => !are_equal(was, before, now),
            (Some(one), None) | (None, Some(one)) => is_steady && !is_usual(was, one, versions),
            (None, None) => false,
        };
        let told = |attribute: Option<&AttributeProto>| {
            attribute.and_then(value).unwrap_or_else(|| "the default".to_string())
        };
        is_other.then(|| format!("{} {}, and {}", shown(name), told(now), told(before)))
    })
}

/// Whether attributes that are left out mean the same in files of these versions.
pub(super) fn are_comparable([was, is]: [i64; 2]) -> bool {
    was == is || was.min(is) >= STEADY
}

pub(super) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Graphs are compared by what is in them, elsewhere.
fn are_equal(node: &NodeProto, before: &AttributeProto, now: &AttributeProto) -> bool {
    if before.g.is_some() && now.g.is_some() {
        return true;
    }
    // Floats of any width are held in 32 bits, and written so.
    let held = |to: i64| i32::try_from(to).map_or(to, |to| tensor::held(to).into());
    match node.op_type == "Cast" && before.name == "to" {
        true => held(before.i) == held(now.i),
        false => before == now,
    }
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

/// Whether an attribute says what the operator does without it. What is not known to be said for nothing is not.
fn is_usual(node: &NodeProto, attribute: &AttributeProto, versions: [i64; 2]) -> bool {
    let name = attribute.name.as_str();
    // The weights have these sizes, or the node does not run.
    if name == "kernel_shape" && node.op_type.starts_with("Conv") || name == "hidden_size" {
        return true;
    }
    let is_softmax = matches!(operator(node).as_str(), "Softmax" | "LogSoftmax" | "Hardmax");
    if is_softmax && name == "axis" && versions.iter().any(|version| *version < STEADY) {
        return attribute.i == 1;
    }
    match usual(if is_own(node) { &node.op_type } else { "" }, name) {
        None => false,
        Some(Usual::Float(f)) => attribute.f == f,
        Some(Usual::Integer(i)) => attribute.i == i,
        Some(Usual::Text(text)) => [text, b""].contains(&&attribute.s[..]),
        Some(Usual::Each(i)) => attribute.ints.iter().all(|one| *one == i),
    }
}
