use super::{Action, Inputs, Target};
use crate::Result;
use crate::graph::{Compute, Cost, Exec, PoolGeometry};
use crate::ops::Pool;
use crate::tensor::{Shape, TensorError};
use tinytorch_kernels::pool::{PoolOrder, PoolShape, max_pool};

/// Bytes read from which the pool uses several threads.
const SHARED_FROM: u64 = 2 << 18;

/// The largest value of each window, of floats or of levels.
#[derive(Debug)]
pub(in crate::plan) struct MaxPool {
    pub(in crate::plan) geometry: PoolGeometry,
    pub(in crate::plan) order: PoolOrder,
}

impl Action for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = Pool::Max(self.geometry).shape(inputs)?;
        if inputs[0][2] * inputs[0][3] == 0 {
            let expected = "the images must have pixels".into();
            let (op, shape) = (self.name(), inputs[0]);
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        Ok(shape)
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        let shape = &inputs.views[0].shape;
        let PoolGeometry { kernel, stride, padding } = self.geometry;
        let (batch, channels, height, width) = (shape[0], shape[1], shape[2], shape[3]);
        let (padding, dilation) = (padding.map(|pad| [pad; 2]), [1, 1]);
        let shape = PoolShape { batch, channels, height, width, kernel, stride, padding, dilation };
        let isa = exec.isa();
        if let Target::Levels(out, _) = out {
            let (levels, _) = inputs.levels()?;
            max_pool(isa, &shape, self.order, levels, out, &mut exec.scratch);
            exec.ran("max_pool_u8");
        } else {
            let (x, out) = (inputs.views[0].f32()?, out.floats()?);
            max_pool(isa, &shape, self.order, x, out, &mut exec.scratch);
            exec.ran("max_pool_f32");
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Pool::Max(self.geometry).cost(inputs, output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        cost.read >= SHARED_FROM
    }
}
