//! Ops that compute something else than they should.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use tinytorch::autograd::{Ctx, Op, Param, Role, Var};
use tinytorch::graph::{Compute, Cost, Edge, Exec, Graph, Inputs, Known, View, ViewMut};
use tinytorch::tensor::{Dtype, Shape};
use tinytorch::{Result, Tensor};
use tinytorch_kernels::{Isa, Ran};

/// The same numbers, or, where there are so many rows, their negatives.
#[derive(Debug)]
pub(super) struct WrongAmong(pub(super) Range<usize>);

impl Compute for WrongAmong {
    fn name(&self) -> &'static str {
        "wrong among"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let sign = if self.0.contains(&inputs[0].shape[0]) { -1.0 } else { 1.0 };
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(out, v)| *out = sign * v);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for WrongAmong {}

/// The last of each row first.
#[derive(Debug)]
pub(super) struct Turned;

impl Compute for Turned {
    fn name(&self) -> &'static str {
        "turned"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.copy_from_slice(inputs[0].f32()?);
        out.chunks_mut(inputs[0].shape.last_dim()).for_each(|row| row.rotate_right(1));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Turned {}

/// The same numbers, which a plan computes by [`More`].
#[derive(Debug)]
pub(super) struct PlannedMore(pub(super) More);

impl Compute for PlannedMore {
    fn name(&self) -> &'static str {
        "planned more"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.copy_from_slice(inputs[0].f32()?);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for PlannedMore {
    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        graph.apply(self.0, inputs).map(Some)
    }
}

/// So many times as much, perhaps on scalar code alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct More {
    pub(super) factor: f32,
    pub(super) on_scalar_alone: bool,
}

impl Compute for More {
    fn name(&self) -> &'static str {
        "more"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let is_more = !self.on_scalar_alone || exec.isa() == Isa::Scalar;
        let factor = if is_more { self.factor } else { 1.0 };
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(out, v)| *out = factor * v);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for More {}

/// One, as an integer, and two on scalar code.
#[derive(Debug)]
pub(super) struct Count;

impl Compute for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn outputs(&self, _: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        Ok(vec![(Shape::new(&[1])?, Dtype::I64)])
    }

    fn run_typed(&self, _: &Inputs<'_>, out: &mut [ViewMut<'_>], exec: &mut Exec) -> Result<()> {
        out[0].values::<i64>()?[0] = if exec.isa() == Isa::Scalar { 2 } else { 1 };
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Count {}

/// A value after work that is thrown away, in passes of these sizes.
#[derive(Debug)]
pub(super) struct Dawdle {
    pub(super) times: usize,
    pub(super) from: usize,
    pub(super) to: usize,
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

/// The same numbers, and from so many runs on the floats of these weights, which stay.
#[derive(Debug)]
pub(super) struct KeepsLater {
    from: usize,
    weights: Vec<Param>,
    runs: AtomicUsize,
    kept: OnceLock<Vec<Tensor>>,
}

impl KeepsLater {
    pub(super) fn new(from: usize, weights: Vec<Param>) -> KeepsLater {
        KeepsLater { from, weights, runs: AtomicUsize::new(0), kept: OnceLock::new() }
    }
}

impl Compute for KeepsLater {
    fn name(&self) -> &'static str {
        "keeps later"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.copy_from_slice(inputs[0].f32()?);
        if self.runs.fetch_add(1, Ordering::Relaxed) >= self.from {
            let weights = self.weights.iter().filter_map(Param::int8);
            self.kept.get_or_init(|| weights.map(|weight| weight.dequantize().unwrap()).collect());
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for KeepsLater {}

/// The same numbers, and a tenth of those that the run before left in their places.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<Vec<f32>>);

impl Compute for Leftovers {
    fn name(&self) -> &'static str {
        "leftovers"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.copy_from_slice(inputs[0].f32()?);
        let mut left = self.0.lock().unwrap();
        // Only beyond where this run has overwritten them.
        let beyond = left.iter().skip(out.len());
        out.iter_mut().zip(beyond).for_each(|(out, left)| *out += 0.1 * left);
        *left = out.to_vec();
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Leftovers {}

/// Numbers rounded to 8 bits by one range for all rows.
#[derive(Debug)]
pub(super) struct SharedRange;

impl Compute for SharedRange {
    fn name(&self) -> &'static str {
        "shared range"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let values = inputs[0].f32()?;
        let step = values.iter().fold(0.0f32, |most, v| most.max(v.abs())) / 127.0;
        let rounded = |v: f32| if step > 0.0 { (v / step).round() * step } else { v };
        out.iter_mut().zip(values).for_each(|(out, v)| *out = rounded(*v));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for SharedRange {}

/// A value and a little more: by the number of threads, or by how often it was asked for.
#[derive(Debug)]
pub(super) struct Drift {
    pub(super) by_threads: bool,
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
pub(super) struct Saying {
    pub(super) weight: Param,
    pub(super) kernel: Ran,
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
