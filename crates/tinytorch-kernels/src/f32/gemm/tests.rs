//! Every product is compared bit by bit with what defines it: a chain of multiply-adds, or for one row
//! times adjacent columns the partial sums of a dot product.

use super::schedule::LARGE_MATRIX;
use super::*;
use crate::f32::Bounds;
use crate::isa::Simd;
use proptest::prelude::*;

/// Values in [-1, 1) from a fixed sequence.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2654435769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A matrix with its own storage, read through strides.
struct Owned {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// How the elements of a matrix lie in memory.
#[derive(Debug, Clone, Copy)]
enum Layout {
    RowMajor,
    ColumnMajor,
    /// Rows and columns both have gaps.
    Sparse,
    /// All rows are the same.
    Repeated,
}

const LAYOUTS: [Layout; 4] =
    [Layout::RowMajor, Layout::ColumnMajor, Layout::Sparse, Layout::Repeated];

impl Owned {
    fn new(rows: usize, cols: usize, layout: Layout, seed: u32) -> Self {
        let (row_stride, col_stride) = match layout {
            Layout::RowMajor => (cols, 1),
            Layout::ColumnMajor => (1, rows),
            Layout::Sparse => (cols * 3 + 1, 3),
            Layout::Repeated => (0, 1),
        };
        let len = rows * cols * 3 + rows + 1;
        Self { data: values(len, seed), rows, cols, row_stride, col_stride }
    }

    fn view(&self) -> Matrix<'_> {
        Matrix::strided(&self.data, self.rows, self.cols, self.row_stride, self.col_stride)
    }

    fn at(&self, i: usize, j: usize) -> f32 {
        self.data[i * self.row_stride + j * self.col_stride]
    }
}

/// One multiply-add as the ISA does it: rounded once, but for the portable one.
fn mul_add(isa: Isa, a: f32, b: f32, c: f32) -> f32 {
    if isa == Isa::Scalar { a * b + c } else { a.mul_add(b, c) }
}

/// Whether the product is computed as dot products: one row, adjacent in memory, times columns that
/// are too and large, or one column of the same kind.
fn is_dot(a: &Owned, b: &Owned) -> bool {
    if a.rows.max(b.cols) * a.cols < LARGE_MATRIX {
        return false;
    }
    let adjacent = a.col_stride == 1 && b.row_stride == 1;
    if b.cols == 1 {
        adjacent && a.row_stride != 1
    } else {
        adjacent && a.rows == 1 && b.col_stride != 1
    }
}

