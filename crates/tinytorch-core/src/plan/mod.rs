//! The deployment engine: a model traced once, rewritten, and run without allocating.
//!
//! A [`Plan`] is compiled from the same tape that gradients are taken from. Batch norms fold into
//! convolutions of float models, ReLU fuses into the layer before it, the last convolution of a
//! residual block adds what goes around it, and where int8 layers follow each other 8-bit levels flow
//! between them instead of floats. What several layers quantize alike, as queries, keys and values do, is
//! quantized once. Int8 results have the same bits as the eager model's, since both call the same kernels.
//!
//! ```
//! use tinytorch_core::{Rng, Tensor, autograd::Ctx, plan::Plan};
//!
//! let mut ctx = Ctx::trace();
//! let x = Tensor::randn([3, 64], 1.0, &mut Rng::seed(1))?;
//! let input = ctx.input(&x);
//! let y = input.relu(&mut ctx)?.sum_axis(1, false, &mut ctx)?;
//! let graph = ctx.into_tape().unwrap().lower(&y)?;
//!
//! let mut plan = Plan::from_graph(graph, &[&x], &Default::default())?;
//! assert!(plan.run(&x)?.allclose(y.value(), 1e-5, 1e-6)?);
//! let more = Tensor::randn([7, 64], 1.0, &mut Rng::seed(2))?;
//! assert_eq!(plan.run(&more)?.shape().dims(), [7]);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod action;
mod anew;
mod compile;
mod error;
mod execute;
mod fixed;
mod format;
mod parts;
mod placement;
mod profile;
mod program;
mod rewrite;

pub use error::PlanError;
pub use profile::{StepInfo, StepTime, ValueInfo};

use crate::Result;
use crate::autograd::{AutogradError, Ctx, Feed};
use crate::graph::{Elements, ElementsMut, Exec, Graph, ParamId, View, ViewMut, for_dtype};
use crate::module::Forward;
use crate::tensor::{Dtype, Shape, Tensor};
use anew::Anew;
use execute::Memory;
use placement::Placement;
use program::Program;
use std::collections::BTreeMap;
use std::time::Duration;
use tinytorch_kernels::Isa;

/// Input shapes whose placements are kept; the oldest makes room.
const PLACEMENTS: usize = 64;

/// A model compiled for deployment.
///
/// It holds what it needs and nothing else: int8 weights are shared with the model, and stay alive
/// when the model is dropped. Sizes are not fixed: shapes are inferred again for each input shape
/// that it meets, and kept, so that a run on a shape it knows allocates nothing.
#[derive(Debug)]
pub struct Plan {
    program: Program,
    examples: Vec<Example>,
    /// The shape of every value for these, once they are placed.
    example_shapes: Option<Vec<Shape>>,
    placements: Vec<Placement>,
    current: usize,
    memory: Memory,
    anew: Option<Anew>,
}

/// What an input looked like when the model was traced.
#[derive(Clone, Copy, Debug)]
struct Example {
    shape: Shape,
    dtype: Dtype,
}

impl Plan {
    /// Compiles a model by tracing an inference pass on `example`, a tensor or several, whose numbers of
    /// dimensions and element types the plan then takes; their sizes may be others.
    ///
    /// # Errors
    /// If the model does not run on the example, or holds an op that cannot be deployed.
    pub fn compile<M, F>(model: &M, example: &F) -> Result<Plan>
    where
        M: Forward<F::Input> + ?Sized,
        F: Feed,
    {
        let mut ctx = Ctx::trace();
        let input = example.enter(&mut ctx);
        let output = model.call(&input, &mut ctx)?;
        let tape = ctx.into_tape().ok_or(AutogradError::Untracked)?;
        let graph = tape.lower(&output)?;
        let names = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
        Plan::from_graph(graph, &example.tensors(), &names.collect())
    }

    /// Compiles a graph with one example for each of its inputs; `names` are those of the
    /// parameters that its nodes refer to.
    ///
    /// # Errors
    /// [`PlanError`], or what an op reports that does not fit the examples.
    pub fn from_graph(
        mut graph: Graph,
        examples: &[&Tensor],
        names: &BTreeMap<ParamId, String>,
    ) -> Result<Plan> {
        let isa = Isa::active();
        rewrite::rewrite(&mut graph, isa)?;
        let program = compile::compile(&graph, names, isa)?;
        let examples: Vec<Example> =
            examples.iter().map(|t| Example { shape: *t.shape(), dtype: t.dtype() }).collect();
        let memory = Memory::new(&program, Exec::new(isa));
        let placements = Vec::new();
        let example_shapes = None;
        let mut plan =
            Plan { program, examples, example_shapes, placements, current: 0, memory, anew: None };
        let inputs: Vec<_> = plan.examples.iter().map(|e| (e.shape, e.dtype)).collect();
        plan.check_count(inputs.len())?;
        let placement = plan.placement(&inputs)?;
        plan.example_shapes = Some(placement.shapes.clone());
        plan.keep_in_parts(&inputs, placement);
        Ok(plan)
    }

