//! Audits of a program's own models: of every kind of task, of two inputs, after a fine-tuning in int8,
//! and with probes that do not answer. Each sound model passes every gate, and a planted fault fails the
//! right one.

#[path = "audit_own/several.rs"]
mod several;
#[path = "audit_own/state.rs"]
mod state;
#[path = "audit_own/support.rs"]
mod support;
#[path = "audit_own/tasks.rs"]
mod tasks;
#[path = "audit_own/tuned.rs"]
mod tuned;

use several::{TwoHeads, image_text};
use std::io::Write;
use std::time::{Duration, Instant};
use support::{
    INPUTS, Net, OUTPUTS, WITHOUT, assert_passed, clouds, dynamic, int8_of, judge, probe, randn,
    subject, trained, turn,
};
use tinytorch::CountingAllocator;
use tinytorch::audit::{
    AuditOptions, Budget, HeldOut, ModelFiles, Outcome, Probe, Subject, audit_model,
};
use tinytorch::files::{Provenance, digest_params, save_model};
use tinytorch::models::{Kinds, Rebuild};
use tinytorch::nn::Init;
use tinytorch::quant::QuantRecord;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe() {
    // The test runner has begun a line of its own.
    println!();
    std::io::stdout().flush().unwrap();
    assert!(Probe::serve(&Kinds::built_in().with::<Net>().with::<TwoHeads>()).unwrap().is_none());
}

#[test]
#[cfg(target_os = "linux")]
fn an_own_struct_passes_every_gate() {
    let _turn = turn();
    let (inputs, labels) = clouds(400, 3);
    let (subject, _) = subject(&trained(), &[inputs], labels);
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    let budget = Budget { max_error: 0.05, float_floor: Some(95.0) };
    let report = audit_model(&subject, &budget, &options).unwrap();
    assert_passed(&report, &["unseen", "calibration"]);
    assert_eq!(report.architecture, serde_json::json!({ "architecture": "net" }));
}

#[test]
fn an_own_struct_in_files_is_opened_by_its_kinds() {
    let _turn = turn();
    let float = trained();
    let (inputs, labels) = clouds(400, 3);
    let (int8, report) = int8_of(&float, std::slice::from_ref(&inputs), &dynamic());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let float_sha256 = Some(digest_params(&float).unwrap());
    let mut provenance = Provenance { float_sha256, ..Provenance::default() };
    QuantRecord::new(&dynamic(), &report).write(&mut provenance).unwrap();
    save_model(path("float"), &float, &Provenance::default()).unwrap();
    save_model(path("int8"), &int8, &provenance).unwrap();
    assert!(ModelFiles::open(path("float"), path("int8")).is_err());
    let kinds = Kinds::built_in().with::<Net>();
    let files = ModelFiles::open_with(path("float"), path("int8"), &kinds).unwrap();
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let report = judge(&files.judged_by(held_out).unwrap(), &AuditOptions::default());
    assert_passed(&report, &WITHOUT);
}

#[test]
#[cfg(unix)]
fn a_probe_that_does_not_answer_leaves_the_other_gates_standing() {
    let _turn = turn();
    let (inputs, labels) = clouds(400, 3);
    let (subject, _) = subject(&trained(), &[inputs], labels);
    let shell = |script: &str| Probe {
        limit: Duration::from_millis(300),
        ..Probe::new("sh", ["-c".to_string(), script.to_string()])
    };
    let cases = [
        (shell("sleep 60"), "has not answered"),
        (shell("echo out of luck >&2; exit 3"), "out of luck"),
        (shell("true"), "no report"),
        (Probe::new("/no/such/program", []), "cannot start"),
    ];
    for (probe, part) in cases {
        let started = Instant::now();
        let options = AuditOptions { probe: Some(probe), ..AuditOptions::default() };
        let report = judge(&subject, &options);
        assert!(started.elapsed() < Duration::from_secs(50), "it has waited for the probe");
        for gate in &report.gates {
            let expected = match gate.id {
                "process_memory" | "no_f32_copy" => Outcome::Unknown,
                "unseen" | "calibration" => Outcome::NotApplicable,
                _ => Outcome::Pass,
            };
            assert_eq!(gate.result, expected, "{}: {}", gate.id, gate.reason);
            assert!(expected != Outcome::Unknown || gate.reason.contains(part), "{}", gate.reason);
        }
        assert_eq!(report.verdict, Outcome::Fail, "what is unknown never passes");
    }
}

#[test]
fn models_that_were_not_made_from_each_other_are_refused() {
    let net = Net::build(&(), &mut Init::seed(1)).unwrap();
    let held_out = HeldOut::new([randn(&[4, INPUTS], 1)], [randn(&[4, OUTPUTS], 2)]).unwrap();
    let error = Subject::new("two kinds", &net, &image_text(), held_out).err().unwrap();
    assert!(error.to_string().contains("image-text"), "{error}");
    assert!(HeldOut::new([], []).is_err());
    assert!(HeldOut::new([randn(&[4, 1], 1)], [randn(&[3, 1], 2)]).is_err());
}
