//! Which of several values that are made alike is which, by what their weights hold.

use super::settings::other_attribute;
use super::side::{Giver, Side, is_layer, is_same_constant, is_unordered};
use crate::apply::Held;
use crate::node::operator;
use crate::program::Program;
use crate::proto::{NodeProto, TensorProto};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use tinytorch_core::autograd::{Param, Stored};
use tinytorch_core::tensor::Tensor;

/// How far apart a parameter of the float graph and one of the int8 graph are, by their names: 0 for alike, 1 for unlike.
pub(crate) type Apart<'m> = &'m dyn Fn(&str, &str) -> f64;

/// Steps behind two values that are looked at: what lies next to a value tells it from others.
const STEPS: usize = 64;

/// Terms among which values are looked for by their weights. Of more there would be too many pairs.
const TERMS: usize = 64;

/// What a bias counts beside a weight: it tells branches apart whose weights are the same.
const BIAS: f64 = 0.01;

/// The weights of two graphs, to tell values from each other.
pub(super) struct Lookalikes<'m> {
    apart: Apart<'m>,
    versions: [i64; 2],
    known: RefCell<BTreeMap<(&'m str, &'m str), f64>>,
}

impl<'m> Lookalikes<'m> {
    pub(super) fn new(apart: Apart<'m>, versions: [i64; 2]) -> Lookalikes<'m> {
        Lookalikes { apart, versions, known: RefCell::default() }
    }

    /// The int8 graph's values in the order of those of the float graph whose counterparts were met already, or that they are
    /// most like; `None` where some are made of something else. The first that is left is taken where nothing tells them apart.
    pub(super) fn in_the_order_of(
        &self,
        sides: &[Side<'m>; 2],
        met: &BTreeMap<&'m str, &'m str>,
        [before, now]: [&'m [String]; 2],
    ) -> Option<Vec<&'m str>> {
        let mut pairs = Vec::new();
        for (i, was) in before.iter().enumerate() {
            let alike = || now.iter().enumerate().filter(|(_, is)| are_alike(sides, was, is));
            let is_alone = alike().nth(1).is_none();
            for (j, is) in alike() {
                let [(name, _), (other, _)] = Side::meeting(sides, was, is).values;
                let far = match met.get(name) {
                    Some(known) if *known == other => -1.0,
                    Some(_) => f64::INFINITY,
                    None if is_alone || now.len() > TERMS => 0.0,
                    None => self.far(sides, was, is),
                };
                pairs.push((far, i, j));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let (mut found, mut taken) = (vec![None; before.len()], vec![false; now.len()]);
        for (_, i, j) in pairs {
            if found[i].is_none() && !taken[j] {
                (found[i], taken[j]) = (Some(now[j].as_str()), true);
            }
        }
        found.into_iter().collect()
    }

    /// How much the steps behind two values differ, the nearest ones first.
    fn far(&self, sides: &[Side<'m>; 2], was: &'m str, is: &'m str) -> f64 {
        let (mut ahead, mut sum) = (VecDeque::from([(was, is)]), 0.0);
        for _ in 0..STEPS {
            let Some((was, is)) = ahead.pop_front() else { break };
            let met = Side::meeting(sides, was, is);
            let [(was, giver), (is, other)] = met.values;
            sum += match (giver, other) {
                (Giver::Node(a, i), Giver::Node(b, j)) if i == j && operator(a) == operator(b) => {
                    let bias = self.bias(sides, [a, b]);
                    let inputs = [inputs(&sides[0], a), inputs(&sides[1], b)];
                    ahead.extend(inputs[0].iter().copied().zip(inputs[1].iter().copied()));
                    let turns = |name: &str| name == "transB";
                    bias + f64::from(other_attribute([a, b], self.versions, turns).is_some())
                }
                (Giver::Param(a), Giver::Param(b)) => self.between((was, a), (is, b)),
                (Giver::Constant(a), Giver::Constant(b)) => f64::from(!is_same_constant(a, b)),
                (Giver::Input(i), Giver::Input(j)) => f64::from(i != j),
                (Giver::Nothing, Giver::Nothing) => 0.0,
                _ => 1.0,
            };
        }
        sum
    }

    /// How far apart two layers' biases are, as far as both have one.
    fn bias(&self, sides: &[Side<'m>; 2], nodes: [&'m NodeProto; 2]) -> f64 {
        let [was, is] = [0, 1].map(|i| {
            let name = nodes[i].input.get(2).filter(|_| is_layer(nodes[i]))?;
            let (name, giver) = sides[i].behind(name);
            if let Giver::Param(tensor) = giver { Some((name, tensor)) } else { None }
        });
        was.zip(is).map_or(0.0, |(was, is)| BIAS * self.between(was, is))
    }

    fn between(&self, was: (&'m str, &TensorProto), is: (&'m str, &TensorProto)) -> f64 {
        let sorted = |tensor: &TensorProto| {
            let mut sizes = tensor.dims.clone();
            sizes.sort_unstable();
            sizes
        };
        if sorted(was.1) != sorted(is.1) {
            return 1.0;
        }
        let key = (was.0, is.0);
        *self.known.borrow_mut().entry(key).or_insert_with(|| (self.apart)(key.0, key.1))
    }
}

/// Whether values of the two graphs are made alike.
fn are_alike(sides: &[Side<'_>; 2], was: &str, is: &str) -> bool {
    sides[0].making(was) == sides[1].making(is)
}

/// What a node reads, but for biases, in an order that does not hang on how its terms stand.
fn inputs<'m>(side: &Side<'m>, node: &'m NodeProto) -> Vec<&'m str> {
    let read = if is_layer(node) { 2 } else { node.input.len() };
    let mut inputs: Vec<&str> = node.input.iter().take(read).map(String::as_str).collect();
    if is_unordered(node) {
        inputs.sort_by_key(|name| side.making(name));
    }
    inputs
}

/// How far apart parameters of two programs are. Norms that were folded scale the rows of a weight, so that only where
/// rows of several values point is compared.
pub(crate) fn distance([float, int8]: [&Program; 2], was: &str, is: &str) -> f64 {
    let of = |program: &Program, name: &str| -> Option<Tensor> {
        let (_, held) = program.params.iter().find(|(known, _)| known == name)?;
        let param: &Param = match held {
            Held::Weight(weight) => weight,
            Held::Param(param) => param,
        };
        match param.stored() {
            Stored::Int8(weight) => weight.dequantize().ok(),
            _ => param.value().ok().cloned(),
        }
    };
    let (Some(a), Some(b)) = (of(float, was), of(int8, is)) else { return 1.0 };
    let rows = a.shape().first().copied().unwrap_or(0);
    let (Ok(values), Ok(others)) = (a.to_vec::<f32>(), b.to_vec::<f32>()) else { return 1.0 };
    if a.shape() != b.shape() || values.is_empty() {
        return 1.0;
    }
    if a.shape().rank() < 2 || values.len() == rows {
        let [own, other, both] = products(&values, &others);
        let sum = own + other;
        return if sum > 0.0 { ((sum - 2.0 * both) / sum).clamp(0.0, 1.0) } else { 0.0 };
    }
    let width = values.len() / rows;
    let of_rows = values.chunks(width).zip(others.chunks(width)).map(|(a, b)| {
        let [own, other, both] = products(a, b);
        match own > 0.0 && other > 0.0 {
            true => 1.0 - (both / (own * other).sqrt()).abs().min(1.0),
            false => f64::from(own != other),
        }
    });
    of_rows.sum::<f64>() / rows as f64
}

/// The products of two rows with themselves, and with each other.
fn products(a: &[f32], b: &[f32]) -> [f64; 3] {
    a.iter().zip(b).fold([0.0; 3], |[own, other, both], (&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        [own + a * a, other + b * b, both + a * b]
    })
}
