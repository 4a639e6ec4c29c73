//! Float convolutions.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Bounds, Compute, ConvGeometry, Cost, Exec};
use crate::ops::Conv2d;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::f32::conv::{ConvWeight, PackedConvWeight, conv2d};
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
    bounds: Bounds,
}

#[derive(Debug)]
enum Weight {
    Packed(PackedConvWeight),
    /// Of a depthwise convolution, which is no matrix product.
    Plain(Tensor),
}

impl ConvF32 {
    /// A convolution plus bias, kept between bounds; `weight` is
    /// `[out, in / groups, height, width]`, and is packed on `isa`.
    ///
    /// # Errors
    /// If the weight does not fit the geometry.
    pub(in crate::plan) fn new(
        isa: Isa,
        weight: &Tensor,
        geometry: ConvGeometry,
        bias: Option<&Tensor>,
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
        Ok(ConvF32 { op: Conv2d { geometry }, weight, weight_shape, bias, bounds })
    }

    fn with_constants(&self, input: Shape) -> Vec<Shape> {
        let bias = self.bias.as_ref().map(|bias| *bias.shape());
        [input, self.weight_shape].into_iter().chain(bias).collect()
    }
}

impl Action for ConvF32 {
    fn name(&self) -> &'static str {
        match self.bounds {
            Bounds::NONE => "conv2d",
            Bounds::POSITIVE => "conv2d + relu",
            _ => "conv2d + clip",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.op.shape(&self.with_constants(inputs[0]))
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let x = &inputs.views[0];
        let sizes = self.op.geometry.kernel_shape(&x.shape, &self.weight_shape);
        let weight = match &self.weight {
            Weight::Packed(weight) => ConvWeight::Packed(weight),
            Weight::Plain(weight) => ConvWeight::Plain(weight.as_slice()?),
        };
        let bias = self.bias.as_ref().map(Tensor::as_slice).transpose()?;
        conv2d(exec.isa(), &sizes, x.f32()?, weight, bias, self.bounds, out.floats()?);
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
