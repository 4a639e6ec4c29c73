//! A model without the values of its parameters: what a file of another format holds beside them, so that the
//! model can be made again.
//!
//! Everything that was computed when the ONNX file was read is a constant of the frame, and every parameter a tensor
//! of its shape without data. So a frame gives the parameters that the file gave, under the same names.

use crate::error::{OnnxError, shown};
use crate::node::free_names;
use crate::program::Slot;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::tensor::{self, element};
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::Tensor;
use tinytorch_core::tensor::Shape;

/// The graph of these nodes. `constant` gives the value behind a name, its place among all, and whether it is a
/// parameter; `None` if nodes or inputs give it.
pub(crate) fn frame<'t>(
    graph: &GraphProto,
    nodes: BTreeSet<usize>,
    constant: impl Fn(&str) -> Option<(Slot, &'t Tensor, bool)>,
) -> Result<ModelProto, OnnxError> {
    let mut wanted: BTreeSet<String> =
        graph.output.iter().map(|output| output.name.clone()).collect();
    let mut kept: Vec<NodeProto> = Vec::with_capacity(nodes.len());
    for &at in nodes.iter().rev() {
        let node = &graph.node[at];
        if node.output.iter().any(|output| wanted.contains(output)) {
            wanted.extend(node.input.iter().cloned());
            for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
                free_names(inner, &mut wanted);
            }
            kept.push(node.clone());
        }
    }
    kept.reverse();
    let given: BTreeSet<&String> = kept.iter().flat_map(|node| &node.output).collect();
    let named = |name| constant(name).map(|(slot, value, is_param)| (slot, name, value, is_param));
    let unknown = wanted.iter().filter(|name| !given.contains(name));
    let mut constants: Vec<_> = unknown.filter_map(|name| named(name.as_str())).collect();
    constants.sort_by_key(|(slot, ..)| *slot);
    // Levels of 16 bits are held in 64, and what they are decides how values are rounded.
    let declared = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor.data_type));
    let declared: BTreeMap<&str, i32> = declared.collect();
    let stored = |&(_, name, value, is_param): &(Slot, &str, &Tensor, bool)| match is_param {
        true => Ok(absent(name, value)),
        false => tensor::proto_as(name, value, declared.get(name).copied())
            .map_err(|error| OnnxError::Tensor { tensor: shown(name), problem: error.to_string() }),
    };
    let initializer = constants.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    let names: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let input = graph.input.iter().filter(|input| !names.contains(input.name.as_str()));
    let graph = GraphProto {
        node: kept,
        initializer,
        input: input.cloned().collect(),
        output: graph.output.clone(),
        ..GraphProto::default()
    };
    Ok(ModelProto { graph: Some(graph), ..ModelProto::default() })
}

/// A parameter of this name and shape.
fn absent(name: &str, value: &Tensor) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        dims: value.shape().iter().map(|&size| size as i64).collect(),
        data_type: element::F32,
        ..TensorProto::default()
    }
}

/// Whether a tensor of a frame is a parameter.
pub(crate) fn is_absent(proto: &TensorProto) -> bool {
    proto.data_type == element::F32
        && proto.data_location == 0
        && proto.raw_data.is_empty()
        && proto.float_data.is_empty()
        && !proto.dims.contains(&0)
}

/// A parameter of a frame, as readers of nodes ask for its shape: nothing is allocated.
pub(crate) fn zeros(proto: &TensorProto) -> Result<Tensor, OnnxError> {
    let wrong = |problem: String| OnnxError::Tensor { tensor: shown(&proto.name), problem };
    let shape = tensor::shape(&proto.dims).map_err(&wrong)?;
    of_shape(shape).map_err(|error| wrong(error.to_string()))
}

/// Floats of which nothing but the shape is known, in no memory.
pub(crate) fn of_shape(shape: Shape) -> tinytorch_core::Result<Tensor> {
    Tensor::scalar(0.0).broadcast_to(shape)
}
