//! How a checkpoint spells the names of a model's tensors: what wraps the model, and what norms call their
//! parameters.

use super::checkpoint::Checkpoint;

/// Names of the modules that a model may have been wrapped in when it was saved.
const WRAPPERS: [&str; 13] = [
    "",
    "module.",
    "model.",
    "bert.",
    "roberta.",
    "distilbert.",
    "transformer.",
    "module.bert.",
    "module.model.",
    "module.transformer.",
    "encoder.",
    "0.auto_model.",
    "_orig_mod.",
];

/// Begins the names of some models, and is left off when their inner part was saved alone.
const INNER: &str = "model.";

/// Norms as TensorFlow calls their parameters, which conversions have kept.
const NORMS: [(&str, &str); 2] =
    [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")];

/// From the usual names to those of a checkpoint.
pub(super) struct Spelling<'a> {
    checkpoint: &'a Checkpoint,
    wrapper: &'static str,
    is_inner: bool,
}

impl<'a> Spelling<'a> {
    /// The spelling that finds most of these names.
    pub(super) fn of(checkpoint: &'a Checkpoint, names: &[String]) -> Spelling<'a> {
        let mut best = (0, Spelling { checkpoint, wrapper: "", is_inner: false });
        for is_inner in [false, true] {
            for wrapper in WRAPPERS {
                let spelling = Spelling { checkpoint, wrapper, is_inner };
                let found = names.iter().filter(|name| checkpoint.contains(&spelling.find(name)));
                let count = found.count();
                if count > best.0 {
                    best = (count, spelling);
                }
            }
        }
        best.1
    }

    /// The checkpoint's name of a tensor; as it would be, if there is none.
    pub(super) fn find(&self, name: &str) -> String {
        let inner = if self.is_inner { name.strip_prefix(INNER).unwrap_or(name) } else { name };
        let full = format!("{}{inner}", self.wrapper);
        if self.checkpoint.contains(&full) {
            return full;
        }
        for (usual, other) in NORMS {
            let other = full.strip_suffix(usual).map(|start| format!("{start}{other}"));
            if let Some(other) = other.filter(|other| self.checkpoint.contains(other)) {
                return other;
            }
        }
        // A head stands beside the part that is wrapped, not in it.
        match self.checkpoint.contains(inner) {
            true => inner.to_string(),
            false => full,
        }
    }

    /// A name of the checkpoint without what wraps it.
    pub(super) fn plain<'n>(&self, name: &'n str) -> &'n str {
        name.strip_prefix(self.wrapper).unwrap_or(name)
    }
}
