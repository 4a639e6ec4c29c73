//! Recurrent layers, step by step: each step is recorded, so that gradients pass through all of them, and a plan has a
//! program for each length.

use super::values;
use crate::apply::{Args, Operator, Use};
use crate::node::{Node, Reading};
use std::ops::Range;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{
    Cat, Clamp, ConstantOfShape, Gather, MatMul, Parts, Pointwise, Scalar, ShapeOf, Split, Weight,
    functions,
};
use tinytorch_core::tensor::{Dtype, Shape, Tensor, TensorError};

/// A function between gates.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Sigmoid,
    Tanh,
    Relu,
    Scalar(Scalar),
    Affine(functions::Affine),
    ScaledTanh { alpha: f32, beta: f32 },
}

impl Activation {
    fn read(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Reading<Activation> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "affine" => Activation::Affine(functions::Affine {
                scale: alpha.unwrap_or(1.0),
                shift: beta.unwrap_or(0.0),
            }),
            "leakyrelu" => Activation::Scalar(Scalar::LeakyRelu { slope: alpha.unwrap_or(0.01) }),
            "thresholdedrelu" => Activation::Scalar(Scalar::Threshold(alpha.unwrap_or(1.0))),
            "scaledtanh" => {
                Activation::ScaledTanh { alpha: alpha.unwrap_or(1.0), beta: beta.unwrap_or(1.0) }
            }
            "hardsigmoid" => Activation::Scalar(Scalar::HardSigmoid {
                slope: alpha.unwrap_or(0.2),
                shift: beta.unwrap_or(0.5),
            }),
            "elu" => Activation::Scalar(Scalar::Elu {
                alpha: alpha.unwrap_or(1.0),
                scale: 1.0,
                gamma: 1.0,
            }),
            "softsign" => Activation::Scalar(Scalar::Softsign),
            "softplus" => Activation::Scalar(Scalar::Softplus),
            _ => return Err(format!("the activation {name:?} is not supported")),
        })
    }

    fn apply(self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self {
            Activation::Sigmoid => x.sigmoid(ctx),
            Activation::Tanh => x.tanh(ctx),
            Activation::Relu => x.relu(ctx),
            Activation::Scalar(op) => ctx.apply(op, &[x]),
            Activation::Affine(f) => ctx.apply(Pointwise { name: "affine", f }, &[x]),
            Activation::ScaledTanh { alpha, beta } => {
                x.mul_scalar(beta, ctx)?.tanh(ctx)?.mul_scalar(alpha, ctx)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Reverse,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Plain,
    Gru {
        /// Whether the state is multiplied before it is reset.
        reset_after: bool,
    },
    Lstm {
        /// Whether what is forgotten is what is not put in.
        coupled: bool,
    },
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Plain => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }
}

struct Recurrent {
    cell: Cell,
    direction: Direction,
    hidden: usize,
    activations: Vec<Activation>,
    clip: Option<f32>,
    batch_first: bool,
}

fn read(node: &Node<'_>, cell: Cell, defaults: &[&str]) -> Reading<Recurrent> {
    let direction = node.choice(
        "direction",
        &[
            ("forward", Direction::Forward),
            ("reverse", Direction::Reverse),
            ("bidirectional", Direction::Both),
        ],
    )?;
    let hidden = node.int("hidden_size")?.ok_or("attribute `hidden_size` is missing")?;
    let hidden = usize::try_from(hidden).ok().filter(|size| *size > 0);
    let hidden = hidden.ok_or("attribute `hidden_size` must be positive")?;
    let directions = if direction == Direction::Both { 2 } else { 1 };
    let names = node.strings("activations")?.unwrap_or_else(|| defaults.repeat(directions));
    if names.len() != defaults.len() * directions {
        return Err(format!("attribute `activations` must name {}", defaults.len() * directions));
    }
    let (alphas, betas) = (node.floats("activation_alpha")?, node.floats("activation_beta")?);
    let at = |list: Option<&[f32]>, i: usize| list.and_then(|list| list.get(i).copied());
    let activations = names.iter().enumerate();
    let activations =
        activations.map(|(i, name)| Activation::read(name, at(alphas, i), at(betas, i)));
    let activations = activations.collect::<Reading<Vec<_>>>()?;
    let clip = node.optional_float("clip")?.filter(|clip| *clip > 0.0);
    let batch_first = node.flag("layout", false)?;
    // Before version 14 a file could say that it wants the outputs of all steps.
    node.int("output_sequence")?;
    Ok(Recurrent { cell, direction, hidden, activations, clip, batch_first })
}

fn operator(node: &Node<'_>, recurrent: Recurrent) -> Operator {
    let is_layer = |i: usize| {
        let weight = node.constant(i).filter(|weight| weight.dtype() == Dtype::F32);
        weight.is_some_and(|weight| weight.rank() == 3 && weight.shape()[0] == 1)
    };
    let operator = Operator::many(move |args, ctx| recurrent.run(args, ctx));
    let layers = [1, 2].into_iter().filter(|&i| is_layer(i));
    layers.fold(operator, |operator, i| operator.using(i, Use::Gates))
}

pub(super) fn rnn(node: &Node<'_>) -> Reading<Operator> {
    read(node, Cell::Plain, &["Tanh"]).map(|layer| operator(node, layer))
}

pub(super) fn gru(node: &Node<'_>) -> Reading<Operator> {
    let reset_after = node.flag("linear_before_reset", false)?;
    let layer = read(node, Cell::Gru { reset_after }, &["Sigmoid", "Tanh"]);
    layer.map(|layer| operator(node, layer))
}

pub(super) fn lstm(node: &Node<'_>) -> Reading<Operator> {
    let coupled = node.flag("input_forget", false)?;
    let layer = read(node, Cell::Lstm { coupled }, &["Sigmoid", "Tanh", "Tanh"]);
    layer.map(|layer| operator(node, layer))
}

/// The entry at a place of the first axis, without the axis.
fn entry(x: &Var, at: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    let index = Var::from(Tensor::from_vec(vec![at as i64], [])?);
    ctx.apply(Gather { axis: 0 }, &[x, &index])
}

/// Part `i` of several of equal size along the last axis.
fn part(x: &Var, i: usize, size: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    x.slice(x.shape().rank() - 1, i * size..(i + 1) * size, ctx)
}

/// What rows are multiplied by.
enum Factor<'a> {
    /// A layer's weight, `[out, in]`.
    Layer(&'a Weight),
    /// Any other matrix, `[in, out]`.
    Value(Var),
}

impl Factor<'_> {
    /// The sizes `[in, out]`.
    fn sizes(&self) -> [usize; 2] {
        match self {
            Factor::Layer(weight) => [weight.layer_shape()[1], weight.layer_shape()[0]],
            Factor::Value(value) => [value.shape()[0], value.shape()[1]],
        }
    }

    fn product(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self {
            Factor::Layer(weight) => x.linear(*weight, None, ctx),
            Factor::Value(value) => ctx.apply(MatMul, &[x, value]),
        }
    }

    /// These columns of the product.
    fn columns(&self, x: &Var, columns: Range<usize>, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self {
            Factor::Layer(_) => {
                let product = self.product(x, ctx)?;
                product.slice(product.shape().rank() - 1, columns, ctx)
            }
            Factor::Value(value) => {
                let some = value.slice(1, columns, ctx)?;
                ctx.apply(MatMul, &[x, &some])
            }
        }
    }
}

