//! Float convolutions.

use super::{Action, Operands, Target, add_stretched};
use crate::Result;
use crate::graph::{Bounds, Compute, ConvGeometry, Cost, Exec, View};
use crate::ops::Conv2d;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::f32::conv::{ConvWeight, Ending, PackedConvWeight, conv2d};
use tinytorch_kernels::threads::PRODUCT_F32;
use tinytorch_kernels::{Isa, Ran};

/// A float convolution of NCHW images whose weight was packed once, as a [`LinearF32`]'s is.
///
/// [`LinearF32`]: super::LinearF32
#[derive(Debug)]
pub(in crate::plan) struct ConvF32 {
    op: Conv2d,
    weight: Weight,
    weight_shape: Shape,
    bias: Option<Tensor>,
    adds: bool,
    bounds: Bounds,
}

#[derive(Debug)]
enum Weight {
    Packed(PackedConvWeight),
    /// Of a depthwise convolution, which is no matrix product.
    Plain(Tensor),
}

impl ConvF32 {
    /// A convolution plus bias, plus a second value if it is given one, kept between bounds; `weight` is
    /// `[out, in / groups, height, width]`, and is packed on `isa`.
    ///
    /// # Errors
    /// If the weight does not fit the geometry.
    pub(in crate::plan) fn new(
        isa: Isa,
        weight: &Tensor,
        geometry: ConvGeometry,
        bias: Option<&Tensor>,
        adds: bool,
        bounds: Bounds,
    ) -> Result<ConvF32> {
        let weight_shape = *weight.shape();
        let weight = weight.contiguous()?;
        let bias = bias.map(Tensor::contiguous).transpose()?;
        // The smallest image that the kernel fits stands for all: packing does not depend on it.
        let channels = weight_shape.get(1).copied().unwrap_or(1) * geometry.groups;
        let mut image = [1, channels, 1, 1];
        image[2..].copy_from_slice(weight_shape.get(2..4).unwrap_or(&[1, 1]));
        let image = Shape::new(&image)?;
        geometry.output(&image, &weight_shape)?;
        let weight = if geometry.groups > 1 && weight_shape[1] == 1 {
            Weight::Plain(weight)
        } else {
            let sizes = geometry.kernel_shape(&image, &weight_shape);
            Weight::Packed(PackedConvWeight::new(isa, &sizes, weight.as_slice()?))
        };
        Ok(ConvF32 { op: Conv2d { geometry }, weight, weight_shape, bias, adds, bounds })
    }

    fn convolve(
        &self,
        x: &View<'_>,
        plus: Option<&[f32]>,
        bounds: Bounds,
        out: &mut [f32],
        exec: &Exec,
    ) -> Result<()> {
        let sizes = self.op.geometry.kernel_shape(&x.shape, &self.weight_shape);
        let weight = match &self.weight {
            Weight::Packed(weight) => ConvWeight::Packed(weight),
            Weight::Plain(weight) => ConvWeight::Plain(weight.as_slice()?),
        };
        let bias = self.bias.as_ref().map(Tensor::as_slice).transpose()?;
        conv2d(exec.isa(), &sizes, x.f32()?, weight, Ending { bias, plus, bounds }, out);
        Ok(())
    }

    fn with_constants(&self, input: Shape) -> Vec<Shape> {
        let bias = self.bias.as_ref().map(|bias| *bias.shape());
        [input, self.weight_shape].into_iter().chain(bias).collect()
    }
}

impl Action for ConvF32 {
    fn name(&self) -> &'static str {
        match (self.adds, self.bounds) {
            (false, Bounds::NONE) => "conv2d",
            (false, Bounds::POSITIVE) => "conv2d + relu",
            (false, _) => "conv2d + clip",
            (true, Bounds::NONE) => "conv2d + add",
            (true, Bounds::POSITIVE) => "conv2d + add + relu",
            (true, _) => "conv2d + add + clip",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let own = self.op.shape(&self.with_constants(inputs[0]))?;
        match inputs.get(1) {
            Some(added) => Ok(own.broadcast(added, self.name())?),
            None => Ok(own),
        }
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let (x, out) = (&inputs.views[0], out.floats()?);
        let own = self.op.shape(&self.with_constants(x.shape))?;
        match inputs.views.get(1) {
            None => self.convolve(x, None, self.bounds, out, exec)?,
            Some(added) if added.shape == own => {
                self.convolve(x, Some(added.f32()?), self.bounds, out, exec)?;
            }
            Some(added) => {
                let mut working = std::mem::take(&mut exec.working);
                let results = working.numbers(own.len());
                self.convolve(x, None, Bounds::NONE, results, exec)?;
                add_stretched([own, added.shape], [results, added.f32()?], self.name(), out)?;
                out.iter_mut().for_each(|y| *y = self.bounds.of(*y));
                exec.working = working;
            }
        }
        exec.ran(Ran::float("conv_f32"));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.op.cost(&self.with_constants(inputs[0]), output)
    }

    // The kernel counts reading the windows as work, up to as much as the products.
    fn shares_work(&self, cost: &Cost) -> bool {
        PRODUCT_F32.is_shared(2 * cost.flops as usize)
    }

    fn weight_bytes(&self) -> usize {
        let weight = match &self.weight {
            Weight::Packed(weight) => weight.bytes(),
            Weight::Plain(weight) => weight.bytes(),
        };
        weight + self.bias.as_ref().map_or(0, Tensor::bytes)
    }

    fn packed_bytes(&self) -> usize {
        match &self.weight {
            Weight::Packed(weight) => weight.bytes(),
            Weight::Plain(_) => 0,
        }
    }
}
