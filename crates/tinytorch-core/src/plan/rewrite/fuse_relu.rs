use crate::Result;
use crate::graph::{Compute, Cost, Exec, Graph, Step, View};
use crate::tensor::Shape;
use std::sync::Arc;

/// Lets a layer or sum whose output only a ReLU reads apply it as it writes.
pub(super) fn fuse_relu(graph: &mut Graph) {
    for relu in graph.edges() {
        if !matches!(graph.node(relu).step, Step::Relu) {
            continue;
        }
        let before = graph.node(relu).inputs[0];
        if !graph.is_read_once(before) {
            continue;
        }
        match &mut graph.node_mut(before).step {
            Step::Linear { relu: fused, .. } | Step::Conv2d { relu: fused, .. } => *fused = true,
            Step::Compute(op) => *op = Arc::new(ThenRelu(op.clone())),
            _ => continue,
        }
        graph.redirect(relu, before);
    }
}

/// An op, and the positive part of what it computes.
#[derive(Debug)]
pub(in crate::plan) struct ThenRelu(pub(in crate::plan) Arc<dyn Compute>);

impl Compute for ThenRelu {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.0.shape(inputs)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        self.0.run(inputs, out, exec)?;
        out.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let own = Cost { flops: output.len() as u64, ..Cost::default() };
        self.0.cost(inputs, output) + own
    }

    fn is_pointwise(&self) -> bool {
        self.0.is_pointwise()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::autograd::Ctx;
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
    fn a_relu_joins_the_sum_before_it() {
        let mut ctx = Ctx::trace();
        let x = Tensor::from_vec(vec![-1.0, 2.0], [2]).unwrap();
        let x = ctx.input(&x);
        let y = x.add(&x, &mut ctx).unwrap().relu(&mut ctx).unwrap();
        let mut graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        fuse_relu(&mut graph);
        let Step::Compute(op) = &graph.node(graph.output().unwrap()).step else {
            panic!("{:?}", graph.nodes())
        };
        let mut exec = Exec::new(tinytorch_kernels::Isa::active());
        let y = op.forward(&[x.value(), x.value()], &mut exec).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 4.0]);
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
