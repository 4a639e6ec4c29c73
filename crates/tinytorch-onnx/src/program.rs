//! A graph that has been read: steps in order, each with the values it reads and gives.

use crate::apply::{Arg, Args, Held, Operator, Use};
use crate::error::OnnxError;
use std::fmt;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::module::{Module, Path, Visitor, VisitorMut};
use tinytorch_core::tensor::Number;
use tinytorch_core::tensor::{Dtype, Shape, Tensor};

/// A value by its place among all of a graph.
pub(crate) type Slot = usize;

/// An input or output of a model.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Its name.
    pub name: String,
    /// How the model's file declares its numbers.
    pub number: Number,
    /// The type in which they are held and computed.
    pub dtype: Dtype,
    /// The dimensions; `None` if even their number is open.
    pub dims: Option<Vec<Dim>>,
}

/// A dimension of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Of this size.
    Size(usize),
    /// Of any size, under this name, which may be empty.
    Open(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Size(size) => write!(f, "{size}"),
            Dim::Open(name) if name.is_empty() => f.write_str("?"),
            Dim::Open(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for ValueInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.spec())
    }
}

impl ValueInfo {
    /// Type and dimensions for people to read.
    pub fn spec(&self) -> String {
        let mut spec = self.number.to_string();
        if Number::from(self.dtype) != self.number {
            spec = format!("{spec} (computed as {})", self.dtype);
        }
        match &self.dims {
            None => format!("{spec} of any shape"),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                format!("{spec} [{}]", dims.join(", "))
            }
        }
    }

    /// Whether the model takes a value of this type and shape here.
    pub fn takes(&self, dtype: Dtype, shape: &Shape) -> bool {
        let fits = |dims: &Vec<Dim>| {
            let mut pairs = dims.iter().zip(shape.iter());
            dims.len() == shape.rank()
                && pairs.all(|(dim, size)| !matches!(dim, Dim::Size(own) if own != size))
        };
        dtype == self.dtype && self.dims.as_ref().is_none_or(fits)
    }

    /// Zeros of this type, an open size taken as 1.
    pub(crate) fn example(&self) -> Result<Tensor> {
        let sizes = self.dims.iter().flatten().map(|dim| match dim {
            Dim::Size(size) => *size,
            Dim::Open(_) => 1,
        });
        let shape = Shape::new(&sizes.collect::<Vec<_>>())?;
        if self.dims.is_none() {
            let (input, expected) =
                (self.name.clone(), "open; use `plan_for` with an example".into());
            return Err(OnnxError::Input { input, expected, dtype: self.dtype, shape }.into());
        }
        match self.dtype {
            Dtype::F32 => Tensor::zeros(shape),
            Dtype::I64 => Tensor::full(0i64, shape),
            Dtype::I32 => Tensor::full(0i32, shape),
            Dtype::U8 => Tensor::full(0u8, shape),
            Dtype::I8 => Tensor::full(0i8, shape),
            Dtype::Bool => Tensor::full(false, shape),
        }
    }
}

/// What quantizing calls the flag of a batch norm that its convolution does.
const FOLDED: &str = "folded";

/// A node that runs.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The node as messages call it.
    pub(crate) title: String,
    /// The same with the values that it reads.
    pub(crate) title_of_values: String,
    /// The node's place in the file's graph.
    pub(crate) at: usize,
    /// The operator.
    pub(crate) name: &'static str,
    pub(crate) operator: Operator,
    pub(crate) inputs: Vec<Option<Slot>>,
    pub(crate) outputs: Vec<Option<Slot>>,
    /// Values that nobody reads after this step.
    pub(crate) last: Vec<Slot>,
    /// Its place among the graph's batch norms, if it is one that may be folded.
    pub(crate) norm: Option<usize>,
}

/// What a value is before anything runs.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Computed by a step, or an input.
    Computed,
    /// The same in every run.
    Constant(Tensor),
    /// A parameter.
    Param(usize),
}

/// A graph that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) inputs: Vec<ValueInfo>,
    pub(crate) outputs: Vec<ValueInfo>,
    pub(crate) input_slots: Vec<Slot>,
    pub(crate) output_slots: Vec<Slot>,
    pub(crate) sources: Vec<Source>,
    pub(crate) params: Vec<(String, Held)>,
    pub(crate) steps: Vec<Step>,
    /// Batch norms by name, and whether the convolution before them does them, so that they do nothing.
    pub(crate) norms: Vec<(String, bool)>,
}

