//! Models that take token ids, with the commands that take any model.

use crate::support::Bench;
use serde_json::json;
use tinytorch::Tensor;
use tinytorch::data::{read_npy, write_npy, write_npz};
use tinytorch::files::{Provenance, save_model};
use tinytorch::models::Architecture;
use tinytorch::nn::Init;

/// An untrained `talks-gpt` in `m.safetensors`, and ids for it in `ids.npy`.
fn bench() -> Bench {
    let bench = Bench::new();
    let architecture = Architecture::preset("talks-gpt").unwrap();
    let model = architecture.build(&mut Init::seed(1)).unwrap();
    save_model(bench.path("m.safetensors"), &*model, &Provenance::default()).unwrap();
    let ids = architecture.example(3).unwrap().slice(1, 0..20).unwrap();
    write_npy(bench.path("ids.npy"), &ids).unwrap();
    bench
}

#[test]
fn quantizing_needs_no_data_and_takes_dynamic_16_bit_activations() {
    let bench = bench();
    let outcome = bench.json("quantize m.safetensors --out q.safetensors");
    let config = &outcome["config"];
    let scheme = |activations: &str| {
        let (granularity, weight_bits) = ("per-channel", 8);
        json!({"int8": {"granularity": granularity, "weight_bits": weight_bits, "activations": activations}})
    };
    assert_eq!(config["scheme"], scheme("dynamic"));
    assert_eq!(config["patterns"], json!([["*weight", scheme("dynamic-16")]]));
    assert!(outcome["float_bytes"].as_u64().unwrap() > 3 * outcome["int8_bytes"].as_u64().unwrap());
    let plain = bench.json("quantize m.safetensors --out p.safetensors --activations dynamic");
    assert_eq!(plain["config"]["patterns"], json!([]));
    let some = "quantize m.safetensors --out p.safetensors --wide q_proj.weight,k_proj.weight";
    assert_eq!(bench.json(some)["config"]["patterns"].as_array().unwrap().len(), 2);
    let line = bench.refused("quantize m.safetensors --out n.safetensors --wide no.weight");
    assert!(line.contains("there is no weight `*no.weight`"), "{line}");
}

#[test]
fn ids_go_in_and_scores_come_out() {
    let bench = bench();
    bench.good("quantize m.safetensors --out q.safetensors");
    for file in ["m", "q"] {
        bench.good(&format!("run {file}.safetensors --input ids.npy --out {file}.npy"));
        let scores = read_npy(bench.path(&format!("{file}.npy"))).unwrap();
        assert_eq!(scores.shape()[..2], [3, 20]);
    }
    let text = bench.good("profile q.safetensors");
    assert!(text.contains("tokens.weight"), "{text}");
    assert!(bench.good("inspect q.safetensors").contains("tokens.weight_scale"));
}

#[test]
fn inputs_that_are_no_ids_are_refused() {
    let bench = bench();
    let run = "run m.safetensors --out y.npy --input";
    write_npy(bench.path("floats.npy"), &Tensor::ones([2, 5]).unwrap()).unwrap();
    assert!(bench.refused(&format!("{run} floats.npy")).contains("no token ids"));
    let outside = Tensor::from_vec(vec![1i64, 4_000], [1, 2]).unwrap();
    write_npy(bench.path("outside.npy"), &outside).unwrap();
    assert!(bench.refused(&format!("{run} outside.npy")).contains("index 4000 is outside"));
    let long = Tensor::full(1i64, [1, 4_000]).unwrap();
    write_npy(bench.path("long.npy"), &long).unwrap();
    assert!(bench.refused(&format!("{run} long.npy")).contains("position 4000"));
    let empty = Tensor::from_vec(Vec::<i64>::new(), [0, 4]).unwrap();
    write_npy(bench.path("empty.npy"), &empty).unwrap();
    assert!(bench.refused(&format!("{run} empty.npy")).contains("no token ids"));
}

/// One array is as good as an .npy; of several it is not known which.
#[test]
fn ids_may_be_the_one_array_of_an_npz() {
    let bench = bench();
    let ids = read_npy(bench.path("ids.npy")).unwrap();
    write_npz(bench.path("one.npz"), &[("anything", &ids)]).unwrap();
    write_npz(bench.path("two.npz"), &[("a", &ids), ("b", &ids)]).unwrap();
    bench.good("run m.safetensors --input ids.npy --out y.npy");
    bench.good("run m.safetensors --input one.npz --out z.npy");
    assert_eq!(bench.read("y.npy"), bench.read("z.npy"));
    let line = bench.refused("run m.safetensors --input two.npz --out x.npy");
    assert!(line.contains("two.npz holds the arrays a, b"), "{line}");
}

#[test]
fn a_published_folder_is_a_model_too() {
    let bench = Bench::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tinytorch/tests/data/stories260K");
    let outcome = bench.json(&format!("quantize {folder} --out q.safetensors"));
    let weights = outcome["weights"].as_array().unwrap();
    assert_eq!(weights.len(), 1 + 5 * 7);
    assert!(weights.iter().all(|weight| weight["error"].as_f64().unwrap() < 0.01));
    let args = "generate q.safetensors --greedy --steps 5 --tokenizer";
    let output = bench.run(&format!("{args} {folder}/tok512.bin"));
    assert!(output.stdout.starts_with(b"Once upon a time"), "{output:?}");
}
