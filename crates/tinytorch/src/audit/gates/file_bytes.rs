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
    let room = OTHER_FORM + OTHER_FORM_OF_A_WEIGHT * weights.len();
    let (mut dense, mut packed, mut blocks, mut names) = (0, 0, false, NAMES * weights.len());
    for name in weights {
        dense += float.info(name)?.bytes();
        let scales = int8.info(&scale_of(name))?;
        let zero_points = int8.info(&format!("{name}_zero_point"));
        let zero_points = zero_points.map_or(0, |zero_points| zero_points.bytes());
        packed += int8.info(name)?.bytes() + scales.bytes() + zero_points;
        if let Ok(shift) = int8.info(&format!("{name}_shift")) {
            packed += shift.bytes();
            names += NAMES;
        }
        blocks |= scales.dtype == FileDtype::F16;
    }
    let float_bytes = float.file_bytes() - foreign(&float).map(|(_, bytes)| bytes).sum::<usize>();
    let record = RECORD + equalized_bytes(&int8, &float);
    let possible = float_bytes - dense + packed + names + record;
    let limit = super::size_limit(blocks, float_bytes as f64 / possible.max(1) as f64);
    let told = int8.metadata().get(SeenRows::KEY).map_or(0, String::len);
    let given = subject.given_as[1].as_ref().map(GivenFile::bytes).transpose()?;
    let more = given.map_or(0, |given| given.saturating_sub(int8.file_bytes() + room));
    let int8_bytes = int8.file_bytes() - told + more;
    let ratio = float_bytes as f64 / int8_bytes.max(1) as f64;
    let mut reason =
        format!("{float_bytes} bytes in float, {int8_bytes} in int8; weights {dense} and {packed}");
    if more > 0 {
        reason.push_str(&format!("; {more} of the file that was given serve nothing"));
    }
    if told > 0 {
        reason.push_str(&format!("; {told} more tell which samples calibrated it"));
    }
    for (name, bytes) in foreign(&int8) {
        reason.push_str(&format!("; `{name}`, {bytes} bytes, is none of the model's"));
    }
    Ok(Gate::at_least("file_bytes", ratio, limit, "x smaller", reason))
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
