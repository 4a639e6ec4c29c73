//! Attention of blocks of queries: working memory grows with the number of keys, not with its square.

use super::attention_mask::{Kept, check_mask};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{MAX_RANK, Shape, Tensor, TensorError, parallel, view};
use rayon::prelude::*;
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::gemm::{Matrix, MatrixMut, Scaling, gemm};
use tinytorch_kernels::f32::rows;

/// Queries whose scores are held at a time. Keys are packed once for each block: with 64 queries that is
/// a fraction of the product, and their scores with 1,024 keys take 256 KB.
const BLOCK: usize = 64;

/// `softmax(Q K^T / sqrt(dim)) V` over the keys that a mask keeps; a query that may look at no key gets
/// zeros.
///
/// Inputs are queries `[.., queries, dim]`, keys `[.., keys, dim]`, values `[.., keys, width]` and, if there is
/// one, a mask that broadcasts to `[.., queries, keys]`; the output is `[.., queries, width]`, and the axes
/// before these broadcast.
///
/// With `P` the softmax, `S` its argument and `g` the gradient: `dV = P^T g`, `dP = g V^T`,
/// `dS = P (dP - sum(dP P))`, `dQ = dS K / sqrt(dim)`, `dK = dS^T Q / sqrt(dim)`. `P` is computed again,
/// block by block (Dao et al., 2022, without their tiles along the keys).
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Whether a query may look only at keys up to its own position, the last query standing at the last key.
    pub causal: bool,
}

/// How the heads of queries, keys and values meet.
struct Heads {
    /// The axes before the last two, broadcast.
    batch: Shape,
    queries: usize,
    keys: usize,
    dim: usize,
    width: usize,
    /// How queries, keys and values stretch to the batch.
    strides: [[usize; MAX_RANK]; 3],
}

impl Heads {
    fn new(op: &'static str, inputs: &[Shape]) -> Result<Heads> {
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        if let Some(&shape) = [q, k, v].iter().find(|shape| shape.rank() < 2) {
            let expected = "queries, keys and values are [.., positions, dim]".into();
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        let [queries, dim] = [q[q.rank() - 2], q.last_dim()];
        let [keys, width] = [k[k.rank() - 2], v.last_dim()];
        if k.last_dim() != dim {
            let expected = "queries and keys must be equally wide";
            return Err(TensorError::Mismatch { op, left: q, right: k, expected }.into());
        }
        if v[v.rank() - 2] != keys {
            let expected = "there must be as many values as keys";
            return Err(TensorError::Mismatch { op, left: k, right: v, expected }.into());
        }
        let outer = |shape: &Shape| Shape::new(&shape[..shape.rank() - 2]);
        let outers = [outer(&q)?, outer(&k)?, outer(&v)?];
        let batch = outers[0].broadcast(&outers[1], op)?.broadcast(&outers[2], op)?;
        let strides = outers.map(|outer| view::stretched_strides(&outer, &batch));
        Ok(Heads { batch, queries, keys, dim, width, strides })
    }

    /// The batch with two more axes.
    fn shape(&self, rows: usize, columns: usize) -> Result<Shape> {
        let rank = self.batch.rank();
        let mut dims = [0; MAX_RANK + 2];
        dims[..rank].copy_from_slice(&self.batch);
        (dims[rank], dims[rank + 1]) = (rows, columns);
        Ok(Shape::new(&dims[..rank + 2])?)
    }

    /// Which matrix of an input a head reads.
    fn matrix(&self, input: usize, mut head: usize) -> usize {
        let mut index = 0;
        for axis in (0..self.batch.rank()).rev() {
            index += head % self.batch[axis] * self.strides[input][axis];
            head /= self.batch[axis];
        }
        index
    }

    /// Operations; a multiply-add counts as two.
    fn flops(&self) -> u64 {
        let per_key = 2 * (self.dim + self.width) as u64 + 12;
        let scores = self.batch.len() as u64 * self.queries as u64 * self.keys as u64;
        scores * per_key + (self.batch.len() * self.queries * self.dim) as u64
    }
}

/// The inputs of a head, and what every head needs.
struct Head<'a> {
    heads: &'a Heads,
    kept: &'a Kept<'a>,
    isa: Isa,
    index: usize,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
}

