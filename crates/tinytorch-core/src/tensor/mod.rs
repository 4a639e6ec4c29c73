//! N-dimensional arrays: values with cheap clones, views without copies.
//!
//! A [`Tensor`] is a value. `clone()` shares the buffer and writing copies it first when it is
//! shared, so no two tensors ever see each other's changes. Arithmetic here knows nothing of
//! gradients; see [`crate::autograd`] for operations that are recorded.
//!
//! ```
//! use tinytorch_core::Tensor;
//! let a = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], [2, 2])?;
//! let row = Tensor::from_vec(vec![10.0, 20.0], [2])?;
//! assert_eq!(a.add(&row)?.to_vec::<f32>()?, [11.0, 22.0, 13.0, 24.0]);
//! assert_eq!(a.matmul(&a.transpose(0, 1)?)?.to_vec::<f32>()?, [5.0, 11.0, 11.0, 25.0]);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod dtype;
pub(crate) mod elementwise;
mod error;
pub(crate) mod join;
pub(crate) mod lanes;
pub(crate) mod matmul;
mod number;
pub(crate) mod parallel;
pub(crate) mod reduce;
mod shape;
mod storage;
pub(crate) mod view;

pub use dtype::{Buffer, Dtype, Element};
pub use error::TensorError;
pub use number::Number;
pub use shape::{IntoShape, MAX_RANK, Shape};
pub use storage::{Owner, Storage};

use crate::Result;
use crate::rng::Rng;
use std::{fmt, sync::Arc};
use tinytorch_kernels::os::room;

/// An n-dimensional array of one element type.
#[derive(Clone)]
pub struct Tensor {
    buffer: Buffer,
    shape: Shape,
    strides: [usize; MAX_RANK],
    offset: usize,
}

/// Refuses a large tensor that does not fit the memory that is available, which would end the process.
fn require_room<T>(shape: &Shape) -> Result<()> {
    /// Filling as many bytes takes far longer than asking what is available.
    const LARGE: u64 = 16 << 20;
    let bytes = (shape.len() as u64).saturating_mul(size_of::<T>() as u64);
    if bytes >= LARGE {
        room::require(&format!("a tensor of shape {shape}"), bytes)?;
    }
    Ok(())
}

impl Tensor {
    /// A tensor that owns `values`, in row-major order.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the values do not fill the shape.
    pub fn from_vec<T: Element>(values: Vec<T>, shape: impl IntoShape) -> Result<Tensor> {
        Tensor::from_storage(values.into(), shape)
    }

    /// A tensor over existing storage, in row-major order; nothing is copied.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the storage does not hold exactly the shape's elements.
    pub fn from_storage<T: Element>(storage: Storage<T>, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        let len = storage.as_slice().len();
        if len != shape.len() {
            return Err(TensorError::Length { len, shape }.into());
        }
        Ok(Tensor { buffer: T::wrap(storage), shape, strides: shape.strides(), offset: 0 })
    }

    /// A tensor over memory that somebody else owns (a file in memory, a NumPy array), uncopied.
    ///
    /// # Errors
    /// As [`Tensor::from_storage`].
    pub fn from_owner<T: Element>(
        owner: Arc<dyn Owner<T>>,
        shape: impl IntoShape,
    ) -> Result<Tensor> {
        Tensor::from_storage(Storage::Foreign(owner), shape)
    }

    /// A tensor with every element set to `value`.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`] for an impossible shape, [`NotEnoughMemory`](crate::NotEnoughMemory) for one that does
    /// not fit the memory that is available.
    pub fn full<T: Element>(value: T, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        require_room::<T>(&shape)?;
        Tensor::from_vec(vec![value; shape.len()], shape)
    }

