//! Arrays of NumPy, and of whoever speaks DLPack, as what models take; results as arrays of NumPy.

use crate::errors::{Raised, invalid_type, invalid_value, raise};
use numpy::{
    IntoPyArray, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::Rows;
use tinytorch::graph::View;
use tinytorch::tensor::{Dtype, Element, Shape};

/// Takes NumPy's functions now: where they are taken when they are first needed, a Ctrl-C in between would be a panic.
pub(crate) fn set_up(py: Python<'_>) -> PyResult<()> {
    py.import("numpy")?.getattr("zeros")?.call1((0,))?.cast::<PyUntypedArray>()?;
    Ok(())
}

/// An array whose memory is read where it lies, in row-major order.
pub(crate) enum Borrowed<'py> {
    F32(PyReadonlyArrayDyn<'py, f32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    I8(PyReadonlyArrayDyn<'py, i8>),
    Bool(PyReadonlyArrayDyn<'py, bool>),
}

/// Does the same with the array of any type.
macro_rules! with_array {
    ($borrowed:expr, $array:ident => $body:expr) => {
        match $borrowed {
            Borrowed::F32($array) => $body,
            Borrowed::I64($array) => $body,
            Borrowed::I32($array) => $body,
            Borrowed::U8($array) => $body,
            Borrowed::I8($array) => $body,
            Borrowed::Bool($array) => $body,
        }
    };
}

impl<'py> Borrowed<'py> {
    /// Takes an array, or what NumPy or DLPack make one of, for an input called `name` of type `wanted`, or of any
    /// type. Memory in the right order and of the right type is not copied. Floats of other sizes become 32-bit
    /// floats, and integers 64-bit integers where those are wanted; nothing else is converted.
    pub(crate) fn of(
        given: &Bound<'py, PyAny>,
        name: &str,
        wanted: Option<Dtype>,
    ) -> PyResult<Borrowed<'py>> {
        if let Some(borrowed) = Borrowed::direct(given)
            && wanted.is_none_or(|wanted| wanted == borrowed.dtype())
        {
            return Ok(borrowed);
        }
        let array = as_array(given, name)?;
        let dtype = target(&array, name, wanted)?;
        let numpy = given.py().import("numpy")?;
        // In row-major order and at addresses that are multiples of the element's size.
        let converted = numpy.call_method1("require", (&array, dtype_name(dtype), "CA"))?;
        Borrowed::direct(&converted)
            .ok_or_else(|| invalid_value(format!("`{name}` cannot be read in row-major order")))
    }

    fn direct(given: &Bound<'py, PyAny>) -> Option<Borrowed<'py>> {
        fn typed<'py, T: numpy::Element>(
            given: &Bound<'py, PyAny>,
        ) -> Option<PyReadonlyArrayDyn<'py, T>> {
            let array = given.cast::<PyArrayDyn<T>>().ok()?;
            let fits = array.is_c_contiguous() && array.is_aligned();
            fits.then(|| array.try_readonly().ok()).flatten()
        }
        let any = given.cast::<PyUntypedArray>().ok()?;
        let descr = any.dtype();
        Some(match (descr.kind(), descr.itemsize()) {
            (b'f', 4) => Borrowed::F32(typed(given)?),
            (b'i', 8) => Borrowed::I64(typed(given)?),
            (b'i', 4) => Borrowed::I32(typed(given)?),
            (b'u', 1) => Borrowed::U8(typed(given)?),
            (b'i', 1) => Borrowed::I8(typed(given)?),
            (b'b', 1) => Borrowed::Bool(typed(given)?),
            _ => return None,
        })
    }

    /// The type of the elements.
    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Borrowed::F32(_) => Dtype::F32,
            Borrowed::I64(_) => Dtype::I64,
            Borrowed::I32(_) => Dtype::I32,
            Borrowed::U8(_) => Dtype::U8,
            Borrowed::I8(_) => Dtype::I8,
            Borrowed::Bool(_) => Dtype::Bool,
        }
    }

    /// The memory itself.
    pub(crate) fn view(&self) -> PyResult<View<'_>> {
        with_array!(self, array => {
            let shape = Shape::new(array.shape()).map_err(|error| raise(error.into()))?;
            let elements = array.as_slice().map_err(|error| invalid_value(error.to_string()))?;
            Ok(View { shape, elements: elements.into() })
        })
    }

    /// A copy of some rows.
    fn rows(&self, range: Range<usize>) -> PyResult<Tensor> {
        with_array!(self, array => {
            let shape = Shape::new(array.shape()).map_err(|error| raise(error.into()))?;
            let elements = array.as_slice().map_err(|error| invalid_value(error.to_string()))?;
            let width: usize = shape.iter().skip(1).product();
            let rows = elements[range.start * width..range.end * width].to_vec();
            Tensor::from_vec(rows, shape.with(0, range.len())).map_err(raise)
        })
    }

    /// The array itself, whose rows are read when they are asked for.
    pub(crate) fn kept(&self, name: &str) -> PyResult<Arc<dyn Rows>> {
        let (shape, dtype) = (self.view()?.shape, self.dtype());
        let array = with_array!(self, array => array.as_any().clone().unbind());
        Ok(Arc::new(Kept { array, name: name.to_string(), shape, dtype }))
    }

    /// A copy that outlives the array.
    pub(crate) fn tensor(&self) -> PyResult<Tensor> {
        with_array!(self, array => {
            let elements = array.as_slice().map_err(|error| invalid_value(error.to_string()))?;
            Tensor::from_vec(elements.to_vec(), array.shape()).map_err(raise)
        })
    }
}