/// Row `i` of A times column `j` of B.
fn dot(isa: Isa, (a, i): (&Owned, usize), (b, j): (&Owned, usize)) -> f32 {
    let mut sums = [0.0; 16];
    for p in 0..a.cols {
        sums[p % 16] = mul_add(isa, a.at(i, p), b.at(p, j), sums[p % 16]);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

fn expected(
    isa: Isa,
    a: &Owned,
    b: &Owned,
    c: &[f32],
    scaling: &Scaling<'_>,
    is_dot: bool,
) -> Vec<f32> {
    let mut out = c.to_vec();
    for i in 0..a.rows {
        for j in 0..b.cols {
            let c = &mut out[i * b.cols + j];
            let mut sum = if scaling.beta == 0.0 { 0.0 } else { scaling.beta * *c };
            sum += match scaling.bias {
                Bias::None => 0.0,
                Bias::PerRow(bias) => bias[i],
                Bias::PerColumn(bias) => bias[j],
            };
            if is_dot {
                sum += scaling.alpha * dot(isa, (a, i), (b, j));
            } else {
                for p in 0..a.cols {
                    sum = mul_add(isa, scaling.alpha * a.at(i, p), b.at(p, j), sum);
                }
            }
            *c = scaling.bounds.of(sum);
        }
    }
    out
}

#[track_caller]
fn assert_same_bits(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        // Zeros of either sign are equal: the ReLU may return either.
        assert!(got.to_bits() == want.to_bits() || got == want, "element {i}: {got}, not {want}");
    }
}

#[track_caller]
fn check(isa: Isa, a: &Owned, b: &Owned, scaling: &Scaling<'_>) {
    let c = values(a.rows * b.cols, 3);
    let want = expected(isa, a, b, &c, scaling, is_dot(a, b));
    let mut got = c.clone();
    gemm(isa, a.view(), b.view(), MatrixMut::new(&mut got, a.rows, b.cols), scaling);
    assert_same_bits(&got, &want);

    let want = expected(isa, a, b, &c, scaling, false);
    let packed = PackedB::new(isa, b.view());
    let mut got = c;
    gemm(isa, a.view(), &packed, MatrixMut::new(&mut got, a.rows, b.cols), scaling);
    assert_same_bits(&got, &want);
}

#[test]
fn every_tile_and_block_boundary_gives_the_chain() {
    let shapes = [
        (1, 1, 1),
        (1, 9, 4100),
        (1, 3100, 17),
        (2, 385, 47),
        (3, 5, 49),
        (5, 33, 64),
        (6, 8, 33),
        (7, 16, 15),
        (8, 384, 48),
        (9, 17, 400),
        (16, 770, 16),
        (17, 2, 1),
        (193, 31, 65),
        (200, 0, 3),
    ];
    for isa in Isa::available() {
        for (m, k, n) in shapes {
            for layout in LAYOUTS {
                let (a, b) = (Owned::new(m, k, layout, 1), Owned::new(k, n, layout, 2));
                check(isa, &a, &b, &Scaling::default());
            }
        }
    }
}

#[test]
fn one_row_and_the_adjacent_columns_of_a_large_matrix_are_dot_products() {
    for isa in Isa::available() {
        for (k, n) in [(4099, 67), (521, 509), (9, LARGE_MATRIX / 9 + 1)] {
            let a = Owned::new(1, k, Layout::RowMajor, 1);
            let b = Owned::new(k, n, Layout::ColumnMajor, 2);
            assert!(is_dot(&a, &b));
            check(
                isa,
                &a,
                &b,
                &Scaling {
                    alpha: 0.5,
                    bounds: Bounds { low: 0.0, high: 6.0 },
                    ..Scaling::default()
                },
            );
        }
    }
}

#[test]
fn one_row_has_the_bits_that_it_has_among_many() {
    let (a, b) = (values(40 * 500, 1), values(500 * 70, 2));
    for isa in Isa::available() {
        for b in [Matrix::new(&b, 500, 70), Matrix::new(&b, 70, 500).t()] {
            let packed = PackedB::new(isa, b);
            let (mut all, mut one) = (vec![0.0; 40 * 70], vec![0.0; 70]);
            let scaling = Scaling::default();
            gemm(isa, Matrix::new(&a, 40, 500), b, MatrixMut::new(&mut all, 40, 70), &scaling);
            for (i, row) in all.chunks_exact(70).enumerate() {
                let a = Matrix::new(&a[i * 500..], 1, 500);
                gemm(isa, a, &packed, MatrixMut::new(&mut one, 1, 70), &scaling);
                assert_same_bits(&one, row);
                gemm(isa, a, b, MatrixMut::new(&mut one, 1, 70), &scaling);
                assert_same_bits(&one, row);
            }
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for (m, k, n) in [(64, 784, 512), (1, 2000, 3000), (500, 300, 20), (130, 1000, 1)] {
        let (a, b) = (values(m * k, 1), values(n * k, 2));
        for b in [Matrix::new(&b, k, n), Matrix::new(&b, n, k).t()] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut c = vec![0.0; m * n];
                let out = MatrixMut::new(&mut c, m, n);
                let isa = Isa::detect_best();
                pool.install(|| gemm(isa, Matrix::new(&a, m, k), b, out, &Scaling::default()));
                c
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert_same_bits(&run(threads), &one);
            }
        }
    }
}

#[test]
fn vectors_of_eight_and_of_sixteen_give_the_same_bits() {
    let (a, b) = (values(70 * 400, 1), values(400 * 90, 2));
    let results: Vec<Vec<f32>> = Isa::available()
        .into_iter()
        .filter(|isa| *isa != Isa::Scalar)
        .map(|isa| {
            let mut c = vec![0.0; 70 * 90];
            let (a, b) = (Matrix::new(&a, 70, 400), Matrix::new(&b, 400, 90));
            gemm(isa, a, b, MatrixMut::new(&mut c, 70, 90), &Scaling::default());
            c
        })
        .collect();
    results.windows(2).for_each(|pair| assert_same_bits(&pair[0], &pair[1]));
}

#[test]
fn a_batch_is_its_products_one_by_one() {
    let (batch, heads, time, width) = (2, HEADS, TIME, WIDTH);
    // Queries and keys of attention as they lie after a projection: [batch, time, heads, width].
    let (q, k) = (values(batch * time * heads * width, 1), values(batch * time * heads * width, 2));
    const HEADS: usize = 3;
    const TIME: usize = 5;
    const WIDTH: usize = 4;
    fn head(data: &[f32]) -> Matrix<'_> {
        Matrix::strided(data, TIME, WIDTH, HEADS * WIDTH, 1)
    }
    for isa in Isa::available() {
        let mut scores = vec![0.0; batch * heads * time * time];
        let outer = time * heads * width;
        let dims = [
            BatchDim {
                len: batch,
                a_stride: outer,
                b_stride: outer,
                c_stride: heads * time * time,
            },
            BatchDim { len: heads, a_stride: width, b_stride: width, c_stride: time * time },
        ];
        let scaling = Scaling { alpha: 0.5, ..Scaling::default() };
        let c = MatrixMut::new(&mut scores, time, time);
        gemm_batched(isa, &dims, head(&q), head(&k).t(), c, &scaling);

        for (i, got) in scores.chunks_exact(time * time).enumerate() {
            let start = (i / heads * time * heads + i % heads) * width;
            let mut want = vec![0.0; time * time];
            let c = MatrixMut::new(&mut want, time, time);
            gemm(isa, head(&q[start..]), head(&k[start..]).t(), c, &scaling);
            assert_same_bits(got, &want);
        }
    }
}

