//! What an op computes: its shape rule, its numbers, its cost, and facts about it.

use super::{Exec, GraphError, Inputs, Properties, View, ViewMut, for_dtype, places};
use crate::Result;
use crate::tensor::{Dtype, Shape, Tensor, TensorError};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use tinytorch_kernels::int8::Layout;

/// What one run of an op costs, from its input shapes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point or integer operations; a multiply-add counts as two.
    pub flops: u64,
    /// Bytes of the inputs, weights included.
    pub read: u64,
    /// Bytes of the output.
    pub written: u64,
}

impl Cost {
    /// The cost of an op on f32 tensors that does `per_output` operations for each output element.
    pub fn per_element(inputs: &[Shape], output: &Shape, per_output: u64) -> Cost {
        Cost {
            flops: output.len() as u64 * per_output,
            read: 4 * inputs.iter().map(|s| s.len() as u64).sum::<u64>(),
            written: 4 * output.len() as u64,
        }
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops + other.flops,
            read: self.read + other.read,
            written: self.written + other.written,
        }
    }
}

/// What is known of an input before anything is computed.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The dimensions.
    pub shape: Shape,
    /// The type of the elements.
    pub dtype: Dtype,
    /// The elements, if constants and the sizes of the inputs decide them; contiguous.
    pub value: Option<&'a Tensor>,
}

impl<'a> Known<'a> {
    /// A value of which nothing but its shape and type is known.
    pub fn only(shape: Shape, dtype: Dtype) -> Known<'static> {
        Known { shape, dtype, value: None }
    }

    /// All about a tensor.
    pub fn all(tensor: &'a Tensor) -> Known<'a> {
        Known { shape: *tensor.shape(), dtype: tensor.dtype(), value: Some(tensor) }
    }

    /// The elements of a list of sizes or positions; `op` names who needs it before it can run.
    ///
    /// # Errors
    /// [`GraphError::NotDecided`] if they depend on what is computed,
    /// [`TensorError::Dtype`] unless they are integers.
    pub fn integers(&self, op: &'static str) -> Result<Cow<'a, [i64]>> {
        let value = self.value.ok_or(GraphError::NotDecided { op })?;
        match self.dtype {
            Dtype::I64 => Ok(Cow::Borrowed(value.as_slice()?)),
            Dtype::I32 => {
                Ok(Cow::Owned(value.as_slice::<i32>()?.iter().copied().map(i64::from).collect()))
            }
            got => Err(TensorError::Dtype { expected: Dtype::I64, got }.into()),
        }
    }
}

/// Input `i` of what is known; `op` names who needs it.
///
/// # Errors
/// [`GraphError::MissingInput`].
pub fn known<'a, 'b>(
    inputs: &'b [Option<Known<'a>>],
    i: usize,
    op: &'static str,
) -> Result<&'b Known<'a>> {
    let input = inputs.get(i).and_then(Option::as_ref);
    Ok(input.ok_or(GraphError::MissingInput { op, input: i })?)
}

/// What an op computes, without its derivative: a shape rule, the numbers, the cost.
///
/// Eager execution and [plans](crate::plan) call the same methods. An op of floats defines
/// [`shape`](Compute::shape) and [`run`](Compute::run), and has one output. An op with several outputs, with
/// outputs of other types, or with inputs that may be left out, defines
/// [`outputs`](Compute::outputs) and [`run_typed`](Compute::run_typed) instead.
pub trait Compute: Any + fmt::Debug + Send + Sync {
    /// The op's name in the field's own words, such as `relu`. It is for people to read: what decides is
    /// in [`Compute::properties`].
    fn name(&self) -> &'static str;

    /// Facts that rewrites, plans and reports ask about.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// How many outputs it has.
    fn output_count(&self) -> usize {
        1
    }

    /// How many inputs it needs at least; those after them may be left out.
    fn inputs_needed(&self) -> usize {
        1
    }