    /// The same plan with kernels on `isa`; float weights stay as they were packed, which is the same for
    /// all.
    pub fn on(mut self, isa: Isa) -> Plan {
        self.memory = Memory::new(&self.program, self.memory.exec().on(isa));
        self.anew = self.anew.map(|anew| anew.on(isa));
        self
    }

    /// The instruction set that kernels run on.
    pub fn isa(&self) -> Isa {
        self.memory.isa()
    }

    /// The shape of the one output for an input of this shape.
    ///
    /// # Errors
    /// [`PlanError::Input`] or [`PlanError::Shape`] if the plan does not take it,
    /// [`PlanError::ResultCount`] if it has several outputs.
    pub fn output_shape(&mut self, input: &Shape) -> Result<Shape> {
        self.check_one_result()?;
        let shapes = self.output_shapes(&[*input])?;
        Ok(shapes[0].0)
    }

    /// Shape and element type of every output for inputs of these shapes.
    ///
    /// # Errors
    /// [`PlanError::Input`] or [`PlanError::Shape`] if the plan does not take them.
    pub fn output_shapes(&mut self, inputs: &[Shape]) -> Result<Vec<(Shape, Dtype)>> {
        self.check_count(inputs.len())?;
        let inputs: Vec<(Shape, Dtype)> =
            inputs.iter().zip(&self.examples).map(|(shape, e)| (*shape, e.dtype)).collect();
        self.prepare(inputs.iter().copied())?;
        Ok((0..self.program.results.len()).map(|i| self.result(i)).collect())
    }

    /// Runs a plan of one output on a tensor, or on several.
    ///
    /// # Errors
    /// [`PlanError`] for an input that the plan does not take, or that is not finite where an int8 layer
    /// reads it, [`PlanError::ResultCount`] if the plan has several outputs, or what an op reports.
    pub fn run<F: Feed>(&mut self, input: &F) -> Result<Tensor> {
        self.check_one_result()?;
        let mut results = self.run_and_time(&input.tensors(), None)?;
        Ok(results.swap_remove(0))
    }

