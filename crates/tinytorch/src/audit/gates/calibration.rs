//! Whether calibration has earned its keep.

use crate::audit::evidence;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, compare};
use crate::autograd::Var;
use crate::int8::Encoding;
use crate::models::{ListModel, compile};
use crate::quant::{apply, prepare_without_data};
use crate::tensor::{Dtype, Tensor};
use crate::{Result, Rng};

const ID: &str = "calibration";

/// Resamples of the bootstrap; the 2.5 % quantile then rests on 50 of them.
const RESAMPLES: usize = 2000;

/// Calibration earned its keep: on held-out samples the model is nearer to the float one than it would
/// be with ranges that were estimated without data, beyond what chance explains.
pub(crate) fn calibration(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    if !subject.config.scheme.is_static() {
        let reason = "activations are not static, so there are no ranges to calibrate".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    }
    let params = subject.int8.named_params();
    let inputs_of_int8: Vec<Encoding> =
        params.iter().filter_map(|(_, param)| Some(param.int8()?.input())).collect();
    let fixed = inputs_of_int8.iter().filter(|input| matches!(input, Encoding::Static(_))).count();
    if 2 * fixed < inputs_of_int8.len() {
        let of = inputs_of_int8.len();
        let reason = format!("only {fixed} of {of} int8 layers have ranges from calibration");
        return Ok(Gate::not_applicable(ID, reason));
    }
    let example = subject.held_out.first(1)?;
    let input: Vec<Var> = example.iter().map(Var::from).collect();
    let mut data_free = subject.float.clone();
    let config = subject.config.clone().knowingly();
    let quantized =
        prepare_without_data(&*data_free as &dyn ListModel, &input, &config).and_then(|prepared| {
            let model: &mut dyn ListModel = &mut *data_free;
            apply(model, &prepared)
        });
    if let Err(error) = quantized {
        return Ok(Gate::not_applicable(ID, format!("there is nothing to compare with: {error}")));
    }
    let mut plan = compile(&*data_free, &example)?.on(options.deployed);
    let outputs = evidence::outputs(&mut plan, &subject.held_out)?;
    let without = squared_errors(&outputs, &evidence.float)?;
    let with = squared_errors(&evidence.int8, &evidence.float)?;
    if without == with {
        let reason = "calibrated and data-free ranges give the same outputs".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    }
    let gain: Vec<f64> = without.iter().zip(&with).map(|(a, b)| a - b).collect();
    let (low, high) = mean_interval(&gain);
    let all = without.iter().sum::<f64>() / without.len().max(1) as f64 / 100.0;
    let reason = format!(
        "error {:.2} % calibrated, {:.2} % data-free; {:.1} to {:.1} % of the squared error saved \
         (95 % bootstrap)",
        compare::worst(&compare::errors(&evidence.int8, &evidence.float)?).1 * 100.0,
        compare::worst(&compare::errors(&outputs, &evidence.float)?).1 * 100.0,
        low / all,
        high / all,
    );
    // The smallest positive number as limit: an interval that touches 0 does not exclude it.
    Ok(Gate::at_least(ID, low / all, f64::MIN_POSITIVE, "% saved", reason))
}

/// Squared distance of every row of one output, or of every sample over several outputs, each as a share
/// of that output's square, since one may be in other units than the next.
fn squared_errors(got: &[Tensor], want: &[Tensor]) -> Result<Vec<f64>> {
    let square = |row: &[f32]| -> f64 { row.iter().map(|&v| f64::from(v).powi(2)).sum() };
    if let ([got], [want]) = (got, want) {
        let difference = got.sub(want)?.to_vec::<f32>()?;
        let row = got.shape().last_dim().max(1);
        return Ok(difference.chunks(row).map(square).collect());
    }
    let samples = want.first().map_or(0, |output| output.shape()[0]);
    let mut sums = vec![0.0; samples];
    let floats = |(_, want): &(&Tensor, &Tensor)| want.dtype() == Dtype::F32;
    for (got, want) in got.iter().zip(want).filter(floats) {
        let difference = got.sub(want)?.to_vec::<f32>()?;
        let whole = square(&want.to_vec::<f32>()?).max(f64::MIN_POSITIVE);
        let rows = difference.chunks((difference.len() / samples.max(1)).max(1));
        sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += square(row) / whole);
    }
    Ok(sums)
}

/// The 95 % interval of the mean, by resampling with a fixed seed (Efron, 1979).
fn mean_interval(values: &[f64]) -> (f64, f64) {
    let mut rng = Rng::seed(0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draws = (0..values.len()).map(|_| values[rng.below(values.len())]);
            draws.sum::<f64>() / values.len().max(1) as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_covers_the_mean_and_narrows_with_the_spread() {
        let wide: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let (low, high) = mean_interval(&wide);
        assert!(low < 4.5 && 4.5 < high && high - low < 2.0, "{low}..{high}");
        assert_eq!(mean_interval(&[3.0; 50]), (3.0, 3.0));
    }
}
