//! Graphs that were quantized elsewhere: their int8 weights stay int8, and their layers multiply levels.
//!
//! Operators of integers are first written as what they mean, floats between `DequantizeLinear` and
//! `QuantizeLinear`. Then a weight behind a `DequantizeLinear` becomes a parameter whose values are int8, and the
//! levels that its layer reads become the encoding of its input. Pairs of `QuantizeLinear` and `DequantizeLinear` that
//! something else reads stay in the graph and round as they say.

mod against_float;
mod between;
mod counterparts;
mod draft;
mod expand;
mod integers;
mod levels;
mod lookalikes;
mod misread;
mod places;
mod settings;
mod side;
mod taken;
mod weights;
mod wiring;

use crate::error::OnnxError;
use crate::file::Files;
use crate::proto::{GraphProto, NodeProto};
pub use against_float::{AgainstFloat, against_float};
pub(crate) use between::between;
pub(crate) use counterparts::counterparts;
use draft::Draft;
pub(crate) use draft::{dequantize, integer, is_plain_product, plain};
pub(crate) use lookalikes::distance;
pub use misread::{Misreading, in_seven_bits};
pub(crate) use side::is_same_constant;
use std::collections::BTreeMap;
pub(crate) use taken::take_values;
pub(crate) use weights::{FileWeight, QUANTIZED, SHIFT};

/// A graph over int8 weights.
pub(crate) struct Lowered {
    /// The graph: its int8 weights are floats without values.
    pub(crate) graph: GraphProto,
    /// The values of these floats, by name.
    pub(crate) weights: BTreeMap<String, FileWeight>,
    /// Weights in 8 bits that become floats, and why.
    pub(crate) floats: Vec<(String, String)>,
}

/// A graph without operators of integers, as far as they can be written as floats and int8 weights; `None` if it has
/// none.
pub(crate) fn lower(graph: &GraphProto, files: &mut Files) -> Result<Option<Lowered>, OnnxError> {
    if !graph.node.iter().any(is_quantized) {
        return Ok(None);
    }
    let mut draft = Draft::of(graph);
    expand::expand(&mut draft, files)?;
    let (weights, floats) = weights::find(&mut draft, files)?;
    Ok(Some(Lowered { graph: draft.into_graph(graph), weights, floats }))
}

fn is_quantized(node: &NodeProto) -> bool {
    let op = node.op_type.as_str();
    matches!(op, draft::DEQUANTIZE | "QGemm" | "MatMulInteger" | "ConvInteger")
        || op.starts_with("QLinear")
}
