//! A process of its own for each instruction set, since parts of the library choose theirs once.

use super::recorded::{MATH_LIBRARY, differences, read, write};
use super::values::Values;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use tinytorch_kernels::Isa;

/// Tells a process that it is the child, and which model to digest.
const MODEL: &str = "TINYTORCH_GOLDEN_MODEL";

/// `record` writes the values anew.
const MODE: &str = "TINYTORCH_GOLDEN";

const ANSWER: &str = "answer: ";

/// The instruction sets that values may be recorded for.
const ISAS: [&str; 3] = ["scalar", "avx2", "avx512vnni"];

/// Compares what `digest` finds of a model, on each instruction set of this machine, with what was
/// recorded. `test` is the name of the test that asks.
pub(crate) fn check(test: &str, model: &str, digest: fn(&mut Values)) {
    if std::env::var_os(MODEL).is_some_and(|asked| asked == model) {
        let mut values = Values::default();
        values.bytes(MATH_LIBRARY, &math_library());
        digest(&mut values);
        // The test runner has begun a line of its own.
        println!("\n{ANSWER}{}", serde_json::to_string(&values.0).unwrap());
        return;
    }
    let here: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
    let is_recording = std::env::var_os(MODE).is_some_and(|mode| mode == "record");
    let mut recorded = read(model);
    let mut wrong = Vec::new();
    for isa in ISAS.into_iter().filter(|isa| here.contains(isa)) {
        if !is_recording && !recorded.contains_key(isa) {
            println!("skipped: {model} has no recorded values for {isa}");
            continue;
        }
        let got = ask(test, model, isa);
        if is_recording {
            recorded.insert(isa.to_string(), got);
            continue;
        }
        let want = &recorded[isa];
        if want.get(MATH_LIBRARY) != got.get(MATH_LIBRARY) {
            println!("skipped: {model} on {isa} was recorded with another math library");
            continue;
        }
        wrong.extend(differences(want, &got).into_iter().map(|line| format!("{isa} {line}")));
    }
    if is_recording {
        write(model, &recorded);
    }
    assert!(wrong.is_empty(), "{model} is not what was recorded:\n{}", wrong.join("\n"));
}

fn ask(test: &str, model: &str, isa: &str) -> BTreeMap<String, Value> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MODEL, model)
        .env("TINYTORCH_ISA", isa)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let answer = out.lines().find_map(|line| line.strip_prefix(ANSWER));
    let answer = answer.unwrap_or_else(|| panic!("{test} on {isa} did not answer: {out}{err}"));
    serde_json::from_str(answer).unwrap()
}

/// The bits of functions that the standard library takes from the system, at many points.
fn math_library() -> Vec<u8> {
    let mut bits = Vec::new();
    for i in 1..2000 {
        let x = f64::from(i) * 0.0137;
        for y in [x.exp(), (-x).exp(), x.ln(), x.sin(), x.cos(), x.powf(0.731), x.ln_1p()] {
            bits.extend(y.to_le_bytes());
        }
        let x = x as f32;
        for y in [x.exp(), (-x).exp(), x.ln(), x.sin(), x.cos(), x.powf(0.731), x.ln_1p()] {
            bits.extend(y.to_le_bytes());
        }
    }
    bits
}
