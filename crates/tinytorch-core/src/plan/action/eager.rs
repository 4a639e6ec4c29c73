use super::{Action, Inputs, MAX_INPUTS, Target};
use crate::Result;
use crate::graph::{Compute, Cost, Elements, Exec, View, image_dims};
use crate::plan::PlanError;
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Operations from which an eager op may use several threads.
const SHARED_FROM: u64 = 200_000;

/// An op as eager execution runs it, its last inputs being constants.
#[derive(Debug)]
pub(in crate::plan) struct Eager {
    op: Arc<dyn Compute>,
    constants: Vec<Tensor>,
    layout: Layout,
}

impl Eager {
    /// `op` on `inputs` computed values and on `constants`. `layout` is that of inputs and output;
    /// an op that is not pointwise takes [`Layout::Nchw`] only.
    ///
    /// # Errors
    /// [`PlanError::TooManyInputs`].
    pub(in crate::plan) fn new(
        op: Arc<dyn Compute>,
        inputs: usize,
        constants: &[&Tensor],
        layout: Layout,
    ) -> Result<Eager> {
        let (got, max) = (inputs + constants.len(), MAX_INPUTS);
        if got > max {
            return Err(PlanError::TooManyInputs { op: op.name(), got, max }.into());
        }
        let constants = constants.iter().map(|t| t.contiguous()).collect::<Result<_>>()?;
        Ok(Eager { op, constants, layout })
    }

    fn with_constants(&self, inputs: &[Shape]) -> Vec<Shape> {
        inputs.iter().copied().chain(self.constants.iter().map(|t| *t.shape())).collect()
    }
}

impl Action for Eager {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.op.shape(&self.with_constants(inputs))
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        let mut views = [View { shape: Shape::SCALAR, elements: Elements::F32(&[]) }; MAX_INPUTS];
        let computed = inputs.views.len();
        views[..computed].copy_from_slice(inputs.views);
        for (view, constant) in views[computed..].iter_mut().zip(&self.constants) {
            *view = View::of(constant)?;
        }
        if self.layout == Layout::Nhwc {
            for view in &mut views[..computed] {
                let [batch, channels, height, width] = image_dims(self.op.name(), &view.shape)?;
                view.shape = Shape::new(&[batch, height, width, channels])?;
            }
        }
        self.op.run(&views[..computed + self.constants.len()], out.floats()?, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.op.cost(&self.with_constants(inputs), output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        cost.flops >= SHARED_FROM
    }

    fn weight_bytes(&self) -> usize {
        self.constants.iter().map(Tensor::bytes).sum()
    }
}
