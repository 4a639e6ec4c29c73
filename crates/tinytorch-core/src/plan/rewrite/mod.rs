//! Small changes to a graph that leave what it computes as it is, each in a file of its own.
//!
//! ReLU moves and fuses to the bit, and so do sums and chains of functions of each element; a clip that quantizing does
//! anyway is left out. Folding a batch norm rounds in another place, which could flip a level of an int8 layer, and so
//! happens in float models only: what could be folded in an int8 model was folded when it was quantized.

mod drop_clip;
mod fold_batch_norm;
mod fold_constants;
mod fuse_chain;
mod fuse_relu;
mod fuse_sum;
mod hoist_relu;
mod keep_levels;

pub(super) use fuse_relu::ThenRelu;

use crate::Result;
use crate::graph::{Graph, Step, Weight};
use tinytorch_kernels::Isa;

/// Every rewrite, in the order in which one makes room for the next; constants are computed on `isa`.
pub(super) fn rewrite(graph: &mut Graph, isa: Isa) -> Result<()> {
    graph.remove_dead_nodes();
    fold_constants::fold_constants(graph, isa)?;
    if !has_int8(graph) {
        fold_batch_norm::fold_batch_norm(graph)?;
        // A folded norm still reads its convolution, which then seems to have two readers.
        graph.remove_dead_nodes();
    }
    hoist_relu::hoist_relu(graph);
    fuse_sum::fuse_sum(graph);
    graph.remove_dead_nodes();
    fuse_relu::fuse_relu(graph);
    drop_clip::drop_clip(graph)?;
    keep_levels::keep_levels(graph);
    fuse_chain::fuse_chain(graph);
    graph.remove_dead_nodes();
    Ok(())
}

fn has_int8(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| match &node.step {
        Step::Linear { weight, .. } | Step::Conv2d { weight, .. } => {
            matches!(weight, Weight::Int8(_))
        }
        _ => false,
    })
}
