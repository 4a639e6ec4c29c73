//! ReLUs and clips into what computes what they read.

use crate::Result;
use crate::graph::{
    Bounds, Compute, Cost, Exec, Graph, Inputs, Known, Orders, Properties, Step, ViewMut, Weight,
};
use crate::tensor::{Dtype, Shape};
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Lets a layer or sum whose output only a ReLU reads apply it as it writes, and a float layer a clip.
pub(super) fn fuse_relu(graph: &mut Graph) {
    for edge in graph.firsts() {
        let node = graph.node(edge);
        let facts = node.step.properties();
        let clip = facts.clips.map(|[low, high]| Bounds { low, high });
        let bounds = if facts.positive_part { Some(Bounds::POSITIVE) } else { clip };
        let (Some(new), Some(before)) = (bounds, node.input(0)) else { continue };
        if !graph.is_read_once(before) {
            continue;
        }
        match &mut graph.node_mut(before).step {
            Step::Linear { weight, bounds, .. } | Step::Conv2d { weight, bounds, .. }
                if *bounds == Bounds::NONE
                    && (facts.positive_part || matches!(weight, Weight::F32(_))) =>
            {
                *bounds = new;
            }
            Step::Compute(op)
                if facts.positive_part && op.output_count() == 1 && !op.properties().reshapes =>
            {
                *op = Arc::new(ThenRelu(op.clone()));
            }
            _ => continue,
        }
        graph.redirect(edge, before);
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
    values.iter_mut().for_each(|y| *y = Bounds::POSITIVE.of(*y));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::autograd::Ctx;
    use crate::int8::{Encoding, Granularity, Int8Weight, QWeight};
    use crate::ops::{Clamp, Pointwise, Relu};

    fn relu() -> Step {
        Step::Compute(Arc::new(Relu))
    }

    fn linear() -> Step {
        let weight = Weight::F32(Tensor::ones([2, 2]).unwrap());
        Step::Linear { weight, bias: None, bounds: Bounds::NONE }
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
        assert!(matches!(graph.node(y).step, Step::Linear { bounds: Bounds::POSITIVE, .. }));
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
    fn a_clip_joins_a_float_layer_that_has_no_bounds_yet() {
        let clip = || {
            let f = Clamp { low: -1.0, high: 6.0 };
            Step::Compute(Arc::new(Pointwise { name: "clip", f }))
        };
        let int8 = QWeight::quantize(&Tensor::ones([2, 2]).unwrap(), Granularity::PerChannel);
        let int8 = Weight::Int8(Int8Weight::new(int8.unwrap(), Encoding::PerRow));
        let int8 = Step::Linear { weight: int8, bias: None, bounds: Bounds::NONE };
        for (layer, joins) in [(linear(), true), (int8, false)] {
            let mut graph = Graph::new();
            let x = graph.input();
            let y = graph.push(layer, &[x]).unwrap();
            let z = graph.push(clip(), &[y]).unwrap();
            let again = graph.push(clip(), &[z]).unwrap();
            graph.set_output(again);
            fuse_relu(&mut graph);
            let Step::Linear { bounds, .. } = graph.node(y).step else { unreachable!() };
            let expected = if joins { Bounds { low: -1.0, high: 6.0 } } else { Bounds::NONE };
            assert_eq!(bounds, expected);
            let before = graph.node(graph.outputs()[0]).input(0);
            assert_eq!(before, Some(if joins { y } else { z }), "the second clip stays");
        }
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
        assert!(matches!(graph.node(y).step, Step::Linear { bounds: Bounds::NONE, .. }));
    }
}
