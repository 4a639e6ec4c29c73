//! The audit, audited: each test plants one fault in a sound model, and the audit has to fail the right
//! gate and to name the layer or tensor at fault.

mod planted;

use planted::models::{Impostor, Instead};
use planted::{Stage, audit, audit_with, probe};
use std::io::BufRead;
use std::ops::Range;
use std::sync::OnceLock;
use tinytorch::audit::Outcome;
use tinytorch::models::Kinds;
use tinytorch::nn::Init;
use tinytorch::profile::process::{ProbeRequest, run, run_with};
use tinytorch_kernels::os::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn request() -> ProbeRequest {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe() {
    // The test runner has begun a line of its own.
    println!("\n{}", serde_json::to_string(&run(&request(), &Kinds::built_in()).unwrap()).unwrap());
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_of_floats() {
    let frame = |description: &str| {
        let model = Kinds::built_in().build(description, &mut Init::absent())?;
        Ok(Impostor::boxed(model, Instead::Cache(OnceLock::new())))
    };
    println!("\n{}", serde_json::to_string(&run_with(&request(), &frame).unwrap()).unwrap());
}

/// A program that falls back to the floats that lie beside the int8 file.
#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_the_float_model() {
    let mut request = request();
    request.file.set_file_name("float.safetensors");
    println!("\n{}", serde_json::to_string(&run(&request, &Kinds::built_in()).unwrap()).unwrap());
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_floats_for_every_pass() {
    let frame = |description: &str| {
        let model = Kinds::built_in().build(description, &mut Init::absent())?;
        Ok(Impostor::boxed(model, Instead::Copies))
    };
    println!("\n{}", serde_json::to_string(&run_with(&request(), &frame).unwrap()).unwrap());
}

/// Answers with a model that keeps floats once a pass has so many samples.
fn answer_with_a_cache_among(samples: Range<usize>) {
    let frame = |description: &str| {
        let model = Kinds::built_in().build(description, &mut Init::absent())?;
        Ok(Impostor::boxed(model, Instead::CacheAmong(samples.clone(), OnceLock::new())))
    };
    println!("\n{}", serde_json::to_string(&run_with(&request(), &frame).unwrap()).unwrap());
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_for_small_passes() {
    answer_with_a_cache_among(2..17);
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_for_large_passes() {
    answer_with_a_cache_among(32..usize::MAX);
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_for_very_large_passes() {
    answer_with_a_cache_among(65..usize::MAX);
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_from_the_50th_pass_on() {
    let frame = |description: &str| {
        let model = Kinds::built_in().build(description, &mut Init::absent())?;
        Ok(Impostor::boxed(model, Instead::CacheAfter(50)))
    };
    println!("\n{}", serde_json::to_string(&run_with(&request(), &frame).unwrap()).unwrap());
}

#[test]
fn a_sound_model_passes_every_gate() {
    let stage = Stage::enter();
    // Written again by the editor of files, so that what tests find is not the editing.
    let report = audit_with(&stage.mlp().edited(|_| ()), &probe("answer_a_probe"));
    for gate in &report.gates {
        assert_eq!(gate.result, Outcome::Pass, "{}: {}", gate.id, gate.reason);
    }
    assert_eq!(report.verdict, Outcome::Pass);
}

#[test]
fn sound_models_fail_no_gate() {
    let stage = Stage::enter();
    for base in [stage.mlp(), stage.cnn(), stage.gpt()] {
        let subject = base.edited(|_| ());
        for gate in audit(&subject).gates {
            assert_ne!(gate.result, Outcome::Fail, "{}: {}", gate.id, gate.reason);
        }
    }
}
