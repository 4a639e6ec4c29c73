use super::Exec;
use crate::Result;
use crate::tensor::{Dtype, Shape, Tensor, TensorError};
use std::fmt;

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

/// The elements of an input, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
    /// Unsigned bytes.
    U8(&'a [u8]),
    /// Signed bytes.
    I8(&'a [i8]),
}

impl Elements<'_> {
    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Elements::F32(v) => v.len(),
            Elements::I64(v) => v.len(),
            Elements::U8(v) => v.len(),
            Elements::I8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Elements::F32(_) => Dtype::F32,
            Elements::I64(_) => Dtype::I64,
            Elements::U8(_) => Dtype::U8,
            Elements::I8(_) => Dtype::I8,
        }
    }
}

impl<'a> From<&'a [f32]> for Elements<'a> {
    fn from(values: &'a [f32]) -> Self {
        Elements::F32(values)
    }
}

impl<'a> From<&'a [i64]> for Elements<'a> {
    fn from(values: &'a [i64]) -> Self {
        Elements::I64(values)
    }
}

/// A contiguous input of a computation: its shape and its elements, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The dimensions.
    pub shape: Shape,
    /// The elements in row-major order.
    pub elements: Elements<'a>,
}

impl<'a> View<'a> {
    /// A view of a contiguous tensor.
    ///
    /// # Errors
    /// [`TensorError::NotContiguous`].
    pub fn of(tensor: &'a Tensor) -> Result<View<'a>> {
        let elements = match tensor.dtype() {
            Dtype::F32 => Elements::F32(tensor.as_slice()?),
            Dtype::I64 => Elements::I64(tensor.as_slice()?),
            Dtype::U8 => Elements::U8(tensor.as_slice()?),
            Dtype::I8 => Elements::I8(tensor.as_slice()?),
        };
        Ok(View { shape: *tensor.shape(), elements })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.elements.dtype()
    }

    /// The elements as floats.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn f32(&self) -> Result<&'a [f32]> {
        match self.elements {
            Elements::F32(v) => Ok(v),
            _ => Err(TensorError::Dtype { expected: Dtype::F32, got: self.dtype() }.into()),
        }
    }

    /// The elements as 64-bit integers.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn i64(&self) -> Result<&'a [i64]> {
        match self.elements {
            Elements::I64(v) => Ok(v),
            _ => Err(TensorError::Dtype { expected: Dtype::I64, got: self.dtype() }.into()),
        }
    }
}

/// What an op computes, without its derivative: a shape rule, the numbers, the cost.
///
/// Eager execution and [plans](crate::graph) call the same `run`.
pub trait Compute: fmt::Debug + Send + Sync + 'static {
    /// The op's name in the field's own words, such as `relu`.
    fn name(&self) -> &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// If the inputs do not fit the op or each other.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Computes every element of the output, which has the length of [`Compute::shape`] and holds any
    /// values, from contiguous inputs, and notes in `exec` which kernel ran if it is not a plain float one.
    ///
    /// # Errors
    /// If an input has the wrong element type or a value the op does not take.
    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()>;

    /// What `run` costs on inputs of these shapes.
    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost;

    /// Whether each output depends on the inputs at its own place alone, up to broadcasting, so that
    /// the order of the axes in memory does not matter as long as it is the same everywhere.
    fn is_pointwise(&self) -> bool {
        false
    }

    /// Computes a new tensor. Ops that can answer with a view of their input override this.
    ///
    /// # Errors
    /// As [`Compute::shape`] and [`Compute::run`].
    fn forward(&self, inputs: &[&Tensor], exec: &mut Exec) -> Result<Tensor> {
        let shapes: Vec<Shape> = inputs.iter().map(|t| *t.shape()).collect();
        let shape = self.shape(&shapes)?;
        let dense = inputs.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
        let views = dense.iter().map(View::of).collect::<Result<Vec<_>>>()?;
        // Tests then see an element that an op leaves out.
        let unwritten = if cfg!(debug_assertions) { f32::NAN } else { 0.0 };
        let mut out = vec![unwritten; shape.len()];
        self.run(&views, &mut out, exec)?;
        Tensor::from_vec(out, shape)
    }
}
