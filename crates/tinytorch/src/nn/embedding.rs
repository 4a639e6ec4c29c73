//! Tables of vectors.

use super::given::Given;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Role, Var};
use crate::ops::Weight;
use crate::tensor::Tensor;

/// A vector for each id: `y[..] = weight[id[..]]`.
///
/// The weight is `[num_embeddings, embedding_dim]`, the input i64 ids `[..]`, the output
/// `[.., embedding_dim]`.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Embedding, Forward, Init}};
/// let layer = Embedding::new(100, 16, &mut Init::seed(0))?;
/// let ids = Tensor::from_vec(vec![5i64, 7, 5], [1, 3])?;
/// let y = layer.forward(&ids.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [1, 3, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Embedding {
    #[module(config)]
    num_embeddings: usize,
    #[module(config)]
    embedding_dim: usize,
    /// `[num_embeddings, embedding_dim]`.
    pub weight: Weight,
}

impl Embedding {
    /// A table that starts standard normal, as in PyTorch.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(num_embeddings: usize, embedding_dim: usize, init: &mut Init) -> Result<Embedding> {
        Embedding::with_std(num_embeddings, embedding_dim, 1.0, init)
    }

    /// A table that starts normal with this standard deviation; transformers use 0.02.
    ///
    /// # Errors
    /// As [`Embedding::new`].
    pub fn with_std(
        num_embeddings: usize,
        embedding_dim: usize,
        std: f32,
        init: &mut Init,
    ) -> Result<Embedding> {
        let weight = init.normal([num_embeddings, embedding_dim], std, Role::Embedding)?;
        Ok(Embedding { num_embeddings, embedding_dim, weight: weight.into() })
    }

    /// A table `[num_embeddings, embedding_dim]` that is there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Embedding, Forward}};
    /// let layer = Embedding::from_tensor(Tensor::arange(6)?.reshape([3, 2])?)?;
    /// let ids = Tensor::from_vec(vec![2i64], [1])?;
    /// let y = layer.forward(&ids.into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().to_vec::<f32>()?, [4.0, 5.0]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LayerError::GivenRank`](super::LayerError::GivenRank),
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensor(weight: Tensor) -> Result<Embedding> {
        let given = Given("Embedding");
        let [entries, dim] = given.dims(&weight)?;
        let mut layer = Embedding::new(entries, dim, &mut Init::absent())?;
        given.store("weight", &mut layer.weight, weight)?;
        Ok(layer)
    }

    /// The table as an output head, `y = x W^T`: scores of every id for vectors
    /// `[.., embedding_dim]`. A model that shares the table between its input and its output so
    /// stores, trains and quantizes it once.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) for vectors of another length.
    pub fn scores(&self, hidden: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        hidden.linear(&self.weight, None, ctx)
    }
}

impl Forward for Embedding {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ids.embedding(&self.weight, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tied_table_gets_both_gradients() {
        let layer = Embedding::new(3, 2, &mut Init::seed(0)).unwrap();
        let ids = Var::from(Tensor::from_vec(vec![1i64], [1]).unwrap());
        let mut ctx = Ctx::eval().recording();
        let hidden = layer.forward(&ids, &mut ctx).unwrap();
        let loss = layer.scores(&hidden, &mut ctx).unwrap().sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let w = layer.weight.value().unwrap().to_vec::<f32>().unwrap();
        let got = grads.of(&layer.weight).unwrap().to_vec::<f32>().unwrap();
        // The sum over rows r of w[r] . w[1]: every row gets w[1], and row 1 the sum of all rows too.
        for (i, got) in got.iter().enumerate() {
            let column = i % 2;
            let all = w[column] + w[2 + column] + w[4 + column];
            let want = w[2 + column] + if i / 2 == 1 { all } else { 0.0 };
            assert!((got - want).abs() < 1e-6, "{i}: {got} for {want}");
        }
    }
}
