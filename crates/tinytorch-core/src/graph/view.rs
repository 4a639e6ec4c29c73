//! What computations read and write: elements of any type, borrowed.

use crate::Result;
use crate::tensor::{Dtype, Element, Shape, Tensor, TensorError};
use std::ops::Range;

/// The elements of an input, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// Unsigned bytes.
    U8(&'a [u8]),
    /// Signed bytes.
    I8(&'a [i8]),
    /// Truth values.
    Bool(&'a [bool]),
}

/// The elements of an output, borrowed for writing.
#[derive(Debug)]
pub enum ElementsMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 64-bit integers.
    I64(&'a mut [i64]),
    /// 32-bit integers.
    I32(&'a mut [i32]),
    /// Unsigned bytes.
    U8(&'a mut [u8]),
    /// Signed bytes.
    I8(&'a mut [i8]),
    /// Truth values.
    Bool(&'a mut [bool]),
}

/// Evaluates an expression with `$T` standing for the Rust type of an element type.
macro_rules! for_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::tensor::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::tensor::Dtype::I64 => {
                type $T = i64;
                $body
            }
            $crate::tensor::Dtype::I32 => {
                type $T = i32;
                $body
            }
            $crate::tensor::Dtype::U8 => {
                type $T = u8;
                $body
            }
            $crate::tensor::Dtype::I8 => {
                type $T = i8;
                $body
            }
            $crate::tensor::Dtype::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}
pub(crate) use for_dtype;

/// A Rust type whose slices are [`Elements`].
pub trait Viewed: Element {
    /// A slice as elements.
    fn elements(values: &[Self]) -> Elements<'_>;
    /// A slice as elements to write.
    fn elements_mut(values: &mut [Self]) -> ElementsMut<'_>;
    /// The slice, if the elements are of this type.
    fn of(elements: Elements<'_>) -> Option<&[Self]>;
    /// The slice for writing, if the elements are of this type.
    fn of_mut<'a>(elements: &'a mut ElementsMut<'_>) -> Option<&'a mut [Self]>;
}

macro_rules! viewed {
    ($($ty:ty, $tag:ident;)*) => {$(
        impl Viewed for $ty {
            fn elements(values: &[$ty]) -> Elements<'_> {
                Elements::$tag(values)
            }
            fn elements_mut(values: &mut [$ty]) -> ElementsMut<'_> {
                ElementsMut::$tag(values)
            }
            fn of(elements: Elements<'_>) -> Option<&[$ty]> {
                if let Elements::$tag(values) = elements { Some(values) } else { None }
            }
            fn of_mut<'a>(elements: &'a mut ElementsMut<'_>) -> Option<&'a mut [$ty]> {
                if let ElementsMut::$tag(values) = elements { Some(values) } else { None }
            }
        }

        impl<'a> From<&'a [$ty]> for Elements<'a> {
            fn from(values: &'a [$ty]) -> Self {
                Elements::$tag(values)
            }
        }

        impl<'a> From<&'a mut [$ty]> for ElementsMut<'a> {
            fn from(values: &'a mut [$ty]) -> Self {
                ElementsMut::$tag(values)
            }
        }
    )*};
}
viewed! {
    f32, F32;
    i64, I64;
    i32, I32;
    u8, U8;
    i8, I8;
    bool, Bool;
}

macro_rules! each {
    ($enum:ident, $self:expr, $values:ident => $body:expr) => {
        match $self {
            $enum::F32($values) => $body,
            $enum::I64($values) => $body,
            $enum::I32($values) => $body,
            $enum::U8($values) => $body,
            $enum::I8($values) => $body,
            $enum::Bool($values) => $body,
        }
    };
}

macro_rules! dtype_of {
    ($enum:ident, $self:expr) => {
        match $self {
            $enum::F32(_) => Dtype::F32,
            $enum::I64(_) => Dtype::I64,
            $enum::I32(_) => Dtype::I32,
            $enum::U8(_) => Dtype::U8,
            $enum::I8(_) => Dtype::I8,
            $enum::Bool(_) => Dtype::Bool,
        }
    };
}

impl<'a> Elements<'a> {
    /// Some of them.
    pub(crate) fn range(self, range: Range<usize>) -> Elements<'a> {
        each!(Elements, self, values => Elements::from(&values[range]))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        each!(Elements, self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        dtype_of!(Elements, self)
    }
}

impl ElementsMut<'_> {
    /// Their number.
    pub fn len(&self) -> usize {
        each!(ElementsMut, self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        dtype_of!(ElementsMut, self)
    }

    /// Some of them.
    pub(crate) fn range(&mut self, range: Range<usize>) -> ElementsMut<'_> {
        each!(ElementsMut, self, values => ElementsMut::from(&mut values[range]))
    }

    /// The same elements, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> ElementsMut<'_> {
        each!(ElementsMut, self, values => ElementsMut::from(&mut **values))
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
    /// An input of no elements.
    pub(crate) const NOTHING: View<'static> =
        View { shape: Shape::SCALAR, elements: Elements::F32(&[]) };

    /// A view of a contiguous tensor.
    ///
    /// # Errors
    /// [`TensorError::NotContiguous`].
    pub fn of(tensor: &'a Tensor) -> Result<View<'a>> {
        let elements =
            for_dtype!(tensor.dtype(), T => <T as Viewed>::elements(tensor.as_slice::<T>()?));
        Ok(View { shape: *tensor.shape(), elements })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.elements.dtype()
    }

    /// The elements as those of a Rust type.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn values<T: Viewed>(&self) -> Result<&'a [T]> {
        let wrong = TensorError::Dtype { expected: T::DTYPE, got: self.dtype() };
        Ok(T::of(self.elements).ok_or(wrong)?)
    }

    /// The elements as floats.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn f32(&self) -> Result<&'a [f32]> {
        self.values()
    }

    /// The elements as 64-bit integers.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn i64(&self) -> Result<&'a [i64]> {
        self.values()
    }
}

