//! Loading an int8 model takes little more resident memory than the model keeps, pages of the file
//! included. One test, in a process of its own, since the peak belongs to the process.
#![cfg(target_os = "linux")]

use std::process::Command;
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch_kernels::os::process::ProcessMemory;

const FILE: &str = "TINYTORCH_TEST_FILE";

#[test]
#[ignore = "the other test starts it in a process of its own"]
fn load_the_file() {
    let path = std::env::var(FILE).expect("the other test names a file");
    let before = ProcessMemory::now().unwrap().peak_resident;
    let loaded = load_model(path).unwrap();
    let peak = ProcessMemory::now().unwrap().peak_resident;
    assert!(!loaded.model.named_params().is_empty());
    println!("\npeak {}", peak - before);
}

#[test]
fn an_int8_file_is_loaded_into_little_more_than_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mlp = Architecture::Mlp(MlpConfig { inputs: 4096, hidden: vec![8192], outputs: 512 });
    let mut model = mlp.build(&mut Init::seed(1)).unwrap();
    let config = QuantConfig::new(Activations::Dynamic);
    quantize_model(&mut *model, std::iter::empty(), &config).unwrap();
    save_model(&path, &*model, &Provenance::default()).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();

    let args = ["--exact", "load_the_file", "--ignored", "--nocapture", "--test-threads=1"];
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(args).env(FILE, &path).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let peak = output.lines().find_map(|line| line.strip_prefix("peak "));
    let peak: u64 = peak.unwrap_or_else(|| panic!("no figure in {output}")).parse().unwrap();
    // Code that the first load touches.
    let fixed = 2 << 20;
    assert!(peak <= size + size / 10 + fixed, "{peak} bytes at most for a file of {size}");
    assert!(peak >= size, "{peak} bytes for a file of {size} count nothing");
}
