//! Matrices as strides over slices.

/// A matrix that is read through strides, so that a transpose or a slice costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows * cols` values, row after row.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// The matrix whose element (i, j) is `data[i * row_stride + j * col_stride]`; a stride may be
    /// 0.
    ///
    /// # Panics
    /// If the last element lies beyond `data`.
    pub fn strided(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let matrix = Self { data, rows, cols, row_stride, col_stride };
        check_factor("a matrix", matrix, std::iter::empty());
        matrix
    }

    /// The transpose, over the same data.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(super) fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// The data from element (`row`, `col`) on; nothing if that lies beyond the data, as in a matrix
    /// without elements.
    #[inline(always)]
    pub(super) fn data_from(&self, row: usize, col: usize) -> &'a [f32] {
        self.data.get(row * self.row_stride + col * self.col_stride..).unwrap_or(&[])
    }

    /// The matrix that starts `offset` values further on in the same data.
    pub(super) fn at_offset(self, offset: usize) -> Self {
        Self { data: self.data.get(offset..).unwrap_or(&[]), ..self }
    }
}

/// A matrix that is written: its columns are adjacent, its rows may be apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows * cols` values, row after row.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// The matrix whose element (i, j) is `data[i * row_stride + j]`.
    ///
    /// # Panics
    /// If the last element lies beyond `data`, or rows overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        let matrix = Self { data, rows, cols, row_stride };
        check_c(&matrix, std::iter::empty());
        matrix
    }
}

/// One dimension of a batch: how many matrices, and how far each is from the one before.
#[derive(Debug, Clone, Copy)]
pub struct BatchDim {
    /// The number of indices.
    pub len: usize,
    /// Distance between matrices A; 0 uses the same for all.
    pub a_stride: usize,
    /// Distance between matrices B; 0 uses the same for all.
    pub b_stride: usize,
    /// Distance between matrices C.
    pub c_stride: usize,
}

/// Panics unless the matrix lies in its data at every index of a batch of (length, stride).
#[inline]
pub(super) fn check_factor(
    name: &str,
    matrix: Matrix<'_>,
    batch: impl Iterator<Item = (usize, usize)> + Clone,
) {
    let Matrix { data, rows, cols, row_stride, col_stride } = matrix;
    let needed = extent(batch.chain([(rows, row_stride), (cols, col_stride)]));
    let given = data.len();
    assert!(
        needed <= given,
        "{name} of {rows} x {cols} values, strides {row_stride} and {col_stride}, needs {needed} \
         values in all, not {given}"
    );
}

/// Panics unless C lies in its data at every index of a batch of (length, stride), and no two of its
/// elements are the same.
#[inline]
pub(super) fn check_c(c: &MatrixMut<'_>, batch: impl Iterator<Item = (usize, usize)> + Clone) {
    let &MatrixMut { rows, cols, row_stride, .. } = c;
    let dims = batch.chain([(rows, row_stride), (cols, 1)]);
    let (needed, given) = (extent(dims.clone()), c.data.len());
    assert!(
        needed <= given,
        "C of {rows} x {cols} values, row stride {row_stride}, needs {needed} values in all, not \
         {given}"
    );
    // No two indices meet if every stride exceeds what all smaller ones reach together.
    let dims = dims.filter(|&(length, _)| length > 1).enumerate();
    let disjoint = dims.clone().all(|(this, (_, stride))| {
        let smaller = dims.clone().filter(|&(other, dim)| other != this && dim.1 <= stride);
        smaller.map(|(_, (length, stride))| (length - 1) * stride).sum::<usize>() < stride
    });
    assert!(needed == 0 || disjoint, "C of {rows} x {cols} values overlaps itself");
}

/// One more than the largest offset that (length, stride) pairs reach; 0 if a length is 0.
#[inline]
pub(super) fn extent(mut dims: impl Iterator<Item = (usize, usize)> + Clone) -> usize {
    if dims.clone().any(|(length, _)| length == 0) {
        return 0;
    }
    // Whoever asks has strides of values in memory; others are told as by any slice out of range.
    dims.try_fold(1_usize, |extent, (length, stride)| {
        (length - 1).checked_mul(stride).and_then(|reach| extent.checked_add(reach))
    })
    .expect("a matrix has fewer elements than the address space")
}
