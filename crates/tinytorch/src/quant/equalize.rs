//! Channels brought to one range, so that 8 bits serve all of them: cross-layer equalization.
//!
//! `relu(s x) = s relu(x)` for a positive `s`, so that a channel may leave one convolution larger and be multiplied by
//! smaller weights in the next (Nagel et al., 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", section 4.1). Weights have a scale for each output channel here, which takes up whatever its row
//! is multiplied by; what is gained is that a channel of small values no longer shares the few levels that the range of
//! a large one leaves to it. Factors are powers of two, which change no bit of any output.

use super::fold::users;
use super::trace::lowered;
use super::{QuantError, is_weight};
use crate::Result;
use crate::autograd::{Ctx, Observer, Param, ParamId, Stored};
use crate::graph::{Edge, Graph, Step, Weight};
use crate::nn::{Forward, Module};
use crate::tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest power of two that a channel is multiplied by: more than 8 bits can use.
const MOST: i8 = 12;

/// The channels between two convolutions, and the powers of two that they are multiplied by there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equalization {
    /// The name of the weight whose output channels they are.
    pub weight: String,
    /// The name of its bias.
    pub bias: Option<String>,
    /// The name of the weight that reads them: of a depthwise convolution, or of one that adds all of them up.
    pub next: String,
    /// An exponent for each channel.
    pub exponents: Vec<i8>,
}

/// Multiplies the channels, which leaves what the model computes as it is, to the bit.
///
/// # Errors
/// [`QuantError::OtherModel`] if the model has no such float weights; it is then as it was before.
pub fn equalize<M: Module + ?Sized>(model: &mut M, by: &[Equalization]) -> Result<()> {
    scale(model, by, 1)
}

/// Takes [`equalize`] back.
pub(super) fn undo<M: Module + ?Sized>(model: &mut M, by: &[Equalization]) -> Result<()> {
    scale(model, by, -1)
}

/// An axis, and an exponent of two for each of its entries.
type Exponents = (usize, Vec<i32>);

/// Values are changed where they lie: a model is held once.
fn scale<M: Module + ?Sized>(model: &mut M, by: &[Equalization], sign: i32) -> Result<()> {
    let mut changes: BTreeMap<&str, Vec<Exponents>> = BTreeMap::new();
    let params: BTreeMap<String, &Param> = model.named_params().into_iter().collect();
    for one in by {
        let exponents = |sign: i32| one.exponents.iter().map(|&e| sign * i32::from(e)).collect();
        for changed in [Some(&one.weight), one.bias.as_ref()].into_iter().flatten() {
            changes.entry(changed).or_default().push((0, exponents(sign)));
        }
        let is_depthwise = params.get(&one.next).is_some_and(|param| {
            let shape = param.shape();
            shape.rank() == 4 && shape[1] == 1
        });
        let axis = usize::from(!is_depthwise);
        changes.entry(&one.next).or_default().push((axis, exponents(-sign)));
    }
    for (name, changes) in &changes {
        let fits = |value: &Tensor| {
            let fits = |(axis, of): &Exponents| value.shape().get(*axis) == Some(&of.len());
            value.dtype() == Dtype::F32 && changes.iter().all(fits)
        };
        match params.get(*name).map(|param| param.stored()) {
            Some(Stored::F32(value)) if fits(value) => {}
            _ => return Err(QuantError::OtherModel { name: name.to_string() }.into()),
        }
    }
    for (name, param) in model.named_params_mut() {
        for (axis, exponents) in changes.get(&*name).into_iter().flatten() {
            shift(param.value_mut()?, *axis, exponents)?;
        }
    }
    Ok(())
}

/// Multiplies what lies along an axis by powers of two.
fn shift(value: &mut Tensor, axis: usize, exponents: &[i32]) -> Result<()> {
    let inner: usize = value.shape()[axis + 1..].iter().product();
    for (i, run) in value.as_mut_slice::<f32>()?.chunks_mut(inner.max(1)).enumerate() {
        let factor = 2f32.powi(exponents[i % exponents.len()]);
        run.iter_mut().for_each(|value| *value *= factor);
    }
    Ok(())
}

