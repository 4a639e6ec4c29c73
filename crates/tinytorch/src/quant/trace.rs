//! A model as a graph.

use crate::Result;
use crate::autograd::Ctx;
use crate::graph::Graph;
use crate::nn::{Forward, Outputs};

/// What a model does with an example, op by op; `None` for one that gives nothing.
pub(super) fn lowered<M, X>(model: &M, example: &X) -> Result<Option<Graph>>
where
    M: Forward<X> + ?Sized,
{
    let mut ctx = Ctx::trace();
    let output = model.forward(example, &mut ctx)?;
    let first = output.vars().into_iter().next();
    ctx.into_tape().zip(first).map(|(tape, first)| tape.lower(first)).transpose()
}
