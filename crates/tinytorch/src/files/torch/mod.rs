//! State dicts that `torch.save` has written: a ZIP archive of a pickle, which says what the tensors are, and of
//! their bytes. Nothing in it is executed: the pickle is read by a machine that knows tensors, dictionaries and
//! plain values, and refuses any other object by its name.

mod error;
mod pickle;
mod state;

pub use error::TorchError;

use super::header::Header;
use super::random_access::RandomAccess;
use super::tensor_info::TensorInfo;
use super::zip::{self, Member, ZipError};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

/// The tensors of an archive, whose ranges are those of its own bytes. `None` for a ZIP archive of another kind.
///
/// # Errors
/// [`TorchError`] for an archive that is damaged or holds anything but a state dict of plain tensors.
pub(super) fn header(file: &RandomAccess) -> Result<Option<Header>, TorchError> {
    let members = zip::members(file).map_err(archive)?;
    let Some((folder, pickle)) = pickle(&members) else { return Ok(None) };
    let find = |name: String| members.iter().find(|member| member.name == name);
    let pickle = content(pickle, file)?;
    if let Some(order) = find(format!("{folder}byteorder"))
        && content(order, file)? != b"little"
    {
        return Err(TorchError::ByteOrder);
    }
    let storages = storages(&members, folder);
    let mut tensors: Vec<(String, TensorInfo)> = Vec::new();
    let mut index = HashMap::new();
    for tensor in state::tensors(&pickle)? {
        let Some(storage) = storages.get(tensor.storage.as_str()) else {
            return Err(TorchError::NoStorage { tensor: tensor.name, storage: tensor.storage });
        };
        let storage = storage.stored(file).map_err(archive)?;
        let bytes = tensor.bytes(storage.len())?;
        let range = storage.start + bytes.start..storage.start + bytes.end;
        if index.insert(tensor.name.clone(), tensors.len()).is_some() {
            return Err(TorchError::Twice { tensor: tensor.name });
        }
        tensors.push((tensor.name, TensorInfo { dtype: tensor.dtype, shape: tensor.shape, range }));
    }
    let metadata = BTreeMap::new();
    Ok(Some(Header { metadata, checksums: None, tensors, index, data_start: 0 }))
}

/// The folder of the archive that holds all members, with a slash behind it, and its pickle.
fn pickle(members: &[Member]) -> Option<(&str, &Member)> {
    let mut found = members.iter().filter_map(|member| {
        let folder = member.name.strip_suffix("data.pkl")?;
        (folder.ends_with('/') && folder.matches('/').count() == 1).then_some((folder, member))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The members that hold bytes of tensors, by the names that the pickle has for them.
fn storages<'m>(members: &'m [Member], folder: &str) -> HashMap<&'m str, &'m Member> {
    let name = |member: &'m Member| member.name.strip_prefix(folder)?.strip_prefix("data/");
    members.iter().filter_map(|member| Some((name(member)?, member))).collect()
}

/// All of a small member, whose checksum is verified.
fn content(member: &Member, file: &RandomAccess) -> Result<Vec<u8>, TorchError> {
    member.stored(file).map_err(archive)?;
    let mut bytes = Vec::new();
    let read = member.content(file).map_err(archive)?.read_to_end(&mut bytes);
    read.map_err(|error| archive(error.into()))?;
    Ok(bytes)
}

fn archive(problem: ZipError) -> TorchError {
    TorchError::Archive { problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
