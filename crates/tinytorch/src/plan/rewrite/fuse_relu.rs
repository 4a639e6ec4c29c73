use crate::graph::{Graph, Step};

/// Lets a layer whose output only a ReLU reads apply it as it writes.
pub(super) fn fuse_relu(graph: &mut Graph) {
    for relu in graph.edges() {
        if !matches!(graph.node(relu).step, Step::Relu) {
            continue;
        }
        let layer = graph.node(relu).inputs[0];
        if !graph.is_read_once(layer) {
            continue;
        }
        if let Step::Linear { relu: fused, .. } | Step::Conv2d { relu: fused, .. } =
            &mut graph.node_mut(layer).step
        {
            *fused = true;
            graph.redirect(relu, layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::graph::Weight;

    fn linear() -> Step {
        let weight = Weight::F32(Tensor::ones([2, 2]).unwrap());
        Step::Linear { weight, bias: None, relu: false }
    }

    #[test]
    fn a_relu_joins_the_layer_before_it() {
        let mut graph = Graph::new();
        let x = graph.input();
        let y = graph.push(linear(), &[x]).unwrap();
        let z = graph.push(Step::Relu, &[y]).unwrap();
        graph.set_output(z);
        fuse_relu(&mut graph);
        assert_eq!(graph.output(), Some(y));
        assert!(matches!(graph.node(y).step, Step::Linear { relu: true, .. }));
    }

    #[test]
    fn a_layer_that_others_read_too_keeps_its_negative_values() {
        let mut graph = Graph::new();
        let x = graph.input();
        let y = graph.push(linear(), &[x]).unwrap();
        let z = graph.push(Step::Relu, &[y]).unwrap();
        graph.push(linear(), &[y]).unwrap();
        graph.set_output(z);
        fuse_relu(&mut graph);
        assert_eq!(graph.output(), Some(z));
        assert!(matches!(graph.node(y).step, Step::Linear { relu: false, .. }));
    }
}
