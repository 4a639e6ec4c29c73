//! Loading an int8 model never holds its weights as floats. One test, since the counters of the
//! heap belong to the process.

use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::{Init, Module};
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const WIDTH: usize = 1024;

#[test]
fn an_int8_model_is_loaded_into_the_bytes_that_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mlp = Architecture::Mlp(MlpConfig { inputs: WIDTH, hidden: vec![WIDTH], outputs: WIDTH });
    let mut model = mlp.build(&mut Init::seed(1)).unwrap();
    let config = QuantConfig::new(Activations::Dynamic);
    quantize_model(&mut *model, std::iter::empty(), &config).unwrap();
    save_model(&path, &*model, &Provenance::default()).unwrap();
    let weights: usize =
        model.named_params().iter().filter_map(|(_, p)| Some(p.int8()?.bytes())).sum();
    let (scales, sums) = (4 * WIDTH, 4 * WIDTH);
    assert_eq!(weights, 2 * (WIDTH * WIDTH + scales + sums));
    drop(model);

    let before = alloc::stats().unwrap();
    alloc::reset_peak();
    let loaded = load_model(&path).unwrap();
    let after = alloc::stats().unwrap();
    let biases = 2 * 4 * WIDTH;
    let small = 32 << 10;
    let kept = after.live_bytes - before.live_bytes;
    assert!(kept <= weights + biases + small, "{kept} bytes kept of {weights}");
    // Not even one of the two weights was there as floats, for which this is nearly four times too little: what is read
    // passes through a buffer of 256 KiB.
    let (peak, buffer) = (after.peak_bytes - before.live_bytes, 256 << 10);
    assert!(peak <= weights + biases + small + buffer, "{peak} bytes at most for {weights}");

    alloc::reset_peak();
    let before = alloc::stats().unwrap();
    save_model(&path, &*loaded.model, &loaded.provenance).unwrap();
    let peak = alloc::stats().unwrap().peak_bytes - before.live_bytes;
    assert!(peak <= 256 << 10, "saving streams the rows, {peak} bytes at most");
}
