use super::TrainError;
use crate::Result;
use crate::autograd::Role;
use crate::nn::Module;
use std::fmt;

/// Why a parameter is not trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrained {
    /// Training was told to leave it alone.
    Frozen,
    /// It is stored as int8.
    Int8,
}

impl fmt::Display for Untrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Untrained::Frozen => "frozen",
            Untrained::Int8 => "int8",
        })
    }
}

/// The parameters that a training of `model` will leave as they are, and why; running statistics are
/// not parameters in this sense.
///
/// ```
/// use tinytorch::{nn::{Init, Linear, Module}, train::{Untrained, frozen}};
/// let mut model = Linear::new(2, 2, &mut Init::seed(0))?;
/// model.set_frozen("bias", true);
/// assert_eq!(frozen(&model), [("bias".to_string(), Untrained::Frozen)]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub fn frozen(model: &dyn Module) -> Vec<(String, Untrained)> {
    let params = model.named_params().into_iter().filter(|(_, p)| p.role() != Role::Buffer);
    let untrained = params.filter_map(|(name, param)| match param.int8() {
        Some(_) => Some((name, Untrained::Int8)),
        None => param.is_frozen().then_some((name, Untrained::Frozen)),
    });
    untrained.collect()
}

/// Says what is frozen, and refuses a model in which everything is.
pub(super) fn check_trainable(model: &dyn Module) -> Result<()> {
    let untrained = frozen(model);
    let trainable = model.named_params().iter().filter(|(_, p)| p.is_trainable()).count();
    if trainable == 0 {
        let int8 = untrained.iter().filter(|(_, why)| *why == Untrained::Int8).count();
        return Err(TrainError::NothingToTrain { frozen: untrained.len() - int8, int8 }.into());
    }
    if !untrained.is_empty() {
        let names: Vec<String> = untrained.iter().map(|(n, why)| format!("{n} ({why})")).collect();
        tracing::info!(
            "training {trainable} parameters and leaving {} as they are: {}",
            names.len(),
            names.join(", ")
        );
    }
    Ok(())
}
