//! Keys and values as floats.

use super::CacheSizes;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::KeyValueCache;
use crate::ops::{AttentionMask, HeldKeysValues};
use crate::tensor::Tensor;

/// A cache of floats: 8 bytes for each entry of a key head and its value.
///
/// Its memory is allocated once. A step writes its own keys and values and reads what attention reads;
/// nothing that came before is moved.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx};
/// use tinytorch::generate::{CacheSizes, F32Cache};
/// use tinytorch::nn::KeyValueCache;
/// use tinytorch::ops::AttentionMask;
///
/// let mut cache = F32Cache::new(CacheSizes { batch: 1, kv_heads: 1, head_dim: 2, capacity: 8 })?;
/// // Two positions whose keys are equal, so that a query sees the mean of their values.
/// let keys = Tensor::ones([1, 1, 2, 2])?;
/// let values = Tensor::from_vec(vec![1.0, 2.0, 3.0, 6.0], [1, 1, 2, 2])?;
/// cache.append(&keys, &values)?;
/// let query = Tensor::ones([1, 1, 1, 2])?.into();
/// let seen = cache.attend(&query, AttentionMask::default(), &mut Ctx::eval())?;
/// assert_eq!(seen.value().to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct F32Cache {
    sizes: CacheSizes,
    positions: usize,
    keys: Tensor,
    values: Tensor,
}

impl F32Cache {
    /// An empty cache.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(sizes: CacheSizes) -> Result<F32Cache> {
        let empty = || Tensor::zeros(sizes.entries()?);
        Ok(F32Cache { sizes, positions: 0, keys: empty()?, values: empty()? })
    }
}

impl KeyValueCache for F32Cache {
    fn positions(&self) -> usize {
        self.positions
    }

    fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<()> {
        let new = self.sizes.check(self.positions, keys, values)?;
        let (keys, values) = (keys.contiguous()?, values.contiguous()?);
        let (keys, values) = (keys.as_slice()?, values.as_slice()?);
        // Attention has let go of the buffers, so writing to them copies nothing.
        self.sizes.write::<f32>(keys, new, self.positions, self.keys.as_mut_slice()?);
        self.sizes.write::<f32>(values, new, self.positions, self.values.as_mut_slice()?);
        self.positions += new;
        Ok(())
    }

    fn attend(&self, queries: &Var, mask: AttentionMask<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let keys_values = [&self.keys, &self.values];
        let held = HeldKeysValues { positions: self.positions, keys_values, scales: None };
        queries.cached_attention(held, mask, ctx)
    }

    fn truncate(&mut self, positions: usize) {
        self.positions = self.positions.min(positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_is_never_moved() {
        let sizes = CacheSizes { batch: 1, kv_heads: 2, head_dim: 4, capacity: 50 };
        let mut cache = F32Cache::new(sizes).unwrap();
        let buffers = |cache: &F32Cache| {
            [&cache.keys, &cache.values].map(|t| t.as_slice::<f32>().unwrap().as_ptr() as usize)
        };
        let (before, new) = (buffers(&cache), Tensor::ones([1, 2, 1, 4]).unwrap());
        for _ in 0..50 {
            cache.append(&new, &new).unwrap();
            let queries = Var::from(&new);
            cache.attend(&queries, AttentionMask::default(), &mut Ctx::eval()).unwrap();
        }
        assert_eq!(buffers(&cache), before);
    }
}
