//! Whether a sample is answered alike alone and among others.

use crate::Result;
use crate::audit::steadiness::FLOAT_ACROSS_ISAS;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, compare, gate::listed, spread};
use crate::models::{compile, run};
use crate::tensor::{Dtype, Tensor};

const ID: &str = "batches";

/// Samples per pass that must give what passes of 64 give: alone, a pair, odd, beyond a tile, and more
/// than one pass of 64 in one.
const SIZES: [usize; 5] = [1, 2, 7, 33, 97];

/// Samples of one pass each, which give the same: what models are served in.
const ONCE: [usize; 8] = [3, 4, 5, 8, 16, 32, 128, 256];

/// Samples that are run in passes of one size, or one pass.
const FEW: usize = 64;

/// The int8 model gives every sample the same outputs, row by row, whatever the size of the pass: alone, in
/// twos, sevens, thirty-threes, sixty-fours and ninety-sevens, in passes of the sizes that models are served in, and
/// at the end of the data where a pass is not full. To the bit, or, where a model also computes in floats, as near as floats may be, and no row
/// further than rounding to int8 takes rows on average.
pub(crate) fn batches(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    if let Some(fixed) = subject.held_out.fixed() {
        let reason = format!("the model takes {fixed} samples in a pass and no other number");
        return Ok(Gate::not_applicable(ID, reason));
    }
    let mut plan = compile(&*subject.int8, &subject.held_out.first(1)?)?.on(options.deployed);
    of_passes(subject, evidence, |batch| run(&mut plan, batch))
}

/// [`batches`] of whatever answers as the int8 model does, which takes any number of samples.
pub(crate) fn of_passes(
    subject: &Subject,
    evidence: &Evidence,
    mut pass: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Gate> {
    let held_out = &subject.held_out;
    let errors = compare::errors(&evidence.int8, &evidence.float)?;
    let (mut faults, mut passes, mut furthest) = (Vec::new(), 0usize, 0.0f64);
    let sizes = SIZES.iter().copied().filter(|&size| size <= held_out.len());
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for size in sizes {
        let end = FEW.max(size).min(held_out.len());
        starts
            .extend((0..end).step_by(size).map(|start| (start, size.min(held_out.len() - start))));
    }
    let once = ONCE.into_iter().filter(|&size| size <= held_out.len());
    starts.extend(once.map(|size| (0, size)));
    // The last samples, which were judged in a pass that was not full, in one that is.
    starts.extend((held_out.len() > FEW).then(|| (held_out.len() - FEW, FEW)));
    for (start, size) in starts {
        let outputs = pass(&held_out.batch(start, size)?)?;
        passes += 1;
        for ((output, judged), error) in outputs.iter().zip(&evidence.int8).zip(&errors) {
            let expected = judged.slice(0, start..start + size)?;
            if compare::same_bits(output, &expected)? {
                continue;
            }
            let (row, distance) = worst_row(output, &expected, judged)?;
            furthest = furthest.max(distance);
            if compare::exceeds(distance, error.max(FLOAT_ACROSS_ISAS)) {
                faults.push(format!(
                    "sample {} is {:.2} % off in a pass of {size}",
                    start + row,
                    distance * 100.0
                ));
            }
        }
    }
    let how = match furthest {
        0.0 => "to the bit".to_string(),
        furthest => format!("the furthest row is {:.4} % off", furthest * 100.0),
    };
    let checked = format!(
        "{passes} passes of {} samples, once of {}, and of the last 64 give the rows that passes of 64 give, {how}",
        listed(&SIZES),
        listed(&ONCE)
    );
    Ok(Gate::no_faults(ID, &faults, "faults", checked))
}

/// The sample that is furthest from what is expected, as a share of what the rows of all samples differ by.
fn worst_row(output: &Tensor, expected: &Tensor, all: &Tensor) -> Result<(usize, f64)> {
    if output.dtype() != Dtype::F32 || output.shape() != expected.shape() {
        return Ok((0, f64::NAN));
    }
    let mut spread = spread::Spread::default();
    spread.add(all)?;
    let samples = all.shape()[0].max(1) as f64;
    let typical = match spread.around_means() {
        0.0 => spread.size(),
        differ => differ,
    } / samples.sqrt();
    let mut distances = Vec::with_capacity(expected.shape()[0]);
    for row in 0..expected.shape()[0] {
        let part = |t: &Tensor| t.slice(0, row..row + 1);
        let squared = spread::squared_distance(&part(output)?, &part(expected)?)?;
        distances.push(squared.sqrt() / typical);
    }
    Ok(compare::worst(&distances))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::HeldOut;
    use crate::audit::Outcome::{Fail, Pass};
    use crate::autograd::Var;
    use crate::models::{Architecture, MlpConfig};
    use crate::nn::Init;
    use crate::quant::{QuantConfig, quantize_model};
    use crate::{Rng, Tensor};

    /// A row may be as far off in another pass as rounding to int8 takes rows on average, and no further.
    #[test]
    fn a_row_may_be_as_far_off_as_the_error_of_the_model() {
        let config = MlpConfig { inputs: 6, hidden: vec![16], outputs: 3 };
        let float = Architecture::Mlp(config).build(&mut Init::seed(1)).unwrap();
        let mut int8 = float.clone();
        let samples = Tensor::randn([40, 6], 1.0, &mut Rng::seed(2)).unwrap();
        let config = QuantConfig::default().knowingly();
        quantize_model(&mut *int8, [Ok(Var::from(&samples))], &config).unwrap();
        let held_out = HeldOut::new([samples], []).unwrap();
        let subject = Subject::new("m", &*float, &*int8, held_out).unwrap();
        let evidence = Evidence::gather(&subject, &AuditOptions::default()).unwrap();
        let error = compare::errors(&evidence.int8, &evidence.float).unwrap()[0];
        let mut all = spread::Spread::default();
        all.add(&evidence.int8[0]).unwrap();
        let typical = all.around_means() / 40f64.sqrt();
        let mut plan = compile(&*subject.int8, &subject.held_out.first(1).unwrap()).unwrap();
        let mut judged = |among: usize, times: f64| {
            let off = (times * error * typical) as f32;
            of_passes(&subject, &evidence, |batch| {
                let outputs = run(&mut plan, batch)?;
                let mut values = outputs[0].to_vec::<f32>()?;
                if batch[0].shape()[0] == among {
                    values[0] += off;
                }
                Ok(vec![Tensor::from_vec(values, *outputs[0].shape())?])
            })
            .unwrap()
        };
        // Passes of many, a sample alone, and the 5 that 7 leave of 40.
        for among in SIZES.into_iter().chain(ONCE).filter(|&among| among <= 40).chain([5]) {
            assert_eq!(judged(among, 0.98).result, Pass, "{among}");
            let gate = judged(among, 1.02);
            assert_eq!(gate.result, Fail, "{among}");
            assert!(gate.reason.contains(&format!("in a pass of {among}")), "{}", gate.reason);
        }
        assert_eq!(judged(34, 10.0).result, Pass, "no pass has 34 samples");
    }
}