/// An array that is kept for longer than a call, and read where it lies whenever rows of it are asked for.
#[derive(Debug)]
struct Kept {
    array: Py<PyAny>,
    name: String,
    shape: Shape,
    dtype: Dtype,
}

impl Rows for Kept {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn rows(&self, range: Range<usize>) -> tinytorch::Result<Tensor> {
        let rows = |py: Python<'_>| {
            let array = Borrowed::direct(self.array.bind(py));
            let is_same = |array: &Borrowed<'_>| {
                array
                    .view()
                    .is_ok_and(|view| view.shape == self.shape && array.dtype() == self.dtype)
            };
            match array.filter(is_same) {
                Some(array) => array.rows(range),
                None => Err(invalid_value(format!(
                    "`{}` was given another form while it was read",
                    self.name
                ))),
            }
        };
        Python::attach(rows).map_err(|error| Raised(error).into())
    }

    fn may_change(&self) -> bool {
        true
    }
}

/// An array of what is given: of a tensor of another library its own memory, of numbers a new one.
fn as_array<'py>(given: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = given.py();
    if let Ok(array) = given.cast::<PyUntypedArray>() {
        return Ok(array.clone());
    }
    let numpy = py.import("numpy")?;
    let array = match given.hasattr("__dlpack__")? {
        true => numpy.call_method1("from_dlpack", (given,))?,
        false => numpy.call_method1("asarray", (given,)).map_err(|error| {
            match error.is_instance_of::<PyException>(py) {
                true => invalid_value(format!("`{name}` is no array: {}", error.value(py))),
                // Ctrl-C.
                false => error,
            }
        })?,
    };
    array.cast_into().map_err(|_| invalid_type(format!("`{name}` is no array of numbers")))
}

/// The type that an array's elements are read as, if they may be.
fn target(array: &Bound<'_, PyUntypedArray>, name: &str, wanted: Option<Dtype>) -> PyResult<Dtype> {
    let descr = array.dtype();
    if descr.is_native_byteorder() == Some(false) {
        return Err(invalid_value(format!(
            "`{name}` holds {descr} in another byte order than this machine's; convert it with .astype(array.dtype.newbyteorder('='))"
        )));
    }
    let own = match (descr.kind(), descr.itemsize()) {
        (b'f', _) => Dtype::F32,
        (b'i', 1) => Dtype::I8,
        (b'u', 1) => Dtype::U8,
        (b'i', 4) => Dtype::I32,
        (b'i', _) | (b'u', 2 | 4) => Dtype::I64,
        (b'b', _) => Dtype::Bool,
        _ => {
            return Err(invalid_type(format!(
                "`{name}` holds {descr}, which is no number that models take; give floats, integers or truth values"
            )));
        }
    };
    let is_integer = matches!(own, Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8);
    match wanted {
        None => Ok(own),
        Some(wanted) if wanted == own => Ok(own),
        Some(Dtype::I64) if is_integer => Ok(Dtype::I64),
        Some(wanted) => Err(invalid_type(format!(
            "`{name}` holds {descr} where the model takes {0}; convert it with .astype(\"{0}\")",
            dtype_name(wanted)
        ))),
    }
}

/// What NumPy calls a type.
pub(crate) fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "float32",
        Dtype::I64 => "int64",
        Dtype::I32 => "int32",
        Dtype::U8 => "uint8",
        Dtype::I8 => "int8",
        Dtype::Bool => "bool",
    }
}

/// An array of a tensor's values.
pub(crate) fn to_array<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    fn of<'py, T: Element + numpy::Element>(
        py: Python<'py>,
        tensor: &Tensor,
    ) -> PyResult<Bound<'py, PyAny>> {
        let flat = tensor.to_vec::<T>().map_err(raise)?.into_pyarray(py);
        Ok(flat.reshape(tensor.shape().to_vec())?.into_any())
    }
    match tensor.dtype() {
        Dtype::F32 => of::<f32>(py, tensor),
        Dtype::I64 => of::<i64>(py, tensor),
        Dtype::I32 => of::<i32>(py, tensor),
        Dtype::U8 => of::<u8>(py, tensor),
        Dtype::I8 => of::<i8>(py, tensor),
        Dtype::Bool => of::<bool>(py, tensor),
    }
}
