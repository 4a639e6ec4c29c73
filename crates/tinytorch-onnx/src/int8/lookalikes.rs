//! Which of several values that are made alike is which, by what their weights hold.

use super::settings::other_attribute;
use super::side::{Giver, Side, is_layer, is_same_constant};
use crate::apply::Held;
use crate::node::operator;
use crate::program::Program;
use crate::proto::NodeProto;
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
                    Some(_) => continue,
                    None if is_alone || now.len() > TERMS => 0.0,
                    None => self.far(sides, was, is),
                };
                pairs.push((far, i, j));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut found, mut taken) = (vec![None; before.len()], vec![false; now.len()]);
        for (_, i, j) in pairs {
            if found[i].is_none() && !taken[j] {
                (found[i], taken[j]) = (Some(now[j].as_str()), true);
            }
        }
        found.into_iter().collect()
    }

    /// How much the steps behind two values that are made alike differ, the nearest ones first: in what a making leaves out, which
    /// is what parameters and constants hold, how nodes are set, and where norms and biases are.
    fn far(&self, sides: &[Side<'m>; 2], was: &'m str, is: &'m str) -> f64 {
        let (mut ahead, mut sum) = (VecDeque::from([(was, is)]), 0.0);
        for _ in 0..STEPS {
            let Some((was, is)) = ahead.pop_front() else { break };
            let met = Side::meeting(sides, was, is);
            let [(was, giver), (is, other)] = met.values;
            sum += match (giver, other) {
                (Giver::Node(a, _), Giver::Node(b, _)) if operator(a) == operator(b) => {
                    let bias = self.bias(sides, [a, b]);
                    let inputs = [inputs(&sides[0], a), inputs(&sides[1], b)];
                    ahead.extend(inputs[0].iter().copied().zip(inputs[1].iter().copied()));
                    let turns = |name: &str| name == "transB";
                    bias + f64::from(other_attribute([a, b], self.versions, turns).is_some())
                }
                (Giver::Param(_), Giver::Param(_)) => self.between(was, is),
                (Giver::Constant(a), Giver::Constant(b)) => f64::from(!is_same_constant(a, b)),
                (Giver::Input(_), Giver::Input(_)) | (Giver::Nothing, Giver::Nothing) => 0.0,
                _ => 1.0,
            };
        }
        sum
    }

    /// How far apart two layers' biases are: if one has none, as far as can be.
    fn bias(&self, sides: &[Side<'m>; 2], nodes: [&'m NodeProto; 2]) -> f64 {
        let [was, is] = [0, 1].map(|i| {
            let name = nodes[i].input.get(2).filter(|_| is_layer(nodes[i]))?;
            let (name, giver) = sides[i].behind(name);
            matches!(giver, Giver::Param(_)).then_some(name)
        });
        BIAS * was.zip(is).map_or(1.0, |(was, is)| self.between(was, is))
    }

    fn between(&self, was: &'m str, is: &'m str) -> f64 {
        *self.known.borrow_mut().entry((was, is)).or_insert_with(|| (self.apart)(was, is))
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
    inputs.sort_by_key(|name| side.making(name));
    inputs
}

/// How far apart parameters of two programs are.
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
    let (Ok(values), Ok(others)) = (a.to_vec::<f32>(), b.to_vec::<f32>()) else { return 1.0 };
    if a.shape() != b.shape() || values.is_empty() {
        return 1.0;
    }
    between(&values, &others, values.len() / a.shape().first().copied().unwrap_or(1))
}

/// How far apart two parameters are that hold rows of this width. Norms that were folded scale the rows of a weight, so that only where
/// rows of several values point is compared.
fn between(values: &[f32], others: &[f32], width: usize) -> f64 {
    if width == 1 {
        let [own, other, both] = products(values, others);
        let sum = own + other;
        return if sum > 0.0 { ((sum - 2.0 * both) / sum).clamp(0.0, 1.0) } else { 0.0 };
    }
    let of_rows = values.chunks(width).zip(others.chunks(width)).map(|(a, b)| {
        let [own, other, both] = products(a, b);
        match own > 0.0 && other > 0.0 {
            true => 1.0 - (both / (own * other).sqrt()).abs().min(1.0),
            false => f64::from(own != other),
        }
    });
    of_rows.sum::<f64>() / (values.len() / width) as f64
}

/// The products of two rows with themselves, and with each other.
fn products(a: &[f32], b: &[f32]) -> [f64; 3] {
    a.iter().zip(b).fold([0.0; 3], |[own, other, both], (&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        [own + a * a, other + b * b, both + a * b]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }

    #[test]
    fn biases_are_as_far_apart_as_their_values() {
        near(between(&[1.0, -2.0, 0.5], &[1.0, -2.0, 0.5], 1), 0.0);
        near(between(&[1.0, 0.0], &[0.0, 1.0], 1), 1.0);
        near(between(&[1.0, -2.0], &[-1.0, 2.0], 1), 1.0);
        // Squares of 1 and 2, and 1 in common.
        near(between(&[1.0, 0.0], &[1.0, 1.0], 1), 1.0 / 3.0);
        near(between(&[0.0, 0.0], &[0.0, 0.0], 1), 0.0);
        near(between(&[0.0, 0.0], &[0.0, 3.0], 1), 1.0);
    }

    #[test]
    fn rows_of_weights_are_as_far_apart_as_they_point_elsewhere() {
        // 3 * 4 + 4 * 3 of 5 * 5.
        near(between(&[3.0, 4.0], &[4.0, 3.0], 2), 1.0 - 24.0 / 25.0);
        near(between(&[1.0, 0.0], &[0.0, 1.0], 2), 1.0);
        let rows = [1.0, 2.0, 3.0, -1.0, 0.5, 2.0];
        near(between(&rows, &rows, 3), 0.0);
        // One of two rows points elsewhere.
        near(between(&rows, &[1.0, 2.0, 3.0, 2.0, 4.0, 0.0], 3), 0.5);
    }

    #[test]
    fn a_norm_that_was_folded_takes_weights_no_further_apart() {
        let scaled = [10.0, 20.0, 30.0, -0.2, 0.1, 0.4];
        near(between(&[1.0, 2.0, 3.0, 1.0, -0.5, -2.0], &scaled, 3), 0.0);
    }

    #[test]
    fn a_row_of_zeros_is_like_another_and_like_nothing_else() {
        near(between(&[0.0, 0.0, 1.0, 2.0], &[0.0, 0.0, 1.0, 2.0], 2), 0.0);
        near(between(&[0.0, 0.0, 1.0, 2.0], &[3.0, 1.0, 1.0, 2.0], 2), 0.5);
        near(between(&[3.0, 1.0, 1.0, 2.0], &[0.0, 0.0, 1.0, 2.0], 2), 0.5);
    }
}
