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
            ctx.spend("loop", Ctx::OF_AN_OP)?;
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

fn ways(axes: Option<&[i64]>, directions: Option<&[i64]>, count: usize) -> Vec<Way> {
    let at =
        |list: Option<&[i64]>, i: usize| list.and_then(|list| list.get(i).copied()).unwrap_or(0);
    (0..count).map(|i| Way { axis: at(axes, i), backward: at(directions, i) != 0 }).collect()
}

/// A graph for each entry of some values.
pub(crate) fn scan(node: &Node<'_>, body: Body, inputs: usize) -> Reading<Operator> {
    let by_sample = node.opset < 9;
    // Lengths of sequences come first there.
    let first = usize::from(by_sample);
    if by_sample && node.has(0) {
        return Err(
            "of version 8 with lengths of sequences; leave them out if all are equal".into()
        );
    }
    let inputs = inputs.saturating_sub(first);
    let scanned = node.int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
    let scanned = scanned.filter(|count| (1..=inputs).contains(count));
    let scanned = scanned.ok_or("attribute `num_scan_inputs` does not fit its inputs")?;
    let carried = inputs - scanned;
    let stacked = body.outputs().checked_sub(carried).ok_or("its graph gives too few values")?;
    let (entering, leaving) = match by_sample {
        true => (ways(None, node.ints("directions")?, scanned), ways(None, None, stacked)),
        false => (
            ways(node.ints("scan_input_axes")?, node.ints("scan_input_directions")?, scanned),
            ways(node.ints("scan_output_axes")?, node.ints("scan_output_directions")?, stacked),
        ),
    };
    let scan = Scan { body, carried, entering, leaving };
    Ok(Operator::many(move |args, ctx| {
        let inputs = (first..first + inputs).map(|i| args.need(i).cloned());
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        if by_sample { scan.samples(&inputs, args, ctx) } else { scan.run(inputs, args, ctx) }
    }))
}

/// What a scan goes through.
struct Scan {
    body: Body,
    carried: usize,
    entering: Vec<Way>,
    leaving: Vec<Way>,
}

impl Scan {
    /// The states and sequences that it gives for states and sequences.
    fn run(&self, inputs: Vec<Var>, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let mut state = inputs;
        let given = state.split_off(self.carried);
        let (mut sources, mut steps) = (Vec::with_capacity(given.len()), None);
        for (x, way) in given.iter().zip(&self.entering) {
            let axis = values::axis(way.axis, x.shape().rank(), "scan")?;
            let steps = *steps.get_or_insert(x.shape()[axis]);
            let mut parts = entries(x, axis, steps, ctx)?;
            if way.backward {
                parts.reverse();
            }
            sources.push(parts);
        }
        let mut stacks: Vec<Vec<Var>> = vec![Vec::new(); self.leaving.len()];
        for step in 0..steps.unwrap_or(0) {
            ctx.spend("scan", Ctx::OF_AN_OP)?;
            let mut own = std::mem::take(&mut state);
            own.extend(sources.iter().map(|parts| parts[step].clone()));
            let mut given = self.body.run(own, args, ctx)?.into_iter();
            state = given.by_ref().take(self.carried).collect();
            for ((stack, value), way) in stacks.iter_mut().zip(given).zip(&self.leaving) {
                let axis = values::axis(way.axis, value.shape().rank() + 1, "scan")?;
                stack.push(value.unsqueeze(axis, ctx)?);
            }
        }
        for (mut stack, way) in stacks.into_iter().zip(&self.leaving) {
            if way.backward {
                stack.reverse();
            }
            let rank = stack.first().map_or(1, |value| value.shape().rank());
            state.push(joined(&stack, values::axis(way.axis, rank, "scan")?, args, ctx)?);
        }
        Ok(state)
    }

    /// The same for every sample of a batch, by itself.
    fn samples(&self, inputs: &[Var], args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let scalar = || TensorError::Index { op: "scan", index: 0, len: 0 };
        let first = inputs.first().ok_or_else(scalar)?;
        let samples = *first.shape().first().ok_or_else(scalar)?;
        let apart = inputs.iter().map(|x| entries(x, 0, samples, ctx));
        let apart = apart.collect::<Result<Vec<_>>>()?;
        let mut stacks: Vec<Vec<Var>> = vec![Vec::new(); self.body.outputs()];
        for sample in 0..samples {
            let own = apart.iter().map(|parts| parts[sample].clone()).collect();
            for (stack, value) in stacks.iter_mut().zip(self.run(own, args, ctx)?) {
                stack.push(value.unsqueeze(0, ctx)?);
            }
        }
        stacks.iter().map(|stack| joined(stack, 0, args, ctx)).collect()
    }
}

/// The entries of an axis of so many: as parts that must make it up, so that a plan refuses values with more of them.
fn entries(x: &Var, axis: usize, count: usize, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
    let split = Split { axis, parts: Parts::Sizes(vec![1; count]) };
    let parts = ctx.apply_many(split, &[Some(x)])?;
    parts.iter().map(|part| part.squeeze(axis, ctx)).collect()
}
