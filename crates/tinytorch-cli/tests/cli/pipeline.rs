//! From data to a verdict: train, quantize, eval, run, inspect, audit.

use crate::support::{AUDIT, Bench};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tinytorch::Tensor;
use tinytorch::data::{digits, read_npy, write_npy, write_npz};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn fraction(value: &Value) -> f64 {
    let fraction = value.as_f64().unwrap();
    assert!((0.0..=1.0).contains(&fraction), "{fraction}");
    fraction
}

#[test]
fn a_trained_and_quantized_model_passes_its_audit() {
    let bench = Bench::with_models();
    let float = bench.json("eval m.safetensors --data digits");
    let int8 = bench.json("eval q.safetensors --data digits");
    assert_eq!(keys(&float), ["accuracy", "data", "file", "loss", "part", "samples"]);
    assert_eq!((&float["samples"], &float["part"]), (&json!(600), &json!("test")));
    assert!(fraction(&float["accuracy"]) >= 0.95, "{float}");
    assert!(fraction(&int8["accuracy"]) >= fraction(&float["accuracy"]) - 0.01, "{int8}");

    let report = bench.json(AUDIT);
    assert_eq!(report["models"][0]["verdict"], "pass", "{report:#}");
    let written: Value = serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
    assert_eq!(written["models"][0]["gates"], report["models"][0]["gates"]);
    assert_eq!(keys(&written), ["command", "date", "machine", "models", "tool"]);
    let origins = &written["models"][0]["origins"];
    assert_eq!(origins["int8"]["file"], "q.safetensors");
    assert_eq!(origins["int8"]["file_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&origins["data"]["name"], &origins["data"]["part"]),
        (&json!("digits"), &json!("test part"))
    );
    assert_eq!(
        (&origins["data"]["samples"], &origins["max_error_percent"]),
        (&json!(600), &json!(1.0))
    );
    assert_eq!(written["command"][1], "audit");
}

#[test]
fn an_audit_ends_in_its_verdict_and_tells_systems_that_gate_on_it() {
    let bench = Bench::with_models();
    let printed = bench.good(&format!("{AUDIT} --junit a.xml --github"));
    let last = printed.lines().last().unwrap();
    assert_eq!(last, "verdict: q pass");
    let wide = |line: &&str| line.chars().count() > 80 && !line.starts_with("::");
    assert_eq!(printed.lines().find(wide), None, "readable at 80 columns");
    assert!(printed.contains("data     600 samples of digits, test part, sha256"), "{printed}");
    assert!(
        printed.contains("::notice title=q::q pass") && !printed.contains("::error"),
        "{printed}"
    );
    let xml = String::from_utf8(bench.read("a.xml")).unwrap();
    assert!(
        xml.contains("<testsuite name=\"q\"") && xml.contains("failures=\"0\" errors=\"0\""),
        "{xml}"
    );

    bench.write("before.json", &bench.read("audit-report/report.json"));
    let again = bench.good(&format!("{AUDIT} --baseline before.json"));
    assert!(again.contains(": 0 moved"), "{again}");
    assert!(bench.refused(&format!("{AUDIT} --baseline m.safetensors")).contains("no report"));

    let failed = bench.run(&format!("{AUDIT} --junit a.xml --github --max-error 0.01%"));
    assert_eq!(failed.status.code(), Some(1));
    let printed = String::from_utf8(failed.stdout).unwrap();
    assert!(printed.contains("What would help"), "{printed}");
    assert_eq!(printed.lines().last().unwrap(), "verdict: q fail (failed: output_error)");
    assert!(printed.contains("::error title=q%3A output_error failed::"), "{printed}");
    let xml = String::from_utf8(bench.read("a.xml")).unwrap();
    assert!(xml.contains("failures=\"1\"") && xml.contains("<failure message=\""), "{xml}");
}

#[test]
fn a_language_model_goes_the_same_way() {
    let bench = Bench::new();
    let told =
        bench.json("train --model talks-gpt --data tinytalks --epochs 1 --out m.safetensors");
    assert_eq!((&told["samples"], &told["data"]), (&json!(41), &json!("tinytalks")));
    bench.good("quantize m.safetensors --out q.safetensors");
    let perplexity = |file: &str| {
        let scores = bench.json(&format!("eval {file} --data tinytalks"));
        assert_eq!((&scores["samples"], &scores["part"]), (&json!(40), &json!("test")));
        scores["perplexity"].as_f64().unwrap()
    };
    let (float, int8) = (perplexity("m.safetensors"), perplexity("q.safetensors"));
    assert!(float < 30.0 && int8 <= 1.01 * float, "{float}, {int8}");

    let audit = "audit m.safetensors q.safetensors --data tinytalks --no-latency --float-floor 30";
    bench.run(audit);
    let report: Value = serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
    let model = &report["models"][0];
    assert_eq!(model["task"], "language-model");
    for gate in model["gates"].as_array().unwrap() {
        let id = gate["id"].as_str().unwrap();
        let expected = if ["calibration", "unseen"].contains(&id) { "n/a" } else { "pass" };
        // A model this fresh is of two minds about many tokens.
        let is_open = ["agreement", "classes"].contains(&id);
        assert!(gate["result"] == expected || is_open, "{gate:#}");
    }
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let bench = Bench::new();
    let train = "train --model digits-mlp --data digits --epochs 1 --out";
    bench.good(&format!("{train} a.safetensors --seed 3"));
    bench.good(&format!("{train} b.safetensors --seed 3"));
    bench.good(&format!("{train} c.safetensors --seed 4"));
    assert_eq!(bench.read("a.safetensors"), bench.read("b.safetensors"));
    assert_ne!(bench.read("a.safetensors"), bench.read("c.safetensors"));
}

#[test]
fn training_tells_every_epoch() {
    let bench = Bench::new();
    let told = bench.json(
        "train --model digits-mlp --data digits --epochs 2 --optimizer sgd --lr 0.1 \
         --batch-size 32 --augment crop,flip --out m.safetensors",
    );
    let expected = ["accuracy", "data", "epochs", "file", "loss", "model", "parameters", "samples"];
    assert_eq!(keys(&told), expected);
    assert_eq!(told["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(told["epochs"][1]["valid"]["accuracy"], told["accuracy"]);
    assert!(fraction(&told["accuracy"]) > 0.1);
}

#[test]
fn a_file_is_listed_with_every_tensor() {
    let bench = Bench::with_models();
    let contents = bench.json("inspect q.safetensors");
    assert_eq!(keys(&contents), ["bytes", "file", "metadata", "tensors", "totals"]);
    let tensors = contents["tensors"].as_array().unwrap();
    let weight = tensors.iter().find(|tensor| tensor["name"] == "layers.0.weight").unwrap();
    let expected = json!({
        "name": "layers.0.weight", "dtype": "I8", "shape": [128, 64], "bytes": 8192
    });
    assert_eq!(*weight, expected);
    let bytes: u64 = tensors.iter().map(|tensor| tensor["bytes"].as_u64().unwrap()).sum();
    assert_eq!(contents["totals"]["bytes"], bytes);
    assert_eq!(contents["totals"]["tensors"], tensors.len());
    let architecture = contents["metadata"]["architecture"].as_str().unwrap();
    assert!(architecture.contains("mlp"), "{architecture}");
    assert!(bench.good("inspect q.safetensors").contains("layers.0.weight"));
}

#[test]
fn a_budget_is_kept_by_raising_layers_and_passes_its_audit() {
    let bench = Bench::with_model();
    let within = "quantize m.safetensors --calibrate digits --out q.safetensors --max-error";
    let ladder = &bench.json(&format!("{within} 50%"))["ladder"];
    assert_eq!((&ladder["within"], &ladder["raised"]), (&json!(true), &json!({})), "{ladder:#}");

    let fastest = fraction(&ladder["fastest_error"]);
    // On the way to a budget that the fastest rung misses, means are corrected first.
    let report = bench.json(&format!("{within} {}", 0.95 * fastest));
    let corrected = fraction(&report["ladder"]["fastest_error"]);
    assert!(corrected <= fastest, "{report:#}");
    let budget = 0.95 * corrected;
    let report = bench.json(&format!("{within} {budget}"));
    let ladder = &report["ladder"];
    let expected = [
        "batch",
        "error",
        "errors",
        "fastest_error",
        "held_out_samples",
        "interrupted",
        "max_error",
        "models_tried",
        "planned",
        "prices",
        "raised",
        "seconds",
        "time_of_fastest",
        "time_of_float",
        "within",
    ];
    assert_eq!(keys(ladder), expected);
    assert!(fraction(&ladder["error"]) <= budget, "{ladder:#}");
    assert_eq!(fraction(&ladder["fastest_error"]), corrected, "{ladder:#}");
    let patterns = report["config"]["patterns"].as_array().unwrap().iter();
    let raised: BTreeMap<_, _> = patterns.map(|p| (p[0].as_str().unwrap(), &p[1])).collect();
    assert_eq!(ladder["raised"], json!(raised));
    assert_eq!(keys(&ladder["prices"]).len(), 3, "each layer has its prices: {ladder:#}");
    let judged = bench.json(&format!("{AUDIT} --max-error {}", 1.2 * budget));
    assert_eq!(judged["models"][0]["verdict"], "pass", "{judged:#}");

    let over = bench.run(&format!("{within} 0.0001% --json"));
    assert_eq!(over.status.code(), Some(1), "{over:?}");
    let report: Value = serde_json::from_slice(&over.stdout).unwrap();
    assert_eq!(report["ladder"]["within"], false);
    std::fs::remove_file(bench.path("q.safetensors")).unwrap();
    let told = String::from_utf8(bench.run(&format!("{within} 0.0001%")).stdout).unwrap();
    assert!(told.contains("nothing was saved") && !bench.path("q.safetensors").exists(), "{told}");
    let best = bench.run(&format!("{within} 0.0001% --best"));
    assert_eq!(best.status.code(), Some(1), "{best:?}");
    assert!(best.stdout.ends_with(b"q.safetensors\n") && bench.path("q.safetensors").exists());
}

#[test]
fn quantizing_reports_every_weight_and_every_exception() {
    let bench = Bench::with_model();
    let report = bench.json(
        "quantize m.safetensors --calibrate digits --out q.safetensors --skip layers.2.weight \
         --granularity blocks --range percentile=0.1% --samples 100",
    );
    let weights = report["weights"].as_array().unwrap();
    assert_eq!(weights.len(), 2);
    assert_eq!(
        keys(&weights[0]),
        ["error", "float_bytes", "granularity", "input_range", "int8_bytes", "name", "shape"]
    );
    assert_eq!(weights[0]["granularity"], "blocks");
    assert_eq!(report["skipped"][0]["name"], "layers.2.weight");
    assert_eq!(report["calibration_samples"], 100);
    let file = bench.json("inspect q.safetensors");
    let dtype_of = |name: &str| {
        let tensors = file["tensors"].as_array().unwrap();
        tensors.iter().find(|tensor| tensor["name"] == name).unwrap()["dtype"].clone()
    };
    assert_eq!(
        (dtype_of("layers.0.weight"), dtype_of("layers.2.weight")),
        ("I8".into(), "F32".into())
    );
}

#[test]
fn every_way_to_quantize_gives_a_model_that_runs() {
    let bench = Bench::with_model();
    for options in [
        "--calibrate digits --granularity per-tensor",
        "--calibrate digits --range mse",
        "--calibrate digits --activations dynamic",
        "--activations dynamic --granularity blocks",
        "--activations float",
    ] {
        bench.good(&format!("quantize m.safetensors --out q.safetensors {options}"));
        let scores = bench.json("eval q.safetensors --data digits");
        assert!(fraction(&scores["accuracy"]) >= 0.94, "{options}: {scores}");
    }
}

#[test]
fn outputs_are_the_same_for_a_row_alone_as_among_others() {
    let bench = Bench::with_models();
    let inputs = digits().unwrap().test.unwrap().inputs().clone();
    write_npy(bench.path("x.npy"), &inputs).unwrap();
    write_npy(bench.path("row.npy"), &inputs.slice(0, 130..131).unwrap()).unwrap();
    bench.good("run q.safetensors --input x.npy --out y.npy");
    bench.good("run q.safetensors --input row.npy --out z.npy");
    let (all, one) =
        (read_npy(bench.path("y.npy")).unwrap(), read_npy(bench.path("z.npy")).unwrap());
    assert_eq!(all.shape().dims(), [600, 10]);
    let row = all.slice(0, 130..131).unwrap();
    assert_eq!(row.to_vec::<f32>().unwrap(), one.to_vec::<f32>().unwrap());
}

#[test]
fn data_without_a_test_part_is_never_judged_by_what_was_learned_from_it() {
    let bench = Bench::new();
    let data = digits().unwrap();
    for (name, part) in [("all.npz", data.train), ("other.npz", data.test.unwrap())] {
        let arrays = [("x", part.inputs()), ("y", part.labels())];
        write_npz(bench.path(name), &arrays).unwrap();
    }
    bench.good("train --model digits-mlp --data all.npz --epochs 1 --out m.safetensors");
    bench.good("quantize m.safetensors --calibrate all.npz --out q.safetensors");
    let judged = |data: &str| {
        let scores = bench.json(&format!("eval q.safetensors --data {data}"));
        (scores["part"].as_str().unwrap().to_string(), scores["samples"].as_u64().unwrap())
    };
    assert_eq!(judged("all.npz"), ("held-out".to_string(), 1197 / 5));
    assert_eq!(judged("other.npz"), ("all".to_string(), 600));
}

#[test]
fn calibration_needs_no_labels() {
    let bench = Bench::with_model();
    let inputs = digits().unwrap().train.inputs().slice(0, 0..200).unwrap();
    write_npy(bench.path("x.npy"), &inputs).unwrap();
    let report = bench.json("quantize m.safetensors --calibrate x.npy --out q.safetensors");
    assert_eq!(report["calibration_samples"], 200);
}

#[test]
fn a_model_that_lost_its_accuracy_fails_its_audit() {
    let bench = Bench::with_model();
    // Almost all of the range is clipped away.
    bench.good(
        "quantize m.safetensors --calibrate digits --out q.safetensors --range percentile=0.4",
    );
    let output = bench.run(AUDIT);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty());
    let report: Value = serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
    let gates = report["models"][0]["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["id"] == "output_error").unwrap();
    assert_eq!(gate["result"], "fail", "{gate}");
    let other = "train --model digits-mlp --data digits --epochs 1 --seed 9 --out m.safetensors";
    bench.good(other);
    let output = bench.run(AUDIT);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("not the one that was quantized"), "{printed}");
}

#[test]
fn a_budget_can_be_stated() {
    let bench = Bench::with_models();
    assert_eq!(bench.run(&format!("{AUDIT} --max-error 0.01%")).status.code(), Some(1));
    assert_eq!(bench.run(&format!("{AUDIT} --float-floor 100%")).status.code(), Some(1));
    bench.good(&format!("{AUDIT} --max-error 0.05 --float-floor 90% --out elsewhere"));
    assert!(bench.path("elsewhere/report.json").is_file());
}

#[test]
fn only_force_replaces_the_float_model() {
    let bench = Bench::with_model();
    let refused = bench.refused("quantize m.safetensors --calibrate digits --out m.safetensors");
    assert!(refused.contains("--force"), "{refused}");
    let dotted = bench.refused("quantize m.safetensors --calibrate digits --out ./m.safetensors");
    assert!(dotted.contains("--force"), "{dotted}");
    bench.good("quantize m.safetensors --calibrate digits --out m.safetensors --force");
    let twice = bench.refused("quantize m.safetensors --calibrate digits --out q.safetensors");
    assert!(twice.contains("int8 already"), "{twice}");
}

#[test]
fn images_of_bytes_mean_the_same_as_images_of_fractions() {
    let bench = Bench::with_model();
    let bytes: Vec<u8> = (0..128).map(|i| (i * 2) as u8).collect();
    let fractions = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
    write_npy(bench.path("b.npy"), &Tensor::from_vec(bytes, [2, 8, 8]).unwrap()).unwrap();
    write_npy(bench.path("f.npy"), &Tensor::from_vec(fractions, [2, 1, 8, 8]).unwrap()).unwrap();
    bench.good("run m.safetensors --input b.npy --out from_b.npy");
    bench.good("run m.safetensors --input f.npy --out from_f.npy");
    assert_eq!(bench.read("from_b.npy"), bench.read("from_f.npy"));
}

#[test]
fn the_kernels_are_held_against_the_limits_of_the_machine() {
    let bench = Bench::new();
    let rows = bench.json("bench kernels")["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 3 * 2 * 2);
    for row in &rows {
        let expected = ["dtype", "k", "kernel", "m", "n", "of_peak", "rate", "threads", "unit"];
        assert_eq!(keys(row), expected);
        assert!(row["rate"].as_f64().unwrap() > 0.0 && fraction(&row["of_peak"]) > 0.0, "{row}");
    }
    let large = rows.iter().filter(|row| row["dtype"] == "int8" && row["m"] == 1024);
    assert_eq!(large.map(|row| row["threads"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_profile_adds_up_to_the_time_of_a_pass() {
    let bench = Bench::with_models();
    for file in ["m.safetensors", "q.safetensors"] {
        let profile = bench.json(&format!("profile {file} --batch 4"));
        let rows = profile["layers"].as_array().unwrap();
        let sum: u64 = rows.iter().map(|row| row["nanoseconds"].as_u64().unwrap()).sum();
        assert_eq!(profile["table_nanoseconds"], sum);
        assert!(rows.iter().any(|row| row["name"] == "[alloc]"), "{profile:#}");
        assert!(profile["flops"].as_u64().unwrap() >= 2 * 4 * (64 * 128 + 128 * 64 + 64 * 10));
        assert!(profile["heap"]["peak_bytes"].as_u64().unwrap() > 0, "{profile:#}");
        assert!(bench.good(&format!("profile {file}")).contains("layers.1.weight"));
    }
}

#[test]
fn training_with_rounding_saves_an_int8_model() {
    let bench = Bench::with_model();
    let coarse =
        "quantize m.safetensors --calibrate digits --granularity per-tensor --bits 2 --out";
    bench.good(&format!("{coarse} p.safetensors"));
    bench.good("train m.safetensors --data digits --qat --bits 2 --epochs 4 --out q.safetensors");
    let accuracy = |file| fraction(&bench.json(&format!("eval {file} --data digits"))["accuracy"]);
    let (post_training, aware) = (accuracy("p.safetensors"), accuracy("q.safetensors"));
    assert!(aware > 0.9 && aware > post_training, "{post_training} {aware}");
    let contents = bench.json("inspect q.safetensors");
    let tensors = contents["tensors"].as_array().unwrap();
    let weight = tensors.iter().find(|tensor| tensor["name"] == "layers.0.weight").unwrap();
    assert_eq!(weight["dtype"], "I8");
    assert!(contents["metadata"]["quantization"].as_str().unwrap().contains("\"weight_bits\":2"));
}

#[test]
fn adapters_train_beside_int8_weights() {
    let bench = Bench::with_models();
    bench.good("train q.safetensors --data digits --adapters 4 --epochs 1 --out a.safetensors");
    let contents = bench.json("inspect a.safetensors");
    let tensors = contents["tensors"].as_array().unwrap();
    let of = |name: &str| tensors.iter().find(|tensor| tensor["name"] == name).unwrap();
    assert_eq!(of("layers.0.weight")["dtype"], "I8");
    assert_eq!(of("layers.0.lora_A")["shape"], json!([4, 64]));
    assert!(fraction(&bench.json("eval a.safetensors --data digits")["accuracy"]) > 0.9);
}
