//! What rounding to int8 explains: the yardstick for what a layer and its weight may lose.

use crate::Result;
use crate::int8::{Encoding, Granularity, QWeight, Scales, WeightBits};
use crate::tensor::Tensor;
use tinytorch_kernels::int8::QParams;

/// The values that the levels of an activation stand for, computed one by one.
///
/// # Errors
/// If the activation is not finite.
pub(super) fn rounded(x: &Tensor, input: Encoding, is_image: bool) -> Result<Tensor> {
    let run = match input {
        Encoding::F32 => return Ok(x.clone()),
        Encoding::Static(_) => x.len(),
        Encoding::PerRow if is_image => x.len() / x.shape().first().copied().unwrap_or(1).max(1),
        Encoding::PerRow | Encoding::PerRow16 => x.shape().last_dim(),
    };
    let mut values = x.to_vec::<f32>()?;
    for run in values.chunks_mut(run.max(1)) {
        let params = match input {
            Encoding::Static(params) => params,
            Encoding::PerRow16 => {
                round_to_16_bits(run);
                continue;
            }
            _ => params_of(run)?,
        };
        run.iter_mut().for_each(|v| *v = params.dequantize(params.quantize(*v)));
    }
    Tensor::from_vec(values, *x.shape())
}

/// An activation rounded as well as 8 bits allow: a fixed range becomes that of the activation itself.
///
/// # Errors
/// As [`rounded`].
pub(super) fn rounded_at_best(x: &Tensor, input: Encoding, is_image: bool) -> Result<Tensor> {
    let input = match input {
        Encoding::Static(_) => Encoding::Static(params_of(&x.to_vec::<f32>()?)?),
        other => other,
    };
    rounded(x, input, is_image)
}

fn params_of(values: &[f32]) -> Result<QParams> {
    let (low, high) = range_of(values);
    Ok(QParams::from_range(low, high)?)
}

/// The range of the values, widened to include 0.
fn range_of(values: &[f32]) -> (f32, f32) {
    values.iter().fold((0.0, 0.0), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Rounds each value to the nearest of 65,536 levels over the range of all.
fn round_to_16_bits(values: &mut [f32]) {
    let (low, high) = range_of(values);
    let scale = (f64::from(high) - f64::from(low)) / f64::from(u16::MAX);
    if scale > 0.0 {
        let zero_point = (-f64::from(low) / scale).round_ties_even();
        for v in values {
            let level = (f64::from(*v) / scale + zero_point).round_ties_even();
            *v = ((level.clamp(0.0, f64::from(u16::MAX)) - zero_point) * scale) as f32;
        }
    }
}

/// The row of an int8 weight that lies furthest from its floats.
pub(super) struct FurthestRow {
    /// Which.
    pub(super) row: usize,
    /// Root mean square of the distance, in steps: of the row's own scale or of the one that rounding
    /// would have chosen, whichever is larger.
    pub(super) steps: f64,
}

/// Compares every row of an int8 weight, whose values use so many bits, with its floats; `None` for a
/// weight without rows.
///
/// # Errors
/// If the floats are of another shape or not finite.
pub(super) fn furthest_row(
    weight: &Tensor,
    int8: &QWeight,
    bits: WeightBits,
) -> Result<Option<FurthestRow>> {
    let best = Scales::covering(weight, int8.scales().granularity(), bits)?;
    let (floats, levels) = (weight.to_vec::<f32>()?, int8.dequantize()?.to_vec::<f32>()?);
    let rows = int8.panels().n();
    let k = floats.len() / rows.max(1);
    let distance = |row: usize| {
        let of = |values: &[f32], j: usize| f64::from(values[row * k + j]);
        let squares: f64 = (0..k)
            .map(|j| {
                let step = int8.scales().at(row, j, k).max(best.at(row, j, k));
                ((of(&floats, j) - of(&levels, j)) / f64::from(step)).powi(2)
            })
            .sum();
        FurthestRow { row, steps: (squares / k.max(1) as f64).sqrt() }
    };
    // In this order NaN is the largest number.
    Ok((0..rows).map(distance).max_by(|a, b| a.steps.total_cmp(&b.steps)))
}

/// Rounds a weight as quantizing does, and gives the values that the levels stand for.
///
/// # Errors
/// As [`QWeight::quantize`].
pub(super) fn rounded_weight(
    weight: &Tensor,
    granularity: Granularity,
    bits: WeightBits,
) -> Result<Tensor> {
    let scales = Scales::covering(weight, granularity, bits)?;
    QWeight::round(weight, scales, bits)?.dequantize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn rounding_moves_a_row_by_less_than_a_third_of_a_step() {
        let weight = Tensor::randn([8, 64], 1.0, &mut Rng::seed(1)).unwrap();
        for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
            let int8 = QWeight::quantize(&weight, granularity).unwrap();
            let furthest = furthest_row(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
            assert!((0.2..0.4).contains(&furthest.steps), "{}", furthest.steps);
        }
    }

    #[test]
    fn a_row_that_stands_for_other_floats_is_found() {
        let mut values = Tensor::randn([8, 64], 1.0, &mut Rng::seed(1)).unwrap().to_vec().unwrap();
        let weight = Tensor::from_vec(values.clone(), [8, 64]).unwrap();
        values[5 * 64..6 * 64].iter_mut().for_each(|v: &mut f32| *v *= 1.1);
        let other = Tensor::from_vec(values, [8, 64]).unwrap();
        let int8 = QWeight::quantize(&other, Granularity::PerChannel).unwrap();
        let furthest = furthest_row(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
        assert!(furthest.row == 5 && furthest.steps > 2.0, "{}", furthest.steps);
    }

    #[test]
    fn each_run_of_an_activation_is_rounded_over_its_own_range() {
        let x = Tensor::from_vec(vec![0.0, 255.0, 0.3, 0.0, 2.55, 0.3], [2, 3]).unwrap();
        let rows = rounded(&x, Encoding::PerRow, false).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(rows[2], 0.0);
        assert!((rows[5] - 0.3).abs() < 1e-6);
        let wide = rounded(&x, Encoding::PerRow16, false).unwrap().to_vec::<f32>().unwrap();
        assert!((wide[2] - 0.3).abs() < 0.002 && wide[2] != 0.3, "{wide:?}");
        let clipped = Encoding::Static(QParams { scale: 0.1, zero_point: 0 });
        assert!(
            (rounded(&x, clipped, false).unwrap().to_vec::<f32>().unwrap()[1] - 25.5).abs() < 1e-5
        );
        assert_eq!(rounded_at_best(&x, clipped, false).unwrap().to_vec::<f32>().unwrap()[1], 255.0);
    }
}
