//! Ops between levels.

use crate::graph::{Edge, Graph, Step};
use crate::int8::{Encoding, QParams};

/// Lets an op whose inputs are all dequantized, and whose result is quantized by all who read it, read and
/// write levels: additions, pools, concatenations and whatever else a foreign graph computes in floats
/// between 8-bit values.
pub(super) fn keep_levels(graph: &mut Graph) {
    for quantize in graph.firsts() {
        let Step::Quantize { encoding: Encoding::Static(output), images: false } =
            graph.node(quantize).step
        else {
            continue;
        };
        let Some(computed) = graph.node(quantize).input(0) else { continue };
        let Step::Compute(op) = &graph.node(computed).step else { continue };
        if op.output_count() != 1 || !graph.is_read_once(computed) {
            continue;
        }
        let op = op.clone();
        let Some((edges, inputs)) = dequantized(graph, computed) else { continue };
        let node = graph.node_mut(quantize);
        node.step = Step::BetweenLevels { op, inputs, output };
        node.inputs = edges.into_iter().map(Some).collect();
    }
}

/// The levels that a node's inputs are made of, and what they stand for, if all are.
fn dequantized(graph: &Graph, edge: Edge) -> Option<(Vec<Edge>, Vec<QParams>)> {
    let inputs = graph.node(edge).inputs.iter();
    let levels = inputs.map(|input| match graph.node((*input)?) {
        node if let Step::Dequantize(params) = node.step => Some((node.input(0)?, params)),
        _ => None,
    });
    levels.collect::<Option<Vec<_>>>().map(|levels| levels.into_iter().unzip())
}
