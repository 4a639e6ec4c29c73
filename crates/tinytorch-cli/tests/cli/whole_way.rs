//! Text models, from the folder that others publish to an audited int8 folder.

use crate::embed;
use crate::support::Bench;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::read_npy;
use tinytorch::files::{Embedder, write_tensors};
use tinytorch::models::{Architecture, ForeignNames, Layout};
use tinytorch::nn::{Init, Module};
use tinytorch::text::BpeTokenizer;

const FOLDER: [&str; 3] = ["config.json", "stories260K.safetensors", "tok512.bin"];

/// Bytes of the text that judges.
const TEXT: usize = 2000;

/// stories260K as it is published in `stories`, and a text that it has written itself in `t.txt`.
fn stories() -> Bench {
    let bench = Bench::new();
    fs::create_dir(bench.path("stories")).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tinytorch/tests/data/stories260K");
    for name in FOLDER {
        bench.write(&format!("stories/{name}"), &fs::read(data.join(name)).unwrap());
    }
    let text = fs::read_to_string(data.join("stories.txt")).unwrap();
    bench.write("t.txt", text.split_at(TEXT).0.as_bytes());
    bench.write("stories.bin", &fs::read(data.join("stories260K.bin")).unwrap());
    bench.write("tok512.bin", &fs::read(data.join("tok512.bin")).unwrap());
    bench
}

/// The value of a gate in an audit's report.
fn value(report: &serde_json::Value, gate: &str) -> f64 {
    found(report, gate)["value"].as_f64().unwrap()
}

fn found<'r>(report: &'r serde_json::Value, gate: &str) -> &'r serde_json::Value {
    let gates = report["models"][0]["gates"].as_array().unwrap();
    gates.iter().find(|found| found["id"] == gate).unwrap()
}

