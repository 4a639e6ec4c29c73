//! Low-rank adapters (LoRA: Hu et al., 2021): linear layers learn a small correction beside a weight that
//! stays as it is, and so may be int8.
//!
//! ```text
//! y = x W^T + alpha / rank * (x A^T) B^T
//! ```
//!
//! `A`, `[rank, in]`, and `B`, `[out, rank]`, are parameters like any other: `fc.lora_A` and `fc.lora_B`.
//! Files hold them, and a model that is loaded has them again.
//!
//! ```
//! use tinytorch::{Result, Tensor, autograd::Var, nn::{Init, Linear, Module}};
//! use tinytorch::quant::{Activations, QuantConfig, quantize_model};
//! use tinytorch::{fit::lora, train::trainable_summary};
//! let mut model = Linear::new(64, 32, &mut Init::seed(0))?;
//! let dynamic = QuantConfig::new(Activations::Dynamic);
//! quantize_model(&mut model, std::iter::empty::<Result<Var>>(), &dynamic)?;
//!
//! let config = lora::AdapterConfig { rank: 4, alpha: 8.0 };
//! lora::attach(&mut model, "*", config, &mut Init::seed(1))?;
//! let summary = trainable_summary(&model);
//! assert_eq!(summary.trained, ["lora_A", "lora_B", "bias"]);
//! assert_eq!(summary.values, 4 * 64 + 32 * 4 + 32);
//! # Ok::<(), tinytorch::Error>(())
//! ```

use crate::Result;
use crate::autograd::{Role, Stored};
use crate::nn::{Init, Module, linear_layers};
use crate::ops::Adapter;
pub use crate::ops::AdapterConfig;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// What can go wrong with adapters. The model is then as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A pattern that names no linear layer.
    #[error("there is no linear layer `{pattern}` to adapt; the linear layers are {known}")]
    NoLayer {
        /// The pattern.
        pattern: String,
        /// The layers there are.
        known: String,
    },
    /// A rank that corrects nothing, or more than there is.
    #[error("an adapter of rank {rank} does not fit `{layer}`; choose a rank from 1 to {max}")]
    Rank {
        /// The layer.
        layer: String,
        /// The rank.
        rank: usize,
        /// The smaller side of the layer's weight.
        max: usize,
    },
    /// A factor that is NaN or infinite.
    #[error("the alpha of an adapter is {alpha}; it must be finite")]
    Alpha {
        /// The factor.
        alpha: f32,
    },
    /// A layer that has an adapter.
    #[error("`{layer}` has an adapter already; merge or detach it first")]
    AlreadyThere {
        /// The layer.
        layer: String,
    },
    /// A layer whose weight is a product.
    #[error("`{layer}` is stored as two factors; train those instead of adapting it")]
    Factored {
        /// The layer.
        layer: String,
    },
    /// A model without adapters.
    #[error("the model has no adapters to merge; attach some first")]
    NoAdapter,
    /// An adapter that would have to be rounded away.
    #[error(
        "the adapter of `{weight}` cannot be merged, since the weight is int8 and the sum would be rounded; keep it beside the weight, or merge it into the float model and quantize that"
    )]
    Int8 {
        /// The weight.
        weight: String,
    },
}

impl crate::CustomError for AdapterError {}

/// Puts an adapter beside every linear layer whose dotted name matches `pattern`, in which `*` stands for
/// any characters. Their weights are frozen from here on. Returns the layers' names.
///
/// # Errors
/// [`AdapterError::NoLayer`], [`AdapterError::Rank`], [`AdapterError::Alpha`],
/// [`AdapterError::AlreadyThere`] or [`AdapterError::Factored`].
pub fn attach(
    model: &mut dyn Module,
    pattern: &str,
    config: AdapterConfig,
    init: &mut Init,
) -> Result<Vec<String>> {
    let AdapterConfig { rank, alpha } = config;
    if !alpha.is_finite() {
        return Err(AdapterError::Alpha { alpha }.into());
    }
    let layers = linear_layers(model, pattern)
        .map_err(|known| AdapterError::NoLayer { pattern: pattern.to_string(), known })?;
    let mut adapters = BTreeMap::new();
    let mut names = Vec::with_capacity(layers.len());
    for found in layers {
        let (layer, shape) = (found.name, found.weight.shape());
        if found.weight.adapter().is_some() {
            return Err(AdapterError::AlreadyThere { layer }.into());
        }
        if found.weight.down().is_some() {
            return Err(AdapterError::Factored { layer }.into());
        }
        let max = shape[0].min(shape[1]);
        if !(1..=max).contains(&rank) {
            return Err(AdapterError::Rank { layer, rank, max }.into());
        }
        let bound = 1.0 / (shape[1] as f32).sqrt();
        let lora_a = init.uniform([rank, shape[1]], bound, Role::Vector)?;
        adapters.insert(found.weight_name, Adapter::new(config, &shape, lora_a.value()?.clone())?);
        names.push(layer);
    }
    model.change_weights(&mut |name, weight| {
        if let Some(adapter) = adapters.remove(name) {
            weight.set_adapter(adapter);
        }
    });
    Ok(names)
}

/// Adds every adapter to the weight it stands beside, `W + alpha / rank * B A`, and takes it away. The
/// weights are trained again from here on. Returns their names.
///
/// # Errors
/// [`AdapterError::NoAdapter`], [`AdapterError::Int8`].
pub fn merge(model: &mut dyn Module) -> Result<Vec<String>> {
    let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, weight) in model.named_weights() {
        let Some(adapter) = weight.adapter() else { continue };
        if weight.int8().is_some() {
            return Err(AdapterError::Int8 { weight: name }.into());
        }
        sums.insert(name, weight.value()?.add(&adapter.product()?)?);
    }
    if sums.is_empty() {
        return Err(AdapterError::NoAdapter.into());
    }
    let names = sums.keys().cloned().collect();
    model.change_weights(&mut |name, weight| {
        if let Some(sum) = sums.remove(name) {
            weight.take_adapter();
            weight.store(Stored::F32(sum));
        }
    });
    Ok(names)
}

/// Takes every adapter away, and what it has learned with it; returns the names of their weights, which are
/// trained again from here on.
pub fn detach(model: &mut dyn Module) -> Vec<String> {
    let mut names = Vec::new();
    model.change_weights(&mut |name, weight| {
        if weight.take_adapter().is_some() {
            names.push(name.to_string());
        }
    });
    names
}
