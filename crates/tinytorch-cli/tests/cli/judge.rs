//! What is no classifier: models with a state over a sequence, and outputs that are held against each other by what
//! they are for. The models and ONNX Runtime's outputs are written by `scripts/onnx_judge_fixtures.py`.

use crate::support::{Bench, one_line};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use tinytorch::data::{Npz, write_npz};
use tinytorch::{Rng, Tensor};

const LSTM: &str = "--state hn=h --state cn=c";
const GRU: &str = "--state hn=h";

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn array(file: &Path, name: &str) -> Tensor {
    Npz::open(file).unwrap().read(name).unwrap()
}

/// A folder with a detector of speech in `m.onnx`, and frames to calibrate with and to judge by.
fn speech(kind: &str) -> Bench {
    let bench = Bench::new();
    bench.write("m.onnx", &std::fs::read(data(&format!("vad_{kind}.onnx"))).unwrap());
    for part in ["calibrate", "judge"] {
        let frames = array(&data("vad.npz"), part);
        write_npz(bench.path(&format!("{part}.npz")), &[("frame", &frames)]).unwrap();
    }
    bench
}

/// A folder with a detector of boxes in `m.onnx`, and noisy pictures.
fn boxes() -> Bench {
    let bench = Bench::new();
    bench.write("m.onnx", &std::fs::read(data("boxes.onnx")).unwrap());
    for (part, seed) in [("calibrate", 1), ("judge", 2)] {
        let images = Tensor::rand([96, 3, 32, 32], 0.0, 1.0, &mut Rng::seed(seed)).unwrap();
        write_npz(bench.path(&format!("{part}.npz")), &[("image", &images)]).unwrap();
    }
    bench
}

/// The gates of an audit by their names.
fn gates(bench: &Bench, args: &str) -> BTreeMap<String, Value> {
    let output = bench.run(&format!("{args} --no-latency --json"));
    gates_in(&output)
}

fn gates_in(output: &Output) -> BTreeMap<String, Value> {
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let gates = report["models"][0]["gates"].as_array().unwrap();
    gates.iter().map(|gate| (gate["id"].as_str().unwrap().to_string(), gate.clone())).collect()
}

#[test]
fn a_state_is_fed_back_as_onnx_runtime_does() {
    for (kind, states) in [("lstm", LSTM), ("gru", GRU)] {
        let bench = speech(kind);
        bench.good(&format!("run m.onnx --input judge.npz {states} --out o.npz"));
        let got = array(&bench.path("o.npz"), "speech").to_vec::<f32>().unwrap();
        let want = array(&data("vad.npz"), kind).to_vec::<f32>().unwrap();
        assert_eq!(got.len(), want.len());
        let furthest = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(furthest < 1e-5, "{kind}: {furthest}");
        let first = got[1].to_bits();
        bench.good("import m.onnx --out f.safetensors");
        bench.good(&format!("run f.safetensors --input judge.npz {states} --out o.npz"));
        assert_eq!(
            array(&bench.path("o.npz"), "speech").to_vec::<f32>().unwrap()[1].to_bits(),
            first
        );
    }
}

#[test]
fn a_detector_of_speech_is_judged_over_a_sequence() {
    for (kind, states) in [("lstm", LSTM), ("gru", GRU)] {
        let bench = speech(kind);
        let told = bench.json(&format!(
            "quantize m.onnx --calibrate calibrate.npz --samples 600 {states} --max-error 3% --out q.safetensors"
        ));
        assert_eq!(told["ladder"]["within"], true, "{told}");
        assert_eq!(told["ladder"]["held_out_samples"], 150);
        assert_eq!(told["calibration_samples"], 600);
        // The file notes what is fed back.
        let judged = gates(&bench, "audit m.onnx q.safetensors --data judge.npz --max-error 3%");
        let reason = judged["sequence"]["reason"].as_str().unwrap();
        assert!(reason.starts_with("640 steps with `hn` to `h`"), "{reason}");
        assert!(reason.contains("`speech`") && reason.contains("in the last"), "{reason}");
        for id in ["sequence", "output_error", "structure", "determinism", "round_trip"] {
            assert_eq!(judged[id]["result"], "pass", "{kind}, {id}: {}", judged[id]);
        }
        // The error of the sequence is more than the largest that is allowed here.
        let least = judged["sequence"]["value"].as_f64().unwrap() / 2.0;
        let tight = format!("audit m.onnx q.safetensors --data judge.npz --max-error {least}%");
        assert_eq!(gates(&bench, &tight)["sequence"]["result"], "fail");
    }
}

