//! Sums of products by the names of axes.

use super::values;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Gather, MatMul, Reduce, Reduction};
use tinytorch_core::tensor::TensorError;

struct Einsum {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

/// What stands for an ellipsis among the names of axes.
const ELLIPSIS: char = '.';

/// The first of the names that the axes of an ellipsis get, counted from the last of them.
const UNNAMED: char = '\u{e000}';

pub(super) fn einsum(node: &Node<'_>) -> Reading<Operator> {
    let equation = node.string("equation")?.ok_or("attribute `equation` is missing")?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let names = |text: &str| -> Vec<char> { text.replace("...", ".").chars().collect() };
    let inputs: Vec<Vec<char>> = left.split(',').map(names).collect();
    let all: Vec<char> = inputs.concat();
    let output: Vec<char> = match right {
        Some(right) => names(right),
        None => {
            // What has no name, and then what stands once, in the order of the alphabet.
            let stands_once = |name: &char| {
                *name != ELLIPSIS && all.iter().filter(|other| *other == name).count() == 1
            };
            let mut once: Vec<char> = all.iter().copied().filter(stands_once).collect();
            once.sort_unstable();
            let unnamed = all.contains(&ELLIPSIS).then_some(ELLIPSIS);
            unnamed.into_iter().chain(once).collect()
        }
    };
    let repeats = |names: &[char]| (1..names.len()).any(|i| names[..i].contains(&names[i]));
    let ellipses = |names: &Vec<char>| names.iter().filter(|name| **name == ELLIPSIS).count();
    let is_known = |name: &char| name.is_ascii_alphabetic() || *name == ELLIPSIS;
    if !output.iter().all(|name| all.contains(name))
        || !all.iter().all(is_known)
        || repeats(&output)
        || inputs.iter().any(|names| ellipses(names) > 1)
        || inputs.len() > 8
        || (all.contains(&ELLIPSIS) && !output.contains(&ELLIPSIS))
    {
        return Err(format!("the equation {equation:?} is not supported"));
    }
    let einsum = Einsum { inputs, output };
    Ok(Operator::one(move |args, ctx| einsum.run(args, ctx)))
}

impl Einsum {
    fn run(&self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        let mut most = 0;
        for (i, own) in self.inputs.iter().enumerate() {
            let x = args.need(i)?;
            let (own, unnamed) = named(own, x.shape().rank()).ok_or_else(|| {
                let expected = format!("the equation names {} axes of input {i}", own.len());
                TensorError::Shape { op: "einsum", shape: *x.shape(), expected }
            })?;
            most = most.max(unnamed);
            inputs.push(diagonal(own, x, ctx)?);
        }
        let output = with_names(&self.output, most);
        let mut all: Option<(Vec<char>, Var)> = None;
        for (i, (own, x)) in inputs.iter().enumerate() {
            let wanted = |name: &char| {
                output.contains(name) || inputs[i + 1..].iter().any(|(n, _)| n.contains(name))
            };
            all = Some(match all {
                None => (own.clone(), x.clone()),
                Some((names, value)) => product((&names, &value), (own, x), &wanted, ctx)?,
            });
        }
        let missing = tinytorch_core::graph::GraphError::MissingInput { op: "einsum", input: 0 };
        let (names, value) = all.ok_or(missing)?;
        let (names, value) = summed(&names, &value, &|name| output.contains(name), ctx)?;
        ordered(&names, &value, &output, ctx)
    }
}

/// The names with one for each of so many axes in place of an ellipsis; those of one place counted from the last axis
/// are equal.
fn with_names(names: &[char], unnamed: usize) -> Vec<char> {
    let own = |at: usize| char::from_u32(UNNAMED as u32 + at as u32).unwrap_or(UNNAMED);
    let expanded = names.iter().flat_map(|&name| match name {
        ELLIPSIS => (0..unnamed).rev().map(own).collect(),
        name => vec![name],
    });
    expanded.collect()
}

/// The names of all axes of an input, and how many of them its ellipsis stands for; `None` if they do not fit its rank.
fn named(names: &[char], rank: usize) -> Option<(Vec<char>, usize)> {
    match names.contains(&ELLIPSIS) {
        true => {
            let unnamed = rank.checked_sub(names.len() - 1)?;
            Some((with_names(names, unnamed), unnamed))
        }
        false => (names.len() == rank).then(|| (names.to_vec(), 0)),
    }
}

/// A value with each name once: of axes of one name the entries at equal places.
fn diagonal(mut names: Vec<char>, x: &Var, ctx: &mut Ctx<'_>) -> Result<(Vec<char>, Var)> {
    let mut x = x.clone();
    let again = |names: &[char]| {
        let at = (1..names.len()).find(|&i| names[..i].contains(&names[i]))?;
        Some((names[..at].iter().position(|name| *name == names[at])?, at))
    };
    while let Some((first, second)) = again(&names) {
        let (len, other) = (x.shape()[first], x.shape()[second]);
        if len != other {
            let expected = "axes of one name of one size".to_string();
            return Err(TensorError::Shape { op: "einsum", shape: *x.shape(), expected }.into());
        }
        // Which entries are chosen is decided by the size: a plan refuses values of others.
        let held = x.unflatten(first, &[len], ctx)?.unflatten(second, &[len], ctx)?;
        let mut order: Vec<usize> =
            (0..names.len()).filter(|&i| i != first && i != second).collect();
        let name = names[first];
        names = order.iter().map(|&i| names[i]).collect();
        names.push(name);
        order.extend([first, second]);
        let last = order.len() - 2;
        let flat = held.permute(&order, ctx)?.flatten(last, last + 1, ctx)?;
        let places: Vec<i64> = (0..len).map(|i| (i * (len + 1)) as i64).collect();
        x = ctx.apply(Gather { axis: last }, &[&flat, &values::list(&places)?])?;
    }
    Ok((names, x))
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
