//! What is no classifier: models with a state over a sequence, and outputs that are held against each other by what
//! they are for. The models and ONNX Runtime's outputs are written by `scripts/onnx_judge_fixtures.py`.

use crate::support::{Bench, one_line};
use serde_json::Value;
use std::path::Path;
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

fn gate(bench: &Bench, args: &str, id: &str) -> Value {
    let output = bench.run(&format!("{args} --no-latency --json"));
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args}: {output:?}"));
    let gates = report["models"][0]["gates"].as_array().unwrap();
    gates
        .iter()
        .find(|gate| gate["id"] == id)
        .unwrap_or_else(|| panic!("no {id}: {gates:?}"))
        .clone()
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
        bench.good(&format!("import m.onnx --out f.safetensors"));
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
        let args = "audit m.onnx q.safetensors --data judge.npz --max-error 3%";
        let judged = gate(&bench, args, "sequence");
        assert_eq!(judged["result"], "pass", "{judged}");
        let reason = judged["reason"].as_str().unwrap();
        assert!(reason.starts_with("640 steps with `hn` to `h`"), "{reason}");
        assert!(reason.contains("`speech`") && reason.contains("in the last"), "{reason}");
        for id in ["output_error", "unseen", "structure", "determinism", "round_trip"] {
            let judged = gate(&bench, args, id);
            assert_eq!(judged["result"], "pass", "{kind}, {id}: {judged}");
        }
        let tight = gate(&bench, &args.replace("3%", "0.0001%"), "sequence");
        assert_eq!(tight["result"], "fail");
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
fn outputs_are_held_against_each_other_by_what_they_are_for() {
    let bench = boxes();
    bench.good("quantize m.onnx --calibrate calibrate.npz --out q.safetensors");
    let audit = "audit m.onnx q.safetensors --data judge.npz --max-error 20%";
    let boxes = gate(&bench, &format!("{audit} --metric boxes --metric-blank none"), "likeness");
    let reason = boxes["reason"].as_str().unwrap();
    assert!(reason.contains("mean IoU of boxes") && reason.contains("96 samples"), "{reason}");
    assert!(boxes["value"].as_f64().unwrap() > 0.9 && boxes["limit"] == 0.97, "{boxes}");
    let other = format!("{audit} --metric boxes --metric-outputs boxes,scores --metric-blank none");
    assert_eq!(gate(&bench, &other, "likeness")["value"], boxes["value"]);

    let cosine = format!("{audit} --metric cosine --metric-limit 0.5 --metric-outputs scores");
    let cosine = gate(&bench, &cosine, "likeness");
    assert_eq!((&cosine["result"], &cosine["limit"]), (&"pass".into(), &0.5.into()), "{cosine}");

    // 1 where the two files are the same, and 0.5 else.
    let own = "case $(cmp -s $1 $2; echo $?) in 0) echo 1;; *) echo 0.5;; esac;:";
    bench.write("own.sh", own.as_bytes());
    let command = |words: &str, more: &str| {
        let mut command = bench.command(&format!("{audit} {more} --no-latency --json --metric"));
        command.arg(format!("command={words}")).output().unwrap()
    };
    let output = command("sh own.sh", "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gates = report["models"][0]["gates"].as_array().unwrap();
    let own = gates.iter().find(|gate| gate["id"] == "likeness").unwrap();
    assert_eq!((&own["result"], &own["value"]), (&"fail".into(), &0.5.into()), "{own}");
    assert_eq!(own["limit"], 0.99);
    let failing = one_line(&command("sh nowhere.sh", "").stderr);
    assert!(failing.contains("nowhere.sh") && failing.contains("no number"), "{failing}");

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
fn channels_are_equalized_where_that_pays_and_the_audit_sees_through_it() {
    let bench = boxes();
    let quantize = "quantize m.onnx --calibrate calibrate.npz --max-error 5% --out q.safetensors";
    let told = bench.json(quantize);
    assert_eq!(told["ladder"]["within"], true, "{}", told["ladder"]);
    let equalized = told["equalized"].as_array().unwrap();
    assert!(equalized.iter().any(|one| one["exponents"].as_array().unwrap().contains(&6.into())));
    let audit = "audit m.onnx q.safetensors --data judge.npz --max-error 5%";
    for id in ["structure", "output_error", "determinism", "round_trip", "coverage"] {
        let judged = gate(&bench, audit, id);
        assert_eq!(judged["result"], "pass", "{id}: {judged}");
    }
    let reason = gate(&bench, audit, "structure")["reason"].to_string();
    assert!(reason.contains("equalized"), "{reason}");
}
