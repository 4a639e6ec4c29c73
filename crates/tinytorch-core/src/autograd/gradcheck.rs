//! Derivatives against differences.

use super::{AutogradError, Ctx, Var};
use crate::tensor::Tensor;
use crate::{Result, Rng};

/// Step of the differences. Four points make the truncation error O(h^4), about 1e-6 here, and
/// keep f32 round-off at 1e-7 / h, about 3e-6 of the value.
const STEP: f32 = 0.03;

/// Compares the gradients of `f` at `inputs` with central differences (Abramowitz and Stegun
/// 25.3.6) of a random weighted sum of its outputs.
///
/// # Errors
/// [`AutogradError::Gradcheck`] naming the first element that differs by more than
/// `tolerance * (1 + |numeric|)`, or what `f` reports.
pub fn gradcheck(
    f: impl Fn(&[Var], &mut Ctx<'_>) -> Result<Var>,
    inputs: &[Tensor],
    tolerance: f32,
) -> Result<()> {
    let weights = |shape| Tensor::randn(shape, 1.0, &mut Rng::seed(17));
    let value = |inputs: &[Tensor]| -> Result<f64> {
        let vars: Vec<Var> = inputs.iter().map(Var::from).collect();
        let out = f(&vars, &mut Ctx::eval())?;
        let weighted = out.value().mul(&weights(*out.shape())?)?;
        Ok(weighted.to_vec::<f32>()?.iter().map(|&v| f64::from(v)).sum())
    };

    let mut ctx = Ctx::eval().recording();
    let vars: Vec<Var> = inputs.iter().map(|t| ctx.input(t)).collect();
    let out = f(&vars, &mut ctx)?;
    let loss = out.mul(&weights(*out.shape())?.into(), &mut ctx)?.sum(&mut ctx)?;
    let grads = ctx.backward(&loss)?;

    for (input, (var, tensor)) in vars.iter().zip(inputs).enumerate() {
        let grad = match grads.of_input(var) {
            Some(grad) => grad.to_vec::<f32>()?,
            None => vec![0.0; tensor.len()],
        };
        for (element, &analytic) in grad.iter().enumerate() {
            let mut probe = inputs.to_vec();
            let mut at = |delta: f32| -> Result<f64> {
                probe[input] = tensor.clone();
                probe[input].as_mut_slice::<f32>()?[element] += delta;
                value(&probe)
            };
            let near = at(STEP)? - at(-STEP)?;
            let far = at(2.0 * STEP)? - at(-2.0 * STEP)?;
            let numeric = ((8.0 * near - far) / (12.0 * f64::from(STEP))) as f32;
            let close = (analytic - numeric).abs() <= tolerance * (1.0 + numeric.abs());
            if !close {
                return Err(AutogradError::Gradcheck { input, element, analytic, numeric }.into());
            }
        }
    }
    Ok(())
}
