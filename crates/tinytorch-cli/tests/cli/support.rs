//! Runs the built command in a folder of its own, and looks at what it left there.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Judges the models of [`Bench::with_models`].
pub(crate) const AUDIT: &str = "audit m.safetensors q.safetensors --data digits --no-latency";

/// A folder to run commands in.
pub(crate) struct Bench(TempDir);

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench(tempfile::tempdir().unwrap())
    }

    /// A folder with a trained model in `m.safetensors`.
    pub(crate) fn with_model() -> Bench {
        let bench = Bench::new();
        bench.write("m.safetensors", &fs::read(trained()).unwrap());
        bench
    }

    /// A folder with a trained model and the int8 model made from it, in `q.safetensors`.
    pub(crate) fn with_models() -> Bench {
        let bench = Bench::with_model();
        bench.good("quantize m.safetensors --calibrate digits --out q.safetensors");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The command with these arguments, which no space must be part of.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinytorch"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints that must succeed, with these bytes as its standard input.
    pub(crate) fn piped(&self, args: &str, input: &[u8]) -> Vec<u8> {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert!(output.stderr.is_empty(), "{args}: {output:?}");
        output.stdout
    }

    /// What a command prints that must succeed.
    pub(crate) fn good(&self, args: &str) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert!(output.stderr.is_empty(), "{args}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON that a command prints that must succeed.
    pub(crate) fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.good(&format!("{args} --json"))).unwrap()
    }

    /// The one line in which a command says why it refused, which must have left everything as it was.
    pub(crate) fn refused(&self, args: &str) -> String {
        let before = self.files();
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args}: {output:?}");
        assert!(output.stdout.is_empty(), "{args}: {output:?}");
        assert_eq!(self.files(), before, "{args} wrote something");
        one_line(&output.stderr)
    }

    /// Every file and folder below this one, with its content.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    files.insert(path.clone(), Vec::new());
                    folders.push(path);
                } else {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }
}

/// An error message, which must be one sentence on one line.
pub(crate) fn one_line(stderr: &[u8]) -> String {
    let text = str::from_utf8(stderr).unwrap();
    let line = text.strip_prefix("error: ").and_then(|text| text.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("not an error message: {text}"));
    assert!(!line.is_empty() && !line.contains('\n'), "more than one line: {text}");
    line.to_string()
}

/// The file of a model that was trained on the digits, once for all tests.
pub(crate) fn trained() -> &'static Path {
    static TRAINED: OnceLock<PathBuf> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("digits-mlp.safetensors");
        let out = path.to_str().unwrap();
        let bench = Bench::new();
        let args = format!("train --model digits-mlp --data digits --epochs 15 --out {out}");
        bench.good(&args);
        path
    })
}
