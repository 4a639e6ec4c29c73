//! Float linear layers.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Bounds, Compute, Cost, Exec};
use crate::ops::Linear;
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::f32::gemm::{Bias, Matrix, MatrixMut, PackedB, Scaling, gemm};
use tinytorch_kernels::threads::PRODUCT_F32;
use tinytorch_kernels::{Isa, Ran};

/// A float linear layer whose weight was packed once. The packed form takes as many bytes as the
/// weight, its outputs rounded up to 16, and the plan keeps no other.
#[derive(Debug)]
pub(in crate::plan) struct LinearF32 {
    weight: PackedB,
    weight_shape: Shape,
    bias: Option<Tensor>,
    bounds: Bounds,
}

impl LinearF32 {
    /// `x W^T + bias`, kept between bounds; `weight` is `[out, in]`, and is
    /// packed on `isa`.
    pub(in crate::plan) fn new(
        isa: Isa,
        weight: &Tensor,
        bias: Option<&Tensor>,
        bounds: Bounds,
    ) -> Result<LinearF32> {
        let dense = weight.contiguous()?;
        let weight_shape = *weight.shape();
        let &[outputs, inputs] = weight_shape.dims() else {
            let expected = "the weight is [out, in]".into();
            return Err(TensorError::Shape { op: "linear", shape: weight_shape, expected }.into());
        };
        let matrix = Matrix::new(dense.as_slice()?, outputs, inputs);
        let bias = bias.map(Tensor::contiguous).transpose()?;
        Ok(LinearF32 { weight: PackedB::new(isa, matrix.t()), weight_shape, bias, bounds })
    }

    fn with_constants(&self, input: Shape) -> Vec<Shape> {
        let bias = self.bias.as_ref().map(|bias| *bias.shape());
        [input, self.weight_shape].into_iter().chain(bias).collect()
    }
}

impl Action for LinearF32 {
    fn name(&self) -> &'static str {
        match self.bounds {
            Bounds::NONE => "linear",
            Bounds::POSITIVE => "linear + relu",
            _ => "linear + clip",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Linear.shape(&self.with_constants(inputs[0]))
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let x = inputs.views[0].f32()?;
        let (k, n) = (self.weight.rows(), self.weight.cols());
        let rows = x.len() / k.max(1);
        let bias = match &self.bias {
            Some(bias) => Bias::PerColumn(bias.as_slice()?),
            None => Bias::None,
        };
        let scaling = Scaling { bias, bounds: self.bounds, ..Scaling::default() };
        let c = MatrixMut::new(out.floats()?, rows, n);
        gemm(exec.isa(), Matrix::new(x, rows, k), &self.weight, c, &scaling);
        exec.ran(Ran::float("gemm_f32"));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Linear.cost(&self.with_constants(inputs[0]), output)
    }

    // The kernel counts packing a value as eight operations, two for each byte.
    fn shares_work(&self, cost: &Cost) -> bool {
        PRODUCT_F32.is_shared((cost.flops + 2 * cost.read) as usize)
    }

    fn weight_bytes(&self) -> usize {
        self.weight.bytes() + self.bias.as_ref().map_or(0, Tensor::bytes)
    }

    fn packed_bytes(&self) -> usize {
        self.weight.bytes()
    }
}
