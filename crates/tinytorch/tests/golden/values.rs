//! What a model gave, as names and short texts that can be kept in a file and compared.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tinytorch::Tensor;
use tinytorch::tensor::Dtype;

/// Digits of a digest that are kept: 128 of the 256 bits keep the files half as large.
const DIGITS: usize = 32;

/// Values by name: digests, numbers, or lines of text.
#[derive(Debug, Default)]
pub(crate) struct Values(pub(crate) BTreeMap<String, Value>);

impl Values {
    /// The digest of one tensor.
    pub(crate) fn tensor(&mut self, name: &str, tensor: &Tensor) {
        let mut digest = Digester::default();
        digest.tensor(tensor);
        self.put(name, digest.finish());
    }

    /// The digest of several tensors with their names.
    pub(crate) fn tensors(&mut self, name: &str, tensors: &[(String, Tensor)]) {
        let mut digest = Digester::default();
        for (name, tensor) in tensors {
            digest.text(name);
            digest.tensor(tensor);
        }
        self.put(name, digest.finish());
    }

    /// The digest of bytes.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let mut digest = Digester::default();
        digest.0.update(bytes);
        self.put(name, digest.finish());
    }

    /// The digest of lines whose text would be too long to keep.
    pub(crate) fn digest_of_lines(&mut self, name: &str, lines: &[String]) {
        self.bytes(name, lines.join("\n").as_bytes());
    }

    /// A digest that was made elsewhere.
    pub(crate) fn digest(&mut self, name: &str, digest: &str) {
        self.put(name, digest[..DIGITS].to_string());
    }

    /// A number, to its last bit.
    pub(crate) fn number(&mut self, name: &str, number: f64) {
        self.put(name, exact(number));
    }

    /// A short text.
    pub(crate) fn put(&mut self, name: &str, text: impl Into<String>) {
        self.insert(name, Value::String(text.into()));
    }

    /// Lines of text.
    pub(crate) fn lines(&mut self, name: &str, lines: Vec<String>) {
        self.insert(name, lines.into());
    }

    fn insert(&mut self, name: &str, value: Value) {
        let before = self.0.insert(name.to_string(), value);
        assert!(before.is_none(), "two values are named `{name}`");
    }
}

/// The shortest decimal that is read back as the same number.
pub(crate) fn exact(number: f64) -> String {
    format!("{number:?}")
}

#[derive(Default)]
struct Digester(Sha256);

impl Digester {
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn tensor(&mut self, tensor: &Tensor) {
        let dims = tensor.shape().to_vec();
        self.0.update((dims.len() as u64).to_le_bytes());
        dims.iter().for_each(|&d| self.0.update((d as u64).to_le_bytes()));
        match tensor.dtype() {
            Dtype::F32 => {
                tensor.to_vec::<f32>().unwrap().iter().for_each(|v| self.0.update(v.to_le_bytes()));
            }
            Dtype::I64 => {
                tensor.to_vec::<i64>().unwrap().iter().for_each(|v| self.0.update(v.to_le_bytes()));
            }
            other => panic!("a golden value of {other:?}"),
        }
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).take(DIGITS / 2).collect()
    }
}
