//! tinytorch's step of a decoder.

use crate::case::{Case, Decode};
use crate::gpt::gpt;
use crate::serve::Variant;
use anyhow::Result;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::generate::CacheKind;
use tinytorch::models::{Decoder, Gpt};
use tinytorch::quant::{Activations, QuantConfig, quantize_model};

pub(super) fn prepare(case: &Case, work: &Decode) -> Result<Vec<Variant>> {
    let float = gpt(&work.gpt)?;
    let ids = case.read("ids")?;
    let mut variants = Vec::new();
    if case.wants("int8 dynamic") {
        let mut model = float.clone();
        let config = QuantConfig::new(Activations::Dynamic).knowingly();
        quantize_model(&mut model, [Ok(Var::from(&ids))], &config)?;
        variants.push(variant("int8 dynamic", model, &ids, work.position)?);
    }
    // Float first: the error of int8 is told against it.
    variants.insert(0, variant("f32", float, &ids, work.position)?);
    Ok(variants)
}

fn variant(name: &'static str, model: Gpt, ids: &Tensor, position: usize) -> Result<Variant> {
    let mut caches = CacheKind::F32.caches(model.sizes(), 1, model.sizes().context)?;
    let mut ctx = Ctx::eval();
    let before = Var::from(ids.slice(1, 0..position)?.contiguous()?);
    let token = Var::from(ids.slice(1, position..position + 1)?.contiguous()?);
    model.forward_cached(&before, &mut caches, &mut ctx)?;
    let mut step = move || -> Result<Tensor> {
        let scores = model.forward_cached(&token, &mut caches, &mut ctx)?;
        caches.iter_mut().for_each(|cache| cache.truncate(position));
        Ok(scores.into_value())
    };
    let output = step()?;
    let call = move || step().map(|_| ());
    Ok(Variant { name, output, call: Box::new(call) })
}
