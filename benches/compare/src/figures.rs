//! The figures of a row.

use tinytorch::Tensor;
use tinytorch::stats::Quartiles;

/// The times of one way to run a case.
pub(crate) struct Figures {
    /// Median of the rounds' times.
    pub(crate) seconds: f64,
    /// The times over tinytorch's in the same rounds.
    pub(crate) ratio: Option<Quartiles>,
}

impl Figures {
    /// What rounds took, and what they took on tinytorch.
    pub(crate) fn of(times: &[f64], ours: Option<&[f64]>) -> Figures {
        let ratios = |ours: &[f64]| -> Vec<f64> {
            times.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect()
        };
        let ratio = ours.map(|ours| Quartiles::of(&ratios(ours)));
        Figures { seconds: Quartiles::of(times).median, ratio }
    }
}

/// The relative L2 distance, `|got - want| / |want|`; infinite for outputs of other sizes.
pub(crate) fn distance(got: &Tensor, want: &Tensor) -> f64 {
    let (Ok(got), Ok(want)) = (got.to_vec::<f32>(), want.to_vec::<f32>()) else {
        return f64::INFINITY;
    };
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart =
        norm(&mut got.iter().zip(&want).map(|(&got, &want)| f64::from(got) - f64::from(want)));
    let size = norm(&mut want.iter().map(|&v| f64::from(v)));
    if apart == 0.0 { 0.0 } else { apart / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
    }

    #[test]
    fn a_distance_is_relative_to_what_it_should_be() {
        let want = tensor(&[3.0, 4.0]);
        assert_eq!(distance(&want, &want), 0.0);
        assert_eq!(distance(&tensor(&[3.0, 4.5]), &want), 0.1);
        assert!(distance(&tensor(&[3.0]), &want).is_infinite());
        assert!(distance(&tensor(&[f32::NAN, 4.0]), &want).is_nan());
        assert!(distance(&want, &tensor(&[0.0, 0.0])).is_infinite());
    }

    #[test]
    fn a_slow_round_of_both_leaves_their_ratio() {
        let figures = Figures::of(&[2.0, 20.0, 2.2], Some(&[1.0, 10.0, 1.0]));
        assert_eq!(figures.seconds, 2.2);
        assert_eq!(figures.ratio.unwrap().median, 2.0);
        assert!(Figures::of(&[1.0], None).ratio.is_none());
    }
}
