//! Sums into the convolutions that compute one of their terms.

use crate::graph::{Bounds, Edge, Graph, Step, Weight};
use crate::int8::Encoding;

/// Lets a convolution whose output only a sum reads add the other term as it writes: the
/// convolution takes the sum's place and reads that term as a second input.
pub(super) fn fuse_sum(graph: &mut Graph) {
    for sum in graph.firsts() {
        let node = graph.node(sum);
        let &[Some(a), Some(b)] = &node.inputs[..] else { continue };
        if !node.step.properties().sums {
            continue;
        }
        let adds = |&(conv, _): &_| adds_as_it_writes(graph, conv);
        let Some((conv, other)) = [(a, b), (b, a)].into_iter().find(adds) else { continue };
        let mut fused = graph.node(conv).clone();
        fused.inputs.push(Some(other));
        *graph.node_mut(sum) = fused;
    }
}

/// Whether a node is a convolution of floats, or of levels, that nothing but a sum follows.
fn adds_as_it_writes(graph: &Graph, conv: Edge) -> bool {
    let node = graph.node(conv);
    let Step::Conv2d { weight, bounds: Bounds::NONE, .. } = &node.step else {
        return false;
    };
    // A convolution of floats by an int8 weight runs op by op.
    let is_one_step = match weight {
        Weight::Int8(weight) => weight.input() != Encoding::F32,
        Weight::F32(_) => true,
    };
    is_one_step && node.inputs.len() == 1 && graph.is_read_once(conv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Param, Role, Var};
    use crate::graph::ConvGeometry;
    use crate::int8::{Granularity, Int8Weight, QWeight};
    use crate::ops::Relu;
    use crate::plan::Plan;
    use crate::{Rng, Tensor};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// `conv(x) + x`, and what else reads the convolution.
    fn graph(input: Encoding, relu: bool, others: usize) -> Graph {
        let mut ctx = Ctx::trace();
        let x = ctx.input(&Tensor::ones([1, 4, 2, 2]).unwrap());
        let sum = x.add(&x, &mut ctx).unwrap();
        let mut graph = ctx.into_tape().unwrap().lower(&sum).unwrap();
        let (sum, x) = (graph.outputs()[0], graph.inputs()[0]);
        let add = graph.node(sum).step.clone();
        let weight = Tensor::ones([4, 4, 1, 1]).unwrap();
        let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let (weight, geometry) =
            (Weight::Int8(Int8Weight::new(weight, input)), ConvGeometry::default());
        let bounds = if relu { Bounds::POSITIVE } else { Bounds::NONE };
        let conv = Step::Conv2d { weight, bias: None, geometry, bounds };
        let conv = graph.push(conv, &[x]).unwrap();
        let sum = graph.push(add, &[x, conv]).unwrap();
        for _ in 0..others {
            graph.push(Step::Compute(Arc::new(Relu)), &[conv]).unwrap();
        }
        graph.set_output(sum);
        graph
    }

    #[test]
    fn the_convolution_takes_the_place_of_the_sum() {
        let mut graph = graph(Encoding::PerRow, false, 0);
        fuse_sum(&mut graph);
        let (x, sum) = (graph.inputs()[0], graph.node(graph.outputs()[0]));
        assert!(matches!(sum.step, Step::Conv2d { .. }));
        assert_eq!(sum.inputs, [Some(x), Some(x)]);
    }

    #[test]
    fn a_convolution_of_floats_adds_to_the_bit_what_the_op_adds() {
        let mut rng = Rng::seed(5);
        let x = Tensor::randn([2, 3, 9, 9], 1.0, &mut rng).unwrap();
        let kernel = Tensor::randn([3, 3, 3, 3], 1.0, &mut rng).unwrap();
        let kernel = Param::new(kernel, Role::ConvWeight { groups: 1 });
        for shape in [[2, 3, 9, 9], [1, 3, 1, 1], [2, 1, 9, 9]] {
            let added = Var::from(Tensor::randn(shape, 1.0, &mut rng).unwrap());
            let geometry = ConvGeometry { padding: [[1; 2]; 2], ..ConvGeometry::default() };
            let mut ctx = Ctx::trace();
            let y = ctx.input(&x).conv2d(&kernel, None, geometry, &mut ctx).unwrap();
            let y = y.add(&added, &mut ctx).unwrap().relu(&mut ctx).unwrap();
            let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
            let mut plan = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap();
            let (got, want) = (plan.run(&x).unwrap(), y.value());
            assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap(), "{shape:?}");
            assert_eq!(plan.steps()[0].op, "conv2d + add + relu");
        }
    }

    #[test]
    fn other_readers_a_relu_and_float_activations_are_in_the_way() {
        for (input, relu, others) in
            [(Encoding::PerRow, false, 1), (Encoding::PerRow, true, 0), (Encoding::F32, false, 0)]
        {
            let mut graph = graph(input, relu, others);
            fuse_sum(&mut graph);
            let sum = graph.node(graph.outputs()[0]);
            assert!(matches!(sum.step, Step::Compute(_)), "{input:?} {relu} {others}");
        }
    }
}
