//! Positions of tokens.

use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Role, Var};
use crate::ops::Weight;
use crate::tensor::{Shape, Tensor};

/// A learned vector added for each position: `y[.., p, :] = x[.., p, :] + weight[offset + p, :]`.
///
/// The weight is `[max_len, embed_dim]`, the input `[.., length, embed_dim]`. A traced model follows
/// its input's length.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Init, PositionalEncoding}};
/// let layer = PositionalEncoding::new(32, 8, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::zeros([2, 5, 8])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 5, 8]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct PositionalEncoding {
    #[module(config)]
    max_len: usize,
    #[module(config)]
    embed_dim: usize,
    /// `[max_len, embed_dim]`.
    pub weight: Weight,
}

impl PositionalEncoding {
    /// A table that starts normal with a standard deviation of 0.02, as in GPT-2.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(max_len: usize, embed_dim: usize, init: &mut Init) -> Result<PositionalEncoding> {
        let weight = init.normal([max_len, embed_dim], 0.02, Role::Embedding)?;
        Ok(PositionalEncoding { max_len, embed_dim, weight: weight.into() })
    }

    /// [`Forward::forward`] for a sequence whose first position is `offset`.
    ///
    /// # Errors
    /// [`OpError::Context`](crate::ops::OpError::Context) if the sequence ends beyond `max_len`,
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) for vectors of another length.
    pub fn forward_from(&self, offset: usize, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.add(&input.positions(&self.weight, offset, ctx)?, ctx)
    }
}

impl Forward for PositionalEncoding {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.forward_from(0, input, ctx)
    }
}

/// A fixed vector of waves added for each position (Vaswani et al., 2017):
/// `sin(p / 10000^(2i / dim))` at entry `2i` and the cosine at `2i + 1`.
///
/// It has no parameters. The input is `[.., length, embed_dim]`, at most `max_len` long.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, SinusoidalEncoding}};
/// let layer = SinusoidalEncoding::new(32, 4)?;
/// let y = layer.forward(&Tensor::zeros([1, 1, 4])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [0.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct SinusoidalEncoding {
    #[module(config)]
    max_len: usize,
    #[module(config)]
    embed_dim: usize,
    #[module(skip)]
    table: Tensor,
}

impl SinusoidalEncoding {
    /// The waves of `max_len` positions.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(max_len: usize, embed_dim: usize) -> Result<SinusoidalEncoding> {
        let shape = Shape::new(&[max_len, embed_dim])?;
        let wave = |at: usize| {
            let (p, i) = (at / embed_dim, at % embed_dim);
            let speed = 10_000f64.powf(-((i - i % 2) as f64) / embed_dim as f64);
            let angle = p as f64 * speed;
            if i.is_multiple_of(2) { angle.sin() as f32 } else { angle.cos() as f32 }
        };
        let table = Tensor::from_vec((0..shape.len()).map(wave).collect(), shape)?;
        Ok(SinusoidalEncoding { max_len, embed_dim, table })
    }

    /// [`Forward::forward`] for a sequence whose first position is `offset`.
    ///
    /// # Errors
    /// As [`PositionalEncoding::forward_from`].
    pub fn forward_from(&self, offset: usize, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.add(&input.fixed_positions(&self.table, offset, ctx)?, ctx)
    }
}

impl Forward for SinusoidalEncoding {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.forward_from(0, input, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_part_of_a_sequence_gets_the_later_vectors() {
        let learned = PositionalEncoding::new(6, 4, &mut Init::seed(0)).unwrap();
        let waves = SinusoidalEncoding::new(6, 4).unwrap();
        let (whole, part) = ([1, 5, 4], [1, 2, 4]);
        let zeros = |shape: [usize; 3]| Var::from(Tensor::zeros(shape).unwrap());
        let mut ctx = Ctx::eval();
        let pairs = [
            (
                learned.forward(&zeros(whole), &mut ctx).unwrap(),
                learned.forward_from(3, &zeros(part), &mut ctx).unwrap(),
            ),
            (
                waves.forward(&zeros(whole), &mut ctx).unwrap(),
                waves.forward_from(3, &zeros(part), &mut ctx).unwrap(),
            ),
        ];
        for (whole, part) in pairs {
            let end = whole.value().slice(1, 3..5).unwrap();
            assert_eq!(end.to_vec::<f32>().unwrap(), part.value().to_vec::<f32>().unwrap());
        }
        let err = waves.forward_from(5, &zeros(part), &mut ctx).unwrap_err();
        assert!(err.to_string().contains("position 7, but there are 6"), "{err}");
        assert!(learned.forward(&zeros([1, 2, 3]), &mut ctx).is_err());
    }

    #[test]
    fn a_traced_model_takes_other_lengths() {
        let layer = PositionalEncoding::new(6, 4, &mut Init::seed(0)).unwrap();
        let mut ctx = Ctx::trace();
        let x = ctx.input(&Tensor::zeros([1, 2, 4]).unwrap());
        let y = layer.forward(&x, &mut ctx).unwrap();
        let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        let crate::graph::Step::Compute(op) = &graph.nodes()[2].step else { panic!("{graph:?}") };
        let shapes = [[3, 5, 4].as_slice(), &[6, 4]].map(|s| Shape::new(s).unwrap());
        assert_eq!(op.shape(&shapes).unwrap().dims(), [5, 4]);
    }
}