#[test]
fn a_state_that_does_not_match_is_refused_and_nothing_is_written() {
    let bench = speech("lstm");
    let frames = array(&bench.path("judge.npz"), "frame");
    let state = Tensor::zeros([2, 1, 24]).unwrap();
    write_npz(bench.path("state.npz"), &[("frame", &frames), ("h", &state)]).unwrap();
    let none = frames.slice(0, 0..0).unwrap().contiguous().unwrap();
    write_npz(bench.path("none.npz"), &[("frame", &none)]).unwrap();
    for (args, expected) in [
        ("--calibrate judge.npz", "--state OUTPUT=h"),
        ("--calibrate judge.npz --state hn=h", "--state OUTPUT=c"),
        ("--calibrate judge.npz --state speech=h --state cn=c", "`speech`"),
        ("--calibrate judge.npz --state hx=h --state cn=c", "no output `hx`"),
        ("--calibrate judge.npz --state hn=x --state cn=c", "no input `x`"),
        ("--calibrate judge.npz --state hn=h --state cn=h", "fed by two"),
        ("--calibrate judge.npz --state hn=h --state cn=c --state speech=frame", "every input"),
        ("--calibrate judge.npz --state h", "--state"),
        ("--calibrate state.npz --state hn=h --state cn=c", "`h`"),
        ("--calibrate none.npz --state hn=h --state cn=c", "`frame` holds 0 rows"),
        ("--state hn=h --state cn=c", "--calibrate"),
    ] {
        let line = bench.refused(&format!("quantize m.onnx {args} --out q.safetensors"));
        assert!(line.contains(expected), "{args}: {line}");
    }
}

#[test]
fn a_model_whose_outputs_are_no_numbers_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    bench.write("m.onnx", &std::fs::read(data("nan.onnx")).unwrap());
    for (part, seed) in [("calibrate", 1), ("judge", 2)] {
        let x = Tensor::randn([64, 8], 1.0, &mut Rng::seed(seed)).unwrap();
        write_npz(bench.path(&format!("{part}.npz")), &[("x", &x)]).unwrap();
    }
    for budget in ["", " --max-error 1%"] {
        let line = bench.refused(&format!(
            "quantize m.onnx --calibrate calibrate.npz{budget} --out q.safetensors"
        ));
        assert!(line.contains("NaN") && line.contains("float model"), "{line}");
        assert!(!bench.path("q.safetensors").exists());
    }
    // What needs no sample meets no output.
    bench.good("quantize m.onnx --activations dynamic --out q.safetensors");
    let output = bench.run("audit m.onnx q.safetensors --data judge.npz --no-latency");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let line = one_line(&output.stderr);
    assert!(line.contains("`y`") && line.contains("sample 0"), "{line}");
    assert!(!bench.path("audit-report").exists());
}

