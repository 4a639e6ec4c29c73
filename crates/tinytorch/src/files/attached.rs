//! A file lists what stands beside the weights of a model, such as adapters, in the metadata entry
//! `attached`: a table from a weight's name to its [`Attached`].

use super::{ContentError, TensorFile};
use crate::Result;
use crate::nn::Module;
use crate::ops::{Attached, Weight};
use std::collections::BTreeMap;

pub(super) const KEY: &str = "attached";

/// What stands beside the weights of a module, by their names.
pub(crate) fn attached(module: &dyn Module) -> BTreeMap<String, Attached> {
    let all = module.named_weights().into_iter().map(|(name, weight)| (name, weight.attached()));
    all.filter(|(_, attached)| *attached != Attached::default()).collect()
}

/// The metadata entry, if there is anything to list.
pub(super) fn to_metadata(module: &dyn Module) -> Option<String> {
    let all = attached(module);
    // A table of numbers under strings always makes JSON, hence `ok`.
    (!all.is_empty()).then(|| serde_json::to_string(&all).ok()).flatten()
}

/// What a file lists.
pub(crate) fn from_metadata(file: &TensorFile) -> Result<BTreeMap<String, Attached>> {
    let Some(text) = file.metadata().get(KEY) else { return Ok(BTreeMap::new()) };
    let all: BTreeMap<String, Attached> =
        serde_json::from_str(text).map_err(|error| unusable(file, error.to_string()))?;
    for (name, Attached { low_rank, adapter, .. }) in &all {
        let ranks = low_rank.iter().chain(adapter.as_ref().map(|config| &config.rank));
        if ranks.into_iter().any(|rank| !(1..=LARGEST_RANK).contains(rank)) {
            let detail = format!("{name:?} has a rank that is not from 1 to {LARGEST_RANK}");
            return Err(unusable(file, detail));
        }
        if adapter.is_some_and(|config| !config.alpha.is_finite()) {
            return Err(unusable(file, format!("{name:?} has an adapter without a finite alpha")));
        }
    }
    Ok(all)
}

/// No weight has more rows or columns; a file that asks for them would only exhaust memory.
const LARGEST_RANK: usize = 1 << 24;

fn unusable(file: &TensorFile, detail: String) -> crate::Error {
    file.problem(ContentError::Metadata { key: KEY.to_string(), detail })
}

/// The weights that were replaced by ones into which the file fits.
pub(super) struct Replaced(BTreeMap<String, Weight>);

/// Puts beside a module's weights, without values, what the file lists and they do not have.
pub(super) fn attach(module: &mut dyn Module, file: &TensorFile) -> Result<Replaced> {
    let mut listed = from_metadata(file)?;
    let mut replaced = BTreeMap::new();
    let mut failed = Ok(());
    module.change_weights(&mut |name, weight| {
        let Some(wanted) = listed.remove(name).filter(|wanted| *wanted != weight.attached()) else {
            return;
        };
        if weight.attached() != Attached::default() {
            let detail = format!("the model has something else beside {name:?}");
            failed = Err(unusable(file, detail));
            return;
        }
        match weight.absent_with(&wanted) {
            Ok(new) => {
                replaced.insert(name.to_string(), std::mem::replace(weight, new));
            }
            Err(error) => failed = Err(unusable(file, format!("{name:?}: {error}"))),
        }
    });
    let replaced = Replaced(replaced);
    if let (Ok(()), Some(name)) = (&failed, listed.keys().next()) {
        failed = Err(unusable(file, format!("the model has no weight {name:?}")));
    }
    match failed {
        Ok(()) => Ok(replaced),
        Err(error) => {
            replaced.put_back(module);
            Err(error)
        }
    }
}

impl Replaced {
    /// Undoes [`attach`].
    pub(super) fn put_back(mut self, module: &mut dyn Module) {
        module.change_weights(&mut |name, weight| {
            if let Some(old) = self.0.remove(name) {
                *weight = old;
            }
        });
    }
}