    /// [`Plan::run`] for any number of inputs and outputs, in the graph's order.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run_many(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.run_and_time(inputs, None)
    }

    /// Runs the plan and notes in `times` how long each instruction took.
    fn run_and_time(
        &mut self,
        inputs: &[&Tensor],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<Vec<Tensor>> {
        let dense = inputs.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
        let views = dense.iter().map(View::of).collect::<Result<Vec<_>>>()?;
        self.prepare(views.iter().map(|view| (view.shape, view.dtype())))?;
        let zeros = |(shape, dtype): (Shape, Dtype)| -> Result<Tensor> {
            for_dtype!(dtype, T => Tensor::full(T::default(), shape))
        };
        let results = 0..self.program.results.len();
        let mut results = results.map(|i| zeros(self.result(i))).collect::<Result<Vec<_>>>()?;
        let mut out = results.iter_mut().map(ViewMut::of).collect::<Result<Vec<_>>>()?;
        self.execute(&views, &mut out, times)?;
        drop(out);
        Ok(results)
    }

    /// Runs a plan of one input and one output of floats on elements of shape `shape` and writes to `out`,
    /// which has the length of [`Plan::output_shape`]. On a shape that it has met before this allocates nothing, with
    /// two exceptions. Handing work to a thread pool that it does not run inside of makes rayon's queue
    /// grow by a block once in 63 runs. And three ops take memory for a moment: a convolution of float
    /// images by an int8 weight, an average pool, and a softmax along another axis than the last.
    ///
    /// # Errors
    /// As [`Plan::run`], and [`PlanError::Length`].
    pub fn run_into<'a>(
        &mut self,
        input: impl Into<Elements<'a>>,
        shape: &Shape,
        out: &mut [f32],
    ) -> Result<()> {
        let elements = input.into();
        check_length("the input", elements.len(), shape)?;
        self.check_one_result()?;
        self.prepare([(*shape, elements.dtype())].into_iter())?;
        let (output, _) = self.result(0);
        check_length("the output", out.len(), &output)?;
        let out = ViewMut { shape: output, elements: ElementsMut::F32(out) };
        self.run_views(&[View { shape: *shape, elements }], &mut [out])
    }

    /// [`Plan::run_into`] for any number of inputs and outputs of any type, in the graph's order. The
    /// outputs have the shapes and types that [`Plan::output_shapes`] gives.
    ///
    /// # Errors
    /// As [`Plan::run_into`], [`PlanError::OutputCount`] and [`PlanError::Output`].
    pub fn run_many_into(
        &mut self,
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
    ) -> Result<()> {
        for input in inputs {
            check_length("an input", input.elements.len(), &input.shape)?;
        }
        for output in &*outputs {
            check_length("an output", output.elements.len(), &output.shape)?;
        }
        self.prepare(inputs.iter().map(|view| (view.shape, view.dtype())))?;
        self.run_views(inputs, outputs)
    }

    fn run_views(&mut self, inputs: &[View<'_>], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (expected, got) = (self.program.results.len(), outputs.len());
        if got != expected {
            return Err(PlanError::OutputCount { expected, got }.into());
        }
        for (index, output) in outputs.iter().enumerate() {
            let (expected, expected_dtype) = self.result(index);
            let (shape, dtype) = (output.shape, output.dtype());
            if (shape, dtype) != (expected, expected_dtype) {
                let error = PlanError::Output { index, expected, expected_dtype, shape, dtype };
                return Err(error.into());
            }
        }
        self.execute(inputs, outputs, None)
    }

    /// Shape and element type of a result in the current placement.
    fn result(&self, index: usize) -> (Shape, Dtype) {
        let (placement, id) = (&self.placements[self.current], self.program.results[index]);
        (placement.shapes[id], placement.dtypes[id])
    }

    fn check_one_result(&self) -> Result<()> {
        match self.program.results.len() {
            1 => Ok(()),
            results => Err(PlanError::ResultCount { results }.into()),
        }
    }

    /// Bytes of the arena, in which all values between the layers lie: what the largest input shape
    /// so far needs.
    pub fn arena_bytes(&self) -> usize {
        let whole = self.placements.iter().filter(|placement| placement.part.is_none());
        let own = whole.map(|placement| placement.bytes).max().unwrap_or(0);
        own + self.of_others(Plan::arena_bytes)
    }

    /// A figure of the programs for other sizes.
    fn of_others(&self, figure: impl Fn(&Plan) -> usize) -> usize {
        self.anew.as_ref().map_or(0, |anew| anew.sum(figure))
    }

    /// Bytes of working memory that kernels hold beside the arena; known once a run has needed it.
    pub fn scratch_bytes(&self) -> usize {
        self.memory.scratch_bytes() + self.of_others(Plan::scratch_bytes)
    }

    /// Bytes of the weights and other constants, those shared with a model included.
    pub fn weight_bytes(&self) -> usize {
        self.program.weight_bytes()
    }

    /// Bytes of the weights of float layers that the plan has packed, beside the model's own. Int8 weights
    /// are shared.
    pub fn packed_bytes(&self) -> usize {
        self.program.packed_bytes() + self.of_others(Plan::packed_bytes)
    }

    fn check_count(&self, got: usize) -> Result<()> {
        let expected = self.program.inputs;
        if got == expected { Ok(()) } else { Err(PlanError::InputCount { expected, got }.into()) }
    }

    /// Checks what the inputs are, and makes their placement the current one.
    fn prepare(
        &mut self,
        inputs: impl ExactSizeIterator<Item = (Shape, Dtype)> + Clone,
    ) -> Result<()> {
        self.check_count(inputs.len())?;
        for (example, (shape, dtype)) in self.examples.iter().zip(inputs.clone()) {
            if shape.rank() != example.shape.rank() || dtype != example.dtype {
                let (expected, expected_dtype) = (example.shape, example.dtype);
                return Err(PlanError::Input { expected, expected_dtype, shape, dtype }.into());
            }
        }
        match self.known(inputs.clone()) {
            Some(known) => self.current = known,
            None => self.place_anywhere(&inputs.collect::<Vec<_>>())?,
        }
        Ok(())
    }

    /// The placement for inputs of these shapes, the current one if it is that.
    fn known(&self, inputs: impl Iterator<Item = (Shape, Dtype)> + Clone) -> Option<usize> {
        let is_known = |placement: &Placement| {
            placement.inputs.iter().zip(inputs.clone()).all(|(known, (shape, _))| *known == shape)
        };
        match self.placements.get(self.current) {
            Some(current) if is_known(current) => Some(self.current),
            _ => self.placements.iter().position(is_known),
        }
    }

    /// Adds a placement and makes it the current one.
    fn place(&mut self, inputs: &[(Shape, Dtype)]) -> Result<()> {
        let placement = self.placement(inputs)?;
        self.keep_in_parts(inputs, placement);
        Ok(())
    }

    /// Keeps a placement, and those of its parts if it runs in parts, and makes it the current one.
    fn keep_in_parts(&mut self, inputs: &[(Shape, Dtype)], mut placement: Placement) {
        placement.part = self.place_parts(inputs, &placement);
        self.keep(placement);
    }

    fn placement(&mut self, inputs: &[(Shape, Dtype)]) -> Result<Placement, PlanError> {
        let example = self.example_shapes.as_deref();
        Placement::new(&self.program, inputs, example, self.memory.exec())
    }

    /// Keeps a placement and makes it the current one.
    fn keep(&mut self, placement: Placement) {
        if self.placements.len() == PLACEMENTS {
            self.placements.remove(0);
        }
        self.placements.push(placement);
        self.current = self.placements.len() - 1;
    }
}

fn check_length(what: &'static str, got: usize, shape: &Shape) -> Result<()> {
    if got == shape.len() {
        return Ok(());
    }
    Err(PlanError::Length { what, got, shape: *shape }.into())
}
