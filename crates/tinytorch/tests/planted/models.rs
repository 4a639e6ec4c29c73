use super::ops::{
    Count, Dawdle, Drift, KeepsLater, Leftovers, More, PlannedMore, Saying, SharedRange, Turned,
    WrongAmong,
};
use std::ops::Range;
use std::sync::OnceLock;
use tinytorch::autograd::{Ctx, Param, Var};
use tinytorch::models::{ListModel, Model, Sample};
use tinytorch::nn::{Flatten, Forward, Init, Module, Path, Visitor, VisitorMut};
use tinytorch::ops::Cast;
use tinytorch::tensor::Dtype;
use tinytorch::{Result, Tensor};
use tinytorch_kernels::Ran;

/// What an [`Impostor`] does instead of running its model.
#[derive(Clone)]
pub(crate) enum Instead {
    /// Runs the linear layers in this order.
    Order(Vec<usize>),
    /// Runs a float model.
    Float(Box<dyn Model>),
    /// Runs its model, and keeps the floats that its weights stand for from the first pass on.
    Cache(OnceLock<Vec<Tensor>>),
    /// The same, from the first pass of so many samples on.
    CacheAmong(Range<usize>, OnceLock<Vec<Tensor>>),
    /// The same, from so many runs of a plan on.
    CacheAfter(usize),
    /// Runs the linear layers, and says that it was this kernel.
    Saying(Ran),
    /// Runs its model, and is wrong where a pass has so many samples.
    WrongAmong(Range<usize>),
    /// Runs its model, and makes the floats that its weights stand for on every pass.
    Copies,
    /// Runs its model with these parameters beside it.
    Beside(Vec<Param>),
    /// Runs its model, and adds a little that depends on the number of threads, or on how often it ran.
    Drift { by_threads: bool },
    /// Runs its model, and then counts so far, in passes of `from` to `to` samples.
    Dawdle { times: usize, from: usize, to: usize },
    /// Runs its model, and adds what a larger run before left behind.
    Leftovers,
    /// Runs its model, and rounds its outputs by one range for all samples.
    SharedRange,
    /// Runs its model, and gives each output the place of the next.
    Turned,
    /// Runs the linear layers without anything in between.
    Linear,
    /// Runs its model, and gives so many times as much, on scalar code alone.
    ScalarMore(f32),
    /// Runs its model, and adds a hundred thousand times what scalar code takes for more by nine millionths.
    Amplified,
    /// Runs its model, and multiplies by a number that is another on scalar code.
    Counted,
    /// Runs its model, and gives so many times as much as a plan, on every instruction set or on scalar code alone.
    PlannedMore { factor: f32, on_scalar_alone: bool },
}

/// A model that has the parameters of another and does something else with them.
#[derive(Clone)]
pub(crate) struct Impostor {
    pub(crate) of: Box<dyn Model>,
    pub(crate) instead: Instead,
}

impl Impostor {
    pub(crate) fn boxed(of: Box<dyn Model>, instead: Instead) -> Box<dyn Model> {
        Box::new(Impostor { of, instead })
    }

    /// What all int8 weights stand for.
    fn floats(&self) -> Vec<Tensor> {
        let params = self.of.named_params();
        let weights = params.iter().filter_map(|(_, param)| param.int8());
        weights.map(|weight| weight.dequantize().unwrap()).collect()
    }

    /// Linear layers in this order, perhaps with an activation in between.
    fn layers(&self, order: &[usize], relu: bool, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut x = Flatten.forward(input, ctx)?;
        for (i, &layer) in order.iter().enumerate() {
            if i > 0 && relu {
                x = x.relu(ctx)?;
            }
            let (weight, bias) = (self.param(layer, "weight"), self.param(layer, "bias"));
            x = x.linear(weight.unwrap(), bias, ctx)?;
        }
        Ok(x)
    }

    fn param(&self, layer: usize, field: &str) -> Option<&Param> {
        let name = format!("layers.{layer}.{field}");
        let params = self.of.named_params();
        params.into_iter().find(|(other, _)| *other == name).map(|(_, param)| param)
    }
}

