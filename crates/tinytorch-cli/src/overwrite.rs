//! No command writes over what it reads.

use crate::problem::Problem;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tinytorch::files::TensorFile;
use tinytorch_onnx::OnnxModel;

/// Folders below an input that are looked into; published models have one, data sets two.
const DEPTH: usize = 4;

/// What an audit writes into its folder.
const REPORTS: [&str; 2] = ["report.json", "report.html"];

/// What a command reads, and where it writes.
pub(crate) struct Paths<'a> {
    inputs: Vec<(&'a Path, bool)>,
    outputs: Vec<Cow<'a, Path>>,
}

impl<'a> Paths<'a> {
    pub(crate) fn to(output: impl Into<Cow<'a, Path>>) -> Paths<'a> {
        Paths { inputs: Vec::new(), outputs: vec![output.into()] }
    }

    /// Another output.
    pub(crate) fn and_to(mut self, output: Option<impl Into<Cow<'a, Path>>>) -> Paths<'a> {
        self.outputs.extend(output.map(Into::into));
        self
    }

    /// An input: a file, or a folder with all that lies in it.
    pub(crate) fn reading(mut self, input: impl Into<Option<&'a Path>>) -> Paths<'a> {
        self.inputs.extend(input.into().map(|input| (input, false)));
        self
    }

    /// An input that may be replaced if the user insists, as `force` tells.
    pub(crate) fn reading_model(
        self,
        input: impl Into<Option<&'a Path>>,
        force: bool,
    ) -> Paths<'a> {
        let Some(input) = input.into() else { return self };
        // A folder is never replaced as a whole, nor are its files one by one.
        if force && !input.is_dir() {
            return self;
        }
        let mut paths = self;
        paths.inputs.push((input, !input.is_dir()));
        paths
    }

    /// Refuses an output that is one of the inputs, under whatever name, or lies in an input folder and
    /// belongs to what is read there.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        self.outputs.iter().try_for_each(|output| self.check_output(output))?;
        for (i, output) in self.outputs.iter().enumerate() {
            if self.outputs[..i].iter().any(|other| is_same(other, output)) {
                return Err(Problem::WrittenTwice { path: output.to_path_buf() });
            }
        }
        Ok(())
    }

    fn check_output(&self, path: &Path) -> Result<(), Problem> {
        tell_of_stale(path);
        // What is not there cannot be lost; what cannot be asked for cannot be written either.
        let Ok(output) = Identity::of(path) else { return Ok(()) };
        for &(input, can_be_forced) in &self.inputs {
            let is_input = match input.is_dir() {
                // A folder for a model: neither one that is read, nor one around what is read.
                _ if path.is_dir() => Identity::of(input)
                    .is_ok_and(|input| input == output || holds(path, &input, DEPTH)),
                true => holds(input, &output, DEPTH) && !is_own_result(input, path),
                false => {
                    let is_it = |path: &Path| Identity::of(path).is_ok_and(|path| path == output);
                    is_it(input) || read_beside(input).iter().any(|path| is_it(path))
                }
            };
            if is_input {
                let path = path.to_path_buf();
                let remedy = match can_be_forced {
                    true => "choose another --out, or add --force",
                    false => "choose another --out",
                };
                return Err(Problem::OverInput { path, remedy });
            }
        }
        Ok(())
    }
}

/// Whether two paths are of one file, be it there or not.
fn is_same(a: &Path, b: &Path) -> bool {
    match (Identity::of(a), Identity::of(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// The files that are read with a model's file: the data of an ONNX model, the settings and tokenizer of others, and
/// the weights that an index names.
fn read_beside(model: &Path) -> Vec<PathBuf> {
    let extension = |path: &Path| path.extension().and_then(OsStr::to_str).map(str::to_string);
    if extension(model).as_deref() == Some("onnx") {
        return OnnxModel::external_files(model).unwrap_or_default();
    }
    let folder = model.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.join("config.json").exists() {
        return Vec::new();
    }
    let is_index = extension(model).as_deref() == Some("json");
    let is_report = |path: &Path| REPORTS.iter().any(|name| path.ends_with(name));
    let is_read = |path: &PathBuf| match extension(path).as_deref() {
        Some("json" | "model" | "txt") => !is_report(path),
        Some("safetensors" | "bin") => is_index,
        _ => false,
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_read).collect()
}

/// Names what an interrupted command has left beside an output.
fn tell_of_stale(output: &Path) {
    /// No command takes longer to write one file.
    const OLD: Duration = Duration::from_secs(3600);
    let folder = output.parent().filter(|folder| *folder != Path::new(""));
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".saving-"))
    {
        let written = entry.metadata().and_then(|about| about.modified());
        if written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
            let path = entry.path();
            tracing::warn!(
                "{} was left by a command that was interrupted while it saved; it can be removed",
                path.display()
            );
        }
    }
}

/// What the system knows a file by; links to a file share it.
#[derive(PartialEq)]
struct Identity {
    #[cfg(unix)]
    device_and_node: (u64, u64),
    #[cfg(not(unix))]
    path: PathBuf,
}

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Identity> {
        use std::os::unix::fs::MetadataExt;
        let about = fs::metadata(path)?;
        Ok(Identity { device_and_node: (about.dev(), about.ino()) })
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Identity> {
        Ok(Identity { path: fs::canonicalize(path)? })
    }
}

/// Whether a file of this identity lies in the folder.
fn holds(folder: &Path, file: &Identity, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.iter().any(|path| match path.is_dir() {
        true => depth > 0 && holds(path, file, depth - 1),
        false => Identity::of(path).is_ok_and(|identity| identity == *file),
    })
}

/// Whether a file in a folder is what an earlier run of a command left there, beside what the folder is
/// read for: outputs as .npy, reports, and a model's own file among other weights.
fn is_own_result(folder: &Path, file: &Path) -> bool {
    let extension = |path: &Path, wanted: &str| path.extension() == Some(OsStr::new(wanted));
    if extension(file, "npy") || REPORTS.iter().any(|name| file.ends_with(name)) {
        return true;
    }
    let is_own =
        TensorFile::open(file).is_ok_and(|file| file.metadata().contains_key("architecture"));
    // The only weights of a model's folder are its input, whoever wrote them.
    let others = |path: PathBuf| {
        extension(&path, "safetensors")
            && !matches!((Identity::of(&path), Identity::of(file)), (Ok(a), Ok(b)) if a == b)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_model_folder = folder.join("config.json").exists();
    is_own
        && file.file_name() != Some(OsStr::new("model.safetensors"))
        && (!is_model_folder || entries.map(|entry| entry.path()).any(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn with(files: &[&str]) -> Bench {
            let bench = Bench(tempfile::tempdir().unwrap());
            for file in files {
                let path = bench.at(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
            bench
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn refuses(&self, input: &str, output: &str) -> bool {
            let (input, output) = (self.at(input), self.at(output));
            let read = Paths::to(&*output).reading(&*input).check();
            let model = Paths::to(&*output).reading_model(&*input, false).check();
            assert_eq!(read.is_err(), model.is_err());
            read.is_err()
        }
    }

    #[test]
    fn a_file_is_known_by_all_its_names() {
        let bench = Bench::with(&["a", "b", "d/c"]);
        assert!(bench.refuses("a", "a") && bench.refuses("a", "d/../a"));
        assert!(
            !bench.refuses("a", "b") && !bench.refuses("a", "new") && !bench.refuses("no", "a")
        );
        let (a, force) = (bench.at("a"), true);
        assert!(Paths::to(&*a).reading_model(&*a, force).check().is_ok());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(bench.at("a"), bench.at("soft")).unwrap();
            fs::hard_link(bench.at("a"), bench.at("hard")).unwrap();
            for name in ["soft", "hard"] {
                assert!(bench.refuses("a", name) && bench.refuses(name, "a"), "{name}");
            }
        }
    }

    #[test]
    fn a_folder_to_write_is_none_that_is_read() {
        let bench = Bench::with(&["m/config.json", "m/model.safetensors", "q/model.safetensors"]);
        assert!(bench.refuses("m", "m") && bench.refuses("m", "m/../m/"));
        assert!(bench.refuses("m/model.safetensors", "m"));
        assert!(!bench.refuses("m", "q") && !bench.refuses("m/model.safetensors", "q"));
        let (m, force) = (bench.at("m"), true);
        assert!(Paths::to(&*m).reading_model(&*m, force).check().is_err());
    }

    #[test]
    fn what_is_read_with_a_file_is_protected_too() {
        let bench =
            Bench::with(&["m/config.json", "m/tokenizer.json", "m/w.safetensors", "a/w.bin"]);
        for file in ["config.json", "tokenizer.json"] {
            assert!(bench.refuses("m/w.safetensors", &format!("m/{file}")), "{file}");
        }
        fs::write(bench.at("m/all.index.json"), "").unwrap();
        assert!(bench.refuses("m/all.index.json", "m/w.safetensors"));
        assert!(!bench.refuses("a/w.bin", "m/config.json"));
    }

    #[test]
    fn the_data_of_an_onnx_model_is_protected_too() {
        use prost::Message;
        use tinytorch_onnx::proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
        let bench = Bench::with(&["data/w.bin", "other.bin"]);
        let location =
            StringStringEntryProto { key: "location".into(), value: "data/w.bin".into() };
        let initializer = vec![TensorProto {
            data_location: 1,
            external_data: vec![location],
            ..TensorProto::default()
        }];
        let graph = Some(GraphProto { initializer, ..GraphProto::default() });
        let model = ModelProto { graph, ..ModelProto::default() };
        fs::write(bench.at("m.onnx"), model.encode_to_vec()).unwrap();
        assert!(bench.refuses("m.onnx", "data/w.bin"));
        assert!(!bench.refuses("m.onnx", "other.bin"));
    }

    #[test]
    fn two_results_do_not_share_a_file() {
        let bench = Bench::with(&["a"]);
        let twice =
            |a: &str, b: &str| Paths::to(bench.at(a)).and_to(Some(bench.at(b))).check().is_err();
        assert!(twice("new", "new") && twice("a", "a") && !twice("a", "new"));
    }

    #[test]
    fn a_folder_protects_what_it_is_read_for() {
        let bench = Bench::with(&["m/config.json", "m/1_Pooling/config.json", "m/w.safetensors"]);
        fs::write(bench.at("m/y.npy"), "").unwrap();
        for file in ["config.json", "1_Pooling/config.json", "w.safetensors"] {
            assert!(bench.refuses("m", &format!("m/{file}")), "{file}");
        }
        assert!(!bench.refuses("m", "m/y.npy") && !bench.refuses("m", "m/new.safetensors"));
        let (m, w) = (bench.at("m"), bench.at("m/w.safetensors"));
        assert!(Paths::to(&*w).reading_model(&*m, true).check().is_err());
    }
}
