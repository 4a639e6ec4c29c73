//! Nodes that together spell one operator, which exporters take apart where their opset does not have it: a layer norm, a
//! GELU, a product with its bias. The last of the nodes becomes the operator; the others go if nobody else reads them.

use crate::program::{Slot, Step};
use crate::proto::{AttributeProto, GraphProto, NodeProto};
use std::collections::BTreeMap;
use tinytorch_core::Tensor;
use tinytorch_core::tensor::Dtype;

/// The opset that has all operators which are spelled.
const OPSET: i64 = 20;

/// Between constants as exporters write them, and what they stand for.
const ROUNDING: f32 = 1e-4;

/// An operator that nodes spell.
pub(super) struct Spelled {
    /// The operator and its attributes.
    pub(super) node: NodeProto,
    pub(super) opset: i64,
    /// What it reads.
    pub(super) inputs: Vec<Slot>,
    /// The steps that spell it, but for the last.
    pub(super) parts: Vec<usize>,
}

/// Steps, and what is known of the values between them.
pub(super) struct Steps<'s, C> {
    graph: &'s GraphProto,
    steps: &'s [Step],
    /// Gives values that are known.
    constant: C,
    /// The step that gives a value.
    givers: BTreeMap<Slot, usize>,
    /// How many steps, and outputs, read a value.
    readers: BTreeMap<Slot, usize>,
}

/// A step that was recognized, and its inputs.
struct Found<'s> {
    at: usize,
    node: &'s NodeProto,
    inputs: Vec<Slot>,
}

