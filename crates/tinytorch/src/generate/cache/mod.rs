//! Keys and values of the positions that came before, so that a step computes its own position alone.

mod f32;
mod int8;

pub use f32::F32Cache;
pub use int8::Int8Cache;

use super::GenerateError;
use crate::Result;
use crate::models::DecoderSizes;
use crate::nn::KeyValueCache;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::os::room;

/// How keys and values are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// [`F32Cache`].
    F32,
    /// [`Int8Cache`].
    Int8,
}

impl CacheKind {
    /// An empty cache for each block of a decoder, with room for so many positions of `batch`
    /// sequences.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes,
    /// [`NotEnoughMemory`](crate::NotEnoughMemory) for more than there is memory for.
    pub fn caches(
        self,
        decoder: DecoderSizes,
        batch: usize,
        capacity: usize,
    ) -> Result<Vec<Box<dyn KeyValueCache>>> {
        let DecoderSizes { blocks, kv_heads, head_dim, .. } = decoder;
        let sizes = CacheSizes { batch, kv_heads, head_dim, capacity };
        let bytes = match self {
            CacheKind::F32 => size_of::<f32>() * sizes.entries()?.len(),
            CacheKind::Int8 => sizes.entries()?.len() + size_of::<f32>() * sizes.rows()?.len(),
        };
        let needed = (2 * blocks as u64).saturating_mul(bytes as u64);
        room::require(&format!("the cache of keys and values of {capacity} positions"), needed)?;
        let cache = |_| -> Result<Box<dyn KeyValueCache>> {
            Ok(match self {
                CacheKind::F32 => Box::new(F32Cache::new(sizes)?),
                CacheKind::Int8 => Box::new(Int8Cache::new(sizes)?),
            })
        };
        (0..blocks).map(cache).collect()
    }
}

/// The sizes of a cache, which holds one block's keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSizes {
    /// Number of sequences.
    pub batch: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that there is room for.
    pub capacity: usize,
}

impl CacheSizes {
    /// The shape of all keys: `[batch, kv_heads, head_dim, capacity]`.
    fn entries(&self) -> Result<Shape> {
        Ok(Shape::new(&[self.batch, self.kv_heads, self.head_dim, self.capacity])?)
    }

    /// The shape of a number for each key: `[batch, kv_heads, capacity]`.
    fn rows(&self) -> Result<Shape> {
        Ok(Shape::new(&[self.batch, self.kv_heads, self.capacity])?)
    }

    /// Checks keys and values that are to follow the positions held, and returns how many they are.
    fn check(
        &self,
        positions: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<usize, GenerateError> {
        let CacheSizes { batch, kv_heads, head_dim, capacity } = *self;
        let new = keys.shape().get(2).copied().unwrap_or(0);
        let fits = |tensor: &Tensor| tensor.shape()[..] == [batch, kv_heads, new, head_dim];
        if !fits(keys) || !fits(values) {
            let expected = format!("[{batch}, {kv_heads}, new, {head_dim}]");
            let (keys, values) = (*keys.shape(), *values.shape());
            return Err(GenerateError::CacheShape { keys, values, expected });
        }
        if new > capacity - positions {
            return Err(GenerateError::CacheFull { positions, new, capacity });
        }
        Ok(new)
    }

    /// Writes `[batch, kv_heads, new, width]` as positions `at..at + new` of a cache laid out as
    /// `[batch, kv_heads, width, capacity]`.
    fn write<T: Copy>(&self, rows: &[T], new: usize, at: usize, held: &mut [T]) {
        let heads = (self.batch * self.kv_heads).max(1);
        let width = held.len() / (heads * self.capacity).max(1);
        for (head, rows) in rows.chunks_exact((new * width).max(1)).enumerate() {
            let held = &mut held[head * width * self.capacity..][..width * self.capacity];
            for (p, row) in rows.chunks_exact(width).enumerate() {
                let entries = held.chunks_exact_mut(self.capacity);
                entries.zip(row).for_each(|(entry, &value)| entry[at + p] = value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
