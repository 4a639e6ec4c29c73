//! Digests of models and data.

use super::entry::Entry;
use super::params;
use crate::Result;
use crate::nn::Module;
use crate::tensor::Tensor;
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
        hash.count(entry.name.len());
        hash.0.update(entry.name.as_bytes());
        let dtype = entry.dtype.to_string();
        hash.count(dtype.len());
        hash.0.update(dtype);
        hash.count(entry.shape.rank());
        entry.shape.iter().for_each(|&d| hash.count(d));
        // A hash takes every byte, and entries hold what they were checked to hold when made.
        entry.write(&mut hash).expect("a hash can be written to");
    }
    hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Hash(Sha256);

impl Hash {
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
