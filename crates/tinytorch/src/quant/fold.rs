//! Batch norms that become part of the convolution before them.

use super::moments::Moments;
use super::trace::lowered;
use super::{QuantConfig, QuantError, Scheme};
use crate::Result;
use crate::autograd::Param;
use crate::graph::{Edge, Graph, Node, ParamId, ScaleShift, Step, Weight};
use crate::nn::{Forward, Module};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A batch norm that its convolution can do: `norm(conv(x)) = (scale w) x + (scale b + shift)`
/// (Jacob et al., 2018, section 3.2). Where the convolution has no bias, the shift is kept beside its int8
/// weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fold {
    /// The name of the convolution's weight.
    pub(crate) weight: String,
    /// The name of its bias.
    pub(super) bias: Option<String>,
    /// The name of the norm's layer.
    pub(super) norm: String,
    /// One factor per output channel.
    scale: Vec<f32>,
    /// One summand per output channel.
    shift: Vec<f32>,
}

/// The batch norms of a model that can be folded, found in a traced pass over an example input.
pub(super) fn find_folds<M, X>(model: &M, example: &X) -> Result<Vec<Fold>>
where
    M: Forward<X> + ?Sized,
{
    let Some(graph) = lowered(model, example)? else { return Ok(Vec::new()) };
    let params = model.named_params().into_iter();
    let names: BTreeMap<ParamId, String> = params.map(|(name, p)| (p.id(), name)).collect();
    let flags: BTreeSet<String> = model.named_flags().into_iter().map(|(name, _)| name).collect();
    let mut folds = Vec::new();
    for node in graph.nodes() {
        let Some(Found { weight, bias, norm, affine }) = found(&graph, node)? else { continue };
        // What the module does not show cannot be changed.
        let (Some(weight), Some(norm)) = (names.get(&weight), names.get(&norm)) else { continue };
        let norm = norm.strip_suffix(".weight").unwrap_or(norm);
        if !flags.contains(&flag_of(norm)) {
            continue;
        }
        let ScaleShift { scale, shift } = affine;
        let bias = bias.and_then(|bias| names.get(&bias).cloned());
        folds.push(Fold { weight: weight.clone(), bias, norm: norm.to_string(), scale, shift });
    }
    Ok(folds)
}

/// The flag by which a batch norm knows that it is folded.
pub(super) fn flag_of(norm: &str) -> String {
    format!("{norm}.folded")
}

/// What folding batch norms into the convolutions before them makes of a model, which stays as it is.
///
/// # Errors
/// If the model does not run on the example.
pub(crate) fn fold<M, X>(model: &M, example: &X, config: &QuantConfig) -> Result<Folded>
where
    M: Forward<X> + ?Sized,
{
    Folded::new(model, &find_folds(model, example)?, &|name| config.scheme_of(name))
}

/// A batch norm behind a convolution, by identities.
struct Found {
    weight: ParamId,
    bias: Option<ParamId>,
    norm: ParamId,
    affine: ScaleShift,
}

fn found(graph: &Graph, node: &Node) -> Result<Option<Found>> {
    let (Step::BatchNorm2d(norm), &[Some(conv_edge)], [norm_weight, ..]) =
        (&node.step, &node.inputs[..], &node.params[..])
    else {
        return Ok(None);
    };
    let conv = graph.node(conv_edge);
    let (weight, bias) = match (&conv.step, &conv.params[..]) {
        (Step::Conv2d { weight: Weight::F32(_), bias: None, .. }, &[weight]) => (weight, None),
        (Step::Conv2d { weight: Weight::F32(_), .. }, &[weight, bias]) => (weight, Some(bias)),
        _ => return Ok(None),
    };
    let is_shared = |param| users(graph, param) > 1;
    if consumers(graph, conv_edge) > 1 || is_shared(weight) || bias.is_some_and(is_shared) {
        return Ok(None);
    }
    Ok(Some(Found { weight, bias, norm: *norm_weight, affine: norm.affine()? }))
}

fn consumers(graph: &Graph, edge: Edge) -> usize {
    graph.readers(edge).count()
}