/// The report of an audit that judges, whatever its verdict.
fn report(bench: &Bench, args: &str) -> serde_json::Value {
    let output = bench.run(&format!("{args} --json"));
    assert!(matches!(output.status.code(), Some(0 | 1)), "{args}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_decoder_goes_the_whole_way_as_a_folder() {
    let bench = stories();
    bench.good("quantize stories --out int8");
    let names: Vec<String> = fs::read_dir(bench.path("int8"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    // The folder is the same model as the file.
    bench.good("quantize stories --out q.safetensors");
    assert_eq!(bench.read("int8/model.safetensors"), bench.read("q.safetensors"));
    let told = bench.json("eval int8 --data t.txt");
    let perplexity = |told: &serde_json::Value| told["perplexity"].as_f64().unwrap();
    let float = bench.json("eval stories --data t.txt");
    assert!((perplexity(&told) / perplexity(&float) - 1.0).abs() < 0.01);
    let text = bench.run("generate int8 --greedy --steps 12");
    assert!(String::from_utf8(text.stdout).unwrap().starts_with("Once upon a time"));

    let judge = "--data t.txt --max-error 3% --no-latency";
    let first = report(&bench, &format!("audit stories int8 {judge}"));
    for gate in ["structure", "coverage", "output_error", "accuracy", "round_trip"] {
        assert_eq!(found(&first, gate)["result"], "pass", "{gate}");
    }
    // Every form of both models is judged by the same text, and reads the same.
    let again = report(&bench, &format!("audit stories.bin q.safetensors {judge}"));
    for gate in ["output_error", "accuracy", "agreement"] {
        assert_eq!(value(&again, gate), value(&first, gate), "{gate}");
    }
    // A second run replaces its own folder, and no other.
    bench.good("quantize stories --out int8");
    assert!(bench.refused("quantize stories --out stories").contains("would be replaced"));
    fs::create_dir(bench.path("photos")).unwrap();
    bench.write("photos/me.png", b"x");
    let line = bench.refused("quantize stories --out photos");
    assert!(line.contains("photos is there and holds no model"), "{line}");
    assert!(bench.refused("audit stories int8 --data t.txt --junit t.txt").contains("would be"));
}

#[test]
fn a_sentence_encoder_goes_the_whole_way_as_a_folder() {
    let bench = embed::bench();
    bench.good("quantize encoder --out int8");
    for name in ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"] {
        assert_eq!(bench.read(&format!("int8/{name}")), bench.read(&format!("encoder/{name}")));
    }
    // What is quantized in memory is what is quantized in the folder.
    bench.good("embed encoder --input s.txt --out memory.npy --int8");
    let outcome = bench.json("embed int8 --input s.txt --out folder.npy");
    assert_eq!(outcome["int8"], true);
    let of = |name: &str| read_npy(bench.path(name)).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(of("folder.npy"), of("memory.npy"));

    let lines: Vec<String> = (0..40).map(|i| format!("The line {i} of a longer text.")).collect();
    bench.write("many.txt", lines.join("\n").as_bytes());
    let judge = "audit encoder int8 --data many.txt --max-error 5% --no-latency";
    let judged = report(&bench, judge);
    assert_eq!(found(&judged, "coverage")["result"], "pass");
    // The distance and the mean cosine of what both folders give.
    let vectors = |folder: &str| {
        let embedder = Embedder::load(bench.path(folder)).unwrap();
        embedder.embed(&lines).unwrap().to_vec::<f32>().unwrap()
    };
    let (float, int8) = (vectors("encoder"), vectors("int8"));
    let dim = float.len() / lines.len();
    let mean = |j: usize| float.iter().skip(j).step_by(dim).sum::<f32>() / 40.0;
    let squares = |of: &dyn Fn(usize) -> f32| (0..float.len()).map(of).map(|d| d * d).sum::<f32>();
    let apart = squares(&|i| int8[i] - float[i]) / squares(&|i| float[i] - mean(i % dim));
    let error = value(&judged, "output_error");
    assert!((error / f64::from(100.0 * apart.sqrt()) - 1.0).abs() < 0.01, "{error} {apart}");
    let cosine = float.iter().zip(&int8).map(|(a, b)| f64::from(a * b)).sum::<f64>() / 40.0;
    assert!((value(&judged, "accuracy") - 100.0 * cosine).abs() < 1e-3, "{cosine}");
    assert!(cosine < 1.0);

    // A configuration of another model than the weights are.
    let config = String::from_utf8(bench.read("int8/config.json")).unwrap();
    bench.write("int8/config.json", config.replace("1e-12", "1e-5").as_bytes());
    let line = bench.refused("embed int8 --input s.txt --out folder.npy");
    assert!(line.contains("describes another model"), "{line}");
    let line = bench.refused("audit encoder encoder --data many.txt");
    assert!(line.contains("int8"), "{line}");
}

/// A model of random weights in the folder `float`, as those of this configuration are published.
fn published(bench: &Bench, config: &serde_json::Value) {
    let architecture = Architecture::from_config(&config.to_string()).unwrap();
    let model = architecture.build(&mut Init::seed(5)).unwrap();
    let ForeignNames { rename, layout, .. } = architecture.foreign_names();
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, param) in model.named_params() {
        let value = param.value().unwrap().clone();
        let last = value.shape().rank() - 1;
        let stored = match layout(&name) {
            Layout::Same => value,
            _ if last == 0 => value,
            _ => value.transpose(0, 1).unwrap().contiguous().unwrap(),
        };
        let joined = match tensors.remove(&rename(&name)) {
            Some(before) => Tensor::cat::<f32>(&[before, stored], last).unwrap(),
            None => stored,
        };
        tensors.insert(rename(&name), joined);
    }
    fs::create_dir(bench.path("float")).unwrap();
    let tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    write_tensors(bench.path("float/model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    bench.write("float/config.json", config.to_string().as_bytes());
}

#[test]
fn other_decoders_go_the_whole_way() {
    use serde_json::json;
    let gpt2 = json!({"model_type": "gpt2", "vocab_size": 256, "n_positions": 32, "n_embd": 32,
        "n_layer": 1, "n_head": 4, "activation_function": "gelu_new"});
    let qwen3 = json!({"model_type": "qwen3", "vocab_size": 256, "hidden_size": 32, "head_dim": 16,
        "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 32, "tie_word_embeddings": true});
    for config in [gpt2, qwen3] {
        let bench = Bench::new();
        published(&bench, &config);
        BpeTokenizer::bytes().save(bench.path("float/tokenizer.json")).unwrap();
        bench.write("t.txt", "to be or not to be, that is a line. ".repeat(8).as_bytes());
        assert!(bench.good("inspect float/model.safetensors").contains("weight"));
        bench.good("quantize float --out int8");
        let args = "--prompt to --greedy --steps 3";
        for folder in ["float", "int8"] {
            let told = bench.json(&format!("generate {folder} {args}"));
            assert_eq!(told["tokens"], 3, "{told}");
        }
        let judged = report(&bench, "audit float int8 --data t.txt --max-error 20% --no-latency");
        for gate in ["structure", "coverage", "output_error", "round_trip"] {
            assert_eq!(found(&judged, gate)["result"], "pass", "{gate}");
        }
    }
}

#[test]
fn other_encoders_go_the_whole_way() {
    use serde_json::json;
    let encoder = embed::bench();
    let tokenizer = encoder.read("encoder/tokenizer.json");
    let vocab = serde_json::from_slice::<serde_json::Value>(&tokenizer).unwrap();
    let vocab = vocab["model"]["vocab"].as_object().unwrap().len();
    let roberta = json!({"model_type": "roberta", "vocab_size": vocab, "hidden_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 34, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
        "pad_token_id": 1, "hidden_act": "gelu"});
    let distilbert = json!({"model_type": "distilbert", "vocab_size": vocab, "dim": 32,
        "n_layers": 1, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 32});
    for config in [roberta, distilbert] {
        let bench = Bench::new();
        published(&bench, &config);
        fs::create_dir(bench.path("float/1_Pooling")).unwrap();
        for name in ["tokenizer.json", "modules.json", "1_Pooling/config.json"] {
            bench.write(&format!("float/{name}"), &encoder.read(&format!("encoder/{name}")));
        }
        let word = |i: u32, bit: u32| if i >> bit & 1 == 1 { "line" } else { "of" };
        let line = |i| (0..6).map(|bit| word(i, bit)).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = (0..40).map(line).collect();
        bench.write("many.txt", lines.join("\n").as_bytes());
        bench.good("quantize float --out int8");
        for folder in ["float", "int8"] {
            let told = bench.json(&format!("embed {folder} --input many.txt --out {folder}.npy"));
            assert_eq!(told["int8"], folder == "int8", "{told}");
        }
        let judged =
            report(&bench, "audit float int8 --data many.txt --max-error 20% --no-latency");
        for gate in ["structure", "coverage", "output_error", "round_trip"] {
            assert_eq!(found(&judged, gate)["result"], "pass", "{gate}");
        }
    }
}
