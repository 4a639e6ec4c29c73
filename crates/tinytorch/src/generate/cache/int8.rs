//! Keys and values as bytes.

use super::CacheSizes;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::KeyValueCache;
use crate::ops::{AttentionMask, HeldKeysValues};
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::Isa;
use tinytorch_kernels::int8::{min_max, quantize_i8, symmetric_scale};

/// A cache of signed bytes: each key and each value of a head is `scale` times levels from -127 to
/// 127, with a scale of its own, the largest magnitude over 127. Attention reads the bytes as they are.
///
/// It holds `1 + 4 / head_dim` bytes for each number where [`F32Cache`](super::F32Cache) holds 4: 0.27
/// of them for heads of 64, 0.38 for heads of 8.
///
/// # How far off it is
/// A level is off by half a step at most. So for a query `q` the score of a key `k` is off by at most
/// `e = |q|_1 max|k| / (254 sqrt(head_dim))`; each attention weight changes by a factor between
/// `exp(-2e)` and `exp(2e)`, with the largest `e` of all keys, and what a head sees is off by at most
/// `(exp(2e) - 1) max|v| + max|v| / 254` in each entry. The tests check that. What it amounts to
/// after all blocks depends on the model: `tests/integration/generate_cached.rs` holds the scores of a
/// float stories260K and of small random decoders within 3 % (relative L2) of those without a cache.
#[derive(Clone, Debug)]
pub struct Int8Cache {
    sizes: CacheSizes,
    positions: usize,
    keys: Levels,
    values: Levels,
}

/// Signed bytes and their scales.
#[derive(Clone, Debug)]
struct Levels {
    levels: Tensor,
    scales: Tensor,
}

impl Levels {
    fn zeros(levels: Shape, scales: Shape) -> Result<Levels> {
        Ok(Levels { levels: Tensor::full(0i8, levels)?, scales: Tensor::full(0f32, scales)? })
    }

    fn write(&mut self, rows: &Rows, sizes: &CacheSizes, new: usize, at: usize) -> Result<()> {
        // Attention has let go of the buffers, so writing to them copies nothing.
        sizes.write(&rows.levels, new, at, self.levels.as_mut_slice()?);
        sizes.write(&rows.scales, new, at, self.scales.as_mut_slice()?);
        Ok(())
    }
}

/// Rows quantized on their own.
struct Rows {
    levels: Vec<i8>,
    scales: Vec<f32>,
}

impl Rows {
    fn quantize(isa: Isa, rows: &Tensor) -> Result<Rows> {
        let (rows, dim) = (rows.contiguous()?, rows.shape().last_dim().max(1));
        let (mut levels, mut scales) = (vec![0; rows.len()], Vec::with_capacity(rows.len() / dim));
        for (row, levels) in rows.as_slice()?.chunks_exact(dim).zip(levels.chunks_exact_mut(dim)) {
            let (min, max) = min_max(isa, row)?;
            let scale = symmetric_scale(max.max(-min))?;
            quantize_i8(isa, row, scale, levels)?;
            scales.push(scale);
        }
        Ok(Rows { levels, scales })
    }
}

impl Int8Cache {
    /// An empty cache.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(sizes: CacheSizes) -> Result<Int8Cache> {
        let empty = || Levels::zeros(sizes.entries()?, sizes.rows()?);
        Ok(Int8Cache { sizes, positions: 0, keys: empty()?, values: empty()? })
    }
}

impl KeyValueCache for Int8Cache {
    fn positions(&self) -> usize {
        self.positions
    }

    /// # Errors
    /// Also if a key or a value is NaN or infinite.
    fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<()> {
        let new = self.sizes.check(self.positions, keys, values)?;
        let isa = Isa::active();
        let (keys, values) = (Rows::quantize(isa, keys)?, Rows::quantize(isa, values)?);
        self.keys.write(&keys, &self.sizes, new, self.positions)?;
        self.values.write(&values, &self.sizes, new, self.positions)?;
        self.positions += new;
        Ok(())
    }

    fn attend(&self, queries: &Var, mask: AttentionMask<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let held = HeldKeysValues {
            positions: self.positions,
            keys_values: [&self.keys.levels, &self.values.levels],
            scales: Some([&self.keys.scales, &self.values.scales]),
        };
        queries.cached_attention(held, mask, ctx)
    }

    fn truncate(&mut self, positions: usize) {
        self.positions = self.positions.min(positions);
    }
}
