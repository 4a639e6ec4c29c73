use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Edge, Graph, Step, View, Weight};
use crate::int8::QWeight;
use crate::tensor::Shape;
use std::sync::Arc;
use tinytorch_kernels::isa::Isa;

/// `x W^T + b` with int8 weights.
#[derive(Clone, Debug)]
pub(super) struct LinearInt8 {
    weight: Arc<QWeight>,
    isa: Isa,
}

impl LinearInt8 {
    pub(super) fn new(weight: Arc<QWeight>, isa: Isa) -> LinearInt8 {
        LinearInt8 { weight, isa }
    }
}

impl Compute for LinearInt8 {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        super::linear::output_shape(&inputs[0], self.weight.shape())
    }

    fn run(&self, _inputs: &[View<'_>], _out: &mut [f32]) -> Result<()> {
        let _ = self.isa;
        unimplemented!()
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2 * self.weight.shape()[1] as u64)
    }
}

impl Op for LinearInt8 {
    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        let bias = inputs.get(1).map(|&b| graph.constant_at(b, "linear")).transpose()?.cloned();
        let weight = Weight::Int8(self.weight.clone());
        graph.push(Step::Linear { weight, bias, relu: false }, &inputs[..1])
    }
}
