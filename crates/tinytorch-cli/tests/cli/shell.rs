//! What shells, manuals and bug reports ask of the command.

use crate::embed;
use crate::support::Bench;
use tinytorch::Tensor;
use tinytorch::data::{encode_npy, encode_npz};

#[test]
fn completions_and_pages_name_commands_and_options() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.good(&format!("completions {shell}"));
        for word in ["quantize", "max-error", "calibrate"] {
            assert!(script.contains(word), "{shell} {word}");
        }
    }
    let page = bench.good("man quantize");
    assert!(page.contains(".TH") && page.contains("max\\-error") && page.contains("Examples"));
    assert!(bench.good("man").contains("quantize"));
    assert!(bench.refused("man quantise").contains("no command quantise"));
}

#[test]
fn the_version_tells_the_instruction_set() {
    let bench = Bench::new();
    let mut command = bench.command("--version");
    let output = command.env("TINYTORCH_ISA", "scalar").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with(&format!("tinytorch {} (", env!("CARGO_PKG_VERSION"))), "{told}");
    assert!(told.ends_with("scalar)\n"), "{told}");
}

#[test]
fn warnings_can_be_left_out() {
    let bench = Bench::new();
    bench.write(".saving-old", b"x");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(10_000);
    let file = std::fs::File::options().write(true).open(bench.path(".saving-old")).unwrap();
    file.set_modified(old).unwrap();
    let run = "run no.safetensors --input x.npy --out y.npy";
    let told = |args: &str| String::from_utf8(bench.run(args).stderr).unwrap();
    assert!(told(run).contains(".saving-old was left by a command"), "{}", told(run));
    assert!(!told(&format!("{run} -q")).contains(".saving-old"));
}

/// Commands look at a table more than once.
#[test]
fn a_column_that_is_left_out_is_told_once() {
    let bench = Bench::new();
    let row = |i: usize| format!("{i},0.{i},0.5,{}\n", i % 2);
    let rows: String = (0..12).map(row).collect();
    bench.write("rows.csv", format!(",a,b,label\n{rows}").as_bytes());
    for args in [
        "train --model mlp --data rows.csv --epochs 1 --out m.safetensors",
        "quantize m.safetensors --calibrate rows.csv --out q.safetensors",
        "eval q.safetensors --data rows.csv",
    ] {
        let output = bench.run(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert_eq!(told.matches("numbers the rows").count(), 1, "{args}: {told}");
    }
}

#[test]
fn a_dash_is_a_stream_with_what_a_file_has() {
    let bench = embed::bench();
    bench.good("embed encoder --input s.txt --out file.npy");
    let piped = bench.piped("embed encoder --input - --out -", &bench.read("s.txt"));
    assert_eq!(piped, bench.read("file.npy"));

    let bench = Bench::with_model();
    let (inputs, rows) = (Tensor::zeros([2, 1, 8, 8]).unwrap(), [0.5; 64].map(|v| v.to_string()));
    let table = [rows.join(","), rows.join(",")].join("\n");
    for (name, bytes) in [
        ("x.npy", encode_npy(&inputs).unwrap()),
        ("x.npz", encode_npz(&[("x", &inputs)]).unwrap()),
        ("x.csv", table.into_bytes()),
    ] {
        bench.write(name, &bytes);
        bench.good(&format!("run m.safetensors --input {name} --out y.npy --labels none"));
        let piped = bench.piped("run m.safetensors --input - --out - --labels none", &bytes);
        assert_eq!(piped, bench.read("y.npy"), "{name}");
    }
    assert!(!bench.path("-").exists());
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_temporary_folder() {
    use crate::support::AUDIT;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    let bench = Bench::with_models();
    std::fs::create_dir(bench.path("temporary")).unwrap();
    let is_empty = || std::fs::read_dir(bench.path("temporary")).unwrap().next().is_none();
    for (signal, number) in [("TERM", 15), ("HUP", 1)] {
        let mut child = bench
            .command(AUDIT)
            .env("TMPDIR", bench.path("temporary"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "the audit ended without a folder");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert!(is_empty(), "{signal}");
    }
}