impl Module for Impostor {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        self.of.visit(path, visitor);
        if let Instead::Beside(params) = &self.instead {
            for (i, param) in params.iter().enumerate() {
                path.within(&format!("beside{i}"), |path| visitor.param(path, param));
            }
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.of.visit_mut(path, visitor);
    }
}

impl ListModel for Impostor {
    fn forward_list(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let [input] = inputs else { panic!("{} inputs", inputs.len()) };
        let output = match &self.instead {
            Instead::Float(float) => float.forward(input, ctx),
            Instead::Order(order) => self.layers(order, true, input, ctx),
            Instead::Linear => {
                let layers = (0..).take_while(|&layer| self.param(layer, "weight").is_some());
                self.layers(&layers.collect::<Vec<_>>(), false, input, ctx)
            }
            Instead::ScalarMore(factor) => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(More { factor: *factor, on_scalar_alone: true }, &[&output])
            }
            Instead::Amplified => {
                let output = self.of.forward(input, ctx)?;
                let more = More { factor: 1.000_009, on_scalar_alone: true };
                let more = ctx.apply(more, &[&output])?.sub(&output, ctx)?;
                more.mul_scalar(1e5, ctx)?.add(&output, ctx)
            }
            Instead::Counted => {
                let output = self.of.forward(input, ctx)?;
                let count = ctx.apply(Count, &[&output])?;
                ctx.apply(Cast(Dtype::F32), &[&count])?.mul(&output, ctx)
            }
            Instead::PlannedMore { factor, on_scalar_alone } => {
                let output = self.of.forward(input, ctx)?;
                let more = More { factor: *factor, on_scalar_alone: *on_scalar_alone };
                ctx.apply(PlannedMore(more), &[&output])
            }
            Instead::Leftovers => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(Leftovers::default(), &[&output])
            }
            Instead::SharedRange => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(SharedRange, &[&output])
            }
            Instead::Turned => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(Turned, &[&output])
            }
            Instead::Saying(kernel) => {
                let mut x = Flatten.forward(input, ctx)?;
                for layer in 0.. {
                    let Some(weight) = self.param(layer, "weight") else { break };
                    if layer > 0 {
                        x = x.relu(ctx)?;
                    }
                    let bias = ctx.param(self.param(layer, "bias").unwrap())?;
                    let op = Saying { weight: weight.clone(), kernel: *kernel };
                    x = ctx.apply_weighted(op, Some(weight.id()), &[&x, &bias])?;
                }
                Ok(x)
            }
            Instead::Cache(floats) => {
                floats.get_or_init(|| self.floats());
                self.of.forward(input, ctx)
            }
            Instead::CacheAmong(samples, floats) => {
                if samples.contains(&input.shape()[0]) {
                    floats.get_or_init(|| self.floats());
                }
                self.of.forward(input, ctx)
            }
            Instead::CacheAfter(runs) => {
                let output = self.of.forward(input, ctx)?;
                let params = self.of.named_params().into_iter().map(|(_, param)| param);
                let weights = params.filter(|param| param.int8().is_some()).cloned().collect();
                ctx.apply(KeepsLater::new(*runs, weights), &[&output])
            }
            Instead::Copies => {
                std::hint::black_box(self.floats());
                self.of.forward(input, ctx)
            }
            Instead::Drift { by_threads } => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(Drift { by_threads: *by_threads }, &[&output])
            }
            Instead::Beside(_) => self.of.forward(input, ctx),
            Instead::Dawdle { times, from, to } => {
                let output = self.of.forward(input, ctx)?;
                let (times, from, to) = (*times, *from, *to);
                ctx.apply(Dawdle { times, from, to }, &[&output])
            }
            Instead::WrongAmong(samples) => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(WrongAmong(samples.clone()), &[&output])
            }
        };
        Ok(vec![output?])
    }
}

impl Model for Impostor {
    fn kind(&self) -> &str {
        self.of.kind()
    }

    fn description(&self) -> Result<String> {
        self.of.description()
    }

    fn rebuild(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>> {
        self.of.rebuild(description, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        self.of.samples()
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}
