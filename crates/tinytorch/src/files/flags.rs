//! A file lists the flags of a model that are set, such as `blocks.0.norm.folded`, in the metadata
//! entry `flags`.

use super::{ContentError, TensorFile};
use crate::Result;
use crate::nn::Module;
use std::collections::BTreeSet;

pub(super) const KEY: &str = "flags";

/// The metadata entry, if any flag is set.
pub(super) fn to_metadata(module: &dyn Module) -> Option<String> {
    let set = module.named_flags().into_iter().filter(|(_, flag)| *flag);
    let names: Vec<String> = set.map(|(name, _)| name).collect();
    // A list of strings always makes JSON, hence `ok`.
    (!names.is_empty()).then(|| serde_json::to_string(&names).ok()).flatten()
}

/// The flags that a file sets, all of which the module has.
pub(super) fn from_metadata(file: &TensorFile, module: &dyn Module) -> Result<BTreeSet<String>> {
    let Some(text) = file.metadata().get(KEY) else { return Ok(BTreeSet::new()) };
    let unusable = |detail| file.problem(ContentError::Metadata { key: KEY.to_string(), detail });
    let set: BTreeSet<String> =
        serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
    let known: BTreeSet<String> = module.named_flags().into_iter().map(|(name, _)| name).collect();
    match set.difference(&known).next() {
        None => Ok(set),
        Some(name) => Err(unusable(format!("the model has no flag {name:?}"))),
    }
}