/// Working memory for a block of queries.
struct Block<'m> {
    /// The queries, divided by `sqrt(dim)`.
    q: &'m mut [f32],
    scores: &'m mut [f32],
    weights: &'m mut [f32],
    /// What [`Kept::softmax`] needs.
    mask: &'m mut [f32],
}

impl<'m> Block<'m> {
    fn len(heads: &Heads, kept: &Kept<'_>) -> usize {
        let rows = heads.queries.min(BLOCK);
        rows * (heads.dim + 2 * heads.keys) + kept.memory()
    }

    fn over(heads: &Heads, memory: &'m mut [f32]) -> Block<'m> {
        let rows = heads.queries.min(BLOCK);
        let (q, rest) = memory.split_at_mut(rows * heads.dim);
        let (scores, rest) = rest.split_at_mut(rows * heads.keys);
        let (weights, mask) = rest.split_at_mut(rows * heads.keys);
        Block { q, scores, weights, mask }
    }
}

impl<'a> Head<'a> {
    fn new(
        heads: &'a Heads,
        kept: &'a Kept<'a>,
        isa: Isa,
        index: usize,
        [q, k, v]: [&'a [f32]; 3],
    ) -> Head<'a> {
        let part = |all: &'a [f32], input: usize, len: usize| {
            &all[heads.matrix(input, index) * len..][..len]
        };
        Head {
            heads,
            kept,
            isa,
            index,
            q: part(q, 0, heads.queries * heads.dim),
            k: part(k, 1, heads.keys * heads.dim),
            v: part(v, 2, heads.keys * heads.width),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.heads.dim.max(1) as f32).sqrt()
    }

    /// Leaves in `block` the scaled queries `first..first + count`, and for each its weights of the first
    /// keys; returns how many keys those are: all that any of the queries may look at.
    fn weigh(&self, first: usize, count: usize, block: &mut Block<'_>) -> usize {
        let Heads { queries, dim, .. } = *self.heads;
        let row = self.index * queries + first;
        let visible = self.kept.visible(row + count - 1);
        // A single row by many keys would be summed in another order than several rows are, and which
        // rows are single depends on the number of threads.
        let from = if count == 1 { first.saturating_sub(1) } else { first };
        let rows = (first + count - from).max(2.min(queries - from));
        let q = &mut block.q[..rows * dim];
        for (to, from) in q.iter_mut().zip(&self.q[from * dim..]) {
            *to = from * self.scale();
        }
        let scores = &mut block.scores[..rows * visible];
        let keys = Matrix::new(&self.k[..visible * dim], visible, dim).t();
        let product = MatrixMut::new(scores, rows, visible);
        gemm(self.isa, Matrix::new(q, rows, dim), keys, product, &Scaling::default());
        let (mut last, skipped) = (None, first - from);
        if self.kept.is_all() && visible > 0 {
            let scores = &scores[skipped * visible..][..count * visible];
            rows::softmax(self.isa, visible, scores, &mut block.weights[..count * visible]);
            q.copy_within(skipped * dim.., 0);
            return visible;
        }
        for i in 0..count {
            let scores = &scores[(skipped + i) * visible..][..visible];
            let weights = &mut block.weights[i * visible..][..visible];
            self.kept.softmax(self.isa, row + i, scores, &mut last, block.mask, weights);
        }
        q.copy_within(skipped * dim.., 0);
        visible
    }
}

