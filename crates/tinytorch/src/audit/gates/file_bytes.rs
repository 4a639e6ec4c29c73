//! Whether the file takes a quarter of the disk.

use crate::Result;
use crate::audit::{Evidence, Gate, GivenFile, Subject};
use crate::files::{FileDtype, Provenance, RESERVED_PREFIX, TensorFile};
use crate::quant::{QuantRecord, SeenRows};
use std::collections::BTreeSet;

/// Bytes that the header needs to name an int8 weight's scale and the scale and zero point of its input, and
/// to hold their checksums: 267 to 293 per weight in the files of the reference models.
const NAMES: usize = 320;

/// Bytes that say how the model was quantized, and from which floats: some 720 in the files of the reference
/// models, more where layers differ.
const RECORD: usize = 1024;

/// Bytes that a file of another form needs beside what one of tinytorch's own has, for the whole and for each weight: the nodes that say
/// how it is read, and its names once more.
const OTHER_FORM: usize = 4096;
const OTHER_FORM_OF_A_WEIGHT: usize = 1024;

/// The file takes a quarter of the disk.
///
/// Of a file in another form that was given, what it has more than that form needs counts too.
///
/// The int8 file counts as a whole but for the list of samples that it was calibrated on, the float file without tensors that are not the model's, such as the
/// state of a training. What int8 cannot shrink, the header and the biases, counts on both
/// sides of the bound, so that a small model is held to what is possible for it.
pub(crate) fn file_bytes(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let (float, int8) =
        (TensorFile::open(&evidence.files.float)?, TensorFile::open(&evidence.files.int8)?);
    let scale_of = |name: &str| format!("{name}_scale");
    // Zero points have eight bits too, and no scales.
    let weights: Vec<&str> = int8
        .tensors()
        .filter(|(name, info)| info.dtype == FileDtype::I8 && int8.contains(&scale_of(name)))
        .map(|(name, _)| name)
        .collect();
    let mut counted = Counted { weights: weights.len(), ..Counted::default() };
    for name in weights {
        counted.dense += float.info(name)?.bytes();
        let scales = int8.info(&scale_of(name))?;
        let zero_points = int8.info(&format!("{name}_zero_point"));
        let zero_points = zero_points.map_or(0, |zero_points| zero_points.bytes());
        counted.packed += int8.info(name)?.bytes() + scales.bytes() + zero_points;
        if let Ok(shift) = int8.info(&format!("{name}_shift")) {
            counted.packed += shift.bytes();
            counted.shifts += 1;
        }
        counted.blocks |= scales.dtype == FileDtype::F16;
    }
    let foreign_bytes = foreign(&float).map(|(_, bytes)| bytes).sum::<usize>();
    counted.float = float.file_bytes() - foreign_bytes;
    counted.int8 = int8.file_bytes();
    counted.equalized = equalized_bytes(&int8, &float);
    counted.told = int8.metadata().get(SeenRows::KEY).map_or(0, String::len);
    counted.given = subject.given_as[1].as_ref().map(GivenFile::bytes).transpose()?;
    let gate = counted.judged();
    let foreign = foreign(&int8)
        .map(|(name, bytes)| format!("; `{name}`, {bytes} bytes, is none of the model's"));
    let reason = std::iter::once(gate.reason.clone()).chain(foreign).collect();
    Ok(Gate { reason, ..gate })
}

/// What two files hold, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// The float file, without what is none of the model's.
    float: usize,
    /// The int8 file as a whole.
    int8: usize,
    /// The floats of which weights were made.
    dense: usize,
    /// These weights in int8, with their scales.
    packed: usize,
    /// How many weights these are.
    weights: usize,
    /// How many of them hold what is added to their channels.
    shifts: usize,
    /// What tells how channels were equalized.
    equalized: usize,
    /// The list of samples that calibrated the model.
    told: usize,
    /// The file in another form that was given.
    given: Option<usize>,
    /// Whether scales are those of blocks.
    blocks: bool,
}

impl Counted {
    fn judged(&self) -> Gate {
        let Counted { float, int8, dense, packed, weights, told, .. } = *self;
        let names = NAMES * (weights + self.shifts);
        let possible = float - dense + packed + names + RECORD + self.equalized;
        let limit = super::size_limit(self.blocks, float as f64 / possible.max(1) as f64);
        let room = OTHER_FORM + OTHER_FORM_OF_A_WEIGHT * weights;
        let more = self.given.map_or(0, |given| given.saturating_sub(int8 + room));
        let int8 = int8 - told + more;
        let ratio = float as f64 / int8.max(1) as f64;
        let mut reason =
            format!("{float} bytes in float, {int8} in int8; weights {dense} and {packed}");
        if more > 0 {
            reason.push_str(&format!("; {more} of the file that was given serve nothing"));
        }
        if told > 0 {
            reason.push_str(&format!("; {told} more tell which samples calibrated it"));
        }
        Gate::at_least("file_bytes", ratio, limit, "x smaller", reason)
    }
}

