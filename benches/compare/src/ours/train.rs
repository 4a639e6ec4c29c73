//! tinytorch's step of training.

use crate::case::{Case, LOSSES, Train};
use crate::gpt::gpt;
use crate::networks::network;
use crate::serve::Variant;
use anyhow::{Context, Result};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::nn::{Forward, Layer};
use tinytorch::optim::{AdamW, Optimizer};
use tinytorch::{Rng, Tensor};

pub(super) fn prepare(case: &Case, work: &Train) -> Result<Vec<Variant>> {
    let mut model: Box<dyn Layer> = match &work.gpt {
        Some(sizes) => Box::new(gpt(sizes)?),
        None => network(&work.model)?.model,
    };
    let (input, targets) = (Var::from(case.read("input")?), case.read("targets")?);
    let mut optimizer = AdamW::new(work.lr);
    let mut step = move || -> Result<f32> {
        // Nothing here draws: there is no dropout.
        let mut ctx = Ctx::train(Rng::seed(0));
        let loss = model.forward(&input, &mut ctx)?.cross_entropy(&targets, &mut ctx)?;
        let value = loss.value().item()?;
        let gradients = ctx.backward(&loss)?;
        optimizer.step(&mut *model, gradients)?;
        Ok(value)
    };
    let losses = (0..LOSSES).map(|_| step()).collect::<Result<Vec<_>>>();
    let output = Tensor::from_vec(losses.context("the first steps")?, [LOSSES])?;
    let call = move || step().map(|_| ());
    Ok(vec![Variant { name: "f32", output, call: Box::new(call) }])
}
