use super::linear_int8::SHARED_FROM;
use super::{Action, Inputs, Target, bias_and_shift};
use crate::Result;
use crate::graph::{Compute, ConvGeometry, Cost, Exec};
use crate::int8::QWeight;
use crate::ops::Conv2dInt8;
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;
use tinytorch_kernels::int8::{Epilogue, Images, Layout};

/// A convolution from NHWC levels to NCHW floats, or to levels in the order that their readers want.
#[derive(Debug)]
pub(in crate::plan) struct ConvInt8 {
    op: Conv2dInt8,
    bias: Option<Tensor>,
    relu: bool,
    layout: Layout,
}

impl ConvInt8 {
    /// A convolution plus bias, then optionally the positive part; `layout` is the output's.
    pub(in crate::plan) fn new(
        weight: &Arc<QWeight>,
        geometry: ConvGeometry,
        bias: Option<&Tensor>,
        relu: bool,
        layout: Layout,
    ) -> Result<ConvInt8> {
        let bias = bias_and_shift(weight, bias)?;
        Ok(ConvInt8 { op: Conv2dInt8 { weight: weight.clone(), geometry }, bias, relu, layout })
    }
}

impl Action for ConvInt8 {
    fn name(&self) -> &'static str {
        if self.relu { "conv2d + relu" } else { "conv2d" }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.op.shape(inputs)
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        let (data, params) = inputs.levels()?;
        let bias = self.bias.as_ref().map(Tensor::as_slice).transpose()?.or(self.op.weight.shift());
        let scales = self.op.weight.scales().as_kernel();
        let epilogue = Epilogue { scales, bias, relu: self.relu };
        let output = (out.kernel_output()?, self.layout);
        let images = Images { data, params };
        self.op.convolve(&inputs.views[0].shape, &images, &epilogue, output, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.op.cost(inputs, output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        cost.flops >= SHARED_FROM
    }

    fn weight_bytes(&self) -> usize {
        self.op.weight.bytes() + self.bias.as_ref().map_or(0, Tensor::bytes)
    }
}
