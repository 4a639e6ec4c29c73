use crate::Result;
use crate::audit::{Evidence, Gate};
use crate::io::TensorFile;

/// Bytes that the header needs to name an int8 weight's scale and the scale and zero point of its input:
/// 243 to 269 per weight in the files of the reference models.
const NAMES: usize = 320;

/// The file takes a quarter of the disk.
///
/// The whole files are compared. What int8 cannot shrink, the header and the biases, counts on both
/// sides of the bound, so that a small model is held to what is possible for it.
pub(crate) fn file_bytes(evidence: &Evidence) -> Result<Gate> {
    let (float, int8) =
        (TensorFile::open(&evidence.files.float)?, TensorFile::open(&evidence.files.int8)?);
    let weights: Vec<&str> = int8
        .tensors()
        .filter(|(_, info)| info.dtype == crate::io::FileDtype::I8)
        .map(|(name, _)| name)
        .collect();
    let (mut dense, mut packed, mut blocks, names) = (0, 0, false, NAMES * weights.len());
    for name in weights {
        dense += float.info(name)?.bytes();
        let scales = int8.info(&format!("{name}_scale"))?;
        packed += int8.info(name)?.bytes() + scales.bytes();
        blocks |= scales.dtype == crate::io::FileDtype::F16;
    }
    let possible = float.file_bytes() - dense + packed + names;
    let limit = super::size_limit(blocks, float.file_bytes() as f64 / possible.max(1) as f64);
    let ratio = float.file_bytes() as f64 / int8.file_bytes().max(1) as f64;
    let reason = format!(
        "{} bytes in float, {} in int8; weights {dense} and {packed}",
        float.file_bytes(),
        int8.file_bytes()
    );
    Ok(Gate::at_least("file_bytes", ratio, limit, "x smaller", reason))
}
