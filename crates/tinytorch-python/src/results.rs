//! New arrays that a plan writes its outputs to.

use crate::errors::invalid_value;
use numpy::{PyArrayDyn, PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::prelude::*;
use tinytorch::graph::ViewMut;
use tinytorch::tensor::{Dtype, Shape};

/// A new array whose memory is written where it lies.
pub(crate) enum Written<'py> {
    F32(PyReadwriteArrayDyn<'py, f32>),
    I64(PyReadwriteArrayDyn<'py, i64>),
    I32(PyReadwriteArrayDyn<'py, i32>),
    U8(PyReadwriteArrayDyn<'py, u8>),
    I8(PyReadwriteArrayDyn<'py, i8>),
    Bool(PyReadwriteArrayDyn<'py, bool>),
}

/// Does the same with the array of any type.
macro_rules! with_array {
    ($written:expr, $array:ident => $body:expr) => {
        match $written {
            Written::F32($array) => $body,
            Written::I64($array) => $body,
            Written::I32($array) => $body,
            Written::U8($array) => $body,
            Written::I8($array) => $body,
            Written::Bool($array) => $body,
        }
    };
}

impl<'py> Written<'py> {
    /// Zeros of this shape and type; the system gives their pages when they are written.
    pub(crate) fn new(py: Python<'py>, shape: &Shape, dtype: Dtype) -> Written<'py> {
        fn zeros<'py, T: numpy::Element>(
            py: Python<'py>,
            shape: &Shape,
        ) -> PyReadwriteArrayDyn<'py, T> {
            PyArrayDyn::<T>::zeros(py, shape.dims(), false).readwrite()
        }
        match dtype {
            Dtype::F32 => Written::F32(zeros(py, shape)),
            Dtype::I64 => Written::I64(zeros(py, shape)),
            Dtype::I32 => Written::I32(zeros(py, shape)),
            Dtype::U8 => Written::U8(zeros(py, shape)),
            Dtype::I8 => Written::I8(zeros(py, shape)),
            Dtype::Bool => Written::Bool(zeros(py, shape)),
        }
    }

    /// The memory itself.
    pub(crate) fn view(&mut self, shape: Shape) -> PyResult<ViewMut<'_>> {
        with_array!(self, array => {
            let elements = array.as_slice_mut().map_err(|error| invalid_value(error.to_string()))?;
            Ok(ViewMut { shape, elements: elements.into() })
        })
    }

    /// The array.
    pub(crate) fn array(&self) -> Bound<'py, PyAny> {
        // Both kinds of borrows lead to the array by `Deref`.
        with_array!(self, array => Bound::clone(&**array).into_any())
    }
}
