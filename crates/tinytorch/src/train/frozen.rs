//! Parameters that are not trained, and why.

use super::TrainError;
use crate::Result;
use crate::autograd::{Param, Role};
use crate::nn::Module;
use std::fmt;

/// Why a parameter is not trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrained {
    /// Training was told to leave it alone.
    Frozen,
    /// It is stored as int8.
    Int8,
    /// Its layer is folded into the one before, which does its work.
    Folded,
    /// It is state and not trained: a running statistic.
    Buffer,
}

impl fmt::Display for Untrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Untrained::Frozen => "frozen",
            Untrained::Int8 => "int8",
            Untrained::Folded => "folded",
            Untrained::Buffer => "buffer",
        })
    }
}

/// The parameters that a training of `model` will leave as they are, and why.
///
/// ```
/// use tinytorch::{nn::{Init, Linear, Module}, train::{Untrained, frozen}};
/// let mut model = Linear::new(2, 2, &mut Init::seed(0))?;
/// model.set_frozen("bias", true);
/// assert_eq!(frozen(&model), [("bias".to_string(), Untrained::Frozen)]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub fn frozen(model: &dyn Module) -> Vec<(String, Untrained)> {
    let flags = model.named_flags().into_iter().filter(|(_, set)| *set);
    let folded: Vec<String> =
        flags.filter_map(|(name, _)| Some(name.strip_suffix("folded")?.to_string())).collect();
    let reason = |name: &str, param: &Param| match param.role() {
        _ if folded.iter().any(|layer| name.starts_with(layer)) => Some(Untrained::Folded),
        Role::Buffer => Some(Untrained::Buffer),
        _ if param.int8().is_some() => Some(Untrained::Int8),
        _ => param.is_frozen().then_some(Untrained::Frozen),
    };
    let params = model.named_params().into_iter();
    params.filter_map(|(name, param)| reason(&name, param).map(|why| (name, why))).collect()
}

/// What a training of a model will change and what it will leave as it is, in one sentence.
///
/// ```
/// use tinytorch::{nn::{Init, Linear, Module}, train::trainable_summary};
/// let mut model = Linear::new(3, 2, &mut Init::seed(0))?;
/// model.set_frozen("weight", true);
/// let summary = trainable_summary(&model);
/// assert_eq!(summary.to_string(), "trains 2 values in 1 tensor and leaves 1 as it is: weight (frozen)");
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub fn trainable_summary(model: &dyn Module) -> TrainableSummary {
    let mut params = model.named_params();
    params.retain(|(_, param)| param.is_trainable());
    let values = params.iter().map(|(_, param)| param.shape().len()).sum();
    let trained = params.into_iter().map(|(name, _)| name).collect();
    TrainableSummary { trained, values, untrained: frozen(model) }
}

/// What [`trainable_summary`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainableSummary {
    /// Names of the tensors that are trained.
    pub trained: Vec<String>,
    /// Values in them.
    pub values: usize,
    /// Names of those that are not, each with the reason.
    pub untrained: Vec<(String, Untrained)>,
}

impl fmt::Display for TrainableSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let (values, tensors) = (self.values, self.trained.len());
        write!(
            f,
            "trains {values} value{} in {tensors} tensor{}",
            plural(values),
            plural(tensors)
        )?;
        if self.untrained.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            self.untrained.iter().map(|(n, why)| format!("{n} ({why})")).collect();
        let as_is = if names.len() == 1 { "it is" } else { "they are" };
        write!(f, " and leaves {} as {as_is}: {}", names.len(), names.join(", "))
    }
}

/// Says what is trained and what is not, and refuses a model in which nothing is.
pub(super) fn check_trainable(model: &dyn Module) -> Result<()> {
    let summary = trainable_summary(model);
    if summary.trained.is_empty() {
        let count = |why| summary.untrained.iter().filter(|(_, reason)| *reason == why).count();
        let int8 = count(Untrained::Int8);
        let frozen = summary.untrained.len() - int8 - count(Untrained::Buffer);
        return Err(TrainError::NothingToTrain { frozen, int8 }.into());
    }
    if !summary.untrained.is_empty() {
        tracing::info!("{summary}");
    }
    Ok(())
}
