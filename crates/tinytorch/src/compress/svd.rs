//! The singular value decomposition.

/// The singular value decomposition of a matrix: `a = sum over r of sigma[r] u[r] v[r]^T`, singular values
/// falling.
pub(crate) struct Svd {
    /// Left vectors, each as long as a column of `a`.
    pub(crate) u: Vec<Vec<f64>>,
    /// Singular values.
    pub(crate) sigma: Vec<f64>,
    /// Right vectors, each as long as a row of `a`.
    pub(crate) v: Vec<Vec<f64>>,
}

/// Sweeps after which what is left would be round-off; 6 to 10 are usual.
const SWEEPS: usize = 60;

/// Cosine between two columns below which they count as orthogonal.
const ORTHOGONAL: f64 = 1e-14;

/// Decomposes a row-major `rows` x `cols` matrix by one-sided Jacobi rotations (Hestenes, 1958): pairs of columns
/// are turned until all are orthogonal. Their lengths are then the singular values.
pub(crate) fn svd(a: &[f32], rows: usize, cols: usize) -> Svd {
    let entry = |i: usize, j: usize| f64::from(a[i * cols + j]);
    if rows < cols {
        let columns = (0..rows).map(|i| (0..cols).map(|j| entry(i, j)).collect()).collect();
        let Svd { u, sigma, v } = of_columns(columns);
        return Svd { u: v, sigma, v: u };
    }
    of_columns((0..cols).map(|j| (0..rows).map(|i| entry(i, j)).collect()).collect())
}

fn of_columns(mut columns: Vec<Vec<f64>>) -> Svd {
    let n = columns.len();
    let unit = |j| (0..n).map(|i| f64::from(u8::from(i == j))).collect();
    let mut v: Vec<Vec<f64>> = (0..n).map(unit).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (alpha, beta) = (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]));
                let gamma = dot(&columns[p], &columns[q]);
                if gamma.abs() <= ORTHOGONAL * (alpha * beta).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                rotate(&mut columns, p, q, cosine, cosine * tangent);
                rotate(&mut v, p, q, cosine, cosine * tangent);
            }
        }
        if !turned {
            break;
        }
    }
    let lengths: Vec<f64> = columns.iter().map(|column| dot(column, column).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| lengths[b].total_cmp(&lengths[a]).then(a.cmp(&b)));
    let direction = |j: usize| {
        let length = if lengths[j] > 0.0 { lengths[j] } else { 1.0 };
        columns[j].iter().map(|x| x / length).collect()
    };
    Svd {
        u: order.iter().map(|&j| direction(j)).collect(),
        sigma: order.iter().map(|&j| lengths[j]).collect(),
        v: order.iter().map(|&j| v[j].clone()).collect(),
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Independent lanes, as a single running sum waits four cycles for each addition.
    let mut lanes = [0f64; 8];
    for (a, b) in a.chunks(lanes.len()).zip(b.chunks(lanes.len())) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Turns two vectors in the plane they span.
fn rotate(vectors: &mut [Vec<f64>], p: usize, q: usize, cosine: f64, sine: f64) {
    let (left, right) = vectors.split_at_mut(q);
    for (x, y) in left[p].iter_mut().zip(&mut right[0]) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn the_parts_are_orthogonal_and_add_up() {
        for (rows, cols) in [(7, 5), (5, 7), (1, 6), (6, 1), (4, 4)] {
            let mut rng = Rng::seed(1);
            let mut a: Vec<f32> = (0..rows * cols).map(|_| rng.normal()).collect();
            if rows > 2 {
                let (first, rest) = a.split_at_mut(cols);
                rest[..cols].copy_from_slice(first);
            }
            let Svd { u, sigma, v } = svd(&a, rows, cols);
            assert_eq!(sigma.len(), rows.min(cols));
            assert!(sigma.windows(2).all(|pair| pair[0] >= pair[1]));
            for i in 0..rows {
                for j in 0..cols {
                    let sum: f64 = (0..sigma.len()).map(|r| sigma[r] * u[r][i] * v[r][j]).sum();
                    assert!((sum - f64::from(a[i * cols + j])).abs() < 1e-10);
                }
            }
            for (i, j) in (0..sigma.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                if sigma[i] > 1e-10 {
                    assert!(dot(&u[i], &u[j]).abs() < 1e-10 && dot(&v[i], &v[j]).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let Svd { sigma, .. } = svd(&[3.0, 0.0, 4.0, 5.0], 2, 2);
        assert!((sigma[0] - 45f64.sqrt()).abs() < 1e-12 && (sigma[1] - 5f64.sqrt()).abs() < 1e-12);
        assert_eq!(svd(&[0.0; 6], 3, 2).sigma, [0.0, 0.0]);
    }
}
