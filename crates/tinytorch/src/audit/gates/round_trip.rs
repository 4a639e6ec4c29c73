use crate::Result;
use crate::audit::{Evidence, Gate, Subject, evidence};
use crate::io::{IoError, Provenance, digest_params, digest_tensors, load_model, save_model};
use crate::models::Model;
use std::path::Path;

/// Saving and loading changes neither a bit of the model nor a bit of what it computes.
pub(crate) fn round_trip(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let unwritable = |source| IoError::Write { path: std::env::temp_dir(), source };
    let folder = tempfile::tempdir().map_err(unwritable)?;
    let (first, second) =
        (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    let provenance = Provenance::default();
    save_model(&first, &*subject.int8, &provenance)?;
    let loaded: Box<dyn Model> = load_model(&first)?.model;
    save_model(&second, &*loaded, &provenance)?;

    let mut faults = Vec::new();
    if digest_params(&*loaded)? != digest_params(&*subject.int8)? {
        faults.push("the loaded parameters differ from the saved ones".to_string());
    }
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| IoError::Read { path: path.to_path_buf(), source })
    };
    if read(&first)? != read(&second)? {
        faults.push("saving the loaded model gives another file".to_string());
    }
    let outputs = evidence::outputs(&*loaded, subject.held_out.inputs(), None)?;
    if digest_tensors(&[("y", outputs)])? != digest_tensors(&[("y", evidence.int8.clone())])? {
        faults.push("the loaded model gives other outputs".to_string());
    }
    let checked = "save, load, save: the same parameters, file and outputs, to the bit".to_string();
    Ok(Gate::no_faults("round_trip", &faults, "faults", checked))
}
