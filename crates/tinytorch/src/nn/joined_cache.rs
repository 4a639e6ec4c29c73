//! A cache for tests.

use super::KeyValueCache;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::ops::AttentionMask;
use crate::tensor::Tensor;

/// The simplest cache there can be, for tests: keys and values, joined as they come.
#[derive(Default)]
pub(crate) struct JoinedCache(Option<[Tensor; 2]>);

impl KeyValueCache for JoinedCache {
    fn positions(&self) -> usize {
        self.0.as_ref().map_or(0, |[keys, _]| keys.shape()[2])
    }

    fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<()> {
        let join = |a: &Tensor, b: &Tensor| Tensor::cat::<f32>(&[a.clone(), b.clone()], 2);
        self.0 = Some(match &self.0 {
            None => [keys.clone(), values.clone()],
            Some([k, v]) => [join(k, keys)?, join(v, values)?],
        });
        Ok(())
    }

    fn attend(&self, queries: &Var, mask: AttentionMask<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let [keys, values] = self.0.as_ref().expect("a pass appends before it attends");
        let kv_heads = keys.shape()[1];
        let queries = queries.unflatten(1, &[kv_heads, queries.shape()[1] / kv_heads], ctx)?;
        let [keys, values] = [keys, values].map(|t| Var::from(t.unsqueeze(2).expect("rank 4")));
        queries.scaled_dot_product_attention(&keys, &values, mask, ctx)?.flatten(1, 2, ctx)
    }

    fn truncate(&mut self, positions: usize) {
        let keep = positions.min(self.positions());
        if let Some(held) = &mut self.0 {
            *held = held.each_ref().map(|t| t.slice(2, 0..keep).expect("no more than is held"));
        }
    }
}
