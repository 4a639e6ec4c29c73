//! Scaled dot-product attention: `softmax(Q K^T / sqrt d) V` (Vaswani et al., 2017).

use super::attention_blocks::Attention;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Elements, Exec, View};
use crate::tensor::{MAX_RANK, Shape, Tensor, TensorError, parallel, view};
use tinytorch_kernels::Isa;
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

/// Whether a mask stretches to scores `[.., queries, keys]`.
pub(super) fn check_mask(op: &'static str, scores: &Shape, mask: &Shape) -> Result<()> {
    if scores.broadcast(mask, op).is_ok_and(|both| both == *scores) {
        return Ok(());
    }
    let expected = "the mask must broadcast to the scores, [.., queries, keys]";
    Err(TensorError::Mismatch { op, left: *scores, right: *mask, expected }.into())
}

/// Which keys each row of scores keeps.
pub(super) struct Kept<'a> {
    causal: bool,
    scores: &'a Shape,
    mask: Option<View<'a>>,
    /// How the mask stretches to the scores.
    strides: [usize; MAX_RANK],
}

impl<'a> Kept<'a> {
    /// The keys that a mask leaves to scores of this shape.
    pub(super) fn new(causal: bool, scores: &'a Shape, mask: Option<&View<'a>>) -> Kept<'a> {
        let strides = match mask {
            Some(mask) => view::stretched_strides(&mask.shape, scores),
            None => [0; MAX_RANK],
        };
        Kept { causal, scores, mask: mask.copied(), strides }
    }

    /// Numbers of working memory that [`Kept::softmax`] needs.
    pub(super) fn memory(&self) -> usize {
        if self.mask.is_some() { 2 * self.scores.last_dim() } else { 0 }
    }

    /// Number of leading keys that a causal mask leaves to this row.
    pub(super) fn visible(&self, row: usize) -> usize {
        let (rank, keys) = (self.scores.rank(), self.scores.last_dim());
        let queries = self.scores[rank - 2];
        if self.causal {
            (row % queries + 1 + keys).saturating_sub(queries).min(keys)
        } else {
            keys
        }
    }

    /// Whether the mask keeps a key of the row that starts at `start` of the mask.
    fn keeps(&self, start: usize, key: usize) -> bool {
        let Some(mask) = &self.mask else { return true };
        let at = start + key * self.strides[self.scores.rank() - 1];
        match mask.elements {
            Elements::F32(v) => v[at] != 0.0,
            Elements::I64(v) => v[at] != 0,
            Elements::I32(v) => v[at] != 0,
            Elements::U8(v) => v[at] != 0,
            Elements::I8(v) => v[at] != 0,
            Elements::Bool(v) => v[at],
        }
    }

    /// Where the row starts in the mask.
    fn start(&self, mut row: usize) -> usize {
        let mut start = 0;
        for axis in (0..self.scores.rank() - 1).rev() {
            start += row % self.scores[axis] * self.strides[axis];
            row /= self.scores[axis];
        }
        start
    }

    /// The row of the mask that starts at `start`.
    fn mask_row(&self, start: usize) -> MaskRow {
        let keys = self.scores.last_dim();
        let leading = (0..keys).position(|key| !self.keeps(start, key)).unwrap_or(keys);
        let rest = (leading..keys).rposition(|key| self.keeps(start, key));
        MaskRow { start, leading, end: rest.map_or(leading, |last| leading + last + 1) }
    }

    /// The softmax of a row of scores. `memory` holds the kept ones next to each other, and `last` the
    /// mask's row that was looked at last: all heads, and often all queries, have the same.
    pub(super) fn softmax(
        &self,
        isa: Isa,
        row: usize,
        x: &[f32],
        last: &mut Option<MaskRow>,
        memory: &mut [f32],
        y: &mut [f32],
    ) {
        let start = self.start(row);
        let mask = match *last {
            Some(mask) if mask.start == start => mask,
            _ => *last.insert(self.mask_row(start)),
        };
        let end = self.visible(row).min(mask.end);
        let (visible, hidden) = y.split_at_mut(end);
        hidden.fill(0.0);
        let softmax = |x: &[f32], y: &mut [f32]| {
            if !x.is_empty() {
                rows::softmax(isa, x.len(), x, y);
            }
        };
        if end <= mask.leading {
            return softmax(&x[..end], visible);
        }
        let (scores, weights) = memory.split_at_mut(self.scores.last_dim());
        let kept = (0..end).filter(|&key| self.keeps(start, key));
        let mut count = 0;
        for (key, score) in kept.clone().zip(&mut *scores) {
            *score = x[key];
            count += 1;
        }
        softmax(&scores[..count], &mut weights[..count]);
        visible.fill(0.0);
        kept.zip(weights).for_each(|(key, weight)| visible[key] = *weight);
    }
}

/// What a row of a mask keeps.
#[derive(Clone, Copy)]
pub(super) struct MaskRow {
    start: usize,
    /// Number of keys before the first that is left out.
    leading: usize,
    /// Where the last kept key ends; equal to `leading` where only the end is padding.
    end: usize,
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
