//! Small changes to a graph that leave what it computes as it is, each in a file of its own.
//!
//! ReLU moves and fuses to the bit, and so do sums. Folding a batch norm rounds in another place, and so happens to
//! float convolutions only: an int8 model was quantized with its batch norms folded already.

mod fold_batch_norm;
mod fold_constants;
mod fuse_relu;
mod fuse_sum;
mod hoist_relu;

pub(super) use fuse_relu::ThenRelu;

use crate::Result;
use crate::graph::Graph;

/// Every rewrite, in the order in which one makes room for the next.
pub(super) fn rewrite(graph: &mut Graph) -> Result<()> {
    graph.remove_dead_nodes();
    fold_constants::fold_constants(graph)?;
    fold_batch_norm::fold_batch_norm(graph)?;
    // A folded norm still reads its convolution, which then seems to have two readers.
    graph.remove_dead_nodes();
    hoist_relu::hoist_relu(graph);
    fuse_sum::fuse_sum(graph);
    graph.remove_dead_nodes();
    fuse_relu::fuse_relu(graph);
    graph.remove_dead_nodes();
    Ok(())
}