impl<'s, C: Fn(Slot) -> Option<&'s Tensor>> Steps<'s, C> {
    pub(super) fn new(
        graph: &'s GraphProto,
        steps: &'s [Step],
        outputs: &[Slot],
        constant: C,
    ) -> Steps<'s, C> {
        let gives = |(at, step): (usize, &'s Step)| match step.outputs[..] {
            [Some(slot)] => Some((slot, at)),
            _ => None,
        };
        let mut readers = BTreeMap::new();
        let read = steps.iter().flat_map(|step| step.inputs.iter().flatten());
        read.chain(outputs).for_each(|slot| *readers.entry(*slot).or_default() += 1);
        let givers = steps.iter().enumerate().filter_map(gives).collect();
        Steps { graph, steps, constant, givers, readers }
    }

    /// What the step at this place is the last node of, if it is of anything.
    pub(super) fn spelled(&self, at: usize) -> Option<Spelled> {
        match self.steps[at].name {
            "Add" => self.layer_norm(at).or_else(|| self.biased_product(at)),
            "Mul" => self.gelu(at),
            _ => None,
        }
    }

    /// The step at this place.
    fn step(&self, at: usize) -> Option<Found<'s>> {
        let inputs = self.steps[at].inputs.iter().copied().collect::<Option<Vec<_>>>()?;
        Some(Found { at, node: self.graph.node.get(self.steps[at].at)?, inputs })
    }

    /// The step that gives a value, if its operator is of this name.
    fn giver(&self, slot: Slot, name: &str) -> Option<Found<'s>> {
        let at = *self.givers.get(&slot)?;
        self.step(at).filter(|_| self.steps[at].name == name)
    }

    /// The two inputs of a step in the order in which `first` is something of the first.
    fn pair<T>(
        &self,
        found: &Found<'s>,
        first: impl Fn(&Self, Slot) -> Option<T>,
    ) -> Option<(T, Slot)> {
        let [a, b] = found.inputs[..] else { return None };
        first(self, a).map(|of| (of, b)).or_else(|| first(self, b).map(|of| (of, a)))
    }

    fn vector(&self, slot: Slot) -> Option<usize> {
        let value = (self.constant)(slot)?;
        (value.rank() == 1 && value.dtype() == Dtype::F32).then(|| value.len())
    }

    fn number(&self, slot: Slot) -> Option<f32> {
        let value = (self.constant)(slot).filter(|value| value.len() == 1)?;
        value.to_dtype::<f32>().ok()?.reshape([1]).ok()?.to_vec::<f32>().ok()?.first().copied()
    }

    fn is(&self, slot: Slot, number: f32) -> bool {
        self.number(slot).is_some_and(|got| (got - number).abs() <= ROUNDING * number.abs())
    }

    /// What a mean of the last axis, which stays, is taken of.
    fn mean(&self, slot: Slot) -> Option<(Found<'s>, Slot)> {
        let mean = self.giver(slot, "ReduceMean")?;
        let attribute = |name: &str| mean.node.attribute.iter().find(|a| a.name == name);
        let is_last = match (attribute("axes"), mean.inputs.get(1)) {
            (Some(axes), _) => axes.ints == [-1],
            (None, Some(&axes)) => self.number(axes) == Some(-1.0),
            (None, None) => false,
        };
        let stays = attribute("keepdims").is_none_or(|keep| keep.i == 1);
        let of = mean.inputs[0];
        (is_last && stays).then_some((mean, of))
    }

    /// `(x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias`.
    fn layer_norm(&self, at: usize) -> Option<Spelled> {
        let shifted = self.step(at)?;
        let (scaled, bias) = self.pair(&shifted, |steps, slot| steps.giver(slot, "Mul"))?;
        let (divided, weight) = self.pair(&scaled, |steps, slot| steps.giver(slot, "Div"))?;
        if self.vector(weight)? != self.vector(bias)? {
            return None;
        }
        let [centered, root] = divided.inputs[..] else { return None };
        let difference = self.giver(centered, "Sub")?;
        let [x, mean] = difference.inputs[..] else { return None };
        let (mean, of) = self.mean(mean)?;
        let root = self.giver(root, "Sqrt")?;
        let sum = self.giver(root.inputs[0], "Add")?;
        let (epsilon, variance) = self.pair(&sum, Self::number)?;
        let (variance, squares) = self.mean(variance)?;
        let (square, is_square) = match (self.giver(squares, "Pow"), self.giver(squares, "Mul")) {
            (Some(power), _) => {
                let is_square = power.inputs[0] == centered && self.is(power.inputs[1], 2.0);
                (power, is_square)
            }
            (None, Some(product)) => {
                let is_square = product.inputs == [centered, centered];
                (product, is_square)
            }
            (None, None) => return None,
        };
        if of != x || !is_square {
            return None;
        }
        let epsilon =
            AttributeProto { name: "epsilon".into(), f: epsilon, r#type: 1, ..Default::default() };
        let parts = [scaled, divided, difference, mean, root, sum, variance, square];
        Some(Spelled {
            node: operator("LayerNormalization", vec![epsilon], 3),
            opset: OPSET,
            inputs: vec![x, weight, bias],
            parts: parts.map(|part| part.at).to_vec(),
        })
    }

    /// `1 + erf(x / sqrt(2))`.
    fn doubled_share(&self, slot: Slot) -> Option<(Slot, Vec<usize>)> {
        let sum = self.giver(slot, "Add")?;
        let (error, one) = self.pair(&sum, |steps, slot| steps.giver(slot, "Erf"))?;
        let half_root = std::f32::consts::FRAC_1_SQRT_2;
        let (scaled, is_scaled) =
            match (self.giver(error.inputs[0], "Div"), self.giver(error.inputs[0], "Mul")) {
                (Some(quotient), _) => {
                    let is_scaled = self.is(quotient.inputs[1], std::f32::consts::SQRT_2);
                    ((quotient.inputs[0], quotient.at), is_scaled)
                }
                (None, Some(product)) => {
                    let (number, x) = self.pair(&product, Self::number)?;
                    ((x, product.at), (number - half_root).abs() <= ROUNDING)
                }
                (None, None) => return None,
            };
        let (x, first) = scaled;
        (is_scaled && self.is(one, 1.0)).then(|| (x, vec![first, error.at, sum.at]))
    }

    /// `x (1 + erf(x / sqrt(2))) / 2`, in whatever order it is multiplied.
    fn gelu(&self, at: usize) -> Option<Spelled> {
        let last = self.step(at)?;
        let [a, b] = last.inputs[..] else { return None };
        // A product of two, one of which is a product again.
        let factors = |inner: Slot, outer: Slot| {
            let inner = self.giver(inner, "Mul")?;
            let [b, c] = inner.inputs[..] else { return None };
            Some(([outer, b, c], inner.at))
        };
        [(a, b), (b, a)].into_iter().find_map(|(inner, outer)| {
            let (factors, inner) = factors(inner, outer)?;
            let (x, mut parts) = factors.iter().find_map(|&slot| self.doubled_share(slot))?;
            let has_half = factors.iter().any(|&slot| self.is(slot, 0.5));
            parts.push(inner);
            (has_half && factors.contains(&x)).then(|| Spelled {
                node: operator("Gelu", Vec::new(), 1),
                opset: OPSET,
                inputs: vec![x],
                parts,
            })
        })
    }

    /// `x W + b`, whose product nobody else reads.
    fn biased_product(&self, at: usize) -> Option<Spelled> {
        let sum = self.step(at)?;
        let (product, bias) = self.pair(&sum, |steps, slot| steps.giver(slot, "MatMul"))?;
        let [x, weight] = product.inputs[..] else { return None };
        let matrix = (self.constant)(weight)?;
        let is_weight = matrix.rank() == 2 && matrix.dtype() == Dtype::F32;
        let gives = self.steps[product.at].outputs.first().copied().flatten()?;
        let is_bias = is_weight && self.vector(bias)? == matrix.shape()[1];
        (is_bias && self.readers.get(&gives) == Some(&1)).then(|| Spelled {
            node: operator("Gemm", Vec::new(), 3),
            opset: OPSET,
            inputs: vec![x, weight, bias],
            parts: vec![product.at],
        })
    }
}

/// A node of one output whose inputs are all there.
fn operator(name: &str, attribute: Vec<AttributeProto>, inputs: usize) -> NodeProto {
    let input = (0..inputs).map(|i| format!("input {i}")).collect();
    NodeProto {
        op_type: name.into(),
        attribute,
        input,
        output: vec!["output".into()],
        ..NodeProto::default()
    }
}