/// Convolutions and linear layers made from a parameter.
pub(super) fn users(graph: &Graph, param: ParamId) -> usize {
    let layers = graph.nodes().iter().filter(|node| {
        matches!(node.step, Step::Conv2d { .. } | Step::Linear { .. } | Step::Compute(_))
    });
    layers.filter(|node| node.params.contains(&param)).count()
}

fn through(scale: &[f32], shift: &[f32], channels: &mut [Moments]) {
    for (channel, (scale, shift)) in channels.iter_mut().zip(scale.iter().zip(shift)) {
        *channel = channel.through(f64::from(*scale), f64::from(*shift));
    }
}

/// The changed float values that folding leads to, and the layers whose norm is done.
#[derive(Default)]
pub(crate) struct Folded {
    /// New values of convolution weights and biases.
    pub(crate) values: BTreeMap<ParamId, Tensor>,
    /// For weights of convolutions without a bias, what the norm adds to each output channel.
    pub(crate) shifts: BTreeMap<ParamId, Box<[f32]>>,
    /// Dotted names of the folded batch norms.
    pub(crate) norms: Vec<String>,
    /// For biases that took in a batch norm, its name.
    pub(crate) biases: BTreeMap<ParamId, String>,
    /// For weights, what the norm multiplies each channel by and adds to it.
    affine: BTreeMap<ParamId, (Vec<f32>, Vec<f32>)>,
}

impl Folded {
    /// What the folds make of the weights that become int8; where one stays float its norm stays too.
    pub(super) fn new<M: Module + ?Sized>(
        model: &M,
        folds: &[Fold],
        scheme_of: &dyn Fn(&str) -> Scheme,
    ) -> Result<Folded> {
        let params = model.named_params();
        let by_name: BTreeMap<&str, &Param> =
            params.iter().map(|(name, param)| (name.as_str(), *param)).collect();
        let mut folded = Folded::default();
        for fold in folds.iter().filter(|fold| !scheme_of(&fold.weight).is_float()) {
            let (weight, bias) = fold.parts(&by_name)?;
            let channels = fold.scale.len();
            let scale = Tensor::from_vec(fold.scale.clone(), [channels, 1, 1, 1])?;
            match bias {
                Some(bias) => {
                    folded.biases.insert(bias.id(), fold.norm.clone());
                    let shift = Tensor::from_vec(fold.shift.clone(), [channels])?;
                    let bias_value = bias.value()?.mul(&scale.flatten(0, 3)?)?.add(&shift)?;
                    folded.values.insert(bias.id(), bias_value);
                }
                None => {
                    folded.shifts.insert(weight.id(), fold.shift.clone().into());
                }
            }
            folded.values.insert(weight.id(), weight.value()?.mul(&scale)?);
            folded.affine.insert(weight.id(), (fold.scale.clone(), fold.shift.clone()));
            folded.norms.push(fold.norm.clone());
        }
        Ok(folded)
    }

    /// What the norm behind a convolution makes of its channels, if it is folded.
    pub(crate) fn norm(&self, weight: ParamId, channels: &mut [Moments]) {
        if let Some((scale, shift)) = self.affine.get(&weight) {
            through(scale, shift, channels);
        }
    }
}

impl Fold {
    /// What the norm makes of the convolution's channels.
    pub(super) fn norm(&self, channels: &mut [Moments]) {
        through(&self.scale, &self.shift, channels);
    }

    /// The weight and the bias in a model.
    fn parts<'m>(
        &self,
        params: &BTreeMap<&str, &'m Param>,
    ) -> Result<(&'m Param, Option<&'m Param>)> {
        let channels = self.scale.len();
        let other = |name: &str| QuantError::OtherModel { name: name.to_string() };
        let find = |name: &str, rank: usize| {
            let param = params.get(name).copied().filter(|param| {
                let shape = param.shape();
                shape.rank() == rank && shape[0] == channels && self.shift.len() == channels
            });
            param.ok_or_else(|| other(name))
        };
        let bias = self.bias.as_deref().map(|bias| find(bias, 1)).transpose()?;
        Ok((find(&self.weight, 4)?, bias))
    }
}