    /// A float tensor of zeros.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn zeros(shape: impl IntoShape) -> Result<Tensor> {
        Tensor::full(0f32, shape)
    }

    /// A float tensor of ones.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn ones(shape: impl IntoShape) -> Result<Tensor> {
        Tensor::full(1f32, shape)
    }

    /// A float tensor without dimensions.
    pub fn scalar(value: f32) -> Tensor {
        let shape = Shape::SCALAR;
        Tensor { buffer: f32::wrap(vec![value].into()), shape, strides: shape.strides(), offset: 0 }
    }

    /// The numbers 0, 1, ... as floats, in one dimension.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn arange(len: usize) -> Result<Tensor> {
        Tensor::from_vec((0..len).map(|i| i as f32).collect(), [len])
    }

    /// Samples of the normal distribution with mean 0 and the given standard deviation.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn randn(shape: impl IntoShape, std: f32, rng: &mut Rng) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        require_room::<f32>(&shape)?;
        Tensor::from_vec((0..shape.len()).map(|_| rng.normal() * std).collect(), shape)
    }

    /// Samples of the uniform distribution over `low..high`.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn rand(shape: impl IntoShape, low: f32, high: f32, rng: &mut Rng) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        require_room::<f32>(&shape)?;
        Tensor::from_vec((0..shape.len()).map(|_| rng.uniform(low, high)).collect(), shape)
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.is_empty()
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.buffer.dtype()
    }

    /// Bytes of the elements, were they stored on their own.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype().size()
    }

    /// Whether the elements lie next to each other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let dense = self.shape.strides();
        self.shape.iter().enumerate().all(|(axis, &d)| d <= 1 || self.strides[axis] == dense[axis])
    }

    /// Whether both tensors read the same memory.
    pub fn shares_storage(&self, other: &Tensor) -> bool {
        match (&self.buffer, &other.buffer) {
            (Buffer::F32(a), Buffer::F32(b)) => a.shares(b),
            (Buffer::I64(a), Buffer::I64(b)) => a.shares(b),
            (Buffer::I32(a), Buffer::I32(b)) => a.shares(b),
            (Buffer::U8(a), Buffer::U8(b)) => a.shares(b),
            (Buffer::I8(a), Buffer::I8(b)) => a.shares(b),
            (Buffer::Bool(a), Buffer::Bool(b)) => a.shares(b),
            _ => false,
        }
    }

    fn storage<T: Element>(&self) -> Result<&Storage<T>> {
        let wrong = TensorError::Dtype { expected: T::DTYPE, got: self.dtype() };
        Ok(T::unwrap(&self.buffer).ok_or(wrong)?)
    }

    /// The elements of a contiguous tensor.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type, [`TensorError::NotContiguous`] for a view
    /// with gaps.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        let storage = self.storage::<T>()?;
        if !self.is_contiguous() {
            return Err(TensorError::NotContiguous { shape: self.shape }.into());
        }
        Ok(&storage.as_slice()[self.offset..self.offset + self.len()])
    }

    /// The elements for writing; they are copied first if anything else refers to them, or if the
    /// tensor is a view.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        let whole = self.storage::<T>()?.as_slice().len() == self.len() && self.is_contiguous();
        if !whole {
            let copy = self.to_vec::<T>()?;
            *self = Tensor::from_vec(copy, self.shape)?;
        }
        let wrong = TensorError::Dtype { expected: T::DTYPE, got: self.dtype() };
        Ok(T::unwrap_mut(&mut self.buffer).ok_or(wrong)?.make_mut())
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type, [`NotEnoughMemory`](crate::NotEnoughMemory).
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        require_room::<T>(&self.shape)?;
        if self.is_contiguous() {
            return Ok(self.as_slice()?.to_vec());
        }
        let values = self.storage::<T>()?.as_slice();
        let mut out = Vec::with_capacity(self.len());
        view::for_each_row(&self.shape, [(&self.strides, self.offset)], |[start], [step], n| {
            out.extend((0..n).map(|i| values[start + i * step]));
        });
        Ok(out)
    }

    /// The value of a tensor with one element.
    ///
    /// # Errors
    /// [`TensorError::NotScalar`] for any other number of elements.
    pub fn item(&self) -> Result<f32> {
        if self.len() != 1 {
            return Err(TensorError::NotScalar { shape: self.shape }.into());
        }
        Ok(self.storage::<f32>()?.as_slice()[self.offset])
    }

    /// The same tensor with its elements next to each other: itself if they are already.
    ///
    /// # Errors
    /// None in practice; the signature leaves room for devices that can fail to allocate.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        match &self.buffer {
            Buffer::F32(_) => Tensor::from_vec(self.to_vec::<f32>()?, self.shape),
            Buffer::I64(_) => Tensor::from_vec(self.to_vec::<i64>()?, self.shape),
            Buffer::I32(_) => Tensor::from_vec(self.to_vec::<i32>()?, self.shape),
            Buffer::U8(_) => Tensor::from_vec(self.to_vec::<u8>()?, self.shape),
            Buffer::I8(_) => Tensor::from_vec(self.to_vec::<i8>()?, self.shape),
            Buffer::Bool(_) => Tensor::from_vec(self.to_vec::<bool>()?, self.shape),
        }
    }

    /// The same values as another element type, saturating at its limits.
    ///
    /// # Errors
    /// As [`Tensor::contiguous`].
    pub fn to_dtype<U: Element>(&self) -> Result<Tensor> {
        fn convert<T: Element, U: Element>(t: &Tensor) -> Result<Tensor> {
            let values = t.to_vec::<T>()?.into_iter().map(|v| U::from_f64(v.to_f64())).collect();
            Tensor::from_vec(values, t.shape)
        }
        match self.dtype() {
            same if same == U::DTYPE => Ok(self.clone()),
            Dtype::F32 => convert::<f32, U>(self),
            Dtype::I64 => convert::<i64, U>(self),
            Dtype::I32 => convert::<i32, U>(self),
            Dtype::U8 => convert::<u8, U>(self),
            Dtype::I8 => convert::<i8, U>(self),
            Dtype::Bool => convert::<bool, U>(self),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor({}, {}", self.dtype(), self.shape)?;
        if let Ok(dense) = self.to_dtype::<f32>().and_then(|t| t.to_vec::<f32>()) {
            let more = if dense.len() > SHOWN { ", ..." } else { "" };
            write!(f, ", {:?}{more}", &dense[..dense.len().min(SHOWN)])?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_to_a_clone_leaves_the_original() {
        let a = Tensor::ones([2, 2]).unwrap();
        let mut b = a.clone();
        assert!(a.shares_storage(&b));
        b.as_mut_slice::<f32>().unwrap()[0] = 5.0;
        assert_eq!(a.to_vec::<f32>().unwrap(), [1.0; 4]);
        assert_eq!(b.to_vec::<f32>().unwrap(), [5.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn foreign_memory_is_read_in_place_and_copied_on_write() {
        struct Borrowed(&'static [f32]);
        impl Owner<f32> for Borrowed {
            fn as_slice(&self) -> &[f32] {
                self.0
            }
        }
        static VALUES: [f32; 3] = [1.0, 2.0, 3.0];
        let mut t = Tensor::from_owner(Arc::new(Borrowed(&VALUES)), [3]).unwrap();
        assert!(std::ptr::eq(t.as_slice::<f32>().unwrap(), &VALUES[..]));
        t.as_mut_slice::<f32>().unwrap()[2] = 9.0;
        assert_eq!(t.to_vec::<f32>().unwrap(), [1.0, 2.0, 9.0]);
        assert_eq!(VALUES[2], 3.0);
    }

    #[test]
    fn conversion_saturates() {
        let t = Tensor::from_vec(vec![-300.0, 1.9, 300.0], [3]).unwrap();
        assert_eq!(t.to_dtype::<i8>().unwrap().to_vec::<i8>().unwrap(), [-128, 1, 127]);
        assert_eq!(t.to_dtype::<u8>().unwrap().to_vec::<u8>().unwrap(), [0, 1, 255]);
    }

    #[test]
    fn wrong_access_is_an_error_that_says_what_to_do() {
        let t = Tensor::ones([2, 3]).unwrap();
        assert!(t.as_slice::<i64>().unwrap_err().to_string().contains("to_dtype"));
        assert!(t.transpose(0, 1).unwrap().as_slice::<f32>().is_err());
        assert!(t.item().is_err());
        assert!(Tensor::from_vec(vec![1.0], [2]).is_err());
    }
}
