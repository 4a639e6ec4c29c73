//! Damaged files end in an error, never in a panic, and cost no more memory than a small multiple of
//! their size. One test, since the counters of the heap belong to the process.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;
use tinytorch::autograd::Var;
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Bytes of heap that a load may need at once. The dearest text is a metadata entry of 7 bytes, which
/// becomes two strings of 24 in a vector that grows by doubling: 9 times was measured.
fn allowed(file: usize) -> usize {
    12 * file + (64 << 10)
}

fn int8_model(path: &Path) -> Vec<u8> {
    let mlp = Architecture::Mlp(MlpConfig { inputs: 20, hidden: vec![17, 9], outputs: 3 });
    let mut model = mlp.build(&mut Init::seed(1)).unwrap();
    let batch = Var::from(Tensor::randn([8, 20], 1.0, &mut Rng::seed(2)).unwrap());
    quantize_model(&mut *model, [Ok(batch)], &QuantConfig::default()).unwrap();
    save_model(path, &*model, &Provenance::default()).unwrap();
    std::fs::read(path).unwrap()
}

/// What happens to the bytes of a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Flip(Vec<(usize, u8)>),
    Length(u64),
    Splice { from: usize, len: usize, to: usize },
    Digits { at: usize, digits: String },
}

impl Damage {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let len = bytes.len();
        match self {
            Damage::Cut(at) => bytes.truncate(at % len),
            Damage::Flip(flips) => {
                for (at, mask) in flips {
                    bytes[at % len] ^= mask;
                }
            }
            Damage::Length(length) => bytes[..8].copy_from_slice(&length.to_le_bytes()),
            Damage::Splice { from, len: count, to } => {
                let (from, to) = (from % len, to % len);
                let piece = bytes[from..(from + count).min(len)].to_vec();
                bytes.splice(to..to, piece);
            }
            // In place of a number of the header, whose length is corrected.
            Damage::Digits { at, digits } => {
                let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
                let numbers: Vec<usize> =
                    (9..header).filter(|&i| bytes[i].is_ascii_digit()).collect();
                let start = numbers[at % numbers.len()];
                bytes.splice(start..=start, digits.bytes());
                let header = (header - 8 + digits.len() - 1) as u64;
                bytes[..8].copy_from_slice(&header.to_le_bytes());
            }
        }
        bytes
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let any_at = any::<usize>();
    prop_oneof![
        any_at.prop_map(Damage::Cut),
        prop::collection::vec((any::<usize>(), 1u8..), 1..8).prop_map(Damage::Flip),
        any::<u64>().prop_map(Damage::Length),
        (0u64..5000).prop_map(Damage::Length),
        (any::<usize>(), 1usize..200, any::<usize>()).prop_map(|(from, len, to)| Damage::Splice {
            from,
            len,
            to
        }),
        (any::<usize>(), "[0-9]{0,20}|-1|1e9|null|\"\"|\\[")
            .prop_map(|(at, digits)| Damage::Digits { at, digits }),
    ]
}

/// The most heap that loading takes, and whether it succeeded.
fn load(path: &Path, bytes: &[u8]) -> (usize, bool) {
    // Some file systems wait for the disk when a file is overwritten, but not for a new one.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
    alloc::reset_peak();
    let before = alloc::stats().unwrap().live_bytes;
    let loaded = load_model(path);
    (alloc::stats().unwrap().peak_bytes - before, loaded.is_ok())
}

#[test]
fn damaged_files_neither_panic_nor_exhaust_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let whole = int8_model(&path);
    assert!(load(&path, &whole).1);

    for cut in 0..whole.len() {
        let (peak, loaded) = load(&path, &whole[..cut]);
        assert!(!loaded, "a file cut to {cut} bytes was loaded");
        assert!(peak <= allowed(cut), "{peak} bytes for {cut}");
    }

    let config = Config { failure_persistence: None, ..Config::with_cases(1000) };
    let mut runner = TestRunner::new(config);
    let checked = runner.run(&damage(), |damage| {
        let bytes = damage.apply(whole.clone());
        let (peak, _) = load(&path, &bytes);
        prop_assert!(peak <= allowed(bytes.len()), "{peak} bytes of heap for {}", bytes.len());
        Ok(())
    });
    checked.unwrap();

    for (unit, count) in [
        (r#""n":{"dtype":"","shape":[],"data_offsets":[0,0]},"#, 20_000),
        (r#""__metadata__":{"a":""},"#, 2),
        (r#"1,"#, 300_000),
        (r#""a":"","#, 100_000),
    ] {
        for opening in ["{", "{\"__metadata__\":{", "{\"w\":{\"dtype\":\"F32\",\"shape\":["] {
            let header = format!("{opening}{}", unit.repeat(count));
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
            let (peak, loaded) = load(&path, &bytes);
            assert!(!loaded && peak <= allowed(bytes.len()), "{peak} bytes of heap for {unit}");
        }
    }
}
