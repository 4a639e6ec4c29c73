//! What can go wrong when a model is described, and the checks of sizes.

use super::Architecture;
use crate::Result;

/// No model of use has more layers; a file that asks for them would only exhaust memory.
const MAX_LAYERS: usize = 1000;

/// What can go wrong when a model is described.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No preset has this name.
    #[error("there is no model {name:?}; the models are {}", Architecture::presets().collect::<Vec<_>>().join(", "))]
    UnknownPreset {
        /// The name.
        name: String,
    },
    /// A kind of model that the program does not know.
    #[error(
        "the model is of the kind {kind:?}, which is another program's own; this one knows {known}: load it with `Kinds::built_in().with::<YourModel>()`"
    )]
    UnknownKind {
        /// Its name.
        kind: String,
        /// The names that are known.
        known: String,
    },
    /// Settings of a kind that cannot be written or read.
    #[error("the settings of {kind:?} cannot be used: {problem}")]
    Description {
        /// The kind.
        kind: String,
        /// What is wrong.
        problem: String,
    },
    /// Another number of inputs than the model takes.
    #[error("{got} inputs are given to a model that takes {expected}; give one tensor for each")]
    InputCount {
        /// Inputs given.
        got: usize,
        /// Inputs of the model.
        expected: usize,
    },
    /// Several outputs where one is asked for.
    #[error("the model has {got} outputs where one is asked for; use `ListModel::forward_list`")]
    OutputCount {
        /// Outputs of the model.
        got: usize,
    },
    /// A state that cannot be fed back.
    #[error("the state cannot be fed back: {problem}")]
    Feedback {
        /// What is wrong.
        problem: String,
    },
    /// A size that makes no model.
    #[error("{architecture}: {name} is {value}, which must be from 1 to {max}")]
    Hyperparameter {
        /// The kind of model.
        architecture: &'static str,
        /// The hyper-parameter.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The largest value it can have.
        max: usize,
    },
    /// An index of something that is not there.
    #[error("{architecture}: {name} is {value}, which must be below {end}")]
    TooLarge {
        /// The kind of model.
        architecture: &'static str,
        /// What it is of.
        name: &'static str,
        /// Its value.
        value: usize,
        /// One past the largest value it can have.
        end: usize,
    },
    /// A setting that makes no model.
    #[error("{architecture}: {name} is {value}, which must be positive and finite")]
    Setting {
        /// The kind of model.
        architecture: &'static str,
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// A `config.json` that describes no model of tinytorch's.
    #[error("the configuration describes no model that tinytorch has: {problem}")]
    Config {
        /// What does not fit.
        problem: String,
    },
    /// Another number of caches than the model has blocks.
    #[error("{got} key-value caches are given for {expected} blocks; give one for each")]
    Caches {
        /// Caches given.
        got: usize,
        /// Blocks of the model.
        expected: usize,
    },
    /// Caches that have seen different passes.
    #[error(
        "the cache of block {block} holds {positions} positions and that of block 0 holds {first}; begin with empty caches"
    )]
    UnevenCaches {
        /// The first block that differs.
        block: usize,
        /// Positions that its cache holds.
        positions: usize,
        /// Positions that the first one holds.
        first: usize,
    },
    /// Numbers that cannot normalize images.
    #[error(
        "{architecture}: {name} is {values:?}, which must be one finite number for each of {channels} channels, above 0 if it is a deviation"
    )]
    Normalization {
        /// The kind of model.
        architecture: &'static str,
        /// The hyper-parameter.
        name: &'static str,
        /// Its values.
        values: Vec<f32>,
        /// Channels of an image.
        channels: usize,
    },
}

impl crate::CustomError for ModelError {}

/// Checks hyper-parameters as a model is built from them.
pub(super) struct Check(pub(super) &'static str);

impl Check {
    pub(super) fn size(&self, name: &'static str, value: usize) -> Result<()> {
        self.at_most(name, value, 1 << 24)
    }

    pub(super) fn layers(&self, name: &'static str, count: usize) -> Result<()> {
        self.at_most(name, count, MAX_LAYERS)
    }

    /// The sizes that every transformer of tokens has.
    pub(super) fn transformer(
        &self,
        layers: usize,
        vocab: usize,
        context: usize,
        dim: usize,
        hidden: usize,
    ) -> Result<()> {
        self.layers("the number of layers", layers)?;
        self.size("the vocabulary", vocab)?;
        self.size("the context", context)?;
        self.size("the width", dim)?;
        self.size("the hidden width", hidden)
    }

    pub(super) fn normalization(&self, channels: usize, mean: &[f32], std: &[f32]) -> Result<()> {
        let is_usable = |values: &[f32], above: f32| {
            values.len() == channels && values.iter().all(|v| v.is_finite() && *v > above)
        };
        for (name, values, above) in
            [("the mean", mean, f32::NEG_INFINITY), ("the deviation", std, 0.0)]
        {
            if !is_usable(values, above) {
                let (architecture, values) = (self.0, values.to_vec());
                return Err(
                    ModelError::Normalization { architecture, name, values, channels }.into()
                );
            }
        }
        Ok(())
    }

    pub(super) fn at_most(&self, name: &'static str, value: usize, max: usize) -> Result<()> {
        if (1..=max).contains(&value) {
            return Ok(());
        }
        Err(ModelError::Hyperparameter { architecture: self.0, name, value, max }.into())
    }

    pub(super) fn below(&self, name: &'static str, value: usize, end: usize) -> Result<()> {
        if value < end {
            return Ok(());
        }
        Err(ModelError::TooLarge { architecture: self.0, name, value, end }.into())
    }

    pub(super) fn positive(&self, name: &'static str, value: f32) -> Result<()> {
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(ModelError::Setting { architecture: self.0, name, value }.into())
    }
}
