use crate::graph::{Graph, Step};

/// Moves a ReLU before the max pools and reshapes whose output only it reads, towards the layer that
/// it can fuse with. The largest of positive parts is the positive part of the largest, to the bit.
pub(super) fn hoist_relu(graph: &mut Graph) {
    for mut relu in graph.edges() {
        while matches!(graph.node(relu).step, Step::Relu) {
            let before = graph.node(relu).inputs[0];
            let commutes = matches!(graph.node(before).step, Step::MaxPool2d(_) | Step::Reshape(_));
            if !commutes || !graph.is_read_once(before) {
                break;
            }
            let step = std::mem::replace(&mut graph.node_mut(before).step, Step::Relu);
            graph.node_mut(relu).step = step;
            relu = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::PoolGeometry;

    #[test]
    fn a_relu_moves_before_the_pools() {
        let mut graph = Graph::new();
        let x = graph.input();
        let pool = Step::MaxPool2d(PoolGeometry::square(2));
        let a = graph.push(pool.clone(), &[x]).unwrap();
        let b = graph.push(pool, &[a]).unwrap();
        let c = graph.push(Step::Relu, &[b]).unwrap();
        graph.set_output(c);
        hoist_relu(&mut graph);
        assert!(matches!(graph.node(a).step, Step::Relu));
        assert!(matches!(graph.node(b).step, Step::MaxPool2d(_)));
        assert!(matches!(graph.node(c).step, Step::MaxPool2d(_)));
    }

    #[test]
    fn an_average_of_positive_parts_is_another_number_so_the_relu_stays() {
        let mut graph = Graph::new();
        let x = graph.input();
        let a = graph.push(Step::AvgPool2d(PoolGeometry::square(2)), &[x]).unwrap();
        let b = graph.push(Step::Relu, &[a]).unwrap();
        graph.set_output(b);
        hoist_relu(&mut graph);
        assert!(matches!(graph.node(b).step, Step::Relu));
    }
}