#[test]
fn a_search_tells_its_cost_and_ends_when_its_time_is_over() {
    let bench = boxes();
    let quantize = "quantize m.onnx --calibrate calibrate.npz --max-error 0.5%";
    let told = String::from_utf8(bench.run(&format!("{quantize} --out q.safetensors")).stdout);
    let told = told.unwrap();
    assert!(told.starts_with("the search takes ") && told.contains(" passes of a batch"), "{told}");
    let output =
        bench.run(&format!("{quantize} --search-seconds 0 --best --out q.safetensors --json"));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ladder"]["interrupted"], true);
    assert_eq!(told["ladder"]["models_tried"], 1);
    assert!(told["ladder"]["planned"]["passes"].as_u64().unwrap() > 0);
    assert!(bench.path("q.safetensors").exists());
    let errors = told["ladder"]["errors"].as_object().unwrap();
    assert!(errors.contains_key("boxes") && errors.contains_key("scores"), "{errors:?}");
    let line = bench.refused(&format!("{quantize} --search-seconds x --out o.safetensors"));
    assert!(line.contains("seconds"), "{line}");
}

#[test]
fn a_metric_that_does_not_fit_is_refused() {
    let bench = boxes();
    bench.good("quantize m.onnx --calibrate calibrate.npz --out q.safetensors");
    let audit = "audit m.onnx q.safetensors --data judge.npz";
    for (metric, expected) in [
        ("top-1", "no labels"),
        ("characters --metric-outputs text", "boxes, scores"),
        ("boxes --metric-outputs boxes", "2 outputs"),
        ("bleu", "command=WORDS"),
    ] {
        let line = one_line(&bench.run(&format!("{audit} --metric {metric}")).stderr);
        assert!(line.contains(expected), "{metric}: {line}");
    }
}

#[test]
fn outputs_are_held_against_each_other_by_what_they_are_for() {
    let bench = boxes();
    bench.good("quantize m.onnx --calibrate calibrate.npz --out q.safetensors");
    let audit = "audit m.onnx q.safetensors --data judge.npz --max-error 20%";
    let by_boxes = "--metric boxes --metric-outputs boxes,scores --metric-blank none";
    let boxes = &gates(&bench, &format!("{audit} {by_boxes}"))["likeness"];
    let reason = boxes["reason"].as_str().unwrap();
    assert!(reason.contains("mean IoU of boxes") && reason.contains("over 96 samples"), "{reason}");
    let value = boxes["value"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&value) && boxes["limit"] == 0.97, "{boxes}");

    // 1 where the two files are the same, and 0.5 else.
    bench.write("own.sh", b"if cmp -s $1 $2; then echo 1; else echo 0.5; fi");
    let command = |words: &str| {
        let mut command = bench.command(&format!("{audit} --no-latency --json --metric"));
        command.arg(format!("command={words}")).output().unwrap()
    };
    let own = &gates_in(&command("sh own.sh"))["likeness"];
    assert_eq!((&own["result"], &own["value"]), (&"fail".into(), &0.5.into()), "{own}");
    assert_eq!(own["limit"], 0.99);
    let failing = one_line(&command("sh nowhere.sh").stderr);
    assert!(failing.contains("nowhere.sh") && failing.contains("no number"), "{failing}");
}

/// A detector whose channels were brought to one range within the budget.
fn equalized() -> Bench {
    let bench = boxes();
    let quantize = "quantize m.onnx --calibrate calibrate.npz --max-error 5% --out q.safetensors";
    let told = bench.json(quantize);
    assert_eq!(told["ladder"]["within"], true, "{}", told["ladder"]);
    let equalized = told["equalized"].as_array().unwrap();
    assert!(equalized.iter().any(|one| one["exponents"].as_array().unwrap().contains(&6.into())));
    bench
}

#[test]
fn channels_are_equalized_where_that_pays() {
    equalized();
}

#[test]
fn an_audit_sees_through_equalized_channels() {
    let bench = equalized();
    let audit = "audit m.onnx q.safetensors --data judge.npz --max-error 5%";
    let judged = gates(&bench, audit);
    for id in ["structure", "output_error", "determinism", "round_trip"] {
        assert_eq!(judged[id]["result"], "pass", "{id}: {}", judged[id]);
    }
    let reason = judged["structure"]["reason"].to_string();
    assert!(reason.contains("equalized"), "{reason}");
}
