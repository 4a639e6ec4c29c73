use super::{Mlp, Model};
use crate::Result;
use crate::nn::Init;
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// A model's kind and hyper-parameters: everything but its weights.
///
/// ```
/// use tinytorch::models::Architecture;
/// let mlp = Architecture::Mlp { inputs: 4, hidden: vec![8], outputs: 2 };
/// let text = r#"{"architecture":"mlp","inputs":4,"hidden":[8],"outputs":2}"#;
/// assert_eq!(serde_json::to_string(&mlp).unwrap(), text);
/// assert_eq!(serde_json::from_str::<Architecture>(text).unwrap(), mlp);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Architecture {
    /// [`Mlp`]: linear layers with ReLU between them.
    Mlp {
        /// Values of one sample.
        inputs: usize,
        /// Width of each hidden layer.
        hidden: Vec<usize>,
        /// Classes.
        outputs: usize,
    },
}

/// The preset names, and what each stands for.
const PRESETS: [(&str, fn() -> Architecture); 2] = [
    ("digits-mlp", || Architecture::Mlp { inputs: 64, hidden: vec![128, 64], outputs: 10 }),
    ("mnist-mlp", || Architecture::Mlp { inputs: 784, hidden: vec![512, 256], outputs: 10 }),
];

/// No model of use has more layers; a file that asks for them would only exhaust memory.
const MAX_LAYERS: usize = 1000;

impl Architecture {
    /// The architecture of a reference model.
    ///
    /// # Errors
    /// [`ModelError::UnknownPreset`], which lists the names that there are.
    pub fn preset(name: &str) -> Result<Architecture> {
        match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, make)) => Ok(make()),
            None => Err(ModelError::UnknownPreset { name: name.to_string() }.into()),
        }
    }

    /// The names that [`Architecture::preset`] knows.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// The model, its parameters as `init` makes them.
    ///
    /// # Errors
    /// [`ModelError::Hyperparameter`] for sizes that make no model.
    pub fn build(&self, init: &mut Init) -> Result<Box<dyn Model>> {
        match self {
            Architecture::Mlp { inputs, hidden, outputs } => {
                Ok(Box::new(Mlp::new(*inputs, hidden, *outputs, init)?))
            }
        }
    }

    /// The shape of one sample, without the batch.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    pub fn input_shape(&self) -> Result<Shape> {
        match self {
            Architecture::Mlp { inputs, .. } => Ok(Shape::new(&[*inputs])?),
        }
    }
}

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
}

/// Checks hyper-parameters as a model is built from them.
pub(super) struct Check(pub(super) &'static str);

impl Check {
    pub(super) fn size(&self, name: &'static str, value: usize) -> Result<()> {
        self.at_most(name, value, 1 << 24)
    }

    pub(super) fn layers(&self, name: &'static str, count: usize) -> Result<()> {
        self.at_most(name, count, MAX_LAYERS)
    }

    pub(super) fn at_most(&self, name: &'static str, value: usize, max: usize) -> Result<()> {
        if (1..=max).contains(&value) {
            return Ok(());
        }
        Err(ModelError::Hyperparameter { architecture: self.0, name, value, max }.into())
    }
}
