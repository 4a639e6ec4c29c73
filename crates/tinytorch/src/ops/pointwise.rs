use crate::Result;
use crate::autograd::{Op, Saved, Saves, lower_opaque};
use crate::graph::{Compute, Cost, Edge, Exec, Graph, View};
use crate::tensor::{Shape, Tensor, parallel};
use std::fmt::Debug;
use std::sync::Arc;

/// Which argument a derivative is easiest to write in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slope {
    /// `f'` as a function of the input `x`.
    OfInput,
    /// `f'` as a function of the output `y = f(x)`, so that the input need not be kept.
    OfOutput,
}

/// A function of one number and its derivative: all that a pointwise op has of its own.
pub(super) trait Function: Copy + Debug + Send + Sync + 'static {
    /// The op's name.
    const NAME: &'static str;
    /// Operations per element, an exponential counted as ten.
    const OPERATIONS: u64;
    /// What [`Function::slope`] is given.
    const SLOPE: Slope;

    /// `f(x)`.
    fn value(self, x: f32) -> f32;

    /// `f'` at the input or output, as [`Function::SLOPE`] says.
    fn slope(self, at: f32) -> f32;
}

/// A function applied to every element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointwise<F>(pub(super) F);

/// Elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

impl<F: Function> Compute for Pointwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let x = inputs[0].f32()?;
        let work = x.len() * F::OPERATIONS as usize;
        parallel::for_each_chunk(
            out,
            CHUNK,
            work,
            || (),
            |(), i, out| {
                out.iter_mut().zip(&x[i * CHUNK..]).for_each(|(y, &x)| *y = self.0.value(x));
            },
        );
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, F::OPERATIONS)
    }
}

impl<F: Function> Op for Pointwise<F> {
    fn saves(&self) -> Saves {
        match F::SLOPE {
            Slope::OfInput => Saves::Inputs,
            Slope::OfOutput => Saves::Output,
        }
    }

    fn backward(&self, saved: &Saved, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let at = match F::SLOPE {
            Slope::OfInput => saved.input(0)?,
            Slope::OfOutput => saved.output()?,
        };
        let (at, g) = (at.contiguous()?, grad.contiguous()?);
        let (at, g) = (at.as_slice::<f32>()?, g.as_slice::<f32>()?);
        let mut out = vec![0f32; g.len()];
        let work = g.len() * F::OPERATIONS as usize;
        parallel::for_each_chunk(
            &mut out,
            CHUNK,
            work,
            || (),
            |(), i, out| {
                let pairs = g[i * CHUNK..].iter().zip(&at[i * CHUNK..]);
                out.iter_mut().zip(pairs).for_each(|(d, (g, &at))| *d = g * self.0.slope(at));
            },
        );
        Ok(vec![Some(Tensor::from_vec(out, *grad.shape())?)])
    }

    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        lower_opaque(self, graph, inputs)
    }
}

/// Checks a function's derivative by differences at these points.
#[cfg(test)]
pub(super) fn check<F: Function>(f: F, points: &[f32]) {
    let x = Tensor::from_vec(points.to_vec(), [points.len()]).unwrap();
    crate::autograd::gradcheck(|v, ctx| ctx.apply(Pointwise(f), &[&v[0]]), &[x], 1e-3).unwrap();
}
