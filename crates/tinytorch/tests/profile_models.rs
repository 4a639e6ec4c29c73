//! Profiles of float and int8 models. One test at a time counts the heap, since the counters belong
//! to the process.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use tinytorch::Tensor;
use tinytorch::autograd::Role;
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Init, Module};
use tinytorch::profile::{LayerRow, ParameterCount, Profile, profile, profile_passes};
use tinytorch::quant::{QuantConfig, compare_model_sizes, quantize_model};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A preset and its int8 form.
fn both(name: &str) -> (Architecture, Box<dyn Model>, Box<dyn Model>) {
    let architecture = Architecture::preset(name).unwrap();
    let float = architecture.build(&mut Init::seed(1)).unwrap();
    let mut int8 = float.clone();
    let config = QuantConfig::default().knowingly();
    let calibration = [Ok((&architecture.example(16).unwrap()).into())];
    quantize_model(&mut *int8, calibration, &config).unwrap();
    (architecture, float, int8)
}

#[test]
fn the_table_adds_up_to_the_wall_time_for_float_and_int8_alike() {
    let _alone = alone();
    for name in ["digits-mlp", "digits-cnn"] {
        let (architecture, float, int8) = both(name);
        for model in [&float, &int8] {
            let profile = profile(&**model, &architecture.example(4).unwrap()).unwrap();
            let sum: u64 = profile.layers.iter().map(|row| row.nanoseconds).sum();
            assert_eq!(sum, profile.table_nanoseconds, "{profile}");
            let tail: Vec<&str> =
                profile.layers.iter().rev().take(2).map(|row| row.name.as_str()).collect();
            assert_eq!(tail, [LayerRow::OTHER, LayerRow::ALLOC]);
        }
    }
}

#[test]
fn rows_carry_the_names_of_weights_and_the_kernels_that_ran() {
    let _alone = alone();
    let (architecture, float, int8) = both("digits-mlp");
    let names = |profile: &Profile| -> Vec<String> {
        profile.layers.iter().map(|row| row.name.clone()).collect()
    };
    let float = profile_passes(&*float, &architecture.example(2).unwrap(), 3).unwrap();
    let int8 = profile_passes(&*int8, &architecture.example(2).unwrap(), 3).unwrap();
    assert_eq!(names(&float), names(&int8));
    let listed = names(&float);
    for expected in ["layers.0.weight", "relu (after layers.0)", "layers.2.weight"] {
        assert!(listed.iter().any(|name| name == expected), "{expected} in {listed:?}");
    }
    let weighted = |profile: &Profile, kernel: &str| {
        let mut rows = profile.layers.iter().filter(|row| row.name.ends_with(".weight"));
        rows.all(|row| row.kernel.contains(kernel))
    };
    assert!(weighted(&float, "f32") && weighted(&int8, "_int8_"), "{float} {int8}");
    let multiplied = 2 * 2 * (64 * 128 + 128 * 64 + 64 * 10);
    assert!(float.flops >= multiplied && int8.flops >= multiplied);
    assert!(int8.read_bytes < float.read_bytes / 2, "int8 weights are read as int8");
}

#[test]
fn predicted_bytes_are_those_of_the_allocator() {
    let _alone = alone();
    for name in ["digits-mlp", "digits-cnn"] {
        let (_, float, int8) = both(name);
        let sizes = compare_model_sizes(&*float, &*int8).unwrap();
        assert_eq!(sizes.float.heap_bytes, Some(sizes.float.payload_bytes), "{name}");
        assert_eq!(sizes.int8.heap_bytes, Some(sizes.int8.payload_bytes), "{name}");
        assert_eq!(sizes.float.parameters, float.param_count() as u64);
        assert_eq!(sizes.float.payload_bytes, 4 * sizes.float.parameters);
        assert!(sizes.ratio > 3.6, "{name}: {sizes:?}");
        let count = ParameterCount::of(&*int8);
        assert_eq!(count.float + count.int8 + count.buffers, sizes.float.parameters);
        let weights: usize =
            int8.named_params().iter().filter_map(|(_, p)| Some(p.int8()?.shape().len())).sum();
        assert_eq!(count.int8, weights as u64);
        let folded = int8.named_params().into_iter().filter(|(_, p)| p.is_frozen());
        let folded: usize =
            folded.filter(|(_, p)| p.role() == Role::Vector).map(|(_, p)| p.shape().len()).sum();
        assert_eq!(count.trainable + folded as u64, count.float, "what is int8 is frozen");
    }
}