/// What one direction multiplies and adds.
struct Weights<'a> {
    input: Factor<'a>,
    state: Factor<'a>,
    input_bias: Option<Var>,
    state_bias: Option<Var>,
    peepholes: Option<Var>,
}

impl Recurrent {
    fn run(&self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let op = "recurrent layer";
        let x = args.need(0)?;
        values::check_rank(x.shape(), 3..=3, op)?;
        let x = if self.batch_first { x.transpose(0, 1, ctx)? } else { x.clone() };
        let steps = x.shape()[0];
        if let Some(lengths) = args.get(4) {
            let lengths = values::integers(lengths, op)?;
            if lengths.iter().any(|&length| length != steps as i64) {
                let expected = format!("all sequences must be {steps} steps long, as the input is");
                return Err(TensorError::Shape { op, shape: *x.shape(), expected }.into());
            }
        }
        if steps == 0 {
            let expected = "a sequence has at least one step".into();
            return Err(TensorError::Shape { op, shape: *x.shape(), expected }.into());
        }
        let directions = if self.direction == Direction::Both { 2 } else { 1 };
        let (mut outputs, mut states, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for direction in 0..directions {
            let backward = self.direction == Direction::Reverse || direction == 1;
            let [all, state, cell] = self.pass(args, &x, direction, backward, ctx)?;
            outputs.push(all.unsqueeze(1, ctx)?);
            states.push(state.unsqueeze(0, ctx)?);
            cells.push(cell.unsqueeze(0, ctx)?);
        }
        let joined = |parts: &[Var], axis: usize, ctx: &mut Ctx<'_>| {
            ctx.apply(Cat { axis }, &parts.iter().collect::<Vec<_>>())
        };
        // [steps, directions, batch, hidden] and [directions, batch, hidden].
        let all = joined(&outputs, 1, ctx)?;
        let (state, cell) = (joined(&states, 0, ctx)?, joined(&cells, 0, ctx)?);
        if !self.batch_first {
            return Ok(vec![all, state, cell]);
        }
        let turned = |x: &Var, ctx: &mut Ctx<'_>| x.transpose(0, 1, ctx);
        Ok(vec![all.permute(&[2, 0, 1, 3], ctx)?, turned(&state, ctx)?, turned(&cell, ctx)?])
    }

