use std::collections::BTreeMap;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::files::{TensorFile, write_tensors};
use tinytorch::tensor::Element;

/// The tensors and the metadata of a file, to be changed at will.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

impl Contents {
    pub(crate) fn read(path: &Path) -> Contents {
        let file = TensorFile::open(path).unwrap();
        let tensors = file.tensors().map(|(name, _)| (name.into(), file.tensor(name).unwrap()));
        Contents { tensors: tensors.collect(), metadata: file.metadata().clone() }
    }

    pub(crate) fn write(&self, path: &Path) {
        write_tensors(path, &self.tensors, &self.metadata).unwrap();
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Tensor {
        let found = self.tensors.iter_mut().find(|(n, _)| n == name);
        &mut found.unwrap_or_else(|| panic!("there is no {name}")).1
    }

    pub(crate) fn values<T: Element>(&mut self, name: &str) -> Vec<T> {
        self.tensor(name).to_vec().unwrap()
    }

    /// Changes the values of a tensor, which keeps its shape.
    pub(crate) fn change<T: Element>(&mut self, name: &str, change: impl FnOnce(&mut [T])) {
        let tensor = self.tensor(name);
        let mut values = tensor.to_vec::<T>().unwrap();
        change(&mut values);
        *tensor = Tensor::from_vec(values, *tensor.shape()).unwrap();
    }

    /// Exchanges everything that begins with one layer's name for what begins with the other's.
    pub(crate) fn swap_layers(&mut self, a: &str, b: &str) {
        for (name, _) in &mut self.tensors {
            let renamed = match (name.strip_prefix(a), name.strip_prefix(b)) {
                (Some(rest), _) => format!("{b}{rest}"),
                (_, Some(rest)) => format!("{a}{rest}"),
                _ => continue,
            };
            *name = renamed;
        }
    }

    /// Takes one entry out of the metadata.
    pub(crate) fn forget(&mut self, key: &str) {
        self.metadata.remove(key).unwrap_or_else(|| panic!("there is no {key}"));
    }

    /// Adds an entry to the metadata.
    pub(crate) fn note(&mut self, key: &str, text: String) {
        self.metadata.insert(key.to_string(), text);
    }

    /// Replaces one entry of the metadata by another text.
    pub(crate) fn rewrite(&mut self, key: &str, rewrite: impl FnOnce(&str) -> String) {
        let entry = self.metadata.get_mut(key).unwrap_or_else(|| panic!("there is no {key}"));
        *entry = rewrite(entry);
    }
}