impl Compute for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn inputs_needed(&self) -> usize {
        3
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let heads = Heads::new(self.name(), inputs)?;
        if let Some(mask) = inputs.get(3) {
            check_mask(self.name(), &heads.shape(heads.queries, heads.keys)?, mask)?;
        }
        heads.shape(heads.queries, heads.width)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let heads = Heads::new(self.name(), &[inputs[0].shape, inputs[1].shape, inputs[2].shape])?;
        let values = [inputs[0].f32()?, inputs[1].f32()?, inputs[2].f32()?];
        if out.is_empty() {
            return Ok(());
        }
        let Heads { queries, width, .. } = heads;
        let scores = heads.shape(queries, heads.keys)?;
        let kept = Kept::new(self.causal, &scores, inputs.get(3));
        let isa = exec.isa();
        let memory = (&mut exec.working, Block::len(&heads, &kept));
        parallel::for_each_piece(
            out,
            width,
            heads.flops() as usize,
            memory,
            |first, memory, out| {
                let mut block = Block::over(&heads, memory);
                let (mut row, mut left) = (first, out);
                while !left.is_empty() {
                    let (index, query) = (row / queries, row % queries);
                    let count =
                        (queries - query).min(BLOCK - query % BLOCK).min(left.len() / width);
                    let (now, later) = std::mem::take(&mut left).split_at_mut(count * width);
                    let head = Head::new(&heads, &kept, isa, index, values);
                    let visible = head.weigh(query, count, &mut block);
                    let weights = Matrix::new(&block.weights[..count * visible], count, visible);
                    let v = Matrix::new(&head.v[..visible * width], visible, width);
                    let product = MatrixMut::new(now, count, width);
                    gemm(isa, weights, v, product, &Scaling::default());
                    (row, left) = (row + count, later);
                }
            },
        );
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let moved = Cost::per_element(inputs, output, 0);
        let flops = Heads::new(self.name(), inputs).map_or(0, |heads| heads.flops());
        Cost { flops, ..moved }
    }
}

impl Op for Attention {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let inputs = [saved.input(0)?, saved.input(1)?, saved.input(2)?].map(Tensor::contiguous);
        let [q, k, v] = inputs;
        let (q, k, v, grad) = (q?, k?, v?, grad.contiguous()?);
        let mask = match saved.inputs_len() {
            3 => None,
            _ => Some(saved.input(3)?.contiguous()?),
        };
        let mask = mask.as_ref().map(View::of).transpose()?;
        let heads = Heads::new(self.name(), &[*q.shape(), *k.shape(), *v.shape()])?;
        let Heads { queries, keys, dim, width, .. } = heads;
        let scores = heads.shape(queries, keys)?;
        let kept = Kept::new(self.causal, &scores, mask.as_ref());
        let shapes =
            [heads.shape(queries, dim)?, heads.shape(keys, dim)?, heads.shape(keys, width)?];
        let [mut dq, mut dk, mut dv] = shapes.map(|shape| vec![0f32; shape.len()]);
        let values: [&[f32]; 3] = [q.as_slice()?, k.as_slice()?, v.as_slice()?];
        let (g, isa) = (grad.as_slice::<f32>()?, exec.isa());
        if !g.is_empty() && keys > 0 {
            let parts = dq.par_chunks_mut((queries * dim).max(1));
            let parts = parts.zip(dk.par_chunks_mut((keys * dim).max(1)));
            let parts = parts.zip(dv.par_chunks_mut(keys * width));
            let grads = parts.zip(g.par_chunks(queries * width));
            grads.enumerate().for_each(|(index, (((dq, dk), dv), g))| {
                Head::new(&heads, &kept, isa, index, values).backward(g, dq, dk, dv);
            });
        }
        let mut grads = vec![None; saved.inputs_len()];
        for (i, (values, shape)) in [dq, dk, dv].into_iter().zip(shapes).enumerate() {
            if saved.needs(i) {
                let full = Tensor::from_vec(values, shape)?;
                grads[i] = Some(full.sum_to(saved.shape(i))?);
            }
        }
        Ok(grads)
    }
}

