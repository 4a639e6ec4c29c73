//! Distances and spreads that are summed over batches.

use crate::Result;
use crate::tensor::Tensor;

/// The sum of the squared differences of two tensors.
///
/// # Errors
/// If shapes or element types differ.
pub(super) fn squared_distance(got: &Tensor, want: &Tensor) -> Result<f64> {
    let difference = got.sub(want)?.to_vec::<f32>()?;
    Ok(difference.iter().map(|&v| f64::from(v).powi(2)).sum())
}

/// The size of values around the mean of each column, as in
/// [`relative_error`](crate::quant::relative_error), and around 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    rows: usize,
    sums: Vec<f64>,
    squares: f64,
}

impl Spread {
    /// Takes in a batch, whose last axis are the columns.
    pub(super) fn add(&mut self, t: &Tensor) -> Result<()> {
        let columns = t.shape().last_dim().max(1);
        self.sums.resize(columns, 0.0);
        for row in t.to_vec::<f32>()?.chunks(columns) {
            self.rows += 1;
            for (sum, &v) in self.sums.iter_mut().zip(row) {
                *sum += f64::from(v);
                self.squares += f64::from(v).powi(2);
            }
        }
        Ok(())
    }

    /// Rows that were taken in.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The root of the sum of all squares.
    pub(super) fn size(&self) -> f64 {
        self.squares.sqrt()
    }

    /// The root of the sum of the squared distances from the columns' means. What is no more than the
    /// rounding of the sums is none.
    pub(super) fn around_means(&self) -> f64 {
        /// Of sums of squares in 64 bits that cancel out.
        const ROUNDING: f64 = 1e-12;
        let rows = self.rows.max(1) as f64;
        let means: f64 = self.sums.iter().map(|sum| sum * sum / rows).sum();
        let left = self.squares - means;
        if left > ROUNDING * self.squares || left.is_nan() { left.sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::quant::relative_error;

    #[test]
    fn batches_add_up_to_the_error_of_the_whole() {
        let mut rng = Rng::seed(3);
        let want =
            Tensor::randn([50, 4], 1.0, &mut rng).unwrap().add(&Tensor::scalar(3.0)).unwrap();
        let got = want.add(&Tensor::randn([50, 4], 0.1, &mut rng).unwrap()).unwrap();
        let (mut distance, mut spread) = (0.0, Spread::default());
        for (from, to) in [(0, 20), (20, 50)] {
            let part = |t: &Tensor| t.slice(0, from..to).unwrap();
            distance += squared_distance(&part(&got), &part(&want)).unwrap();
            spread.add(&part(&want)).unwrap();
        }
        let whole = relative_error(&got, &want).unwrap();
        assert!((distance.sqrt() / spread.around_means() - whole).abs() < 1e-6 * whole);
        assert_eq!(spread.rows(), 50);
    }

    #[test]
    fn rows_that_are_all_alike_have_no_spread() {
        let mut spread = Spread::default();
        spread.add(&Tensor::full(0.1, [64, 3]).unwrap()).unwrap();
        assert_eq!(spread.around_means(), 0.0);
        assert!((spread.size() - 0.1 * 192f64.sqrt()).abs() < 1e-6);
    }
}
