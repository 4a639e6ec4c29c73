//! Pixels to channels and back.

use super::moves;
use super::sources::{self, Each, for_each_index};
use crate::Result;
use crate::autograd::{Op, Saved};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// Blocks of pixels of images `[n, c, h, w]` of any type as channels, or channels as blocks of pixels. The gradient goes
/// back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// `[n, c, h, w]` becomes `[n, c / b^2, h b, w b]`: channel `(i b + j) c / b^2 + k` is pixel `(i, j)` of channel `k`.
    DepthToSpace {
        /// Height and width of a block.
        block: usize,
        /// Whether a channel's pixels lie side by side instead: channel `k b^2 + i b + j`.
        by_channel: bool,
    },
    /// `[n, c, h, w]` becomes `[n, c b^2, h / b, w / b]`, the first of these the other way round.
    SpaceToDepth {
        /// Height and width of a block.
        block: usize,
    },
}

impl Blocks {
    fn result(self, x: &Shape) -> Result<Shape> {
        let op = self.name();
        let wrong =
            |expected: &str| TensorError::Shape { op, shape: *x, expected: expected.into() };
        let &[n, c, h, w] = x.dims() else {
            return Err(wrong("images are [batch, channels, height, width]").into());
        };
        let (Blocks::DepthToSpace { block, .. } | Blocks::SpaceToDepth { block }) = self;
        let area = block.checked_mul(block).filter(|area| *area > 0);
        let area = area.ok_or_else(|| wrong("a block has at least one pixel"))?;
        match self {
            Blocks::DepthToSpace { .. } if c.is_multiple_of(area) => {
                Ok(Shape::new(&[n, c / area, h.saturating_mul(block), w.saturating_mul(block)])?)
            }
            Blocks::SpaceToDepth { .. } if h.is_multiple_of(block) && w.is_multiple_of(block) => {
                Ok(Shape::new(&[n, c.saturating_mul(area), h / block, w / block])?)
            }
            _ => Err(wrong("channels or pixels must be whole blocks").into()),
        }
    }

    fn for_each(self, x: &Shape, output: &Shape, each: Each<'_>) {
        let strides = x.strides();
        for_each_index(output, |index| {
            let &[n, c, h, w] = index else { return };
            let from = match self {
                Blocks::DepthToSpace { block, by_channel } => {
                    let (i, j) = (h % block, w % block);
                    let channel = match by_channel {
                        true => (c * block + i) * block + j,
                        false => (i * block + j) * output[1] + c,
                    };
                    [n, channel, h / block, w / block]
                }
                Blocks::SpaceToDepth { block } => {
                    let (part, channel) = (c / x[1], c % x[1]);
                    [n, channel, h * block + part / block, w * block + part % block]
                }
            };
            each(Some(from.iter().zip(strides).map(|(at, stride)| at * stride).sum()), 1);
        });
    }
}

impl Compute for Blocks {
    fn name(&self) -> &'static str {
        match self {
            Blocks::DepthToSpace { .. } => "depth_to_space",
            Blocks::SpaceToDepth { .. } => "space_to_depth",
        }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        Ok(vec![(self.result(&x.shape)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        let shape = output.shape;
        sources::gather(x, None, output, |each| self.for_each(&x.shape, &shape, each))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Blocks {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (x, output) = (*saved.shape(0), *grad.shape());
        Ok(vec![Some(sources::give_back(&x, grad, |each| self.for_each(&x, &output, each))?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    const ALL: [Blocks; 3] = [
        Blocks::DepthToSpace { block: 2, by_channel: false },
        Blocks::DepthToSpace { block: 2, by_channel: true },
        Blocks::SpaceToDepth { block: 2 },
    ];

    #[test]
    fn gradients() {
        let x = [Tensor::randn([1, 8, 2, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        for op in ALL {
            gradcheck(|v, ctx| ctx.apply(op, &[&v[0]]), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn there_and_back() {
        let x = Var::from(Tensor::arange(32).unwrap().reshape([1, 8, 2, 2]).unwrap());
        let mut ctx = Ctx::eval();
        let wide = ctx.apply(ALL[0], &[&x]).unwrap();
        assert_eq!(wide.shape().dims(), [1, 2, 4, 4]);
        assert_eq!(wide.value().to_vec::<f32>().unwrap()[..4], [0.0, 8.0, 1.0, 9.0]);
        let back = ctx.apply(ALL[2], &[&wide]).unwrap();
        assert_eq!(back.value().to_vec::<f32>().unwrap(), x.value().to_vec::<f32>().unwrap());
        let side_by_side = ctx.apply(ALL[1], &[&x]).unwrap();
        assert_eq!(side_by_side.value().to_vec::<f32>().unwrap()[..4], [0.0, 4.0, 1.0, 5.0]);
        assert!(ctx.apply(Blocks::DepthToSpace { block: 3, by_channel: true }, &[&x]).is_err());
        assert!(ctx.apply(Blocks::SpaceToDepth { block: 0 }, &[&x]).is_err());
    }
}