#[test]
fn a_batch_of_columns_may_be_interleaved_in_c() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0]);
    let mut c = [0.0; 4];
    // Two 2 x 2 matrices (the second one transposed) times the same column, stored side by side.
    let pairs = BatchDim { len: 2, a_stride: 0, b_stride: 0, c_stride: 1 };
    let (a, b) = (Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 1));
    let out = MatrixMut::strided(&mut c, 2, 1, 2);
    gemm_batched(Isa::Scalar, &[pairs], a, b, out, &Scaling::default());
    assert_eq!(c, [21.0, 21.0, 43.0, 43.0]);
}

#[test]
fn what_c_held_is_not_read_without_beta_and_nan_is_never_hidden() {
    for isa in Isa::available() {
        let scaling = Scaling { bounds: Bounds::POSITIVE, ..Scaling::default() };
        let mut c = [f32::NAN; 6];
        let (a, b) = (Matrix::new(&[1.0; 4], 2, 2), Matrix::new(&[1.0; 6], 2, 3));
        gemm(isa, a, b, MatrixMut::new(&mut c, 2, 3), &scaling);
        assert_eq!(c, [2.0; 6]);

        let b = [0.0, f32::NAN, 1.0, 1.0, 1.0, f32::INFINITY];
        let a = [0.0, 1.0];
        let (a, b) = (Matrix::new(&a, 1, 2), Matrix::new(&b, 2, 3));
        let mut c = [0.0; 3];
        gemm(isa, a, b, MatrixMut::new(&mut c, 1, 3), &scaling);
        assert!(c[0] == 1.0 && c[1].is_nan() && c[2] == f32::INFINITY, "{c:?}");
        let packed = PackedB::new(isa, b);
        gemm(isa, a, &packed, MatrixMut::new(&mut c, 1, 3), &scaling);
        assert!(c[0] == 1.0 && c[1].is_nan() && c[2] == f32::INFINITY, "{c:?}");
    }
}

#[test]
fn packed_weights_take_the_bytes_they_say() {
    let packed = PackedB::new(Isa::Scalar, Matrix::new(&[1.0; 5 * 17], 5, 17));
    assert_eq!((packed.rows(), packed.cols(), packed.bytes()), (5, 17, 5 * 32 * 4));
}

#[test]
#[should_panic(expected = "A is 2 x 3, so B must have 3 rows, not 2")]
fn shapes_that_do_not_fit_are_refused() {
    let (a, b) = (Matrix::new(&[0.0; 6], 2, 3), Matrix::new(&[0.0; 6], 2, 3));
    gemm(Isa::Scalar, a, b, MatrixMut::new(&mut [0.0; 6], 2, 3), &Scaling::default());
}

#[test]
#[should_panic(expected = "overlaps itself")]
fn a_batch_that_writes_an_element_twice_is_refused() {
    let pairs = BatchDim { len: 2, a_stride: 1, b_stride: 1, c_stride: 1 };
    let (a, b) = (Matrix::new(&[0.0; 4], 1, 1), Matrix::new(&[0.0; 4], 1, 2));
    let c = &mut [0.0; 4];
    gemm_batched(Isa::Scalar, &[pairs], a, b, MatrixMut::new(c, 1, 2), &Scaling::default());
}

#[test]
#[should_panic(expected = "needs 5 values in all, not 4")]
fn a_batch_that_leaves_its_data_is_refused() {
    let pairs = BatchDim { len: 2, a_stride: 3, b_stride: 0, c_stride: 2 };
    let (a, b) = (Matrix::new(&[0.0; 4], 1, 2), Matrix::new(&[0.0; 4], 2, 2));
    let c = &mut [0.0; 4];
    gemm_batched(Isa::Scalar, &[pairs], a, b, MatrixMut::new(c, 1, 2), &Scaling::default());
}

proptest! {
    #[test]
    fn any_shape_layout_and_scaling_gives_the_chain(
        (m, k, n) in (1..40_usize, 0..60_usize, 1..70_usize),
        (a_layout, b_layout) in (0..4_usize, 0..4_usize),
        (alpha, beta) in (prop::sample::select(vec![1.0, 0.5, -2.0]),
                          prop::sample::select(vec![0.0, 1.0, -1.5])),
        bias in 0..3_usize,
        bounds in prop::sample::select(vec![Bounds::NONE, Bounds::POSITIVE, Bounds { low: -1.0, high: 0.5 }]),
    ) {
        let (a, b) = (Owned::new(m, k, LAYOUTS[a_layout], 1), Owned::new(k, n, LAYOUTS[b_layout], 2));
        let (per_row, per_column) = (values(m, 4), values(n, 5));
        let bias = [Bias::None, Bias::PerRow(&per_row), Bias::PerColumn(&per_column)][bias];
        for isa in Isa::available() {
            check(isa, &a, &b, &Scaling { alpha, beta, bias, bounds });
        }
    }
}

#[test]
fn the_widest_vector_is_a_panel() {
    struct Lanes;
    impl crate::isa::Kernel for Lanes {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            S::LANES
        }
    }
    for isa in Isa::available() {
        assert!(crate::tuning::B_PANEL.is_multiple_of(isa.run(Lanes)));
    }
}
