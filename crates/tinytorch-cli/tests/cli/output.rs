//! Standard output and files that end early, are full, or cannot be written.

use crate::support::{Bench, one_line};
use std::fs::{self, File, OpenOptions};
use std::process::{Command, Stdio};

#[test]
fn a_reader_that_goes_away_ends_the_output_and_not_the_command() {
    let bench = Bench::with_models();
    for (args, code) in [
        ("inspect q.safetensors", 0),
        ("inspect q.safetensors --json", 0),
        ("eval q.safetensors --data digits", 0),
        ("--help", 0),
        ("audit m.safetensors q.safetensors --data digits --no-latency --max-error 0.01%", 1),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = bench.command(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {output:?}");
        assert!(output.stderr.is_empty(), "{args}: {output:?}");
    }
    assert!(bench.path("audit-report/report.json").is_file());
    assert!(bench.path("audit-report/report.html").is_file());
}

#[test]
fn an_error_that_nobody_can_read_still_has_its_exit_code() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = bench.command("inspect none").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let bench = Bench::with_model();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = bench.command("inspect m.safetensors").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line(&output.stderr).contains("standard output"));
}

#[test]
fn a_path_that_cannot_be_written_is_refused_before_the_work() {
    let bench = Bench::with_model();
    fs::create_dir(bench.path("folder")).unwrap();
    for out in ["nowhere/o", "folder", "m.safetensors/o"] {
        for command in [
            "train --model digits-mlp --data digits --epochs 100000 --out",
            "quantize m.safetensors --calibrate digits --out",
            "run m.safetensors --input x.npy --out",
        ] {
            let line = bench.refused(&format!("{command} {out}"));
            assert!(line.contains("cannot write") && line.contains(out), "{line}");
        }
    }
    let line = bench.refused("audit --out m.safetensors");
    assert!(line.contains("m.safetensors"), "{line}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file() {
    let bench = Bench::with_model();
    let before = bench.files();
    // Files may grow to 16 blocks of 512 bytes; the model needs some 70 kB.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec {} train --model digits-mlp --data digits --epochs 1 \
         --out m.safetensors",
        env!("CARGO_BIN_EXE_tinytorch")
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).current_dir(bench.path("."));
    let output = command.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(one_line(&output.stderr).contains("cannot write m.safetensors"));
    assert_eq!(bench.files(), before);
}

#[test]
fn nothing_is_drawn_where_there_is_no_terminal() {
    let bench = Bench::new();
    let errors = File::create(bench.path("errors")).unwrap();
    let train = "train --model digits-mlp --data digits --epochs 1 --out m.safetensors";
    assert!(bench.command(train).stderr(errors).stdout(Stdio::null()).status().unwrap().success());
    assert!(bench.read("errors").is_empty());
}
