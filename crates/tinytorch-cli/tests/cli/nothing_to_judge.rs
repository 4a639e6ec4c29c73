//! Models and data of which nothing can be told: one sentence says so, and what was there stays as it was.

use crate::between_layers::two_layers;
use crate::onnx::node;
use crate::support::Bench;
use serde_json::Value;
use std::path::Path;
use tinytorch::data::{write_npy, write_npz};
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::proto::NodeProto;

/// Two layers of good weights with these steps between, and data; both commands find files of before.
fn bench(between: &[NodeProto]) -> Bench {
    let bench = Bench::new();
    bench.write("m.onnx", &two_layers(between, &[]).0);
    for (file, seed) in [("calibrate.npz", 1), ("judge.npz", 2)] {
        let x = Tensor::randn([64, 8], 1.0, &mut Rng::seed(seed)).unwrap();
        write_npz(bench.path(file), &[("x", &x)]).unwrap();
    }
    bench.write("before.safetensors", b"a model");
    std::fs::create_dir(bench.path("audit-report")).unwrap();
    bench.write("audit-report/report.json", b"a report");
    bench
}

fn sound() -> Bench {
    let bench = bench(&[node("Relu", &["a"], &["b"])]);
    bench.good("quantize m.onnx --calibrate calibrate.npz --out q.safetensors");
    bench
}

/// Logarithms and roots of what is negative, and nothing divided by nothing.
#[test]
fn a_model_of_good_weights_may_give_no_numbers() {
    let steps: [&[NodeProto]; 3] = [
        &[node("Log", &["a"], &["b"])],
        &[node("Sqrt", &["a"], &["b"])],
        &[node("Relu", &["a"], &["r"]), node("Div", &["r", "r"], &["b"])],
    ];
    for between in steps {
        let bench = bench(between);
        for budget in ["", " --max-error 1%"] {
            let line = bench.refused(&format!(
                "quantize m.onnx --calibrate calibrate.npz{budget} --out before.safetensors --force"
            ));
            assert!(line.contains("`second` is NaN") && line.contains("check the"), "{line}");
        }
        // What needs no sample meets no value.
        bench.good("quantize m.onnx --activations dynamic --out q.safetensors");
        let line = bench.refused("audit m.onnx q.safetensors --data judge.npz --no-latency");
        let told = "the float model gives NaN or infinity in `y` for sample 0";
        assert!(line.starts_with(told) && line.contains("check its weights"), "{line}");
    }
}

#[test]
fn data_that_are_no_numbers_are_refused() {
    let bench = sound();
    let mut x = Tensor::randn([64, 8], 1.0, &mut Rng::seed(4)).unwrap().to_vec::<f32>().unwrap();
    x[7 * 8 + 3] = f32::NAN;
    write_npz(bench.path("nan.npz"), &[("x", &Tensor::from_vec(x, [64, 8]).unwrap())]).unwrap();
    let line =
        bench.refused("quantize m.onnx --calibrate nan.npz --out before.safetensors --force");
    assert!(line.contains("`first` is NaN") && line.contains("check the data"), "{line}");
    let line = bench.refused("audit m.onnx q.safetensors --data nan.npz --no-latency");
    assert!(line.contains("`y` for sample 7") && line.contains("inputs"), "{line}");
}

/// They show no range, and no error either: an audit says so, blames no part of a sound model, and does not pass it.
#[test]
fn data_that_are_all_the_same_tell_nothing() {
    let bench = sound();
    for number in [0.0, 1.0] {
        let x = Tensor::full(number, [64, 8]).unwrap();
        write_npz(bench.path("same.npz"), &[("x", &x)]).unwrap();
        let line =
            bench.refused("quantize m.onnx --calibrate same.npz --out before.safetensors --force");
        assert!(line.starts_with(&format!("every value of same.npz is {number}")), "{line}");
        assert!(line.contains("calibrate with inputs that the model will meet"), "{line}");

        let output = bench
            .run("audit m.onnx q.safetensors --data same.npz --no-latency --max-error 5% --json");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let gates = report["models"][0]["gates"].as_array().unwrap();
        let of = |id: &str| gates.iter().find(|gate| gate["id"] == id).unwrap();
        assert!(gates.iter().all(|gate| gate["result"] != "fail"), "{report}");
        let (error, told) = (of("output_error"), "the same output for every sample");
        assert_eq!(error["result"], "unknown", "{error}");
        assert!(error["reason"].as_str().unwrap().contains(told), "{error}");
        assert_ne!(of("calibration")["result"], "pass");
    }
}

