//! Digests of models and data.

use super::entry::{Entry, file_dtype};
use super::{FileDtype, params};
use crate::Result;
use crate::nn::Module;
use crate::tensor::{Dtype, Shape, Tensor};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The SHA-256 of named tensors, in hexadecimal: of their names, element types, shapes and bytes, in
/// the order given.
///
/// # Errors
/// None in practice; reading a tensor is fallible in general.
pub fn digest_tensors<S: AsRef<str>>(tensors: &[(S, Tensor)]) -> Result<String> {
    let entries = tensors.iter().map(|(name, tensor)| Entry::tensor(name.as_ref(), tensor));
    Ok(digest(&entries.collect::<Result<Vec<_>>>()?))
}

/// The SHA-256 of everything that a file of the module would store as tensors, in declaration order:
/// equal for a module that was saved and loaded again, int8 weights included.
///
/// # Errors
/// [`AutogradError::NotLoaded`](crate::autograd::AutogradError::NotLoaded) for a parameter without
/// values.
pub fn digest_params(module: &dyn Module) -> Result<String> {
    let named = module.named_params();
    let mut entries = Vec::new();
    for (name, param) in &named {
        entries.extend(params::entries(name, param)?);
    }
    Ok(digest(&entries))
}

/// Every part of variable length is preceded by its length, so that no two lists of tensors look
/// alike to the hash.
fn digest(entries: &[Entry<'_>]) -> String {
    let mut hash = Hash(Sha256::new());
    for entry in entries {
        hash.begin(&entry.name, entry.dtype, &entry.shape);
        // A hash takes every byte, and entries hold what they were checked to hold when made.
        entry.write(&mut hash).expect("a hash can be written to");
    }
    hash.finish()
}

/// What [`digest_tensors`] gives, of tensors whose rows come part by part.
pub(crate) struct TensorDigest(Hash);

impl Default for TensorDigest {
    fn default() -> TensorDigest {
        TensorDigest(Hash(Sha256::new()))
    }
}

impl TensorDigest {
    /// The next tensor.
    pub(crate) fn begin(&mut self, name: &str, dtype: Dtype, shape: &Shape) {
        self.0.begin(name, file_dtype(dtype), shape);
    }

    /// More of its rows.
    ///
    /// # Errors
    /// None in practice; reading a tensor is fallible in general.
    pub(crate) fn add(&mut self, rows: &Tensor) -> Result<()> {
        // A hash takes every byte, and an entry holds what it was checked to hold when made.
        Entry::tensor("", rows)?.write(&mut self.0).expect("a hash can be written to");
        Ok(())
    }

    /// The digest of all of them.
    pub(crate) fn finish(self) -> String {
        self.0.finish()
    }
}

struct Hash(Sha256);

impl Hash {
    fn begin(&mut self, name: &str, dtype: FileDtype, shape: &Shape) {
        self.count(name.len());
        self.0.update(name.as_bytes());
        let dtype = dtype.to_string();
        self.count(dtype.len());
        self.0.update(dtype);
        self.count(shape.rank());
        shape.iter().for_each(|&d| self.count(d));
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn count(&mut self, n: usize) {
        self.0.update((n as u64).to_le_bytes());
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