/// A contiguous output of a computation: its shape and memory for its elements, which holds any values.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// The dimensions.
    pub shape: Shape,
    /// The elements in row-major order.
    pub elements: ElementsMut<'a>,
}

impl<'a> ViewMut<'a> {
    /// A tensor's elements, which are copied first if anything else refers to them.
    ///
    /// # Errors
    /// None in practice, as for [`Tensor::as_mut_slice`].
    pub fn of(tensor: &'a mut Tensor) -> Result<ViewMut<'a>> {
        let (shape, dtype) = (*tensor.shape(), tensor.dtype());
        let elements =
            for_dtype!(dtype, T => <T as Viewed>::elements_mut(tensor.as_mut_slice::<T>()?));
        Ok(ViewMut { shape, elements })
    }

    /// An output that nothing is written to.
    pub(crate) fn nothing() -> ViewMut<'static> {
        ViewMut { shape: Shape::SCALAR, elements: ElementsMut::F32(&mut []) }
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.elements.dtype()
    }

    /// The elements as those of a Rust type.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn values<T: Viewed>(&mut self) -> Result<&mut [T]> {
        let wrong = TensorError::Dtype { expected: T::DTYPE, got: self.dtype() };
        Ok(T::of_mut(&mut self.elements).ok_or(wrong)?)
    }

    /// The elements as floats.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] for another element type.
    pub fn f32(&mut self) -> Result<&mut [f32]> {
        self.values()
    }

    /// The same output, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut { shape: self.shape, elements: self.elements.reborrow() }
    }
}

/// What an op reads: its inputs in order, some of which may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    views: &'a [View<'a>],
    /// For each input, its place among the views; `None` as a whole if all are there.
    places: Option<&'a [Option<usize>]>,
}

impl<'a> Inputs<'a> {
    /// Inputs none of which is left out.
    pub fn all(views: &'a [View<'a>]) -> Inputs<'a> {
        Inputs { views, places: None }
    }

    /// Inputs at these places among the views; `None` for one that is left out.
    pub fn some(views: &'a [View<'a>], places: &'a [Option<usize>]) -> Inputs<'a> {
        Inputs { views, places: Some(places) }
    }

    /// Their number, with those left out.
    pub fn len(&self) -> usize {
        self.places.map_or(self.views.len(), <[_]>::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Input `i`, if there is one.
    pub fn get(&self, i: usize) -> Option<&'a View<'a>> {
        match self.places {
            None => self.views.get(i),
            Some(places) => self.views.get((*places.get(i)?)?),
        }
    }

    /// Input `i`; `op` names who needs it.
    ///
    /// # Errors
    /// [`GraphError::MissingInput`](super::GraphError::MissingInput).
    pub fn need(&self, i: usize, op: &'static str) -> Result<&'a View<'a>> {
        Ok(self.get(i).ok_or(super::GraphError::MissingInput { op, input: i })?)
    }

    /// Those that are there, in order.
    pub fn views(&self) -> &'a [View<'a>] {
        self.views
    }
}

/// For each input that is there, its place among those that are.
pub(crate) fn places(is_there: impl Iterator<Item = bool>) -> Vec<Option<usize>> {
    let mut next = 0..;
    is_there.map(|is_there| if is_there { next.next() } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_know_their_type_and_give_no_other() {
        let t = Tensor::from_vec(vec![true, false], [2]).unwrap();
        let view = View::of(&t).unwrap();
        assert_eq!(
            (view.dtype(), view.values::<bool>().unwrap()),
            (Dtype::Bool, &[true, false][..])
        );
        assert!(view.f32().is_err());
        let mut numbers = [1i32, 2];
        let mut out = ViewMut { shape: *t.shape(), elements: ElementsMut::from(&mut numbers[..]) };
        out.reborrow().values::<i32>().unwrap()[1] = 5;
        assert!(out.values::<i64>().is_err());
        assert_eq!(numbers, [1, 5]);
    }

    #[test]
    fn inputs_that_are_left_out_keep_the_places_of_the_others() {
        let t = Tensor::scalar(1.0);
        let views = [View::of(&t).unwrap()];
        let inputs = Inputs::some(&views, &[None, Some(0)]);
        assert_eq!(inputs.len(), 2);
        assert!(inputs.get(0).is_none() && inputs.get(1).is_some() && inputs.get(2).is_none());
        assert!(inputs.need(0, "clip").unwrap_err().to_string().contains("clip needs its input 0"));
    }
}