/// Bytes that tell by which powers of two channels were equalized, which `structure` applies to the float model: once for each weight,
/// and an exponent for each channel that it has.
fn equalized_bytes(int8: &TensorFile, float: &TensorFile) -> usize {
    let provenance = Provenance::from_entries(int8.metadata().clone()).ok();
    let record = provenance.and_then(|provenance| QuantRecord::read(&provenance).ok());
    let mut equalized = record.map(|record| record.equalized).unwrap_or_default();
    let mut told = BTreeSet::new();
    equalized.retain(|one| {
        let channels = float.info(&one.weight).ok().and_then(|info| info.shape.first().copied());
        channels == Some(one.exponents.len()) && told.insert(one.weight.clone())
    });
    match equalized.is_empty() {
        true => 0,
        // Quoted once more in the header.
        false => serde_json::to_string(&equalized)
            .and_then(|json| serde_json::to_string(&json))
            .map_or(0, |json| json.len()),
    }
}

/// Tensors that are none of the model's, and their bytes.
fn foreign(file: &TensorFile) -> impl Iterator<Item = (&str, usize)> {
    let tensors = file.tensors().filter(|(name, _)| name.starts_with(RESERVED_PREFIX));
    tensors.map(|(name, info)| (name, info.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    /// A hundred weights of 8 by 8 with a scale a row, in a file with this header of a weight and this record.
    fn small_weights(header: usize, record: usize) -> Counted {
        let (weights, dense, packed) = (100, 100 * 64 * 4, 100 * (64 + 8 * 4));
        let int8 = packed + weights * header + record;
        Counted { float: dense, int8, dense, packed, weights, ..Counted::default() }
    }

    fn result(counted: Counted) -> Outcome {
        counted.judged().result
    }

    /// 293 bytes is the most that a file of the reference models takes.
    #[test]
    fn a_header_may_name_each_weight_and_hold_no_more() {
        assert_eq!(result(small_weights(293, 720)), Outcome::Pass);
        assert_eq!(result(small_weights(320, 720)), Outcome::Pass);
        assert_eq!(result(small_weights(340, 720)), Outcome::Fail);
        // What is added to the channels of a weight has a name of its own.
        let shifted = |shifts, header| Counted { shifts, ..small_weights(header, 720) };
        assert_eq!(result(shifted(100, 2 * 293)), Outcome::Pass);
        assert_eq!(result(shifted(100, 2 * 340)), Outcome::Fail);
        assert_eq!(result(shifted(50, 2 * 293)), Outcome::Fail);
    }

    /// 720 bytes is what a file of the reference models says of how it was quantized.
    #[test]
    fn a_record_may_say_how_the_model_was_quantized_and_no_more() {
        let one = |record| {
            let (dense, packed) = (64 * 4, 64 + 8 * 4);
            let float = dense + 1000;
            let int8 = 1000 + packed + NAMES + record;
            Counted { float, int8, dense, packed, weights: 1, ..Counted::default() }
        };
        assert_eq!(result(one(720)), Outcome::Pass);
        assert_eq!(result(one(1024)), Outcome::Pass);
        assert_eq!(result(one(1100)), Outcome::Fail);
        assert_eq!(result(Counted { equalized: 76, ..one(1100) }), Outcome::Pass);
        assert_eq!(result(Counted { told: 76, ..one(1100) }), Outcome::Pass);
    }

    /// What a file of another form is longer than one of our own counts from where its nodes and names end.
    #[test]
    fn a_file_of_another_form_may_say_how_it_is_read_and_no_more() {
        let (dense, packed) = (4 << 20, 1 << 20);
        let own = packed + 10 * 280 + 720;
        let given = |more| {
            let given = Some(own + more);
            let counted = Counted { float: dense, int8: own, dense, packed, ..Counted::default() };
            Counted { weights: 10, given, ..counted }
        };
        let room = 4096 + 10 * 1024;
        for more in [0, room / 2, room] {
            assert!(!given(more).judged().reason.contains("serve nothing"), "{more}");
        }
        let told = given(room + 1).judged().reason;
        assert!(told.contains("; 1 of the file that was given serve nothing"), "{told}");
        // A tenth of the weights more, which nothing needs.
        assert_eq!(result(given(room)), Outcome::Pass);
        assert_eq!(result(given(room + packed / 10)), Outcome::Fail);
    }

    #[test]
    fn a_file_that_is_no_longer_than_it_must_be_passes() {
        let (dense, packed) = (4 << 20, (1 << 20) + 1024);
        let of = |int8, blocks| Counted {
            float: dense,
            int8,
            dense,
            packed,
            weights: 1,
            blocks,
            ..Counted::default()
        };
        // 3.9 times smaller, and 3.7 times in blocks.
        let [whole, blocks] = [3.9, 3.7].map(|times| (dense as f64 / times) as usize);
        assert_eq!(
            [whole, whole + 1].map(|int8| result(of(int8, false))),
            [Outcome::Pass, Outcome::Fail]
        );
        assert_eq!(
            [blocks, blocks + 1].map(|int8| result(of(int8, true))),
            [Outcome::Pass, Outcome::Fail]
        );
    }
}
