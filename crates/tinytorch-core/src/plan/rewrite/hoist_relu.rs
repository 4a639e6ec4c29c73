//! ReLUs towards the layers that they can fuse with.

use crate::graph::{Graph, Node};

/// Moves a ReLU before the max pools, reshapes and other choices whose output only it reads, towards the layer that
/// it can fuse with. The largest of positive parts is the positive part of the largest, to the bit.
pub(super) fn hoist_relu(graph: &mut Graph) {
    for mut relu in graph.firsts() {
        while graph.node(relu).step.properties().positive_part {
            let Some(before) = graph.node(relu).input(0) else { break };
            let choice = graph.node(before);
            let commutes = choice.step.properties().selects && choice.input(0).is_some();
            if !commutes || choice.step.output_count() > 1 || !graph.is_read_once(before) {
                break;
            }
            // The choice reads the ReLU, and whatever else it read, in the ReLU's place.
            let mut choice = choice.clone();
            let relu_node = std::mem::replace(graph.node_mut(relu), choice.clone());
            graph.node_mut(relu).inputs[0] = Some(before);
            choice.inputs.truncate(1);
            *graph.node_mut(before) = Node { inputs: choice.inputs, ..relu_node };
            relu = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{PoolGeometry, Step};
    use crate::ops::{Pool, Relu};
    use std::sync::Arc;

    fn relu() -> Step {
        Step::Compute(Arc::new(Relu))
    }

    fn is_relu(step: &Step) -> bool {
        step.properties().positive_part
    }

    #[test]
    fn a_relu_moves_before_the_pools() {
        let mut graph = Graph::new();
        let x = graph.input();
        let pool = Step::Compute(Arc::new(Pool::Max(PoolGeometry::square(2))));
        let a = graph.push(pool.clone(), &[x]).unwrap();
        let b = graph.push(pool, &[a]).unwrap();
        let c = graph.push(relu(), &[b]).unwrap();
        graph.set_output(c);
        hoist_relu(&mut graph);
        assert!(is_relu(&graph.node(a).step));
        assert!(graph.node(b).step.properties().selects);
        assert!(graph.node(c).step.properties().selects);
    }

    #[test]
    fn an_average_of_positive_parts_is_another_number_so_the_relu_stays() {
        let mut graph = Graph::new();
        let x = graph.input();
        let pool = Step::Compute(Arc::new(Pool::Avg(PoolGeometry::square(2))));
        let a = graph.push(pool, &[x]).unwrap();
        let b = graph.push(relu(), &[a]).unwrap();
        graph.set_output(b);
        hoist_relu(&mut graph);
        assert!(is_relu(&graph.node(b).step));
    }
}
