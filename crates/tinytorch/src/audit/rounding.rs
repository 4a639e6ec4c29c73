//! What rounding to int8 explains: the yardstick for what a layer and its weight may lose.

use crate::Result;
use crate::int8::{Encoding, Granularity, QWeight, Scales, WeightBits};
use crate::tensor::Tensor;
use tinytorch_kernels::int8::QParams;

/// How an activation is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum QRange {
    /// Not at all.
    Float,
    /// To these levels.
    Fixed(QParams),
    /// To 256 levels over the range of each row, or image.
    PerRow,
    /// To 65,535 levels around 0, as far as the largest value of each row, or image.
    PerRow16,
}

impl From<Encoding> for QRange {
    fn from(input: Encoding) -> QRange {
        match input {
            Encoding::F32 => QRange::Float,
            Encoding::Static(params) => QRange::Fixed(params),
            Encoding::PerRow => QRange::PerRow,
            Encoding::PerRow16 => QRange::PerRow16,
        }
    }
}

impl QRange {
    /// As well as 8 bits allow: a fixed range becomes the one that all values lie in.
    pub(super) fn at_best(input: Encoding, range: Option<(f32, f32)>) -> QRange {
        let best = |(low, high): (f32, f32)| QParams::from_range(low.min(0.0), high.max(0.0)).ok();
        match (input, range.and_then(best)) {
            (Encoding::Static(_), Some(params)) => QRange::Fixed(params),
            _ => input.into(),
        }
    }
}

/// The values that the levels of an activation stand for, computed one by one.
///
/// # Errors
/// If the activation is not finite.
pub(super) fn rounded(x: &Tensor, input: QRange, is_image: bool) -> Result<Tensor> {
    let run = match input {
        QRange::Float => return Ok(x.clone()),
        QRange::Fixed(_) => x.len(),
        QRange::PerRow | QRange::PerRow16 if is_image => {
            x.len() / x.shape().first().copied().unwrap_or(1).max(1)
        }
        QRange::PerRow | QRange::PerRow16 => x.shape().last_dim(),
    };
    let mut values = x.to_vec::<f32>()?;
    for run in values.chunks_mut(run.max(1)) {
        let params = match input {
            QRange::Fixed(params) => params,
            QRange::PerRow16 => {
                round_to_16_bits(run);
                continue;
            }
            _ => params_of(run)?,
        };
        run.iter_mut().for_each(|v| *v = params.dequantize(params.quantize(*v)));
    }
    Tensor::from_vec(values, *x.shape())
}

fn params_of(values: &[f32]) -> Result<QParams> {
    let (low, high) = range_of(values);
    Ok(QParams::from_range(low, high)?)
}

