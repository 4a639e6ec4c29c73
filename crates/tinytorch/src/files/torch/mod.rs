//! State dicts that `torch.save` has written: a ZIP archive of a pickle, which says what the tensors are, and of
//! their bytes. Nothing in it is executed: the pickle is read by a machine that knows tensors, dictionaries and
//! plain values, and refuses any other object by its name.

mod archive;
mod error;
mod pickle;
mod state;

pub use error::TorchError;

use super::header::Header;
use super::tensor_info::TensorInfo;
use archive::Archive;
use std::collections::{BTreeMap, HashMap};

/// The tensors of an archive, whose ranges are those of its own bytes. `None` for a ZIP archive of another kind.
///
/// # Errors
/// [`TorchError`] for an archive that is damaged or holds anything but a state dict of plain tensors.
pub(super) fn header(file: &[u8]) -> Result<Option<Header>, TorchError> {
    let archive = Archive::open(file)?;
    let Some((folder, pickle)) = archive.pickle() else { return Ok(None) };
    let pickle = archive.checked(pickle)?;
    if let Some(order) = archive.find(&format!("{folder}byteorder"))
        && archive.bytes(order) != b"little"
    {
        return Err(TorchError::ByteOrder);
    }
    let mut tensors: Vec<(String, TensorInfo)> = Vec::new();
    let mut index = HashMap::new();
    for tensor in state::tensors(pickle)? {
        let Some(member) = archive.find(&format!("{folder}data/{}", tensor.storage)) else {
            return Err(TorchError::NoStorage { tensor: tensor.name, storage: tensor.storage });
        };
        let bytes = tensor.bytes(member.data.len())?;
        let range = member.data.start + bytes.start..member.data.start + bytes.end;
        if index.insert(tensor.name.clone(), tensors.len()).is_some() {
            return Err(TorchError::Twice { tensor: tensor.name });
        }
        tensors.push((tensor.name, TensorInfo { dtype: tensor.dtype, shape: tensor.shape, range }));
    }
    let metadata = BTreeMap::new();
    Ok(Some(Header { metadata, checksums: None, tensors, index, data_start: 0 }))
}

#[cfg(test)]
mod tests;
