use crate::Result;
use crate::audit::{Evidence, Gate, Means, Subject, compare, evidence};
use crate::files::{FileError, Loaded, digest_params, load_model, save_model};
use crate::plan::Plan;
use std::path::Path;

/// Saving and loading changes neither a bit of the model nor a bit of what it computes.
pub(crate) fn round_trip(subject: &Subject, evidence: &Evidence, means: &Means) -> Result<Gate> {
    let first = &evidence.files.int8;
    let Loaded { model: loaded, provenance } = load_model(first)?;
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
    let inputs = subject.held_out.inputs();
    let mut plan = Plan::compile(&*loaded, &inputs.slice(0, 0..1)?)?.on(means.deployed);
    if !compare::same_bits(&evidence::outputs(&mut plan, inputs)?, &evidence.int8)? {
        faults.push("the loaded model gives other outputs".to_string());
    }
    let checked = "save, load, save: the same parameters, file and outputs, to the bit".to_string();
    Ok(Gate::no_faults("round_trip", &faults, "faults", checked))
}
