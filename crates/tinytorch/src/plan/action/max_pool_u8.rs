use super::{Action, Inputs, Target};
use crate::Result;
use crate::graph::{Compute, Cost, Exec, PoolGeometry};
use crate::ops::Pool;
use crate::tensor::{Dtype, Shape, TensorError};
use tinytorch_kernels::int8::{Layout, PoolShape, max_pool};

/// Levels read from which the pool uses several threads.
const SHARED_FROM: u64 = 2 << 18;

/// The largest level of each window of NHWC images.
#[derive(Debug)]
pub(in crate::plan) struct MaxPoolU8 {
    pub(in crate::plan) geometry: PoolGeometry,
    /// The output's.
    pub(in crate::plan) layout: Layout,
}

impl Action for MaxPoolU8 {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Pool::Max(self.geometry).shape(inputs)
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        let (levels, _) = inputs.levels()?;
        let Target::Levels(out, _) = out else {
            return Err(TensorError::Dtype { expected: Dtype::U8, got: Dtype::F32 }.into());
        };
        let shape = &inputs.views[0].shape;
        let PoolGeometry { kernel, stride, padding } = self.geometry;
        let (batch, channels, height, width) = (shape[0], shape[1], shape[2], shape[3]);
        let sizes = PoolShape { batch, channels, height, width, kernel, stride, padding };
        let isa = exec.isa();
        let ran = max_pool(isa, &sizes, levels, out, self.layout, &mut exec.scratch)?;
        exec.ran(ran);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let cost = Pool::Max(self.geometry).cost(inputs, output);
        Cost { read: cost.read / 4, written: cost.written / 4, ..cost }
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        cost.read >= SHARED_FROM
    }
}