/// Whether all weights keep their digits, so that [`undo`] gives them back.
fn can_be_undone(
    Equalization { weight, bias, next, exponents }: &Equalization,
    is_depthwise: bool,
    params: &BTreeMap<String, &Param>,
) -> Result<bool> {
    let before = [Some(weight), bias.as_ref()].into_iter().flatten().map(|name| (name, 0, 1));
    for (name, axis, sign) in before.chain([(next, usize::from(!is_depthwise), -1)]) {
        let Some(param) = params.get(name) else { return Ok(false) };
        if !keeps_digits(param.value()?, axis, exponents, sign)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether what lies along an axis keeps its digits when it is multiplied by powers of two, and once more along another
/// axis: not where it might become infinite, or smaller than a normal number.
fn keeps_digits(value: &Tensor, axis: usize, exponents: &[i8], sign: i32) -> Result<bool> {
    let inner: usize = value.shape()[axis + 1..].iter().product();
    let dense = value.contiguous()?;
    let mut runs = dense.as_slice::<f32>()?.chunks(inner.max(1)).enumerate();
    let again = [-MOST, MOST].map(|most| 2f32.powi(i32::from(most)));
    Ok(runs.all(|(i, run)| {
        let factor = 2f32.powi(sign * i32::from(exponents[i % exponents.len()]));
        let keeps = |value: f32| again.iter().all(|again| (value * factor * again).is_normal());
        factor == 1.0 || run.iter().all(|&value| value == 0.0 || keeps(value))
    }))
}

/// Two convolutions with nothing but a positive part between them.
struct Pair {
    weight: String,
    bias: Option<String>,
    next: String,
    /// The largest size of each input channel's weights, if the next convolution adds channels up.
    columns: Option<Vec<f32>>,
}

/// What may be equalized, by the ranges of the channels over these inputs: between convolutions and depthwise ones,
/// and then between all of them.
///
/// # Errors
/// If the model does not run on the inputs.
pub(super) fn candidates<M, X>(model: &M, inputs: &[X]) -> Result<Vec<Vec<Equalization>>>
where
    M: Forward<X> + ?Sized,
{
    let Some(first) = inputs.first() else { return Ok(Vec::new()) };
    let Some(graph) = lowered(model, first)? else { return Ok(Vec::new()) };
    let pairs = pairs(model, &graph)?;
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let params: BTreeMap<String, &Param> = model.named_params().into_iter().collect();
    let ids = params.iter().filter(|(name, _)| pairs.iter().any(|pair| pair.next == **name));
    let mut watch = Channels {
        names: ids.map(|(name, param)| (param.id(), name.clone())).collect(),
        largest: BTreeMap::new(),
    };
    for input in inputs {
        model.call(input, &mut Ctx::eval().observed(&mut watch))?;
    }
    let (mut depthwise, mut all) = (Vec::new(), Vec::new());
    for pair in pairs {
        let Some(largest) = watch.largest.get(&pair.next) else { continue };
        let exponents = match &pair.columns {
            None => to_the_largest(largest),
            Some(columns) => between(largest, columns),
        };
        if exponents.iter().all(|exponent| *exponent == 0) {
            continue;
        }
        let Pair { weight, bias, next, columns } = pair;
        let one = Equalization { weight, bias, next, exponents };
        if !can_be_undone(&one, columns.is_none(), &params)? {
            continue;
        }
        if columns.is_none() {
            depthwise.push(one.clone());
        }
        all.push(one);
    }
    let mut candidates = vec![depthwise, all];
    candidates.retain(|candidate| !candidate.is_empty());
    candidates.dedup();
    Ok(candidates)
}

fn pairs<M: Module + ?Sized>(model: &M, graph: &Graph) -> Result<Vec<Pair>> {
    let params: BTreeMap<ParamId, (String, &Param)> =
        model.named_params().into_iter().map(|(name, param)| (param.id(), (name, param))).collect();
    let mut pairs = Vec::new();
    for node in graph.nodes() {
        let (Step::Conv2d { weight: Weight::F32(_), .. }, [next, ..], Some(mut edge)) =
            (&node.step, &node.params[..], node.input(0))
        else {
            continue;
        };
        while is_positive_part(graph, edge) && graph.is_read_once(edge) {
            match graph.node(edge).input(0) {
                Some(before) => edge = before,
                None => break,
            }
        }
        let before = graph.node(edge);
        let (weight, bias) = match (&before.step, &before.params[..]) {
            (Step::Conv2d { weight: Weight::F32(_), bias: None, .. }, &[weight]) => (weight, None),
            (Step::Conv2d { weight: Weight::F32(_), .. }, &[weight, bias]) => (weight, Some(bias)),
            _ => continue,
        };
        let is_shared = |param: ParamId| users(graph, param) > 1;
        if !graph.is_read_once(edge)
            || [Some(weight), bias, Some(*next)].into_iter().flatten().any(is_shared)
        {
            continue;
        }
        let name = |id: ParamId| params.get(&id).map(|(name, _)| name.clone());
        let (Some(name_of_weight), Some((name_of_next, reads))) = (name(weight), params.get(next))
        else {
            continue;
        };
        let bias = match bias.map(name) {
            Some(None) => continue,
            Some(Some(bias)) => Some(bias),
            None => None,
        };
        let channels = params.get(&weight).map_or(0, |(_, param)| param.shape()[0]);
        let shape = reads.shape();
        if !is_weight(reads) || shape.rank() != 4 {
            continue;
        }
        let columns = match shape[1] {
            1 if shape[0] == channels => None,
            inputs if inputs == channels => Some(largest_of(reads.value()?, 1)?),
            _ => continue,
        };
        let (weight, next) = (name_of_weight, name_of_next.clone());
        pairs.push(Pair { weight, bias, next, columns });
    }
    Ok(pairs)
}

fn is_positive_part(graph: &Graph, edge: Edge) -> bool {
    matches!(&graph.node(edge).step, Step::Compute(op) if op.properties().positive_part)
}

/// The largest absolute value of each entry of an axis.
fn largest_of(tensor: &Tensor, axis: usize) -> Result<Vec<f32>> {
    let shape = *tensor.shape();
    let inner: usize = shape[axis + 1..].iter().product();
    let mut largest = vec![0f32; shape[axis]];
    let dense = tensor.contiguous()?;
    for (i, row) in dense.as_slice::<f32>()?.chunks(inner.max(1)).enumerate() {
        let most = row.iter().fold(0f32, |most, v| most.max(v.abs()));
        let entry = &mut largest[i % shape[axis]];
        *entry = entry.max(most);
    }
    Ok(largest)
}

/// The largest absolute value of each channel that a convolution reads.
struct Channels {
    names: BTreeMap<ParamId, String>,
    largest: BTreeMap<String, Vec<f32>>,
}

impl Observer for Channels {
    fn activation(&mut self, weight: ParamId, activation: &Tensor) -> Result<()> {
        let Some(name) = self.names.get(&weight) else { return Ok(()) };
        if activation.dtype() != Dtype::F32 || activation.rank() != 4 {
            return Ok(());
        }
        let seen = largest_of(activation, 1)?;
        let known = self.largest.entry(name.clone()).or_insert_with(|| vec![0.0; seen.len()]);
        known.iter_mut().zip(seen).for_each(|(known, seen)| *known = known.max(seen));
        Ok(())
    }
}

/// For a reader that keeps channels apart: each as large as the largest, as far as powers of two go.
fn to_the_largest(largest: &[f32]) -> Vec<i8> {
    let most = largest.iter().copied().fold(0f32, f32::max);
    let exponent = |&own: &f32| match own > 0.0 {
        true => ((most / own).log2().floor() as i8).clamp(0, MOST),
        false => 0,
    };
    largest.iter().map(exponent).collect()
}

/// For a reader that adds channels up: halfway between values of one range and weights of one range, as the paper
/// has it for the ranges of two weights, `s = sqrt(r1 r2) / r2`.
fn between(largest: &[f32], columns: &[f32]) -> Vec<i8> {
    let ratio = |i: usize| {
        let (value, weight) = (largest[i], columns[i]);
        (value > 0.0 && weight > 0.0).then(|| 0.5 * (weight / value).log2())
    };
    let most = (0..largest.len()).max_by(|a, b| largest[*a].total_cmp(&largest[*b]));
    let Some(level) = most.and_then(ratio) else { return vec![0; largest.len()] };
    let exponent = |i: usize| match ratio(i) {
        Some(own) => ((own - level).round() as i8).clamp(-MOST, MOST),
        None => 0,
    };
    (0..largest.len()).map(exponent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::Var;
    use crate::graph::ConvGeometry;
    use crate::nn::{Conv2d, Init, Path, Visitor, VisitorMut};

    /// 1x1, depthwise 3x3 and 1x1, with positive parts between them.
    struct Separable([Conv2d; 3]);

    impl Separable {
        fn new() -> Separable {
            let (plain, init) = (ConvGeometry::default(), &mut Init::seed(3));
            let apart = ConvGeometry { padding: [[1, 1]; 2], groups: 8, ..plain };
            Separable([
                Conv2d::new(3, 8, [1, 1], plain, init).unwrap(),
                Conv2d::new(8, 8, [3, 3], apart, init).unwrap(),
                Conv2d::new(8, 4, [1, 1], plain, init).unwrap(),
            ])
        }
    }

    impl Module for Separable {
        fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
            for (name, conv) in ["a", "b", "c"].iter().zip(&self.0) {
                path.within(name, |path| conv.visit(path, visitor));
            }
        }

        fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
            for (name, conv) in ["a", "b", "c"].iter().zip(&mut self.0) {
                path.within(name, |path| conv.visit_mut(path, visitor));
            }
        }
    }

    impl Forward for Separable {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let x = self.0[0].forward(x, ctx)?.relu(ctx)?;
            let x = self.0[1].forward(&x, ctx)?.relu(ctx)?;
            self.0[2].forward(&x, ctx)
        }
    }

    fn bits(model: &Separable, x: &Var) -> Vec<u32> {
        let output = model.call(x, &mut Ctx::eval()).unwrap().value().to_vec::<f32>().unwrap();
        output.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn outputs_stay_as_they_are_to_the_bit_and_channels_become_alike() {
        let mut model = Separable::new();
        let x = Var::from(Tensor::randn([2, 3, 6, 6], 1.0, &mut Rng::seed(4)).unwrap());
        let before = bits(&model, &x);
        let found = candidates(&model, std::slice::from_ref(&x)).unwrap();
        assert_eq!(found.len(), 2);
        let [one] = &found[0][..] else { panic!("{found:?}") };
        assert_eq!((&*one.weight, one.bias.as_deref()), ("a.weight", Some("a.bias")));
        assert_eq!(one.next, "b.weight");
        assert_eq!(
            found[1].iter().map(|one| &*one.next).collect::<Vec<_>>(),
            ["b.weight", "c.weight"]
        );
        for by in &found {
            equalize(&mut model, by).unwrap();
            assert_eq!(bits(&model, &x), before);
            let again = candidates(&model, std::slice::from_ref(&x)).unwrap();
            assert!(again.iter().flatten().all(|one| one.next != "b.weight"), "{again:?}");
            undo(&mut model, by).unwrap();
            assert_eq!(bits(&model, &x), before);
        }
        let foreign = Equalization { next: "d.weight".into(), ..found[0][0].clone() };
        let error = equalize(&mut model, &[foreign]).unwrap_err().to_string();
        assert!(error.contains("d.weight"), "{error}");
        assert_eq!(bits(&model, &x), before);
    }

    /// Normal numbers are from 2^-126 to below 2^128; twelve powers are left to the other axis.
    #[test]
    fn what_would_lose_digits_is_not_equalized() {
        let keeps = |exponent: i32, by: [i8; 2], sign: i32| {
            let values = vec![1.0, 0.0, 2f32.powi(exponent), 1.0];
            let value = Tensor::from_vec(values, [2, 2]).unwrap();
            keeps_digits(&value, 0, &by, sign).unwrap()
        };
        assert!(keeps(-110, [9, 4], -1) && !keeps(-110, [4, 5], -1) && keeps(-110, [5, 5], 1));
        assert!(keeps(111, [9, 4], 1) && !keeps(111, [4, 5], 1) && keeps(111, [5, 5], -1));
        assert!(keeps(-126, [1, 0], -1) && !keeps(-126, [0, 1], -1));

        let mut model = Separable::new();
        let x = Var::from(Tensor::randn([2, 3, 6, 6], 1.0, &mut Rng::seed(4)).unwrap());
        let found = candidates(&model, std::slice::from_ref(&x)).unwrap();
        let moved = found[0][0].exponents.iter().position(|e| *e > 0).unwrap();
        let depthwise = model.0[1].weight.value_mut().unwrap();
        depthwise.as_mut_slice::<f32>().unwrap()[9 * moved] = 1.2e-38;
        let found = candidates(&model, std::slice::from_ref(&x)).unwrap();
        assert!(found.iter().flatten().all(|one| one.next != "b.weight"), "{found:?}");
    }

    #[test]
    fn values_are_changed_where_they_lie_and_copied_if_somebody_else_has_them() {
        let mut model = Separable::new();
        let place = |model: &Separable| {
            model.0[1].weight.value().unwrap().as_slice::<f32>().unwrap().as_ptr()
        };
        let x = Var::from(Tensor::randn([2, 3, 6, 6], 1.0, &mut Rng::seed(4)).unwrap());
        let found = candidates(&model, std::slice::from_ref(&x)).unwrap();
        let before = place(&model);
        equalize(&mut model, &found[0]).unwrap();
        assert_eq!(place(&model), before);
        let kept = model.0[1].weight.value().unwrap().clone();
        let values = kept.to_vec::<f32>().unwrap();
        undo(&mut model, &found[0]).unwrap();
        assert_ne!(place(&model), before);
        assert_eq!(kept.to_vec::<f32>().unwrap(), values);
    }

    /// 8 / 3 is between 2 and 4, and what is never seen has nothing to gain.
    #[test]
    fn exponents_fill_the_range_of_the_largest() {
        assert_eq!(to_the_largest(&[8.0, 3.0, 0.5, 0.0, 1e-9]), [0, 1, 4, 0, MOST]);
        // sqrt(1/8), sqrt(1/2) and sqrt(2/4) beside the first: ratios of 1, 2 and 2.
        assert_eq!(between(&[8.0, 2.0, 4.0], &[1.0, 1.0, 2.0]), [0, 1, 1]);
    }
}
