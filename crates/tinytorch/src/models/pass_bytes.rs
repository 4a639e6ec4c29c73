//! How much memory a pass takes.

use super::Model;
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, Var};
use crate::tensor::Tensor;

/// Bytes of what the ops of an eager pass compute.
///
/// ```
/// use tinytorch::{Tensor, models::{Architecture, PassBytes}, nn::Init};
/// let model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
/// let of_one = PassBytes::of(&*model, &[Tensor::ones([1, 1, 8, 8])?])?;
/// assert_eq!(of_one.largest, 4 * 128);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassBytes {
    /// Of the op that computes most.
    pub largest: usize,
    /// Of all of them together, which a pass holds if something keeps what each layer reads and gives.
    pub all: usize,
}

impl PassBytes {
    /// What a pass over these inputs takes.
    ///
    /// # Errors
    /// If the model does not run on them.
    pub fn of(model: &dyn Model, inputs: &[Tensor]) -> Result<PassBytes> {
        let mut bytes = PassBytes::default();
        let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
        model.forward_list(&inputs, &mut Ctx::eval().observed(&mut bytes))?;
        Ok(bytes)
    }
}

impl Observer for PassBytes {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let bytes = run.outputs.iter().map(Tensor::bytes).sum();
        self.largest = self.largest.max(bytes);
        self.all = self.all.saturating_add(bytes);
        Ok(())
    }
}