/// The range of the values, widened to include 0.
fn range_of(values: &[f32]) -> (f32, f32) {
    values.iter().fold((0.0, 0.0), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Rounds each value to the nearest of 65,535 levels around 0, as far as the largest value.
fn round_to_16_bits(values: &mut [f32]) {
    let most = values.iter().fold(0.0, |most, v| v.abs().max(most));
    let scale = f64::from(most) / f64::from(i16::MAX);
    if scale > 0.0 {
        for v in values {
            *v = ((f64::from(*v) / scale).round_ties_even() * scale) as f32;
        }
    }
}

/// How far an int8 weight lies from its floats.
pub(super) struct Furthest {
    /// The row whose root mean square distance is largest.
    pub(super) row: usize,
    /// That distance, in steps: of the row's own scale or of the one that rounding would have chosen,
    /// whichever is larger.
    pub(super) steps: f64,
    /// How many steps of its own scale the row lies too high, where it differs by that alone, rounded or clipped.
    pub(super) shifted: Option<f64>,
    /// The value furthest from its level of those that are further than rounding takes them, half a step, or
    /// clipping, a step beyond the last level: its row, its place in the row, and the distance in steps.
    pub(super) value: Option<(usize, usize, f64)>,
    /// Values that lie beyond the last level of their scale, by up to a step.
    pub(super) clipped: usize,
}

/// Compares every value of an int8 weight, whose values use so many bits, with its floats; `None` for a
/// weight without rows. Each value is judged by itself: among K others, one that is sqrt(K) steps off
/// moves the root mean square of its row by no more than a step.
///
/// # Errors
/// If the floats are of another shape or not finite.
pub(super) fn furthest(
    weight: &Tensor,
    int8: &QWeight,
    bits: WeightBits,
) -> Result<Option<Furthest>> {
    /// Half a step, and what rounding a float to the nearest level is itself rounded by.
    const HALF: f64 = 0.5 + 1e-3;
    let best = Scales::covering(weight, int8.scales().granularity(), bits)?;
    let floats = weight.to_vec::<f32>()?;
    let (rows, last) = (int8.panels().n(), f64::from(bits.max()));
    let k = floats.len() / rows.max(1);
    let (mut levels, mut stands) = (vec![0i8; k], vec![0f32; k]);
    let mut found: Option<Furthest> = None;
    let (mut value, mut clipped) = (None::<(usize, usize, f64)>, 0);
    for row in 0..rows {
        int8.row_into(row, &mut levels)?;
        int8.dequantize_row_into(row, &mut stands)?;
        let (mut squares, mut sums) = (0.0, [0.0; 2]);
        for j in 0..k {
            let (float, stand) = (f64::from(floats[row * k + j]), f64::from(stands[j]));
            let level = f64::from(levels[j]);
            // The scale of the very value, wherever its block lies; of a level 0 that of its row tells nothing.
            let own = f64::from(scale_of(int8, row, j, k));
            let step = own.max(f64::from(scale_at(&best, int8, row, j, k)));
            squares += ((float - stand) / step).powi(2);
            let distance = (float - stand).abs() / own;
            let above = (stand - float) / own;
            sums = [sums[0] + above, sums[1] + above * above];
            if distance > HALF || distance.is_nan() {
                let is_beyond = (float - stand) * level > 0.0;
                if level.abs() >= last && distance <= 1.0 && is_beyond {
                    clipped += 1;
                } else if value.is_none_or(|(_, _, most)| distance > most || distance.is_nan()) {
                    value = Some((row, j, distance));
                }
            }
        }
        let steps = (squares / k.max(1) as f64).sqrt();
        // In this order NaN is the largest number.
        if found.as_ref().is_none_or(|most| steps.total_cmp(&most.steps).is_gt()) {
            let [mean, square] = sums.map(|sum| sum / k.max(1) as f64);
            let is_alike = (square - mean * mean).sqrt() <= HALF;
            let shifted = Some(mean.round()).filter(|steps| is_alike && *steps != 0.0);
            found = Some(Furthest { row, steps, shifted, value: None, clipped: 0 });
        }
    }
    Ok(found.map(|most| Furthest { value, clipped, ..most }))
}

/// The scale of a value of an int8 weight, whose place is in the layer's own order.
fn scale_of(int8: &QWeight, row: usize, j: usize, k: usize) -> f32 {
    scale_at(int8.scales(), int8, row, j, k)
}

fn scale_at(scales: &Scales, int8: &QWeight, row: usize, j: usize, k: usize) -> f32 {
    scales.at(row, packed_place(int8, j, k), k)
}

/// Where a value lies in a packed row: those of a convolution run over `(height, width, in)`.
fn packed_place(int8: &QWeight, j: usize, k: usize) -> usize {
    match *int8.shape().dims() {
        [_, inputs, height, width] if height * width > 0 && k == inputs * height * width => {
            let (input, place) = (j / (height * width), j % (height * width));
            place * inputs + input
        }
        _ => j,
    }
}

/// The fewest bits that hold all values of an int8 weight: all 8 if its zero is not the level in the middle.
///
/// # Errors
/// None for a weight that was built by this library.
pub(super) fn bits_used(int8: &QWeight) -> Result<WeightBits> {
    if !int8.zero_points().is_empty() {
        return Ok(WeightBits::EIGHT);
    }
    let mut row = vec![0i8; int8.panels().k()];
    let mut largest = 0;
    for i in 0..int8.panels().n() {
        int8.panels().row_into(i, &mut row)?;
        largest = row.iter().fold(largest, |largest, level| level.unsigned_abs().max(largest));
    }
    let holds = |bits: &WeightBits| bits.max().unsigned_abs() >= largest;
    let fewest = (2..=8).filter_map(|bits| WeightBits::new(bits).ok()).find(holds);
    Ok(fewest.unwrap_or(WeightBits::EIGHT))
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
            let furthest = furthest(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
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
        let furthest = furthest(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
        assert!(furthest.row == 5 && furthest.steps > 2.0, "{}", furthest.steps);
    }

    #[test]
    fn each_run_of_an_activation_is_rounded_over_its_own_range() {
        let x = Tensor::from_vec(vec![0.0, 255.0, 0.3, 0.0, 2.55, 0.3], [2, 3]).unwrap();
        let rows = rounded(&x, QRange::PerRow, false).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(rows[2], 0.0);
        assert!((rows[5] - 0.3).abs() < 1e-6);
        let wide = rounded(&x, QRange::PerRow16, false).unwrap().to_vec::<f32>().unwrap();
        assert!((wide[2] - 0.3).abs() < 0.004 && wide[2] != 0.3, "{wide:?}");
        let clipped = Encoding::Static(QParams { scale: 0.1, zero_point: 0 });
        assert!(
            (rounded(&x, clipped.into(), false).unwrap().to_vec::<f32>().unwrap()[1] - 25.5).abs()
                < 1e-5
        );
        let best = QRange::at_best(clipped, Some((0.3, 255.0)));
        assert_eq!(rounded(&x, best, false).unwrap().to_vec::<f32>().unwrap()[1], 255.0);
    }

    /// 28 steps are sqrt(784): the row's root mean square stays at one step.
    #[test]
    fn one_value_far_off_is_found_in_a_row_that_is_not() {
        let weight = Tensor::randn([2, 784], 1.0, &mut Rng::seed(1)).unwrap();
        let int8 = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let of = |change: fn(i8) -> i8| {
            let moved = QWeight::from_rows(int8.shape(), int8.scales().clone(), |row, out| {
                int8.row_into(row, out)?;
                if row == 1 {
                    out[500] = change(out[500]);
                }
                Ok(())
            });
            furthest(&weight, &moved.unwrap(), WeightBits::EIGHT).unwrap().unwrap()
        };
        assert!(of(|level| level).value.is_none());
        let one = of(|level| level + 1).value.unwrap();
        assert!((one.0, one.1) == (1, 500) && (0.5..1.5).contains(&one.2), "{one:?}");
        let far = of(|level| if level < 0 { level + 27 } else { level - 27 });
        assert!(far.steps < 1.1 && (26.0..28.0).contains(&far.value.unwrap().2), "{}", far.steps);
    }

    /// A scale that clips leaves values beyond its last level, up to a step; further ones are faults.
    #[test]
    fn a_value_may_be_clipped_by_a_step_and_no_more() {
        let of = |beyond: f32| {
            let scale = 0.01f32;
            let mut values = vec![0.0; 64];
            values[7] = (127.0 + beyond) * scale;
            let weight = Tensor::from_vec(values, [1, 64]).unwrap();
            let scales = Scales::PerChannel(vec![scale].into());
            let int8 = QWeight::round(&weight, scales, WeightBits::EIGHT).unwrap();
            let found = furthest(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
            (found.clipped, found.value.is_some())
        };
        assert_eq!((of(0.4), of(0.5005), of(0.502)), ((0, false), (0, false), (1, false)));
        assert_eq!(of(0.9), (1, false));
        assert_eq!(of(1.1), (0, true));
    }

    /// Levels at twice the usual scale are coarse, and each is still the nearest.
    #[test]
    fn a_wide_scale_is_judged_by_its_own_steps() {
        let weight = Tensor::randn([2, 64], 1.0, &mut Rng::seed(1)).unwrap();
        let wide = Scales::PerChannel(vec![0.2f32; 2].into());
        let int8 = QWeight::round(&weight, wide, WeightBits::EIGHT).unwrap();
        let furthest = furthest(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
        assert!(furthest.value.is_none() && furthest.steps < 0.4, "{}", furthest.steps);
    }

    #[test]
    fn a_convolutions_values_are_found_in_the_layers_own_order() {
        let weight = Tensor::randn([4, 40, 3, 3], 1.0, &mut Rng::seed(2)).unwrap();
        for granularity in [Granularity::PerChannel, Granularity::Blocks] {
            let int8 = QWeight::quantize(&weight, granularity).unwrap();
            let of = furthest(&weight, &int8, WeightBits::EIGHT).unwrap().unwrap();
            assert!(of.value.is_none() && of.clipped == 0, "{:?}", of.value);
        }
    }
}
