use super::QuantConfig;
use crate::Result;
use crate::autograd::{Ctx, Param};
use crate::graph::{Edge, Graph, Node, ParamId, ScaleShift, Step, Weight};
use crate::nn::{Forward, Module};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// A batch norm that its convolution can do: `norm(conv(x)) = (scale w) x + (scale b + shift)`
/// (Jacob et al., 2018, section 3.2). Where the convolution has no bias, the shift is kept beside its int8
/// weight.
pub(super) struct Fold {
    pub(super) weight: ParamId,
    bias: Option<ParamId>,
    norm: ParamId,
    affine: ScaleShift,
}

/// The batch norms of a model that can be folded, found in a traced pass over an example input.
pub(super) fn find_folds<M, X>(model: &M, example: &X) -> Result<Vec<Fold>>
where
    M: Forward<X> + ?Sized,
{
    let mut ctx = Ctx::trace();
    let output = model.forward(example, &mut ctx)?;
    let Some(graph) = ctx.into_tape().map(|tape| tape.lower(&output)).transpose()? else {
        return Ok(Vec::new());
    };
    graph.nodes().iter().filter_map(|node| fold_of(&graph, node).transpose()).collect()
}

/// What folding batch norms into the convolutions before them makes of a model, which stays as it is.
///
/// # Errors
/// If the model does not run on the example.
pub(crate) fn fold<M, X>(model: &M, example: &X, config: &QuantConfig) -> Result<Folded>
where
    M: Forward<X> + ?Sized,
{
    Folded::new(model, &find_folds(model, example)?, config)
}

fn fold_of(graph: &Graph, node: &Node) -> Result<Option<Fold>> {
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
    Ok(Some(Fold { weight, bias, norm: *norm_weight, affine: norm.affine()? }))
}

fn consumers(graph: &Graph, edge: Edge) -> usize {
    graph.readers(edge).count()
}

/// Convolutions and linear layers made from a parameter.
fn users(graph: &Graph, param: ParamId) -> usize {
    let layers = graph.nodes().iter().filter(|node| {
        matches!(node.step, Step::Conv2d { .. } | Step::Linear { .. } | Step::Compute(_))
    });
    layers.filter(|node| node.params.contains(&param)).count()
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
}

impl Folded {
    /// What the folds make of the weights that become int8; where one stays float its norm stays too.
    pub(super) fn new<M: Module + ?Sized>(
        model: &M,
        folds: &[Fold],
        config: &QuantConfig,
    ) -> Result<Folded> {
        let params = model.named_params();
        let by_id: BTreeMap<ParamId, (&str, &Param)> =
            params.iter().map(|(name, param)| (param.id(), (name.as_str(), *param))).collect();
        let mut folded = Folded::default();
        for fold in folds {
            let found = (by_id.get(&fold.weight), by_id.get(&fold.norm));
            let (Some((name, weight)), Some((norm, _))) = found else { continue };
            if config.keeps_float(name) {
                continue;
            }
            let channels = fold.affine.scale.len();
            let scale = Tensor::from_vec(fold.affine.scale.clone(), [channels, 1, 1, 1])?;
            let norm = norm.strip_suffix(".weight").unwrap_or(norm);
            match fold.bias.and_then(|id| by_id.get(&id)) {
                Some((_, bias)) => {
                    folded.biases.insert(bias.id(), norm.to_string());
                    let shift = Tensor::from_vec(fold.affine.shift.clone(), [channels])?;
                    let bias_value = bias.value()?.mul(&scale.flatten(0, 3)?)?.add(&shift)?;
                    folded.values.insert(bias.id(), bias_value);
                }
                None => {
                    folded.shifts.insert(fold.weight, fold.affine.shift.clone().into());
                }
            }
            folded.values.insert(fold.weight, weight.value()?.mul(&scale)?);
            folded.norms.push(norm.to_string());
        }
        Ok(folded)
    }
}
