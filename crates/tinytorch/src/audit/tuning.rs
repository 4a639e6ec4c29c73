//! Int8 models that were fine-tuned: what of them may differ from the float model.

use super::compare::same_bits;
use super::subject::Tuning;
use super::{AuditError, Subject};
use crate::Result;
use crate::autograd::Stored;
use crate::files::load_model;
use crate::models::{ListModel, Model};
use crate::nn::Module;
use crate::quant::{Folded, fold};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

impl Subject {
    /// Tells which parameters were fine-tuned after quantizing, adapters included: those that
    /// [`changed_params`] finds. They are put into the float model too, so that the audit compares what was
    /// trained in int8 with the same in floats. Everything else is held against the float model as it was.
    ///
    /// # Errors
    /// [`AuditError::NoParameter`] for a name that no float parameter of the int8 model has.
    pub fn fine_tuned<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Subject> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let floats = floats(&*self.int8)?;
        if let Some(name) = names.iter().find(|name| !floats.contains_key(*name)) {
            return Err(AuditError::NoParameter { name: name.clone() }.into());
        }
        let original = self.tuning.take().map_or_else(|| self.float.clone(), |t| t.original);
        let mut twin = original.clone();
        self.adapt(&mut *twin, &names);
        let first = self.held_out.first(1)?.iter().map(Into::into).collect();
        let folded = fold(&*original as &dyn ListModel, &first, &self.config_as_stored()?)?;
        let shifts = shifts(&*original, &folded, &names, &floats)?;
        let params = original.named_params().into_iter();
        let took_in: BTreeSet<String> = params
            .filter(|(_, param)| folded.biases.contains_key(&param.id()))
            .map(|(name, _)| name)
            .collect();
        for (name, param) in twin.named_params_mut() {
            if let Some(shift) = shifts.get(&name) {
                let shifted = param.value()?.add(shift)?;
                param.store(Stored::F32(shifted));
            } else if names.contains(&name)
                && !took_in.contains(&name)
                && let Some(value) = floats.get(&name)
            {
                param.store(Stored::F32(value.clone()));
            }
        }
        self.float = twin;
        self.tuning = Some(Tuning { names, original });
        Ok(self)
    }

    /// Tells what was fine-tuned by the int8 model as it was before that: everything in which they differ,
    /// which has to be as quantizing left it there.
    ///
    /// # Errors
    /// As [`Subject::fine_tuned`] and [`load_model`], [`AuditError::OtherKind`] for a model of another
    /// description, and [`AuditError::NotBefore`] for one whose parameters are not those that quantizing gives.
    pub fn fine_tuned_since(self, before: impl AsRef<Path>) -> Result<Subject> {
        let before = load_model(before)?.model;
        let (of_before, of_int8) = (before.description()?, self.int8.description()?);
        if of_before != of_int8 {
            return Err(AuditError::OtherKind { float: of_before, int8: of_int8 }.into());
        }
        let names = changed_params(&*before, &*self.int8)?;
        let first = self.held_out.first(1)?.iter().map(Into::into).collect();
        let original = self.original();
        let folded = fold(original as &dyn ListModel, &first, &self.config_as_stored()?)?;
        let were = floats(&*before)?;
        for (name, param) in original.named_params() {
            let Some(was) = were.get(&name).filter(|_| names.contains(&name)) else { continue };
            let expected = folded.values.get(&param.id()).map_or_else(|| param.value(), Ok)?;
            if !same_bits(was, expected)? {
                return Err(AuditError::NotBefore { name }.into());
            }
        }
        self.fine_tuned(names)
    }

    /// The float model as it was before quantizing.
    pub(super) fn original(&self) -> &dyn Model {
        self.tuning.as_ref().map_or(&*self.float, |tuning| &*tuning.original)
    }

    /// Whether this parameter of the int8 model was fine-tuned.
    pub(super) fn is_tuned(&self, name: &str) -> bool {
        self.tuning.as_ref().is_some_and(|tuning| tuning.names.contains(name))
    }

    /// Puts the adapters that were trained beside the same weights of the float model.
    fn adapt(&self, twin: &mut dyn Model, names: &BTreeSet<String>) {
        let weights = self.int8.named_weights();
        let mut adapters: BTreeMap<String, _> = weights
            .into_iter()
            .filter_map(|(name, weight)| Some((name, weight.adapter()?.clone())))
            .filter(|(name, _)| {
                let layer = name.strip_suffix("weight").unwrap_or(name);
                names.contains(&format!("{layer}lora_A"))
                    || names.contains(&format!("{layer}lora_B"))
            })
            .collect();
        twin.change_weights(&mut |name, weight| {
            if let Some(adapter) = adapters.remove(name) {
                weight.set_adapter(adapter);
            }
        });
    }
}

/// A bias that took in a batch norm and was trained after that has moved by this much, and so does the
/// norm's own bias in the float model.
fn shifts(
    original: &dyn Model,
    folded: &Folded,
    names: &BTreeSet<String>,
    floats: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut shifts = BTreeMap::new();
    for (name, param) in original.named_params() {
        let of_norm = folded.biases.get(&param.id()).zip(folded.values.get(&param.id()));
        if let (Some((norm, value)), Some(tuned)) = (of_norm, floats.get(&name))
            && names.contains(&name)
        {
            shifts.insert(format!("{norm}.bias"), tuned.sub(value)?);
        }
    }
    Ok(shifts)
}

/// The names of the parameters in which `after` differs from `before`: those that a fine-tuning has changed
/// or added.
///
/// ```
/// use tinytorch::{Tensor, audit::changed_params, nn::{Init, Linear}};
/// let before = Linear::new(4, 2, &mut Init::seed(0))?;
/// let mut after = before.clone();
/// *after.bias.as_mut().unwrap().value_mut()? = Tensor::full(0.5, [2])?;
/// assert_eq!(changed_params(&before, &after)?, ["bias"]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// For parameters without values.
pub fn changed_params(before: &dyn Module, after: &dyn Module) -> Result<Vec<String>> {
    let before = digests(before)?;
    let after = digests(after)?;
    let is_new = |(name, digest): &(String, String)| before.get(name) != Some(digest);
    Ok(after.into_iter().filter(is_new).map(|(name, _)| name).collect())
}

fn digests(module: &dyn Module) -> Result<BTreeMap<String, String>> {
    let params = module.named_params().into_iter();
    params.map(|(name, param)| Ok((name, crate::files::digest_params(param)?))).collect()
}

/// The values of a model's float parameters.
fn floats(model: &dyn Model) -> Result<BTreeMap<String, Tensor>> {
    let params = model.named_params().into_iter().filter(|(_, param)| param.int8().is_none());
    params.map(|(name, param)| Ok((name, param.value()?.clone()))).collect()
}
