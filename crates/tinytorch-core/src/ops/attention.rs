//! Scaled dot-product attention: `softmax(Q K^T / sqrt d) V` (Vaswani et al., 2017).

use super::attention_blocks::Attention;
use super::attention_mask::{Kept, check_mask};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError, parallel};
use tinytorch_kernels::f32::rows;

/// Which keys a query may look at: those that both parts allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionMask<'a> {
    /// Only keys up to the query's own position, the last query standing at the last key.
    pub causal: bool,
    /// 1 for a key to look at, 0 for one to leave out; broadcasts to `[.., queries, keys]`.
    pub keep: Option<&'a Var>,
}

/// The softmax over the last axis of scores `[.., queries, keys]`, over the keys that the mask keeps;
/// the others get 0, and a query that may look at no key gets zeros, not NaN. From the gradient `g` of
/// the output `y`: `dx = y (g - sum(g y))`.
#[derive(Clone, Copy, Debug)]
struct MaskedSoftmax {
    causal: bool,
}

impl Compute for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "attention_weights"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let scores = inputs[0];
        if scores.rank() < 2 {
            let expected = "scores are [.., queries, keys]".into();
            return Err(TensorError::Shape { op: self.name(), shape: scores, expected }.into());
        }
        if let Some(mask) = inputs.get(1) {
            check_mask(self.name(), &scores, mask)?;
        }
        Ok(scores)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (scores, x) = (inputs[0].shape, inputs[0].f32()?);
        let keys = scores.last_dim();
        if out.is_empty() {
            return Ok(());
        }
        let kept = Kept::new(self.causal, &scores, inputs.get(1));
        let (work, isa, memory) = (12 * x.len(), exec.isa(), (&mut exec.working, kept.memory()));
        parallel::for_each_piece(out, keys, work, memory, |first, memory, out| {
            let mut last = None;
            for (row, y) in (first..).zip(out.chunks_exact_mut(keys)) {
                kept.softmax(isa, row, &x[row * keys..][..keys], &mut last, memory, y);
            }
        });
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 12)
    }
}

impl Op for MaskedSoftmax {
    fn saves(&self) -> Saves {
        Saves::Output
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (shape, y, g) = (*saved.shape(0), saved.output()?, grad.contiguous()?);
        let mut dx = vec![0f32; shape.len()];
        if !dx.is_empty() {
            let (y, g) = (y.as_slice()?, g.as_slice()?);
            rows::softmax_backward(exec.isa(), shape.last_dim(), y, g, &mut dx);
        }
        let mut grads = vec![None; saved.inputs_len()];
        grads[0] = Some(Tensor::from_vec(dx, shape)?);
        Ok(grads)
    }
}

impl Var {
    /// How much each query, this value `[.., queries, dim]`, looks at each key, `[.., keys, dim]`:
    /// `softmax(Q K^T / sqrt(dim))` over the keys that the mask keeps, `[.., queries, keys]`. A query
    /// without any gets zeros.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes do not multiply or the mask does not broadcast to the
    /// result.
    pub fn attention_weights(
        &self,
        keys: &Var,
        mask: AttentionMask<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let rank = keys.shape().rank();
        if rank < 2 {
            let (shape, expected) = (*keys.shape(), "keys are [.., keys, dim]".into());
            return Err(TensorError::Shape { op: "attention_weights", shape, expected }.into());
        }
        // There are fewer queries than scores to scale.
        let scale = 1.0 / (self.shape().last_dim().max(1) as f32).sqrt();
        let keys = keys.transpose(rank - 2, rank - 1, ctx)?;
        let scores = self.mul_scalar(scale, ctx)?.matmul(&keys, ctx)?;
        if !mask.causal && mask.keep.is_none() {
            return scores.softmax(scores.shape().rank() - 1, ctx);
        }
        let inputs: Vec<&Var> = [&scores].into_iter().chain(mask.keep).collect();
        ctx.apply(MaskedSoftmax { causal: mask.causal }, &inputs)
    }

