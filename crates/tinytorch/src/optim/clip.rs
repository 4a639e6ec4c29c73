//! Limiting the norm of gradients.

use super::Setting;
use crate::Result;
use crate::autograd::Gradients;

fn sum_of_squares(values: &[f32]) -> f64 {
    // Independent lanes, as a single running sum waits four cycles for each addition.
    let mut lanes = [0f64; 8];
    for values in values.chunks(lanes.len()) {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    lanes.iter().sum()
}

/// Scales all gradients so that their joint L2 norm is at most `max_norm` (Pascanu et al., 2013), by
/// `max_norm / (norm + 1e-6)` as PyTorch does. Returns the norm before.
///
/// If the norm is NaN or infinite nothing is scaled; the optimizer's step then names the parameter.
///
/// ```
/// use tinytorch::{Tensor, autograd::{Ctx, Param, Role}, optim::clip_grad_norm};
/// let w = Param::new(Tensor::from_vec(vec![3.0, 4.0], [2])?, Role::Vector);
/// let mut ctx = Ctx::eval().recording();
/// let v = ctx.param(&w)?;
/// let loss = v.mul(&v, &mut ctx)?.sum(&mut ctx)?;
/// let mut grads = ctx.backward(&loss)?;
/// assert_eq!(clip_grad_norm(&mut grads, 1.0)?, 10.0);
/// assert!((grads.of(&w).unwrap().to_vec::<f32>()?[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`OptimError::Setting`](super::OptimError::Setting) unless `max_norm` is positive.
pub fn clip_grad_norm(grads: &mut Gradients, max_norm: f32) -> Result<f32> {
    let setting = Setting::positive("max_norm", f64::from(max_norm));
    Setting::check_all("clip_grad_norm", &[setting])?;
    let mut squares = Vec::new();
    for (_, grad) in grads.iter() {
        let dense = grad.contiguous()?;
        squares.push(sum_of_squares(dense.as_slice()?));
    }
    // Gradients come in the order in which parameters were made, which a clone or a loaded model need
    // not share; sorted, the sum is the same for all of them.
    squares.sort_by(f64::total_cmp);
    let norm = squares.iter().sum::<f64>().sqrt();
    let scale = f64::from(max_norm) / (norm + 1e-6);
    if scale < 1.0 && norm.is_finite() {
        for_each(grads, |g| *g *= scale as f32)?;
    }
    Ok(norm as f32)
}

/// Limits every element of every gradient to `-max_value..=max_value`; NaN stays NaN.
///
/// # Errors
/// [`OptimError::Setting`](super::OptimError::Setting) unless `max_value` is positive.
pub fn clip_grad_value(grads: &mut Gradients, max_value: f32) -> Result<()> {
    let setting = Setting::positive("max_value", f64::from(max_value));
    Setting::check_all("clip_grad_value", &[setting])?;
    for_each(grads, |g| *g = g.clamp(-max_value, max_value))
}

fn for_each(grads: &mut Gradients, change: impl Fn(&mut f32)) -> Result<()> {
    for (_, grad) in grads.iter_mut() {
        grad.as_mut_slice::<f32>()?.iter_mut().for_each(&change);
    }
    Ok(())
}
