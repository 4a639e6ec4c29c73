//! Pruning the smallest weights.

use super::{CompressError, Masks};
use crate::Result;
use crate::autograd::{Param, Role, Stored};
use crate::nn::Module;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// What the smallest weights are chosen among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// The weights of each layer: all layers become equally sparse.
    #[default]
    Layer,
    /// All weights of the model: layers with small weights lose more.
    Global,
}

/// How many weights of a model are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sparsity {
    /// Those that are 0.
    pub zeros: usize,
    /// All.
    pub total: usize,
}

impl Sparsity {
    /// The share that is 0.
    pub fn share(self) -> f64 {
        self.zeros as f64 / self.total.max(1) as f64
    }
}

/// Whether pruning looks at this parameter: what is multiplied, and not biases, norms or tables.
fn is_pruned(param: &Param) -> bool {
    matches!(param.role(), Role::LinearWeight | Role::ConvWeight { .. })
}

/// Sets the weights of least magnitude to 0: `floor(sparsity * n)` of the `n` weights of linear layers and
/// convolutions, those that come first among equals (Han et al., 2015).
///
/// The masks that are returned [keep](Masks::keep) them at 0 while the others train on. The model does not become
/// smaller by it: zeros are stored and multiplied like any weight.
///
/// ```
/// use tinytorch::{Tensor, compress::{Scope, magnitude_prune}, nn::{Init, Linear}};
/// let mut layer = Linear::new(4, 1, &mut Init::seed(0))?;
/// *layer.weight.value_mut()? = Tensor::from_vec(vec![0.1, -2.0, 1.0, -0.2], [1, 4])?;
/// magnitude_prune(&mut layer, 0.5, Scope::Layer)?;
/// assert_eq!(layer.weight.value()?.to_vec::<f32>()?, [0.0, -2.0, 1.0, 0.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`CompressError::Sparsity`], [`CompressError::NothingToPrune`], [`CompressError::NotPlain`] for int8
/// weights, [`CompressError::NotFinite`].
pub fn magnitude_prune(model: &mut dyn Module, sparsity: f64, scope: Scope) -> Result<Masks> {
    check_sparsity(sparsity)?;
    let mut weights: Vec<(String, Vec<f32>)> = Vec::new();
    for (name, param) in model.named_params().into_iter().filter(|(_, p)| is_pruned(p)) {
        if param.int8().is_some() {
            let (weight, form, change) = (name, "int8", "pruned");
            return Err(CompressError::NotPlain { weight, form, change }.into());
        }
        let values = param.value()?.to_vec::<f32>()?;
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            let (weight, value) = (name, values[index]);
            return Err(CompressError::NotFinite { weight, value, index }.into());
        }
        weights.push((name, values));
    }
    if weights.is_empty() {
        return Err(CompressError::NothingToPrune.into());
    }
    let groups: Vec<&mut [(String, Vec<f32>)]> = match scope {
        Scope::Layer => weights.chunks_mut(1).collect(),
        Scope::Global => vec![&mut weights[..]],
    };
    let mut kept = BTreeMap::new();
    for group in groups {
        let magnitudes: Vec<f32> = group.iter().flat_map(|(_, v)| v).map(|v| v.abs()).collect();
        let mut kept_of_group = largest(&magnitudes, sparsity).into_iter();
        for (name, values) in group {
            let mask: Vec<bool> = kept_of_group.by_ref().take(values.len()).collect();
            kept.insert(name.clone(), mask);
        }
    }
    let masks = Masks::new(kept);
    masks.apply(model)?;
    Ok(masks)
}

pub(super) fn check_sparsity(sparsity: f64) -> Result<(), CompressError> {
    if (0.0..1.0).contains(&sparsity) { Ok(()) } else { Err(CompressError::Sparsity { sparsity }) }
}

/// Which of the values stay when `floor(sparsity * n)` of the smallest go.
pub(super) fn largest(values: &[f32], sparsity: f64) -> Vec<bool> {
    let gone = (sparsity * values.len() as f64) as usize;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    let mut kept = vec![true; values.len()];
    order[..gone].iter().for_each(|&i| kept[i] = false);
    kept
}

/// Counts the zeros among the weights of linear layers and convolutions, float or int8.
///
/// # Errors
/// [`AutogradError::NotLoaded`](crate::autograd::AutogradError::NotLoaded) for a weight without values.
pub fn measure_sparsity(model: &dyn Module) -> Result<Sparsity> {
    let mut sparsity = Sparsity::default();
    for (_, param) in model.named_params().into_iter().filter(|(_, p)| is_pruned(p)) {
        let values = match param.stored() {
            Stored::Int8(weight) => weight.dequantize()?,
            _ => Tensor::clone(param.value()?),
        };
        sparsity.zeros += values.to_vec::<f32>()?.iter().filter(|v| **v == 0.0).count();
        sparsity.total += values.len();
    }
    Ok(sparsity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Init, Linear, Sequential};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_share_goes_and_it_is_the_smallest(
            values in prop::collection::vec(0f32..1.0, 1..60), sparsity in 0f64..1.0,
        ) {
            let kept = largest(&values, sparsity);
            let (mut stays, mut goes) = (f32::INFINITY, f32::NEG_INFINITY);
            for (v, kept) in values.iter().zip(&kept) {
                if *kept { stays = stays.min(*v) } else { goes = goes.max(*v) }
            }
            prop_assert!(goes <= stays);
            let gone = kept.iter().filter(|kept| !**kept).count();
            prop_assert_eq!(gone, (sparsity * values.len() as f64) as usize);
        }
    }

    #[test]
    fn a_global_scope_takes_more_from_layers_of_small_weights() {
        let mut init = Init::seed(0);
        let mut small = Linear::new(10, 10, &mut init).unwrap();
        let scaled = small.weight.value().unwrap().scale(0.01).unwrap();
        *small.weight.value_mut().unwrap() = scaled;
        let net = Sequential::new().push(small).push(Linear::new(10, 10, &mut init).unwrap());
        for (scope, of_first) in [(Scope::Layer, 50), (Scope::Global, 100)] {
            let mut net = net.clone();
            magnitude_prune(&mut net, 0.5, scope).unwrap();
            let params = net.named_params();
            let first = params[0].1.value().unwrap().to_vec::<f32>().unwrap();
            assert_eq!(first.iter().filter(|v| **v == 0.0).count(), of_first, "{scope:?}");
            let all = measure_sparsity(&net).unwrap();
            assert_eq!((all.zeros, all.total), (100, 200));
        }
    }
}
