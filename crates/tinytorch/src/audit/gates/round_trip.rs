//! Whether saving and loading changes anything.

use crate::Result;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, compare, passes};
use crate::files::{FileError, Loaded, digest_params, load_as, save_model};
use crate::models::compile;
use crate::nn::Init;
use std::path::Path;

/// Saving and loading changes neither a bit of the model nor a bit of what it computes.
pub(crate) fn round_trip(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    const ID: &str = "round_trip";
    let first = &evidence.files.int8;
    let built =
        load_as(first, &|description| subject.int8.rebuild(description, &mut Init::absent()));
    let Loaded { model: loaded, provenance } = match built {
        Ok(loaded) => loaded,
        Err(error) => {
            let faults = [format!("the saved model cannot be loaded: {error}")];
            return Ok(Gate::no_faults(ID, &faults, "faults", String::new()));
        }
    };
    let second = &evidence.files.own("again.safetensors");
    save_model(second, &*loaded, &provenance)?;

    let mut faults = Vec::new();
    if digest_params(&*loaded)? != digest_params(&*subject.int8)? {
        faults.push("the loaded parameters differ from the saved ones".to_string());
    }
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| FileError::Read { path: path.to_path_buf(), source })
    };
    if read(first)? != read(second)? {
        faults.push("saving the loaded model gives another file".to_string());
    }
    let held_out = &subject.held_out;
    let mut plan = compile(&*loaded, &held_out.first(1)?)?.on(options.deployed);
    if !compare::all_same_bits(&passes::outputs(&mut plan, held_out)?, &evidence.int8)? {
        faults.push("the loaded model gives other outputs".to_string());
    }
    let checked = "save, load, save: the same parameters, file and outputs, to the bit".to_string();
    Ok(Gate::no_faults(ID, &faults, "faults", checked))
}