impl Program {
    /// What the graph gives for values of its inputs.
    pub(crate) fn run(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let mut values: Vec<Option<Var>> = vec![None; self.sources.len()];
        for (slot, input) in self.input_slots.iter().zip(inputs) {
            values[*slot] = Some(input.clone());
        }
        for step in &self.steps {
            let outputs = self.step(step, &values, ctx).map_err(|source| OnnxError::Run {
                node: step.title_of_values.clone(),
                source: Box::new(source),
            })?;
            for (slot, output) in step.outputs.iter().zip(outputs) {
                if let Some(slot) = slot {
                    values[*slot] = Some(output);
                }
            }
            step.last.iter().for_each(|slot| values[*slot] = None);
        }
        let outputs = self.output_slots.iter().zip(&self.outputs).map(|(&slot, info)| {
            match self.value(slot, &values, ctx)? {
                Some(value) => Ok(value),
                None => {
                    let problem = format!("output `{}` was not computed", info.name);
                    Err(OnnxError::Graph { problem }.into())
                }
            }
        });
        outputs.collect()
    }

    /// What messages call the first node that reads this parameter.
    #[cfg_attr(
        not(feature = "models"),
        expect(dead_code, reason = "models of the library tell it")
    )]
    pub(crate) fn node_of(&self, param: &str) -> Option<String> {
        let place = self.params.iter().position(|(name, _)| name == param)?;
        let is_it = |slot: &Slot| matches!(self.sources[*slot], Source::Param(i) if i == place);
        let reads = |step: &&Step| step.inputs.iter().flatten().any(is_it);
        self.steps.iter().find(reads).map(|step| step.title.clone())
    }

    fn value(&self, slot: Slot, values: &[Option<Var>], ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        match &self.sources[slot] {
            Source::Computed => Ok(values[slot].clone()),
            Source::Constant(tensor) => Ok(Some(Var::from(tensor))),
            Source::Param(param) => match &self.params[*param].1 {
                Held::Weight(weight) => ctx.param(weight).map(Some),
                Held::Param(param) => ctx.param(param).map(Some),
            },
        }
    }

    fn step(&self, step: &Step, values: &[Option<Var>], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        if let (Some(norm), [Some(input), ..]) = (step.norm, &step.inputs[..])
            && self.norms[norm].1
        {
            return Ok(self.value(*input, values, ctx)?.into_iter().collect());
        }
        let mut args = Vec::with_capacity(step.inputs.len());
        for (i, input) in step.inputs.iter().enumerate() {
            let Some(slot) = *input else {
                args.push(Arg::Absent);
                continue;
            };
            let held = match &self.sources[slot] {
                Source::Param(param) => Some(&self.params[*param].1),
                _ => None,
            };
            args.push(match (held, step.operator.how(i)) {
                (
                    Some(held @ Held::Weight(_)),
                    Use::Weight(_)
                    | Use::Signal { .. }
                    | Use::Volume { .. }
                    | Use::Transposed
                    | Use::Gates,
                ) => Arg::Held(held),
                (Some(held @ Held::Param(_)), Use::Vector | Use::Buffer) => Arg::Held(held),
                _ => self.value(slot, values, ctx)?.map_or(Arg::Absent, Arg::Value),
            });
        }
        step.operator.run(&Args { operator: step.name, args }, ctx)
    }

    pub(crate) fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        for (name, held) in &self.params {
            path.within(name, |path| match held {
                Held::Weight(weight) => weight.visit(path, visitor),
                Held::Param(param) => param.visit(path, visitor),
            });
        }
        for (name, folded) in &self.norms {
            path.within(name, |path| path.within(FOLDED, |path| visitor.flag(path, *folded)));
        }
    }

    pub(crate) fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        for (name, held) in &mut self.params {
            path.within(name, |path| match held {
                Held::Weight(weight) => weight.visit_mut(path, visitor),
                Held::Param(param) => param.visit_mut(path, visitor),
            });
        }
        for (name, folded) in &mut self.norms {
            path.within(name, |path| path.within(FOLDED, |path| visitor.flag(path, folded)));
        }
    }
}
