//! A model as a graph.

use crate::Result;
use crate::autograd::Ctx;
use crate::graph::Graph;
use crate::nn::Forward;

/// What a model does with an example, op by op.
pub(crate) fn lowered<M, X>(model: &M, example: &X) -> Result<Option<Graph>>
where
    M: Forward<X> + ?Sized,
{
    let mut ctx = Ctx::trace();
    let output = model.call(example, &mut ctx)?;
    ctx.into_tape().map(|tape| tape.lower(&output)).transpose()
}