/// Workers free what they have kept whenever they like, while the sizes of a model are read.
#[test]
fn sizes_are_those_of_the_model_whatever_other_threads_allocate() {
    let _alone = alone();
    let (_, float, int8) = both("digits-mlp");
    let quiet = compare_model_sizes(&*float, &*int8).unwrap();
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // As long without what it allocates as with it.
            let mut always = vec![0u8; 100_000];
            while !stop.load(Ordering::Relaxed) {
                black_box(&mut vec![1u8; 100_000]).fill(2);
                black_box(&mut always).fill(1);
                black_box(&mut always).fill(2);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Readings during which the other thread has come further, however the machine shares its cores.
        let (mut beside, mut unlike) = (0, None);
        while beside < 200 && unlike.is_none() {
            let before = rounds.load(Ordering::Relaxed);
            let sizes = compare_model_sizes(&*float, &*int8).unwrap();
            beside += usize::from(rounds.load(Ordering::Relaxed) > before);
            unlike = (sizes != quiet).then_some(sizes);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(unlike, None, "and not {quiet:?}");
    });
}

#[test]
fn the_heap_of_a_pass_is_its_output_and_at_most_what_it_computes() {
    let _alone = alone();
    let (architecture, float, _) = both("digits-cnn");
    let images = architecture.example(8).unwrap();
    // One thread: which of several takes its working memory in which pass is a matter of chance.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let profiled = || pool.install(|| profile(&*float, &images)).unwrap();
    profiled();
    let heap = profiled().heap.unwrap();
    assert!((8 * 10 * 4..8 * 10 * 4 + 512).contains(&heap.live_bytes), "{heap:?}");
    // The largest value of the pass, 32 channels of 8 x 8, is there together with its input.
    assert!(heap.peak_bytes >= 2 * 8 * 32 * 64 * 4, "{heap:?}");
    let after = alloc::stats().unwrap().live_bytes;
    profiled();
    let leaked = alloc::stats().unwrap().live_bytes.saturating_sub(after);
    assert!(leaked < 4096, "{leaked} bytes are left behind");
}

#[test]
fn a_profile_is_json_with_stable_keys_and_text_with_a_row_per_op() {
    let _alone = alone();
    let (architecture, _, int8) = both("digits-mlp");
    let profile = profile_passes(&*int8, &architecture.example(1).unwrap(), 2).unwrap();
    let json = serde_json::to_value(&profile).unwrap();
    for key in ["parameters", "flops", "read_bytes", "written_bytes", "heap", "resident_bytes"] {
        assert!(!json[key].is_null(), "{key} in {json}");
    }
    for key in ["name", "op", "kernel", "flops", "read_bytes", "written_bytes", "nanoseconds"] {
        assert!(!json["layers"][0][key].is_null(), "{key} in {json}");
    }
    assert!(json["parameters"]["int8"].is_u64() && json["seconds"]["median"].is_f64());
    assert_eq!(serde_json::from_value::<Profile>(json).unwrap(), profile);
    let text = profile.to_string();
    assert!(profile.layers.iter().all(|row| text.contains(&row.name)), "{text}");
}

#[test]
fn bad_input_is_an_error() {
    let _alone = alone();
    let (architecture, float, _) = both("digits-mlp");
    let none = profile_passes(&*float, &architecture.example(1).unwrap(), 0).unwrap_err();
    assert!(none.to_string().contains("passes is 0"), "{none}");
    assert!(profile(&*float, &Tensor::ones([1, 7]).unwrap()).is_err());
}