    /// `softmax(Q K^T / sqrt(dim)) V` for queries `[.., queries, dim]`, keys `[.., keys, dim]` and
    /// values `[.., keys, width]`: the result is `[.., queries, width]`, and the axes before these
    /// broadcast. Memory grows with the number of keys, not with its product with that of queries.
    ///
    /// # Errors
    /// As [`Var::attention_weights`].
    pub fn scaled_dot_product_attention(
        &self,
        keys: &Var,
        values: &Var,
        mask: AttentionMask<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let inputs: Vec<&Var> = [self, keys, values].into_iter().chain(mask.keep).collect();
        ctx.apply(Attention { causal: mask.causal }, &inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn randn(shape: [usize; 3], seed: u64) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    /// Keys 0 and 2 for the first of two sequences, none for the second.
    fn padding() -> Var {
        Tensor::from_vec(vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0], [2, 1, 3]).unwrap().into()
    }

    #[test]
    fn gradients() {
        let inputs = [randn([2, 3, 4], 1), randn([2, 3, 4], 2), randn([2, 3, 2], 3)];
        let padding = padding();
        for causal in [false, true] {
            for keep in [None, Some(&padding)] {
                let mask = AttentionMask { causal, keep };
                let op = |v: &[Var], ctx: &mut Ctx<'_>| {
                    v[0].scaled_dot_product_attention(&v[1], &v[2], mask, ctx)
                };
                gradcheck(op, &inputs, 1e-3).unwrap();
            }
        }
    }

    fn weights(queries: usize, keys: usize, mask: AttentionMask<'_>) -> Vec<f32> {
        let (q, k) = (Var::from(randn([2, queries, 4], 1)), Var::from(randn([2, keys, 4], 2)));
        let y = q.attention_weights(&k, mask, &mut Ctx::eval()).unwrap();
        y.value().to_vec::<f32>().unwrap()
    }

    #[test]
    fn a_causal_mask_aligns_the_last_query_with_the_last_key() {
        let causal = AttentionMask { causal: true, keep: None };
        for (queries, keys) in [(3, 3), (2, 4), (4, 2)] {
            for (row, weights) in weights(queries, keys, causal).chunks(keys).enumerate() {
                let visible = (row % queries + 1 + keys).saturating_sub(queries);
                for (key, w) in weights.iter().enumerate() {
                    assert_eq!(*w > 0.0, key < visible, "query {row} key {key} of {keys}");
                }
                let sum: f32 = weights.iter().sum();
                assert!((sum - if visible > 0 { 1.0 } else { 0.0 }).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn one_is_keep_and_a_query_without_keys_gets_zeros() {
        let padding = padding();
        let integers = Var::from(padding.value().to_dtype::<i64>().unwrap());
        let bytes = Var::from(padding.value().to_dtype::<u8>().unwrap());
        let masked = weights(2, 3, AttentionMask { causal: false, keep: Some(&padding) });
        for row in masked[..6].chunks(3) {
            assert!(row[0] > 0.0 && row[1] == 0.0 && row[2] > 0.0);
        }
        assert_eq!(masked[6..], [0.0; 6]);
        for keep in [&integers, &bytes] {
            assert_eq!(weights(2, 3, AttentionMask { causal: false, keep: Some(keep) }), masked);
        }
        let all = Var::from(Tensor::ones([1, 1]).unwrap());
        let kept = weights(2, 3, AttentionMask { causal: false, keep: Some(&all) });
        assert_eq!(kept, weights(2, 3, AttentionMask::default()));
    }

    #[test]
    fn masks_that_do_not_fit_are_errors() {
        let (q, k) = (Var::from(randn([2, 3, 4], 1)), Var::from(randn([2, 3, 4], 2)));
        let mut ctx = Ctx::eval();
        for shape in [vec![2], vec![3, 3, 3], vec![2, 2, 3, 3]] {
            let keep = Var::from(Tensor::ones(&shape[..]).unwrap());
            let mask = AttentionMask { causal: false, keep: Some(&keep) };
            assert!(q.attention_weights(&k, mask, &mut ctx).is_err(), "{shape:?}");
        }
        let vector = Var::from(Tensor::ones([4]).unwrap());
        assert!(q.attention_weights(&vector, AttentionMask::default(), &mut ctx).is_err());
    }
}
