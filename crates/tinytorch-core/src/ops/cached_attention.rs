//! Attention over the keys and values that a cache holds.

use super::AttentionMask;
use super::attention_mask::{Kept, check_mask};
use crate::Result;
use crate::autograd::{Ctx, Op, Var};
use crate::graph::{Compute, Cost, Elements, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError, parallel};
use tinytorch_kernels::Ran;
use tinytorch_kernels::attention::{Held, mix, scores};

/// Keys and values of a number of positions, with room for more: `[batch, kv_heads, head_dim,
/// capacity]` each, so that the positions of an entry lie next to each other.
#[derive(Clone, Copy, Debug)]
pub struct HeldKeysValues<'a> {
    /// Number of positions that are filled.
    pub positions: usize,
    /// The keys and the values, f32 or i8.
    pub keys_values: [&'a Tensor; 2],
    /// What i8 keys and i8 values are multiplied by, `[batch, kv_heads, capacity]` each.
    pub scales: Option<[&'a Tensor; 2]>,
}

/// `softmax(Q K^T / sqrt(head_dim)) V` for queries `[batch, heads, queries, head_dim]`, the last of
/// which stands at the last of `positions`. The inputs are the queries, the keys, the values, the
/// scales of both if they are int8, and a mask if there is one.
#[derive(Clone, Copy, Debug)]
struct CachedAttention {
    positions: usize,
    causal: bool,
    int8: bool,
    masked: bool,
}

impl CachedAttention {
    fn mask<'a, T>(&self, inputs: &'a [T]) -> Option<&'a T> {
        if self.masked { inputs.last() } else { None }
    }

    fn scores_shape(&self, queries: &Shape) -> Result<Shape> {
        Ok(Shape::new(&[queries[0], queries[1], queries[2], self.positions])?)
    }
}

impl Compute for CachedAttention {
    fn name(&self) -> &'static str {
        "cached_attention"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (queries, keys, values) = (inputs[0], inputs[1], inputs[2]);
        let fits = queries.rank() == 4
            && keys.rank() == 4
            && keys == values
            && keys[0] == queries[0]
            && keys[1] > 0
            && queries[1].is_multiple_of(keys[1])
            && keys[2] == queries[3]
            && self.positions <= keys[3]
            && (!self.int8 || inputs[3..5].iter().all(|s| s[..] == [keys[0], keys[1], keys[3]]));
        if !fits {
            return Err(TensorError::Mismatch {
                op: self.name(),
                left: queries,
                right: keys,
                expected: "queries are [batch, heads, queries, head_dim], and the cache [batch, kv_heads, head_dim, capacity]",
            }
            .into());
        }
        if let Some(mask) = self.mask(inputs) {
            check_mask(self.name(), &self.scores_shape(&queries)?, mask)?;
        }
        Ok(queries)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (shape, queries) = (inputs[0].shape, inputs[0].f32()?);
        let (heads, rows, dim) = (shape[1], shape[2], shape[3]);
        if out.is_empty() {
            return Ok(());
        }
        let group = heads / inputs[1].shape[1];
        let mask = self.mask(inputs);
        let scores_shape = self.scores_shape(&shape)?;
        let kept = Kept::new(self.causal, &scores_shape, mask);
        let held = |i: usize| Heads::new(&inputs[1 + i], self.int8.then(|| &inputs[3 + i]));
        let (keys, values) = (held(0)?, held(1)?);
        let (isa, factor) = (exec.isa(), 1.0 / (dim as f32).sqrt());
        let work = (4 * dim + 12) * self.positions * out.len() / dim.max(1);
        let positions = self.positions;
        let memory = (&mut exec.working, dim + 2 * positions + kept.memory());
        parallel::for_each_piece(out, dim, work, memory, |first, memory, out| {
            let (query, memory) = memory.split_at_mut(dim);
            let (x, memory) = memory.split_at_mut(positions);
            let (weights, memory) = memory.split_at_mut(positions);
            let mut last = None;
            for (row, out) in (first..).zip(out.chunks_exact_mut(dim)) {
                let unscaled = &queries[row * dim..][..dim];
                query.iter_mut().zip(unscaled).for_each(|(to, q)| *to = q * factor);
                let head = row / rows / group;
                scores(isa, query, keys.at(head), x);
                kept.softmax(isa, row, x, &mut last, memory, weights);
                mix(isa, weights, values.at(head), out);
            }
        });
        if self.int8 {
            exec.ran(Ran::float("attention_int8"));
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let (queries, keys) = (&inputs[0], &inputs[1]);
        let held = (keys[0] * keys[1] * self.positions) as u64;
        let per_position = if self.int8 { keys[2] + 4 } else { 4 * keys[2] } as u64;
        let scores = (queries[0] * queries[1] * queries[2] * self.positions) as u64;
        Cost {
            flops: scores * (4 * keys[2] as u64 + 12),
            read: 4 * queries.len() as u64 + 2 * held * per_position,
            written: 4 * output.len() as u64,
        }
    }
}

/// There is no derivative: what a cache holds belongs to passes that are over.
impl Op for CachedAttention {}

/// The keys or the values of every head of a batch.
struct Heads<'a> {
    all: Held<'a>,
    dim: usize,
}

impl<'a> Heads<'a> {
    fn new(values: &View<'a>, scales: Option<&View<'a>>) -> Result<Heads<'a>> {
        let (dim, stride) = (values.shape[2], values.shape[3]);
        let all = match (values.elements, scales) {
            (Elements::I8(levels), Some(scales)) => {
                Held::Int8 { levels, stride, scales: scales.f32()? }
            }
            _ => Held::F32 { values: values.f32()?, stride },
        };
        Ok(Heads { all, dim })
    }

    /// A head, counted over the whole batch.
    fn at(&self, head: usize) -> Held<'a> {
        match self.all {
            Held::F32 { values, stride } => {
                let len = self.dim * stride;
                Held::F32 { values: &values[head * len..][..len], stride }
            }
            Held::Int8 { levels, stride, scales } => {
                let len = self.dim * stride;
                let (levels, scales) =
                    (&levels[head * len..][..len], &scales[head * stride..][..stride]);
                Held::Int8 { levels, stride, scales }
            }
        }
    }
}

impl Var {
    /// `softmax(Q K^T / sqrt(head_dim)) V` for queries, this value `[batch, heads, queries,
    /// head_dim]`, over the keys and values that a cache holds; the last query stands at the last
    /// position, and neighboring heads share a key head if there are fewer of those. The result has
    /// the shape of the queries. Int8 keys and values are read as they are.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if queries, cache and mask do not fit each other,
    /// [`TensorError::Dtype`] for elements of another type.
    pub fn cached_attention(
        &self,
        held: HeldKeysValues<'_>,
        mask: AttentionMask<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let op = CachedAttention {
            positions: held.positions,
            causal: mask.causal,
            int8: held.scales.is_some(),
            masked: mask.keep.is_some(),
        };
        let tensors = held.keys_values.into_iter().chain(held.scales.into_iter().flatten());
        let tensors: Vec<Var> = tensors.map(Var::from).collect();
        let inputs: Vec<&Var> = [self].into_iter().chain(&tensors).chain(mask.keep).collect();
        ctx.apply(op, &inputs)
    }
}
