//! What was judged and how: enough to judge it again.

use super::{AuditError, AuditOptions, Budget, Evidence, GivenFile, HeldOut, Subject};
use crate::Result;
use crate::files::{FileError, TensorDigest, TensorFile, digest_params};
use crate::models::Model;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What was judged and how: enough to judge it again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Origins {
    /// The float model.
    pub float: ModelOrigin,
    /// The int8 model.
    pub int8: ModelOrigin,
    /// The samples that judge.
    pub data: DataOrigin,
    /// The samples that the ranges were calibrated on, if that is known.
    pub calibration_samples: Option<usize>,
    /// What the float model was trained on, by its own account.
    pub trained_on: Option<String>,
    /// The seed of everything that was drawn to make the models; `null` if the audit did not make them.
    pub seed: Option<u64>,
    /// The largest error of the outputs, in percent.
    pub max_error_percent: f64,
    /// How good the float model had to be, in the unit of its task; `null` if nothing was stated.
    pub float_floor: Option<f64>,
    /// The instruction set that the int8 model is deployed on.
    pub isa: &'static str,
    /// The instruction sets that it was run on.
    pub isas: Vec<&'static str>,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelOrigin {
    /// Its file; `null` if it was made by the program that audited it.
    pub file: Option<String>,
    /// Bytes of the file.
    pub file_bytes: Option<usize>,
    /// The SHA-256 of the file.
    pub file_sha256: Option<String>,
    /// Whether the file carries checksums, which it then agreed with.
    pub file_checksums: Option<bool>,
    /// The SHA-256 of the parameters, as [`digest_params`] gives it.
    pub params_sha256: String,
}

/// Where the samples that judge come from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DataOrigin {
    /// What they are called, if that was told.
    pub name: Option<String>,
    /// Which of the data they are, if that was told: `test part`.
    pub part: Option<String>,
    /// How many there are.
    pub samples: usize,
    /// The SHA-256 of inputs and targets, as [`digest_tensors`](crate::files::digest_tensors) gives it.
    pub sha256: String,
}

impl Origins {
    /// # Errors
    /// If a delivered file cannot be read any more.
    pub(super) fn of(
        subject: &Subject,
        evidence: &Evidence,
        budget: &Budget,
        options: &AuditOptions,
    ) -> Result<Origins> {
        let delivered = subject.delivered.as_ref();
        // What was fine-tuned is not in the float model's file, but in the audit's own.
        let float_file =
            delivered.filter(|_| subject.tuning.is_none()).map(|_| &evidence.files.float);
        let int8_file = delivered.map(|_| &evidence.files.int8);
        let of_model = |file: Option<&std::path::PathBuf>, model: &dyn Model, i: usize| {
            let origin = ModelOrigin::of(file.map(|file| file.as_path()), model)?;
            match &subject.given_as[i] {
                Some(given) if file.is_some() => origin.given_as(given),
                _ => Ok(origin),
            }
        };
        Ok(Origins {
            float: of_model(float_file, &*subject.float, 0)?,
            int8: of_model(int8_file, &*subject.int8, 1)?,
            data: DataOrigin::of(subject)?,
            calibration_samples: subject.seen.as_ref().map(|seen| seen.len()),
            trained_on: subject.trained_on.clone(),
            seed: subject.seed,
            max_error_percent: budget.max_error * 100.0,
            float_floor: budget.float_floor,
            isa: options.deployed.name(),
            isas: options.isas.iter().map(|isa| isa.name()).collect(),
        })
    }
}

impl ModelOrigin {
    fn of(file: Option<&Path>, model: &dyn Model) -> Result<ModelOrigin> {
        let params_sha256 = digest_params(model)?;
        let Some(path) = file else {
            return Ok(ModelOrigin { params_sha256, ..ModelOrigin::default() });
        };
        let read = |source| FileError::Read { path: path.to_path_buf(), source };
        let opened = TensorFile::open(path)?;
        Ok(ModelOrigin {
            file: Some(path.display().to_string()),
            file_bytes: Some(opened.file_bytes()),
            file_sha256: Some(digest_of(path).map_err(read)?),
            file_checksums: Some(opened.has_checksums()),
            params_sha256,
        })
    }

    /// The same parameters, in the file that was given.
    fn given_as(self, given: &GivenFile) -> Result<ModelOrigin> {
        let path = &given.path;
        let read = |source| FileError::Read { path: path.clone(), source };
        Ok(ModelOrigin {
            file: Some(path.display().to_string()),
            file_bytes: Some(given.bytes()?),
            file_sha256: Some(digest_of(path).map_err(read)?),
            file_checksums: None,
            ..self
        })
    }
}

impl DataOrigin {
    fn of(subject: &Subject) -> Result<DataOrigin> {
        let held_out = &subject.held_out;
        let (name, part) = subject.judged_on.clone().unzip();
        Ok(DataOrigin { name, part, samples: held_out.len(), sha256: digest_of_samples(held_out)? })
    }
}

/// The SHA-256 of all samples and their targets.
fn digest_of_samples(held_out: &HeldOut) -> Result<String> {
    /// Rows of a sample more or less that are read together.
    const ROWS: usize = 256;
    let mut digest = TensorDigest::default();
    for (i, input) in held_out.inputs().iter().enumerate() {
        let shape = input.shape();
        digest.begin(&format!("input {i}"), input.dtype(), &shape);
        let rows = shape.first().copied().unwrap_or(1);
        for start in (0..rows).step_by(ROWS) {
            digest.add(&input.rows(start..rows.min(start + ROWS))?)?;
        }
    }
    for (i, target) in held_out.targets().iter().enumerate() {
        digest.begin(&format!("target {i}"), target.dtype(), target.shape());
        digest.add(target)?;
    }
    Ok(digest.finish())
}

/// The samples as they were before an audit, where they may change meanwhile.
pub(super) struct Before(Option<String>);

impl Before {
    pub(super) fn of(held_out: &HeldOut) -> Result<Before> {
        Ok(Before(held_out.may_change().then(|| digest_of_samples(held_out)).transpose()?))
    }

    /// Makes sure that they are what they were.
    pub(super) fn is_as(&self, after: &DataOrigin) -> Result<()> {
        match &self.0 {
            Some(before) if *before != after.sha256 => Err(AuditError::SamplesChanged.into()),
            _ => Ok(()),
        }
    }
}

/// The SHA-256 of a file.
pub(super) fn digest_of(path: &Path) -> std::io::Result<String> {
    const CHUNK: usize = 1 << 20;
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            n => hash.update(&chunk[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_digest_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(&path).unwrap(), expected);
    }
}