#[test]
fn a_metric_or_a_floor_without_labels_is_refused() {
    let bench = sound();
    let x = Tensor::randn([64, 8], 1.0, &mut Rng::seed(5)).unwrap();
    write_npy(bench.path("judge.npy"), &x).unwrap();
    for data in ["judge.npz", "judge.npy"] {
        let audit = format!("audit m.onnx q.safetensors --data {data} --no-latency");
        let line = bench.refused(&format!("{audit} --metric top-1"));
        assert!(line.contains(data) && line.contains("no labels"), "{line}");
        assert!(line.contains("add an array `labels`"), "{line}");
        let line = bench.refused(&format!("{audit} --float-floor 90%"));
        assert!(line.contains("--float-floor") && line.contains("`labels`"), "{line}");
    }
}

/// A detector of speech with two states, and its int8 form, which notes them.
fn speech() -> Bench {
    let data = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let bench = Bench::new();
    bench.write("m.onnx", &std::fs::read(data("vad_lstm.onnx")).unwrap());
    let mut frames = tinytorch::data::Npz::open(data("vad.npz")).unwrap();
    for part in ["calibrate", "judge"] {
        let frames = frames.read(part).unwrap().slice(0, 0..64).unwrap().contiguous().unwrap();
        write_npz(bench.path(&format!("{part}.npz")), &[("frame", &frames)]).unwrap();
    }
    let frames = frames.read("judge").unwrap();
    let of = |sizes: [usize; 3]| Tensor::zeros(sizes).unwrap();
    let whole = Tensor::full(0i64, [1, 1, 24]).unwrap();
    for (file, name, state) in [
        ("wide.npz", "h", &of([1, 1, 25])),
        ("two.npz", "h", &of([2, 1, 24])),
        ("whole.npz", "c", &whole),
    ] {
        write_npz(bench.path(file), &[("frame", &frames), (name, state)]).unwrap();
    }
    bench.good(
        "quantize m.onnx --calibrate calibrate.npz --state hn=h --state cn=c --out q.safetensors",
    );
    std::fs::create_dir(bench.path("audit-report")).unwrap();
    bench.write("audit-report/report.json", b"a report");
    bench
}

#[test]
fn an_audit_refuses_a_state_that_does_not_match() {
    let bench = speech();
    for (args, expected) in [
        ("judge.npz --state hn=h", "--state OUTPUT=c"),
        ("judge.npz --state speech=h --state cn=c", "`speech` is f32 [1, 1] and cannot become"),
        ("judge.npz --state hx=h --state cn=c", "no output `hx`; its outputs are"),
        ("judge.npz --state hn=x --state cn=c", "no input `x`; its inputs are"),
        ("judge.npz --state hn=h --state cn=h", "fed by two"),
        ("judge.npz --state h", "such as hn=h"),
        ("judge.npz --metric top-1", "steps of a sequence do not have"),
        ("wide.npz", "`h`"),
        ("two.npz", "`h`"),
        ("whole.npz", "`c` of whole.npz is of type i64"),
        ("digits", "holds no steps of a sequence"),
    ] {
        let line = bench.refused(&format!("audit m.onnx q.safetensors --no-latency --data {args}"));
        assert!(line.contains(expected), "{args}: {line}");
    }
}

#[test]
fn a_budget_that_nothing_meets_leaves_what_was_there() {
    let bench = sound();
    let output = bench.run(
        "quantize m.onnx --calibrate calibrate.npz --max-error 0.00001% --out before.safetensors --force",
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("nothing was saved; allow a larger --max-error"), "{told}");
    assert_eq!(bench.read("before.safetensors"), b"a model");
}
