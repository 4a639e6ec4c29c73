//! Int8 convolutions.

use super::{Action, Operands, Target, add_stretched, bias_and_shift, int8_operations};
use crate::Result;
use crate::graph::{Compute, ConvGeometry, Cost, Exec, image_dims};
use crate::int8::Int8Weight;
use crate::ops::Conv2dInt8;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::int8::{Epilogue, Images, Layout, Output};
use tinytorch_kernels::threads::CONV_INT8;

/// A convolution from NHWC levels to floats or levels in the order that their readers want. If it reads a
/// second value, floats in the order of the output, it adds these to its own.
#[derive(Debug)]
pub(in crate::plan) struct ConvInt8 {
    op: Conv2dInt8,
    bias: Option<Tensor>,
    /// Whether it reads a second value.
    adds: bool,
    relu: bool,
    layout: Layout,
}

impl ConvInt8 {
    /// A convolution plus bias, plus a second value if it `adds` one, then optionally the positive part;
    /// `layout` is the output's.
    pub(in crate::plan) fn new(
        weight: &Int8Weight,
        geometry: ConvGeometry,
        bias: Option<&Tensor>,
        adds: bool,
        relu: bool,
        layout: Layout,
    ) -> Result<ConvInt8> {
        let bias = bias_and_shift(weight, bias)?;
        let op = Conv2dInt8 { weight: weight.clone(), geometry };
        Ok(ConvInt8 { op, bias, adds, relu, layout })
    }

    fn convolve(
        &self,
        inputs: &Operands<'_>,
        relu: bool,
        output: Output<'_>,
        exec: &mut Exec,
    ) -> Result<()> {
        let (data, params) = inputs.levels()?;
        let bias = self.bias.as_ref().map(Tensor::as_slice).transpose()?.or(self.op.weight.shift());
        let epilogue = Epilogue { scales: self.op.weight.scales().as_kernel(), bias, relu };
        let images = Images { data, params };
        self.op.convolve(&inputs.views[0].shape, &images, &epilogue, (output, self.layout), exec)
    }

    /// The sum with a value of another shape, one of which stretches to the other.
    fn convolve_and_stretch(
        &self,
        inputs: &Operands<'_>,
        out: &mut [f32],
        exec: &mut Exec,
    ) -> Result<()> {
        let own = self.op.shape(&[inputs.views[0].shape])?;
        let mut working = std::mem::take(&mut exec.working);
        let results = working.numbers(own.len());
        self.convolve(inputs, false, Output::F32(results), exec)?;
        let mut shapes = [own, inputs.views[1].shape];
        if self.layout == Layout::Nhwc {
            for shape in &mut shapes {
                let [batch, channels, height, width] = image_dims(self.name(), shape)?;
                *shape = Shape::new(&[batch, height, width, channels])?;
            }
        }
        add_stretched(shapes, [results, inputs.views[1].f32()?], self.name(), out)?;
        if self.relu {
            out.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        }
        exec.working = working;
        Ok(())
    }
}

impl Action for ConvInt8 {
    fn name(&self) -> &'static str {
        match (self.adds, self.relu) {
            (false, false) => "conv2d",
            (false, true) => "conv2d + relu",
            (true, false) => "conv2d + add",
            (true, true) => "conv2d + add + relu",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let own = self.op.shape(&inputs[..1])?;
        match inputs.get(1) {
            Some(added) => Ok(own.broadcast(added, self.name())?),
            None => Ok(own),
        }
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let Some(added) = inputs.views.get(1) else {
            return self.convolve(inputs, self.relu, out.kernel_output()?, exec);
        };
        let data = out.floats()?;
        if added.shape == self.op.shape(&[inputs.views[0].shape])? {
            let output = Output::Sum { data, plus: added.f32()? };
            return self.convolve(inputs, self.relu, output, exec);
        }
        self.convolve_and_stretch(inputs, data, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.op.cost(inputs, output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        CONV_INT8.is_shared(int8_operations(cost, self.op.weight.panels().k()))
    }

    fn weight_bytes(&self) -> usize {
        self.op.weight.bytes() + self.bias.as_ref().map_or(0, Tensor::bytes)
    }
}
