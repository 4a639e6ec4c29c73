//! Sums of products by the names of axes.

use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{MatMul, Reduce, Reduction};
use tinytorch_core::tensor::TensorError;

struct Einsum {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

pub(super) fn einsum(node: &Node<'_>) -> Reading<Operator> {
    let equation = node.string("equation")?.ok_or("attribute `equation` is missing")?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    if equation.contains('.') {
        return Err(format!("the equation {equation:?} has an ellipsis, which is not supported"));
    }
    let inputs: Vec<Vec<char>> = left.split(',').map(|names| names.chars().collect()).collect();
    let all: Vec<char> = inputs.concat();
    let output: Vec<char> = match right {
        Some(names) => names.chars().collect(),
        None => {
            // What stands once, in the order of the alphabet.
            let mut once: Vec<char> = all
                .iter()
                .copied()
                .filter(|name| all.iter().filter(|other| *other == name).count() == 1)
                .collect();
            once.sort_unstable();
            once
        }
    };
    let repeats = |names: &[char]| (1..names.len()).any(|i| names[..i].contains(&names[i]));
    let is_known =
        output.iter().all(|name| all.contains(name)) && all.iter().all(char::is_ascii_alphabetic);
    if !is_known
        || repeats(&output)
        || inputs.iter().any(|names| repeats(names))
        || inputs.len() > 8
    {
        return Err(format!("the equation {equation:?} is not supported"));
    }
    let einsum = Einsum { inputs, output };
    Ok(Operator::one(move |args, ctx| einsum.run(args, ctx)))
}

impl Einsum {
    fn run(&self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut names = Vec::new();
        let mut value: Option<Var> = None;
        for (i, own) in self.inputs.iter().enumerate() {
            let x = args.need(i)?;
            if x.shape().rank() != own.len() {
                let expected = format!("the equation names {} axes of input {i}", own.len());
                return Err(TensorError::Shape { op: "einsum", shape: *x.shape(), expected }.into());
            }
            let wanted = |name: &char| {
                self.output.contains(name) || self.inputs[i + 1..].iter().any(|n| n.contains(name))
            };
            (names, value) = match value {
                None => (own.clone(), Some(x.clone())),
                Some(before) => {
                    let (names, value) = product((&names, &before), (own, x), &wanted, ctx)?;
                    (names, Some(value))
                }
            };
        }
        let missing = tinytorch_core::graph::GraphError::MissingInput { op: "einsum", input: 0 };
        let (names, value) =
            summed(&names, &value.ok_or(missing)?, &|name| self.output.contains(name), ctx)?;
        ordered(&names, &value, &self.output, ctx)
    }
}

/// A value summed over the axes that nobody wants.
fn summed(
    names: &[char],
    x: &Var,
    wanted: &dyn Fn(&char) -> bool,
    ctx: &mut Ctx<'_>,
) -> Result<(Vec<char>, Var)> {
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(|&i| wanted(&names[i]));
    if gone.is_empty() {
        return Ok((names.to_vec(), x.clone()));
    }
    let axes = gone.iter().map(|&axis| axis as i64).collect();
    let x = ctx.apply(Reduce { reduction: Reduction::Sum, axes, keep: false }, &[x])?;
    Ok((kept.into_iter().map(|i| names[i]).collect(), x))
}

/// The axes in the order of some names, with an axis of size 1 for each name that the value does not have.
fn ordered(names: &[char], x: &Var, order: &[char], ctx: &mut Ctx<'_>) -> Result<Var> {
    let places: Vec<usize> =
        order.iter().filter_map(|name| names.iter().position(|own| own == name)).collect();
    let mut x = x.permute(&places, ctx)?;
    for (axis, name) in order.iter().enumerate() {
        if !names.contains(name) {
            x = x.unsqueeze(axis, ctx)?;
        }
    }
    Ok(x)
}

/// Two values multiplied, and summed over what only they have: as matrices where each has one axis of its own.
fn product(
    (left, a): (&[char], &Var),
    (right, b): (&[char], &Var),
    wanted: &dyn Fn(&char) -> bool,
    ctx: &mut Ctx<'_>,
) -> Result<(Vec<char>, Var)> {
    let (left, a) = summed(left, a, &|name| wanted(name) || right.contains(name), ctx)?;
    let (right, b) = summed(right, b, &|name| wanted(name) || left.contains(name), ctx)?;
    let shared: Vec<char> = left.iter().copied().filter(|name| right.contains(name)).collect();
    let (batch, inner): (Vec<char>, Vec<char>) = shared.into_iter().partition(|name| wanted(name));
    let rows: Vec<char> = left.iter().copied().filter(|name| !right.contains(name)).collect();
    let columns: Vec<char> = right.iter().copied().filter(|name| !left.contains(name)).collect();
    if let ([row], [column], [inner]) = (&rows[..], &columns[..], &inner[..]) {
        let a = ordered(&left, &a, &[&batch[..], &[*row, *inner]].concat(), ctx)?;
        let b = ordered(&right, &b, &[&batch[..], &[*inner, *column]].concat(), ctx)?;
        let y = ctx.apply(MatMul, &[&a, &b])?;
        return Ok(([&batch[..], &[*row, *column]].concat(), y));
    }
    let all = [batch, rows, columns, inner].concat();
    let (a, b) = (ordered(&left, &a, &all, ctx)?, ordered(&right, &b, &all, ctx)?);
    let y = a.mul(&b, ctx)?;
    summed(&all, &y, wanted, ctx)
}
