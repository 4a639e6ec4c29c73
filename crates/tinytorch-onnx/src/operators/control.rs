//! Branches and loops, whose bodies are graphs of their own.
//!
//! Which branch runs and how often a loop does is decided op by op: a plan needs a condition and a count that no input
//! decides.

use super::values;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use crate::program::Program;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{Cat, Parts, Split};
use tinytorch_core::tensor::{Tensor, TensorError};

/// Rounds after which a loop that does not say how many it has is taken to be endless.
const ROUNDS: i64 = 1 << 20;

/// A graph within a node: it takes its own inputs, and then what it reads of the graph around it.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) program: Program,
    /// Which inputs of the node these are.
    pub(crate) captured: std::ops::Range<usize>,
}

impl Body {
    fn run(&self, own: Vec<Var>, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let mut inputs = own;
        for i in self.captured.clone() {
            inputs.push(args.need(i)?.clone());
        }
        let (expected, got) = (self.program.input_slots.len(), inputs.len());
        if expected != got {
            let expected = format!("its graph takes {expected} values, not {got}");
            return Err(TensorError::Shape {
                op: args.operator,
                shape: tinytorch_core::tensor::Shape::SCALAR,
                expected,
            }
            .into());
        }
        self.program.run(&inputs, ctx)
    }

    fn outputs(&self) -> usize {
        self.program.output_slots.len()
    }
}

/// A truth value that is known before it is recorded.
fn is_true(value: &Var, op: &'static str) -> Result<bool> {
    Ok(values::integers(value, op)?.first().is_some_and(|value| *value != 0))
}

/// One of two graphs.
pub(crate) fn branch(then: Body, or: Body) -> Operator {
    Operator::many(move |args, ctx| {
        let body = if is_true(args.need(0)?, "if")? { &then } else { &or };
        body.run(Vec::new(), args, ctx)
    })
}

/// The one of two graphs that a constant chooses.
pub(crate) fn chosen(body: Body) -> Operator {
    Operator::many(move |args, ctx| body.run(Vec::new(), args, ctx))
}

/// A graph again and again: a count, a condition, and values that go round; what it gives beside them is stacked.
pub(crate) fn repeated(body: Body, carried: usize) -> Reading<Operator> {
    let stacked =
        body.outputs().checked_sub(carried + 1).ok_or("its graph gives too few values")?;
    Ok(Operator::many(move |args, ctx| {
        let rounds = match args.get(0) {
            Some(count) => values::integers(count, "loop")?.first().copied().unwrap_or(0),
            None => i64::MAX,
        };
        let mut goes_on =
            args.get(1).map(|told| is_true(told, "loop")).transpose()?.unwrap_or(true);
        let mut state =
            (2..2 + carried).map(|i| args.need(i).cloned()).collect::<Result<Vec<_>>>()?;
        let mut stacks: Vec<Vec<Var>> = vec![Vec::new(); stacked];
        let mut round = 0;
        while goes_on && round < rounds {
            if round >= ROUNDS {
                return Err(GraphError::NotDecided { op: "loop" }.into());
            }
            let number = Var::from(Tensor::from_vec(vec![round], [])?);
            let told = Var::from(Tensor::from_vec(vec![goes_on], [])?);
            let mut own = vec![number, told];
            own.append(&mut state);
            let mut given = body.run(own, args, ctx)?.into_iter();
            let told = given.next();
            goes_on = told.map(|told| is_true(&told, "loop")).transpose()?.unwrap_or(true);
            state = given.by_ref().take(carried).collect();
            for (stack, value) in stacks.iter_mut().zip(given) {
                stack.push(value.unsqueeze(0, ctx)?);
            }
            round += 1;
        }
        for stack in stacks {
            state.push(joined(&stack, 0, args, ctx)?);
        }
        Ok(state)
    }))
}

/// Values side by side along an axis.
fn joined(parts: &[Var], axis: usize, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
    if parts.is_empty() {
        let expected = "without a single round the shape of what it gives is not known".into();
        return Err(TensorError::Shape {
            op: args.operator,
            shape: tinytorch_core::tensor::Shape::SCALAR,
            expected,
        }
        .into());
    }
    ctx.apply(Cat { axis }, &parts.iter().collect::<Vec<_>>())
}

/// How a value is gone through.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    axis: i64,
    backward: bool,
}

fn ways(
    node: &Node<'_>,
    axes: &'static str,
    directions: &'static str,
    count: usize,
) -> Reading<Vec<Way>> {
    let (axes, directions) = (node.ints(axes)?, node.ints(directions)?);
    let at =
        |list: Option<&[i64]>, i: usize| list.and_then(|list| list.get(i).copied()).unwrap_or(0);
    Ok((0..count).map(|i| Way { axis: at(axes, i), backward: at(directions, i) != 0 }).collect())
}

/// A graph for each entry of some values.
pub(crate) fn scan(node: &Node<'_>, body: Body, inputs: usize) -> Reading<Operator> {
    if node.opset < 9 {
        return Err("of version 8; from version 9 on it is supported".into());
    }
    let scanned = node.int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
    let scanned = scanned.filter(|count| (1..=inputs).contains(count));
    let scanned = scanned.ok_or("attribute `num_scan_inputs` does not fit its inputs")?;
    let carried = inputs - scanned;
    let stacked = body.outputs().checked_sub(carried).ok_or("its graph gives too few values")?;
    let entering = ways(node, "scan_input_axes", "scan_input_directions", scanned)?;
    let leaving = ways(node, "scan_output_axes", "scan_output_directions", stacked)?;
    Ok(Operator::many(move |args, ctx| {
        let mut state = (0..carried).map(|i| args.need(i).cloned()).collect::<Result<Vec<_>>>()?;
        let (mut sources, mut steps) = (Vec::with_capacity(scanned), None);
        for (i, way) in entering.iter().enumerate() {
            let x = args.need(carried + i)?;
            let axis = values::axis(way.axis, x.shape().rank(), "scan")?;
            let steps = *steps.get_or_insert(x.shape()[axis]);
            // In parts that must make up the axis, so that a plan refuses values with more entries.
            let split = Split { axis, parts: Parts::Sizes(vec![1; steps]) };
            let mut parts = ctx.apply_many(split, &[Some(x)])?;
            if way.backward {
                parts.reverse();
            }
            sources.push((parts, axis));
        }
        let mut stacks: Vec<Vec<Var>> = vec![Vec::new(); stacked];
        for step in 0..steps.unwrap_or(0) {
            let mut own = std::mem::take(&mut state);
            for (parts, axis) in &sources {
                own.push(parts[step].squeeze(*axis, ctx)?);
            }
            let mut given = body.run(own, args, ctx)?.into_iter();
            state = given.by_ref().take(carried).collect();
            for ((stack, value), way) in stacks.iter_mut().zip(given).zip(&leaving) {
                let axis = values::axis(way.axis, value.shape().rank() + 1, "scan")?;
                stack.push(value.unsqueeze(axis, ctx)?);
            }
        }
        for (mut stack, way) in stacks.into_iter().zip(&leaving) {
            if way.backward {
                stack.reverse();
            }
            let rank = stack.first().map_or(1, |value| value.shape().rank());
            state.push(joined(&stack, values::axis(way.axis, rank, "scan")?, args, ctx)?);
        }
        Ok(state)
    }))
}
