//! One product as the threads that share it see it.

use super::matrix::Matrix;
use super::pack::{PackedA, PackedB};
use super::tile::Start;
use super::unfold::Unfolded;
use crate::f32::Bounds;
use crate::parallel::SharedOut;
use std::ops::Range;

/// The left-hand factor of a product.
#[derive(Debug, Clone, Copy)]
pub enum Left<'a> {
    /// Any strided matrix.
    Matrix(Matrix<'a>),
    /// A matrix that was packed once, for many products.
    Packed(&'a PackedA),
}

impl Left<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Left::Matrix(a) => a.rows(),
            Left::Packed(a) => a.rows(),
        }
    }

    pub(super) fn cols(&self) -> usize {
        match self {
            Left::Matrix(a) => a.cols(),
            Left::Packed(a) => a.cols(),
        }
    }

    pub(super) fn at_offset(self, offset: usize) -> Self {
        match self {
            Left::Matrix(a) => Left::Matrix(a.at_offset(offset)),
            Left::Packed(_) => self,
        }
    }
}

impl<'a> From<Matrix<'a>> for Left<'a> {
    fn from(a: Matrix<'a>) -> Self {
        Left::Matrix(a)
    }
}

impl<'a> From<&'a PackedA> for Left<'a> {
    fn from(a: &'a PackedA) -> Self {
        Left::Packed(a)
    }
}

/// The right-hand factor of a product.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    /// Any strided matrix.
    Matrix(Matrix<'a>),
    /// A matrix that was packed once, for many products.
    Packed(&'a PackedB),
    /// The windows of an image, which a convolution multiplies by its weights.
    Unfolded(Unfolded<'a>),
}

impl Right<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Right::Matrix(b) => b.rows(),
            Right::Packed(b) => b.rows(),
            Right::Unfolded(b) => b.rows(),
        }
    }

    pub(super) fn cols(&self) -> usize {
        match self {
            Right::Matrix(b) => b.cols(),
            Right::Packed(b) => b.cols(),
            Right::Unfolded(b) => b.cols(),
        }
    }

    pub(super) fn at_offset(self, offset: usize) -> Self {
        match self {
            Right::Matrix(b) => Right::Matrix(b.at_offset(offset)),
            Right::Packed(_) => self,
            Right::Unfolded(b) => Right::Unfolded(b.at_offset(offset)),
        }
    }
}

impl<'a> From<Matrix<'a>> for Right<'a> {
    fn from(b: Matrix<'a>) -> Self {
        Right::Matrix(b)
    }
}

impl<'a> From<&'a PackedB> for Right<'a> {
    fn from(b: &'a PackedB) -> Self {
        Right::Packed(b)
    }
}

/// What is added to every row or column of a product.
#[derive(Debug, Clone, Copy, Default)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// One value per row of C: the channels of a convolution.
    PerRow(&'a [f32]),
    /// One value per column of C: the outputs of a linear layer.
    PerColumn(&'a [f32]),
}

impl Bias<'_> {
    pub(super) fn transposed(self) -> Self {
        match self {
            Bias::None => Bias::None,
            Bias::PerRow(values) => Bias::PerColumn(values),
            Bias::PerColumn(values) => Bias::PerRow(values),
        }
    }
}

/// What happens to a product besides the multiplication.
#[derive(Debug, Clone, Copy)]
pub struct Scaling<'a> {
    /// The factor of the product; 1 if A is packed.
    pub alpha: f32,
    /// The factor of what C held before; if it is 0, C is not read.
    pub beta: f32,
    /// Added to the product.
    pub bias: Bias<'a>,
    /// What the results are kept between.
    pub bounds: Bounds,
}

impl Default for Scaling<'_> {
    /// C = A B.
    fn default() -> Self {
        Self { alpha: 1.0, beta: 0.0, bias: Bias::None, bounds: Bounds::NONE }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) a: Left<'a>,
    pub(super) b: Right<'a>,
    pub(super) c: SharedOut<f32>,
    pub(super) c_offset: usize,
    pub(super) c_stride: usize,
    pub(super) scaling: &'a Scaling<'a>,
}

impl Product<'_> {
    /// Part of a row of C.
    ///
    /// # Safety
    /// It lies inside of C, and nobody else uses it while the result is alive.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the product shares C, which it does not own")]
    pub(super) unsafe fn row_of_c(&self, row: usize, cols: Range<usize>) -> &mut [f32] {
        let start = self.c_offset + row * self.c_stride + cols.start;
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.c.at(start), cols.len()) }
    }

    /// Multiplies values of A by alpha.
    #[inline(always)]
    pub(super) fn scale(&self, values: &mut [f32]) {
        let alpha = self.scaling.alpha;
        if alpha != 1.0 {
            values.iter_mut().for_each(|x| *x *= alpha);
        }
    }

    /// What the sums of a tile start from, unless that is what C holds after [`Product::start`]; a bias only
    /// where the tile is whole.
    #[inline(always)]
    pub(super) fn start_of(&self, row: usize, col: usize, is_whole: bool) -> Option<Start> {
        match self.scaling.bias {
            _ if self.scaling.beta != 0.0 => None,
            Bias::None => Some(Start::Zero),
            Bias::PerRow(bias) if is_whole => Some(Start::PerRow(bias[row..].as_ptr())),
            Bias::PerColumn(bias) if is_whole => Some(Start::PerColumn(bias[col..].as_ptr())),
            Bias::PerRow(_) | Bias::PerColumn(_) => None,
        }
    }

    /// Turns part of row `row` of C, from column `col` on, into beta C + bias, from which its sums
    /// start.
    #[inline(always)]
    pub(super) fn start(&self, row: usize, col: usize, c: &mut [f32]) {
        match self.scaling.beta {
            0.0 => c.fill(0.0),
            1.0 => {}
            beta => c.iter_mut().for_each(|c| *c *= beta),
        }
        match self.scaling.bias {
            Bias::None => {}
            Bias::PerRow(bias) => c.iter_mut().for_each(|c| *c += bias[row]),
            Bias::PerColumn(bias) => c.iter_mut().zip(&bias[col..]).for_each(|(c, b)| *c += b),
        }
    }

    /// Keeps part of C between the bounds.
    #[inline(always)]
    pub(super) fn finish(&self, c: &mut [f32]) {
        if self.scaling.bounds != Bounds::NONE {
            c.iter_mut().for_each(|c| *c = self.scaling.bounds.of(*c));
        }
    }
}