impl Head<'_> {
    /// Writes the gradients of a head's queries, keys and values.
    fn backward(&self, g: &[f32], dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]) {
        let Heads { queries, keys, dim, width, .. } = *self.heads;
        let (isa, scale) = (self.isa, self.scale());
        let rows = queries.min(BLOCK);
        let mut memory = vec![0f32; Block::len(self.heads, self.kept)];
        let (mut dp, mut ds) = (vec![0f32; rows * keys], vec![0f32; rows * keys]);
        let mut block = Block::over(self.heads, &mut memory);
        for first in (0..queries).step_by(BLOCK) {
            let count = BLOCK.min(queries - first);
            let visible = self.weigh(first, count, &mut block);
            let p = &block.weights[..count * visible];
            let g = Matrix::new(&g[first * width..][..count * width], count, width);
            let (dp, ds) = (&mut dp[..count * visible], &mut ds[..count * visible]);
            let v = Matrix::new(&self.v[..visible * width], visible, width);
            gemm(isa, g, v.t(), MatrixMut::new(dp, count, visible), &Scaling::default());
            if visible > 0 {
                rows::softmax_backward(isa, visible, p, dp, ds);
            }
            // Later blocks add to what earlier ones left.
            let add = Scaling { beta: 1.0, ..Scaling::default() };
            let (p, ds) = (Matrix::new(p, count, visible), Matrix::new(ds, count, visible));
            let dv = MatrixMut::new(&mut dv[..visible * width], visible, width);
            gemm(isa, p.t(), g, dv, &add);
            let q = Matrix::new(&block.q[..count * dim], count, dim);
            let dk = MatrixMut::new(&mut dk[..visible * dim], visible, dim);
            gemm(isa, ds.t(), q, dk, &add);
            let k = Matrix::new(&self.k[..visible * dim], visible, dim);
            let dq = &mut dq[first * dim..][..count * dim];
            gemm(isa, ds, k, MatrixMut::new(dq, count, dim), &Scaling::default());
            dq.iter_mut().for_each(|dq| *dq *= scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Var, gradcheck};
    use crate::ops::AttentionMask;
    use crate::tensor::IntoShape;
    use crate::{Rng, Tensor};
    use proptest::prelude::*;

    fn randn(shape: impl IntoShape, seed: u64) -> Var {
        Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap().into()
    }

    fn bits(y: &Var) -> Vec<u32> {
        y.value().to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    }

    /// The op, on so many threads.
    fn attend([q, k, v]: &[Var; 3], mask: AttentionMask<'_>, threads: usize) -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let op = || q.scaled_dot_product_attention(k, v, mask, &mut Ctx::eval()).unwrap();
        bits(&pool.install(op))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// What the weights of all queries and keys, held at once, give.
        #[test]
        fn blocks_give_the_bits_of_whole_matrices(
            queries in 1usize..140,
            keys in 1usize..140,
            causal: bool,
            masked: bool,
            threads in 1usize..4,
        ) {
            let inputs =
                [randn([2, 3, queries, 5], 1), randn([2, 1, keys, 5], 2), randn([3, keys, 4], 3)];
            let kept = (0..2 * keys).map(|i| f32::from(i * 7 % 5 > 1)).collect();
            let kept = Var::from(Tensor::from_vec(kept, [2, 1, 1, keys]).unwrap());
            let mask = AttentionMask { causal, keep: masked.then_some(&kept) };
            let mut ctx = Ctx::eval();
            let weights = inputs[0].attention_weights(&inputs[1], mask, &mut ctx).unwrap();
            let want = bits(&weights.matmul(&inputs[2], &mut ctx).unwrap());
            prop_assert!(attend(&inputs, mask, threads) == want);
        }
    }

    #[test]
    fn threads_change_no_bit_where_a_block_is_one_query_and_keys_are_many() {
        let inputs = [randn([65, 64], 1), randn([5000, 64], 2), randn([5000, 8], 3)];
        let mask = AttentionMask::default();
        let alone = attend(&inputs, mask, 1);
        assert!((2..5).all(|threads| attend(&inputs, mask, threads) == alone));
    }

    #[test]
    fn gradients_across_blocks_and_groups() {
        let inputs = [randn([1, 2, 67, 2], 1), randn([1, 1, 66, 2], 2), randn([1, 1, 66, 1], 3)];
        let inputs = inputs.map(Var::into_value);
        let mask = AttentionMask { causal: true, keep: None };
        let op = |v: &[Var], ctx: &mut Ctx<'_>| {
            v[0].scaled_dot_product_attention(&v[1], &v[2], mask, ctx)
        };
        gradcheck(op, &inputs, 2e-3).unwrap();
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors_that_name_them() {
        let mut ctx = Ctx::eval();
        let mut error = |q: &[usize], k: &[usize], v: &[usize]| {
            let [q, k, v] = [(q, 1), (k, 2), (v, 3)].map(|(shape, seed)| randn(shape, seed));
            let mask = AttentionMask::default();
            q.scaled_dot_product_attention(&k, &v, mask, &mut ctx).unwrap_err().to_string()
        };
        assert!(error(&[2, 3], &[2, 4], &[2, 3]).contains("equally wide"));
        assert!(error(&[2, 3], &[2, 3], &[4, 3]).contains("as many values as keys"));
        assert!(error(&[2, 2, 3], &[3, 2, 3], &[2, 3]).contains("attention"));
        assert!(error(&[3], &[2, 3], &[2, 3]).contains("[.., positions, dim]"));
    }
}
