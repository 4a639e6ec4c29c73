//! The memory of models in processes of their own, and what happens when such a process misbehaves.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, Kinds, MlpConfig, Model};
use tinytorch::nn::Init;
use tinytorch::profile::ProfileError;
use tinytorch::profile::process::{
    ProbeReport, ProbeRequest, ProbeTask, copies_for, run, spawn, spawn_within,
};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::os::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const BATCH_OF_ONE: [usize; 2] = [1, 512];

/// Two hidden layers, 3.2 MB in float, and the same model in int8.
fn files() -> (TempDir, PathBuf, PathBuf, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let (float, int8) = (path("float.safetensors"), path("int8.safetensors"));
    let widths = MlpConfig { inputs: 512, hidden: vec![1024, 256], outputs: 10 };
    let mut model = Architecture::Mlp(widths).build(&mut Init::seed(1)).unwrap();
    let copies = copies_for(&*model);
    let save = |path: &Path, model: &dyn Model| {
        save_model(path, model, &Provenance::default()).unwrap();
    };
    save(&float, &*model);
    let batch = Tensor::rand([16, 512], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
    let config = QuantConfig::default().knowingly();
    quantize_model(&mut *model, [Ok((&batch).into())], &config).unwrap();
    save(&int8, &*model);
    (folder, float, int8, copies)
}

/// Asks this binary, started anew, to run only [`answer_a_probe`].
fn probe(file: &Path, task: ProbeTask) -> ProbeReport {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", "answer_a_probe", "--ignored", "--nocapture", "--test-threads=1"];
    spawn(&program, &args, &ProbeRequest { file: file.to_path_buf(), task }).unwrap()
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let report = run(&serde_json::from_str(&line).unwrap(), &Kinds::built_in()).unwrap();
    // The test runner has begun a line of its own.
    println!("\n{}", serde_json::to_string(&report).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn an_int8_model_takes_a_quarter_of_the_resident_memory_after_load_and_after_passes() {
    let (_folder, float, int8, copies) = files();
    let measure = |file| {
        let input = BATCH_OF_ONE.to_vec();
        probe(file, ProbeTask::Resident { copies, inputs: vec![input], passes: 100 })
    };
    let (float, int8) = (measure(&float), measure(&int8));
    let ratio = |of: fn(&ProbeReport) -> Option<u64>| {
        of(&float).unwrap() as f64 / of(&int8).unwrap() as f64
    };
    let loaded = ratio(ProbeReport::resident_by_load);
    let passed = ratio(ProbeReport::resident_by_passes);
    assert!((3.8..4.0).contains(&loaded), "{loaded}, {float:?}, {int8:?}");
    // The allocator keeps a part of what float plans have freed, hence no upper bound.
    assert!(passed >= 3.8, "{passed}, {float:?}, {int8:?}");
    // The heap agrees, so the pages are not those of something else.
    let heap = |report: &ProbeReport| {
        report.after_load.live_heap.unwrap() - report.before.live_heap.unwrap()
    };
    let pages = float.resident_by_load().unwrap() as f64 / heap(&float) as f64;
    assert!((0.97..1.03).contains(&pages), "{pages}, {float:?}");
}

#[test]
fn an_int8_model_runs_without_a_float_copy_of_a_weight() {
    let (_folder, float, int8, _) = files();
    let measure =
        |file| probe(file, ProbeTask::PeakHeap { inputs: vec![BATCH_OF_ONE.to_vec()], passes: 2 });
    let claims = measure(&int8).heap_claims().unwrap();
    for claim in claims {
        assert_eq!(claim.excess(), 0, "{claim:?}");
    }
    // The same limit does show a float copy: a float plan packs its weights into one, and states it.
    let [[_, int8, _], [_, float, _]] = [claims, measure(&float).heap_claims().unwrap()];
    assert!(float.used > 10 * int8.stated, "{float:?}");
    assert_eq!(float.excess(), 0, "{float:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_never_mapped_and_a_loaded_one_is_closed() {
    let (_folder, _, int8, _) = files();
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.contains(int8.to_str().unwrap())
    };
    let is_open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == int8))
    };
    let file = tinytorch::files::TensorFile::open(&int8).unwrap();
    assert!(is_open() && !is_mapped());
    drop(file);
    let loaded = load_model(&int8).unwrap();
    assert!(!is_open() && !is_mapped());
    drop(loaded);
}

fn request() -> ProbeRequest {
    let task = ProbeTask::PeakHeap { inputs: vec![BATCH_OF_ONE.to_vec()], passes: 2 };
    ProbeRequest { file: "no-such-file".into(), task }
}

#[track_caller]
fn failure(program: &str, args: &[&str], limit: Duration) -> ProfileError {
    spawn_within(limit, Path::new(program), args, &request()).unwrap_err().downcast().unwrap()
}

#[cfg(unix)]
#[test]
fn a_probe_that_misbehaves_is_a_typed_error_and_never_a_hang() {
    let long = Duration::from_secs(60);
    let missing = failure("/no/such/program", &[], long);
    assert!(matches!(missing, ProfileError::Start { .. }), "{missing}");
    let silent = failure("true", &[], long);
    assert!(matches!(silent, ProfileError::NoReport { .. }), "{silent}");
    let garbled = failure("echo", &["{\"copies\": -1}"], long);
    assert!(matches!(garbled, ProfileError::NoReport { .. }), "{garbled}");
    let broken = failure("sh", &["-c", "echo first >&2; echo why >&2; exit 3"], long);
    assert!(matches!(broken, ProfileError::Failed { .. }), "{broken}");
    assert!(broken.to_string().contains("3") && broken.to_string().ends_with("why"), "{broken}");
    let short = Duration::from_millis(50);
    for endless in ["sleep 3", "sleep 3 & exit 0", "exec >&- 2>&-; sleep 3"] {
        let error = failure("sh", &["-c", endless], short);
        assert!(matches!(error, ProfileError::TimedOut { .. }), "{endless}: {error}");
    }
}

#[test]
fn a_request_that_cannot_be_measured_is_an_error() {
    let (_folder, _, int8, _) = files();
    let fails = |task| {
        run(&ProbeRequest { file: int8.clone(), task }, &Kinds::built_in()).unwrap_err().to_string()
    };
    let resident = |copies, passes, input: &[usize]| {
        fails(ProbeTask::Resident { copies, passes, inputs: vec![input.to_vec()] })
    };
    assert!(resident(0, 1, &BATCH_OF_ONE).contains("copies is 0"));
    assert!(resident(1, 0, &BATCH_OF_ONE).contains("passes is 0"));
    assert!(resident(1, 1, &[1, 7]).contains("[1, 7]"));
    assert!(run(&request(), &Kinds::built_in()).unwrap_err().to_string().contains("no-such-file"));
}
