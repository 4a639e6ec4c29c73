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