    /// The states of all steps, the last one, and the last cell, of one direction.
    fn pass(
        &self,
        args: &Args<'_>,
        x: &Var,
        direction: usize,
        backward: bool,
        ctx: &mut Ctx<'_>,
    ) -> Result<[Var; 3]> {
        let (hidden, gates) = (self.hidden, self.cell.gates());
        let weights = self.weights(args, direction, ctx)?;
        let mut projected = weights.input.product(x, ctx)?;
        if let Some(bias) = &weights.input_bias {
            projected = projected.add(bias, ctx)?;
        }
        let mut state = self.initial(args.get(5), x, direction, ctx)?;
        let mut cell = self.initial(args.get(6), x, direction, ctx)?;
        let count = self.activations.len() / if self.direction == Direction::Both { 2 } else { 1 };
        let functions = &self.activations[direction * count..][..count];
        let steps = x.shape()[0];
        // In parts that must make up the axis, so that a plan notices sequences of other lengths.
        let split = Split { axis: 0, parts: Parts::Sizes(vec![1; steps]) };
        let parts = ctx.apply_many(split, &[Some(&projected)])?;
        let mut all: Vec<Var> = Vec::with_capacity(steps);
        for i in 0..steps {
            let at = if backward { steps - 1 - i } else { i };
            let step = parts[at].squeeze(0, ctx)?;
            debug_assert_eq!(step.shape().last_dim(), gates * hidden);
            (state, cell) = match self.cell {
                Cell::Plain => {
                    let sum = self.with_state(&step, &state, &weights, ctx)?;
                    (self.gate(functions[0], &sum, ctx)?, cell)
                }
                Cell::Gru { reset_after } => {
                    (self.gru(functions, &step, &state, &weights, reset_after, ctx)?, cell)
                }
                Cell::Lstm { coupled } => {
                    self.lstm(functions, &step, [&state, &cell], &weights, coupled, ctx)?
                }
            };
            all.push(state.unsqueeze(0, ctx)?);
        }
        if backward {
            all.reverse();
        }
        let all = ctx.apply(Cat { axis: 0 }, &all.iter().collect::<Vec<_>>())?;
        Ok([all, state, cell])
    }