    /// The output's shape; there are as many inputs as it [needs](Compute::inputs_needed).
    ///
    /// # Errors
    /// If the inputs do not fit the op or each other.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let _ = inputs;
        Err(GraphError::NoShape { op: self.name() }.into())
    }

    /// Shape and type of every output.
    ///
    /// # Errors
    /// If the inputs do not fit the op or each other, or if a shape depends on values that are not
    /// known yet.
    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let last = inputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let shape = |(input, known): (usize, &Option<Known<'_>>)| match known {
            Some(known) => Ok(known.shape),
            None => Err(GraphError::MissingInput { op: self.name(), input }),
        };
        let shapes = inputs[..last].iter().enumerate().map(shape).collect::<Result<Vec<_>, _>>()?;
        check_count(self, shapes.len())?;
        Ok(vec![(self.shape(&shapes)?, Dtype::F32)])
    }

    /// The outputs themselves, if the sizes of the inputs and their known values decide them.
    ///
    /// # Errors
    /// As [`Compute::run_typed`].
    fn decided(
        &self,
        inputs: &[Option<Known<'_>>],
        exec: &mut Exec,
    ) -> Result<Option<Vec<Tensor>>> {
        decided(self, inputs, exec)
    }

    /// Computes every element of the output, which has the length of [`Compute::shape`] and holds any
    /// values, from contiguous inputs, and notes in `exec` which kernel ran if it is not a plain float one.
    ///
    /// # Errors
    /// If an input has the wrong element type or a value the op does not take.
    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let _ = (inputs, out, exec);
        Err(GraphError::NoShape { op: self.name() }.into())
    }

    /// Computes every element of every output, which have the shapes and types of [`Compute::outputs`] and
    /// hold any values.
    ///
    /// # Errors
    /// As [`Compute::run`].
    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        match outputs {
            [out] => self.run(inputs.views(), out.f32()?, exec),
            _ => Err(GraphError::NoShape { op: self.name() }.into()),
        }
    }

    /// [`Compute::run_typed`] for an op of one output on images that lie in memory in other orders: the
    /// input's, then the output's. Shapes are `[batch, channels, height, width]` whatever the order. Called
    /// only with orders that [`Properties::orders`] names.
    ///
    /// # Errors
    /// As [`Compute::run`].
    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        debug_assert!(orders == [Layout::Nchw; 2] && !self.properties().orders.takes_pixels());
        self.run_typed(inputs, &mut [output], exec)
    }

    /// What `run` costs on inputs of these shapes; `output` is the first output's.
    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost;

    /// Computes a new tensor. Ops that can answer with a view of their input override this.
    ///
    /// # Errors
    /// As [`Compute::shape`] and [`Compute::run`].
    fn forward(&self, inputs: &[&Tensor], exec: &mut Exec) -> Result<Tensor> {
        one(self, inputs, exec)
    }

    /// Computes new tensors, one for each output, from inputs some of which may be left out.
    ///
    /// # Errors
    /// As [`Compute::outputs`] and [`Compute::run_typed`].
    fn forward_many(&self, inputs: &[Option<&Tensor>], exec: &mut Exec) -> Result<Vec<Tensor>> {
        match inputs.iter().copied().collect::<Option<Vec<&Tensor>>>() {
            Some(inputs) if inputs.len() < self.inputs_needed() => {
                check_count(self, inputs.len()).map(|()| Vec::new())
            }
            Some(inputs) if self.output_count() == 1 => Ok(vec![self.forward(&inputs, exec)?]),
            _ => many(self, inputs, exec),
        }
    }
}

/// Refuses to go on with `count` inputs if the op needs more.
fn check_count<C: Compute + ?Sized>(op: &C, count: usize) -> Result<()> {
    if count >= op.inputs_needed() {
        return Ok(());
    }
    Err(GraphError::MissingInput { op: op.name(), input: count }.into())
}

/// Elements up to which values are worked out with sizes, before a plan runs: lists of sizes and positions
/// are short, and what is not is data.
const SHORT: usize = 4096;

/// [`Compute::forward`] for an op that writes its output.
fn one<C: Compute + ?Sized>(op: &C, inputs: &[&Tensor], exec: &mut Exec) -> Result<Tensor> {
    let inputs: Vec<Option<&Tensor>> = inputs.iter().copied().map(Some).collect();
    let [output] = <[Tensor; 1]>::try_from(many(op, &inputs, exec)?)
        .map_err(|outputs| GraphError::OutputCount { op: op.name(), outputs: outputs.len() })?;
    Ok(output)
}

/// [`Compute::forward_many`] for an op that writes its outputs.
fn many<C: Compute + ?Sized>(
    op: &C,
    inputs: &[Option<&Tensor>],
    exec: &mut Exec,
) -> Result<Vec<Tensor>> {
    let dense = inputs.iter().flatten().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
    let places = places(inputs.iter().map(Option::is_some));
    let known: Vec<Option<Known<'_>>> =
        places.iter().map(|place| place.map(|place| Known::all(&dense[place]))).collect();
    let specs = op.outputs(&known)?;
    if let Some((shape, _)) = specs.iter().find(|(shape, _)| shape.len() > exec.limit) {
        let (op, shape, limit) = (op.name(), *shape, exec.limit);
        return Err(GraphError::TooLarge { op, shape, limit }.into());
    }
    if let Some((first, _)) = specs.first() {
        let shapes: Vec<Shape> = dense.iter().map(|input| *input.shape()).collect();
        let written = specs.iter().map(|(shape, _)| shape.len() as u64).sum::<u64>();
        exec.spend(op.name(), op.cost(&shapes, first).flops.saturating_add(written))?;
    }
    let views = dense.iter().map(View::of).collect::<Result<Vec<_>>>()?;
    let mut outputs = specs.iter().map(|spec| unwritten(*spec)).collect::<Result<Vec<_>>>()?;
    let mut out = outputs.iter_mut().map(ViewMut::of).collect::<Result<Vec<_>>>()?;
    op.run_typed(&Inputs::some(&views, &places), &mut out, exec)?;
    drop(out);
    Ok(outputs)
}

/// A tensor whose values are to be written. Of floats, tests see an element that an op leaves out.
fn unwritten((shape, dtype): (Shape, Dtype)) -> Result<Tensor> {
    if dtype == Dtype::F32 && cfg!(debug_assertions) {
        return Tensor::full(f32::NAN, shape);
    }
    for_dtype!(dtype, T => Tensor::full(T::default(), shape))
}

/// [`Compute::decided`] for an op that reads the values of its inputs.
fn decided<C: Compute + ?Sized>(
    op: &C,
    inputs: &[Option<Known<'_>>],
    exec: &mut Exec,
) -> Result<Option<Vec<Tensor>>> {
    let is_known = |input: &Option<Known<'_>>| input.is_none_or(|known| known.value.is_some());
    if !inputs.iter().all(is_known) {
        return Ok(None);
    }
    let len = op.outputs(inputs)?.iter().map(|(shape, _)| shape.len()).sum::<usize>();
    if len > SHORT {
        return Ok(None);
    }
    let values: Vec<Option<&Tensor>> =
        inputs.iter().map(|input| input.and_then(|known| known.value)).collect();
    many(op, &values, exec).map(Some)
}
