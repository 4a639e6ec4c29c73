//! ReLUs into what computes what they read.

use crate::Result;
use crate::graph::{Compute, Cost, Exec, Graph, Inputs, Known, Orders, Properties, Step, ViewMut};
use crate::tensor::{Dtype, Shape};
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Lets a layer or sum whose output only a ReLU reads apply it as it writes.
pub(super) fn fuse_relu(graph: &mut Graph) {
    for relu in graph.firsts() {
        let node = graph.node(relu);
        let Some(before) = node.input(0).filter(|_| node.step.properties().positive_part) else {
            continue;
        };
        if !graph.is_read_once(before) {
            continue;
        }
        match &mut graph.node_mut(before).step {
            Step::Linear { relu: fused, .. } | Step::Conv2d { relu: fused, .. } => *fused = true,
            Step::Compute(op) if op.output_count() == 1 && !op.properties().reshapes => {
                *op = Arc::new(ThenRelu(op.clone()));
            }
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

    fn properties(&self) -> Properties {
        let Properties { pointwise, orders, looks_up, sizes, joins, .. } = self.0.properties();
        // What joins images may only be in either order if it says that it joins, and then takes levels.
        let orders = if joins { Orders::ByChannel } else { orders };
        Properties { pointwise, orders, looks_up, sizes, ..Properties::default() }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        self.0.outputs(inputs)
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        self.0.run_typed(inputs, outputs, exec)?;
        outputs.iter_mut().try_for_each(|output| output.f32().map(positive_part))
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        mut output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        self.0.run_images(inputs, output.reborrow(), orders, exec)?;
        output.f32().map(positive_part)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let own = Cost { flops: output.len() as u64, ..Cost::default() };
        self.0.cost(inputs, output) + own
    }
}

fn positive_part(values: &mut [f32]) {
    values.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::autograd::Ctx;
    use crate::graph::Weight;
    use crate::ops::Relu;

    fn relu() -> Step {
        Step::Compute(Arc::new(Relu))
    }

    fn linear() -> Step {
        let weight = Weight::F32(Tensor::ones([2, 2]).unwrap());
        Step::Linear { weight, bias: None, relu: false }
    }

    #[test]
    fn a_relu_joins_the_layer_before_it() {
        let mut graph = Graph::new();
        let x = graph.input();
        let y = graph.push(linear(), &[x]).unwrap();
        let z = graph.push(relu(), &[y]).unwrap();
        graph.set_output(z);
        fuse_relu(&mut graph);
        assert_eq!(graph.outputs(), [y]);
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
        let Step::Compute(op) = &graph.node(graph.outputs()[0]).step else {
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
        let z = graph.push(relu(), &[y]).unwrap();
        graph.push(linear(), &[y]).unwrap();
        graph.set_output(z);
        fuse_relu(&mut graph);
        assert_eq!(graph.outputs(), [z]);
        assert!(matches!(graph.node(y).step, Step::Linear { relu: false, .. }));
    }
}
