//! Int8 linear layers.

use super::{Action, Operands, Target, bias_and_shift, int8_operations};
use crate::Result;
use crate::graph::{Compute, Cost, Exec};
use crate::int8::Int8Weight;
use crate::ops;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::int8::Epilogue;
use tinytorch_kernels::threads::PRODUCT_INT8;

/// A linear layer from levels to floats or levels.
#[derive(Debug)]
pub(in crate::plan) struct LinearInt8 {
    op: ops::LinearInt8,
    bias: Option<Tensor>,
    relu: bool,
}

impl LinearInt8 {
    /// `x W^T + bias`, then optionally the positive part.
    pub(in crate::plan) fn new(
        weight: &Int8Weight,
        bias: Option<&Tensor>,
        relu: bool,
    ) -> Result<LinearInt8> {
        let bias = bias_and_shift(weight, bias)?;
        Ok(LinearInt8 { op: ops::LinearInt8(weight.clone()), bias, relu })
    }
}

impl Action for LinearInt8 {
    fn name(&self) -> &'static str {
        if self.relu { "linear + relu" } else { "linear" }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.op.shape(inputs)
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let (levels, params) = inputs.levels()?;
        let bias = self.bias.as_ref().map(Tensor::as_slice).transpose()?.or(self.op.0.shift());
        let weight = &self.op.0;
        let epilogue = Epilogue { scales: weight.scales().as_kernel(), bias, relu: self.relu };
        ops::multiply(weight, levels, params, &epilogue, out.kernel_output()?, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.op.cost(inputs, output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        PRODUCT_INT8.is_shared(int8_operations(cost, self.op.0.panels().k()))
    }

    fn weight_bytes(&self) -> usize {
        self.op.0.bytes() + self.bias.as_ref().map_or(0, Tensor::bytes)
    }
}
