//! Where weights of 8 bits stand in the nodes of a graph.

use super::draft::{DEQUANTIZE, Draft, int, is_own};
use crate::proto::NodeProto;

/// A weight of 8 bits among the inputs of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The node.
    pub(super) node: usize,
    /// Which of its inputs are the levels.
    pub(super) levels: usize,
    /// Which is their scale; `None` of an operator that gives integers.
    pub(super) scale: Option<usize>,
    /// Which is their zero point.
    pub(super) zero_point: usize,
    /// Which is a bias that is a multiple of the products' steps.
    pub(super) bias: Option<usize>,
}

/// The weights of a graph, in the order of its nodes.
pub(super) fn places(draft: &Draft) -> Vec<Place> {
    let at = |(node, proto): (usize, &NodeProto)| {
        let place = place(node, proto)?;
        let levels = draft.constant(proto.input.get(place.levels)?)?;
        (levels.dims.len() >= 2).then_some(place)
    };
    draft.nodes.iter().enumerate().filter_map(at).collect()
}

fn place(node: usize, proto: &NodeProto) -> Option<Place> {
    let scaled = |levels: usize, bias: Option<usize>| Place {
        node,
        levels,
        scale: Some(levels + 1),
        zero_point: levels + 2,
        bias,
    };
    match proto.op_type.as_str() {
        DEQUANTIZE if is_own(proto) => Some(scaled(0, None)),
        "QLinearConv" => Some(scaled(3, Some(8))),
        "QLinearMatMul" => Some(scaled(3, None)),
        "QGemm" => Some(scaled(3, Some(6))),
        "MatMulInteger" | "ConvInteger" => {
            Some(Place { node, levels: 1, scale: None, zero_point: 3, bias: None })
        }
        _ => None,
    }
}

/// The axis along which the scales and zero points of a weight of this rank lie, if there are several.
pub(super) fn axis(proto: &NodeProto, rank: usize) -> usize {
    let axis = match proto.op_type.as_str() {
        DEQUANTIZE => int(proto, "axis").unwrap_or(1),
        "QLinearConv" | "ConvInteger" => 0,
        "QGemm" => 1 - int(proto, "transB").unwrap_or(0),
        _ => -1,
    };
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).unwrap_or(0).min(rank.saturating_sub(1))
}
