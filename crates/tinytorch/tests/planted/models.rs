use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tinytorch::autograd::{Ctx, Op, Param, Role, Var};
use tinytorch::graph::{Compute, Cost, Exec, View};
use tinytorch::models::{ListModel, Model, Sample};
use tinytorch::nn::{Flatten, Forward, Init, Module, Path, Visitor, VisitorMut};
use tinytorch::tensor::Shape;
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
    CacheFrom(usize, OnceLock<Vec<Tensor>>),
    /// Runs the linear layers, and says that it was this kernel.
    Saying(Ran),
    /// Runs its model, and is wrong where a pass has fewer samples than this.
    WrongBelow(usize),
    /// Runs its model, and makes the floats that its weights stand for on every pass.
    Copies,
    /// Runs its model with these parameters beside it.
    Beside(Vec<Param>),
    /// Runs its model, and adds a little that depends on the number of threads, or on how often it ran.
    Drift { by_threads: bool },
    /// Runs its model, and then counts so far, in passes of `from` to `to` samples.
    Dawdle { times: usize, from: usize, to: usize },
}

/// The same numbers, or, where there are too few rows, their negatives.
#[derive(Debug)]
struct WrongBelow(usize);

impl Compute for WrongBelow {
    fn name(&self) -> &'static str {
        "wrong below"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let sign = if inputs[0].shape[0] < self.0 { -1.0 } else { 1.0 };
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(out, v)| *out = sign * v);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for WrongBelow {}

/// A value after work that is thrown away, in passes of these sizes.
#[derive(Debug)]
struct Dawdle {
    times: usize,
    from: usize,
    to: usize,
}

impl Compute for Dawdle {
    fn name(&self) -> &'static str {
        "dawdle"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let samples = inputs[0].shape[0];
        let mut sum = 0.0f32;
        if (self.from..self.to).contains(&samples) {
            for i in 0..self.times {
                sum = std::hint::black_box(sum + i as f32);
            }
        }
        std::hint::black_box(sum);
        out.copy_from_slice(inputs[0].f32()?);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Dawdle {}

/// A value and a little more: by the number of threads, or by how often it was asked for.
#[derive(Debug)]
struct Drift {
    by_threads: bool,
}

impl Compute for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let more = match self.by_threads {
            true => rayon::current_num_threads(),
            false => RUNS.fetch_add(1, Ordering::Relaxed) % 2,
        };
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(out, v)| *out = v + more as f32 * 1e-3);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Drift {}

/// A linear layer that says which kernel it ran.
#[derive(Debug)]
struct Saying {
    weight: Param,
    kernel: Ran,
}

impl Compute for Saying {
    fn name(&self) -> &'static str {
        "saying"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].with(inputs[0].rank() - 1, self.weight.shape()[0]))
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let x = Tensor::from_vec(inputs[0].f32()?.to_vec(), inputs[0].shape)?;
        let bias = Tensor::from_vec(inputs[1].f32()?.to_vec(), inputs[1].shape)?;
        let mut ctx = Ctx::eval().on(exec.isa());
        let bias = Param::new(bias, Role::Vector);
        let y = Var::from(x).linear(&self.weight, Some(&bias), &mut ctx)?;
        out.copy_from_slice(y.value().as_slice()?);
        exec.ran(self.kernel);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2 * inputs[0].last_dim() as u64)
    }
}

impl Op for Saying {}

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
            Instead::Order(order) => {
                let param = |layer, field| self.param(layer, field);
                let mut x = Flatten.forward(input, ctx)?;
                for (i, &layer) in order.iter().enumerate() {
                    if i > 0 {
                        x = x.relu(ctx)?;
                    }
                    x = x.linear(param(layer, "weight").unwrap(), param(layer, "bias"), ctx)?;
                }
                Ok(x)
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
            Instead::CacheFrom(samples, floats) => {
                if input.shape()[0] >= *samples {
                    floats.get_or_init(|| self.floats());
                }
                self.of.forward(input, ctx)
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
            Instead::WrongBelow(samples) => {
                let output = self.of.forward(input, ctx)?;
                ctx.apply(WrongBelow(*samples), &[&output])
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