    fn weights<'a>(
        &self,
        args: &Args<'a>,
        direction: usize,
        ctx: &mut Ctx<'_>,
    ) -> Result<Weights<'a>> {
        let (wide, op) = (self.cell.gates() * self.hidden, "recurrent layer");
        let factor = |i: usize, ctx: &mut Ctx<'_>| {
            if let Some(weight) = args.weight(i) {
                return Ok(Factor::Layer(weight));
            }
            let weights = args.need(i)?;
            values::check_rank(weights.shape(), 3..=3, op)?;
            entry(weights, direction, ctx)?.transpose(0, 1, ctx).map(Factor::Value)
        };
        let (input, state) = (factor(1, ctx)?, factor(2, ctx)?);
        if input.sizes()[1] != wide || state.sizes() != [self.hidden, wide] {
            let expected = "the weights must have a row for each gate of each hidden unit".into();
            let shape = Shape::new(&state.sizes())?;
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        let mut biases = [None, None];
        if let Some(bias) = args.get(3) {
            let bias = entry(bias, direction, ctx)?;
            biases = [Some(part(&bias, 0, wide, ctx)?), Some(part(&bias, 1, wide, ctx)?)];
        }
        let [input_bias, state_bias] = biases;
        let peepholes = args.get(7).map(|p| entry(p, direction, ctx)).transpose()?;
        Ok(Weights { input, state, input_bias, state_bias, peepholes })
    }

    /// A state `[batch, hidden]` to begin with: what is given, else zeros.
    fn initial(
        &self,
        given: Option<&Var>,
        x: &Var,
        direction: usize,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        if let Some(given) = given {
            let given = if self.batch_first { given.transpose(0, 1, ctx)? } else { given.clone() };
            return entry(&given, direction, ctx);
        }
        let sizes = ctx.apply(ShapeOf, &[x])?;
        let batch = ctx.apply(Gather { axis: 0 }, &[&sizes, &values::list(&[1])?])?;
        let sizes = ctx.apply(Cat { axis: 0 }, &[&batch, &values::list(&[self.hidden as i64])?])?;
        ctx.apply(ConstantOfShape::new(&Tensor::scalar(0.0))?, &[&sizes])
    }

    /// What a state adds to the gates.
    fn with_state(
        &self,
        step: &Var,
        state: &Var,
        weights: &Weights<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let mut sum = step.add(&weights.state.product(state, ctx)?, ctx)?;
        if let Some(bias) = &weights.state_bias {
            sum = sum.add(bias, ctx)?;
        }
        Ok(sum)
    }

    fn gate(&self, function: Activation, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self.clip {
            Some(clip) => {
                let f = Clamp { low: -clip, high: clip };
                let x = ctx.apply(Pointwise { name: "clip", f }, &[x])?;
                function.apply(&x, ctx)
            }
            None => function.apply(x, ctx),
        }
    }

    /// `h' = (1 - z) n + z h`: gates z (update), r (reset), n (new).
    fn gru(
        &self,
        functions: &[Activation],
        step: &Var,
        state: &Var,
        weights: &Weights<'_>,
        reset_after: bool,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let hidden = self.hidden;
        let split = |x: &Var, ctx: &mut Ctx<'_>| {
            Ok::<_, tinytorch_core::Error>((
                x.slice(x.shape().rank() - 1, 0..2 * hidden, ctx)?,
                part(x, 2, hidden, ctx)?,
            ))
        };
        let (step_gates, step_new) = split(step, ctx)?;
        let biases = weights.state_bias.as_ref().map(|bias| split(bias, ctx)).transpose()?;
        let with_bias = |x: Var, bias: Option<&Var>, ctx: &mut Ctx<'_>| match bias {
            Some(bias) => x.add(bias, ctx),
            None => Ok(x),
        };
        let (from_gates, from_new) = match reset_after {
            true => {
                let (gates, new) = split(&weights.state.product(state, ctx)?, ctx)?;
                (gates, Some(new))
            }
            false => (weights.state.columns(state, 0..2 * hidden, ctx)?, None),
        };
        let gates = step_gates.add(&from_gates, ctx)?;
        let gates = with_bias(gates, biases.as_ref().map(|b| &b.0), ctx)?;
        let gates = self.gate(functions[0], &gates, ctx)?;
        let (update, reset) = (part(&gates, 0, hidden, ctx)?, part(&gates, 1, hidden, ctx)?);
        let new_bias = biases.as_ref().map(|b| &b.1);
        let from_state = match from_new {
            Some(product) => with_bias(product, new_bias, ctx)?.mul(&reset, ctx)?,
            None => {
                let kept = reset.mul(state, ctx)?;
                let product = weights.state.columns(&kept, 2 * hidden..3 * hidden, ctx)?;
                with_bias(product, new_bias, ctx)?
            }
        };
        let new = self.gate(functions[1], &step_new.add(&from_state, ctx)?, ctx)?;
        let rest = update.mul_scalar(-1.0, ctx)?.add_scalar(1.0, ctx)?;
        rest.mul(&new, ctx)?.add(&update.mul(state, ctx)?, ctx)
    }

    /// `c' = f c + i n`, `h' = o h(c')`: gates i (in), o (out), f (forget), n (new).
    fn lstm(
        &self,
        functions: &[Activation],
        step: &Var,
        [state, cell]: [&Var; 2],
        weights: &Weights<'_>,
        coupled: bool,
        ctx: &mut Ctx<'_>,
    ) -> Result<(Var, Var)> {
        let hidden = self.hidden;
        let sum = self.with_state(step, state, weights, ctx)?;
        let peeked = |i: usize, place: usize, cell: &Var, ctx: &mut Ctx<'_>| {
            let gate = part(&sum, i, hidden, ctx)?;
            match &weights.peepholes {
                Some(peepholes) => {
                    let seen = part(peepholes, place, hidden, ctx)?.mul(cell, ctx)?;
                    gate.add(&seen, ctx)
                }
                None => Ok::<_, tinytorch_core::Error>(gate),
            }
        };
        let input = self.gate(functions[0], &peeked(0, 0, cell, ctx)?, ctx)?;
        let forget = match coupled {
            true => input.mul_scalar(-1.0, ctx)?.add_scalar(1.0, ctx)?,
            false => self.gate(functions[0], &peeked(2, 2, cell, ctx)?, ctx)?,
        };
        let new = self.gate(functions[1], &part(&sum, 3, hidden, ctx)?, ctx)?;
        let next = forget.mul(cell, ctx)?.add(&input.mul(&new, ctx)?, ctx)?;
        let output = self.gate(functions[0], &peeked(1, 1, &next, ctx)?, ctx)?;
        let shown = self.gate(functions[2], &next, ctx)?;
        Ok((output.mul(&shown, ctx)?, next))
    }
}
