//! Sentences to vectors.

use crate::support::Bench;
use std::collections::BTreeMap;
use std::fs;
use tinytorch::Tensor;
use tinytorch::data::read_npy;
use tinytorch::files::{Embedder, write_tensors};
use tinytorch::models::{Architecture, BertConfig};
use tinytorch::nn::{Init, Module};
use tinytorch::text::{HfTokenizer, Tokenizer};

const TOKENIZER: &[u8] = include_bytes!("../../../tinytorch/tests/data/tokenizers/wordpiece.json");

const SENTENCES: &str = "The first line.\nAnother one, which is longer.\nAnd a third\n";

/// A folder `encoder` with a small encoder of random weights, as such models are published, and
/// sentences in `s.txt`.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new();
    let tokenizer = HfTokenizer::from_json(TOKENIZER).unwrap();
    let config = BertConfig {
        vocab: tokenizer.vocab_size(),
        context: 32,
        types: 2,
        dim: 32,
        layers: 2,
        heads: 4,
        hidden: 64,
        norm_eps: 1e-12,
        pad: 0,
        first_position: 0,
    };
    let architecture = Architecture::Bert(config.clone());
    let model = architecture.build(&mut Init::seed(1)).unwrap();
    let rename = architecture.foreign_names().rename;
    let params = model.named_params().into_iter();
    let tensors: Vec<(String, Tensor)> =
        params.map(|(name, param)| (rename(&name), param.value().unwrap().clone())).collect();
    fs::create_dir_all(bench.path("encoder/1_Pooling")).unwrap();
    write_tensors(bench.path("encoder/model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    bench.write("encoder/tokenizer.json", TOKENIZER);
    let config = serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": config.dim,
        "vocab_size": config.vocab, "intermediate_size": config.hidden, "layer_norm_eps": 1e-12,
        "max_position_embeddings": config.context, "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers, "pad_token_id": 0, "type_vocab_size": config.types,
    });
    bench.write("encoder/config.json", config.to_string().as_bytes());
    let stage = |path: &str, kind: &str| serde_json::json!({ "path": path, "type": kind });
    let stages =
        [stage("", "x.Transformer"), stage("1_Pooling", "x.Pooling"), stage("", "x.Normalize")];
    let stages = serde_json::to_vec(&stages).unwrap();
    bench.write("encoder/modules.json", &stages);
    let pooling = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#;
    bench.write("encoder/1_Pooling/config.json", pooling.as_bytes());
    bench.write("s.txt", SENTENCES.as_bytes());
    bench
}

const EMBED: &str = "embed encoder --input s.txt --out e.npy";

#[test]
fn every_line_becomes_a_row_of_length_1() {
    let bench = bench();
    assert!(bench.good(EMBED).contains("3 sentences"));
    let vectors = read_npy(bench.path("e.npy")).unwrap();
    let lines: Vec<&str> = SENTENCES.lines().collect();
    let want = Embedder::load(bench.path("encoder")).unwrap().embed(&lines).unwrap();
    assert_eq!(vectors.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    for row in want.to_vec::<f32>().unwrap().chunks(32) {
        assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn int8_stays_near_and_says_so() {
    let bench = bench();
    bench.good(EMBED);
    let float = read_npy(bench.path("e.npy")).unwrap();
    let outcome = bench.json(&format!("{EMBED} --int8"));
    assert_eq!(outcome["int8"], true);
    assert_eq!((&outcome["sentences"], &outcome["dim"]), (&3.into(), &32.into()));
    let int8 = read_npy(bench.path("e.npy")).unwrap();
    assert_ne!(int8.to_vec::<f32>().unwrap(), float.to_vec::<f32>().unwrap());
    assert!(int8.allclose(&float, 0.0, 0.02).unwrap());
}

#[test]
fn text_that_is_none_is_refused() {
    let bench = bench();
    let cases: [(&[u8], &str); 4] = [
        (b"", "s.txt holds no text"),
        (b"one\n\nthree\n", "line 2 of s.txt is empty"),
        (b"one\n \t\n", "line 2 of s.txt is empty"),
        (b"one\ntw\xffo\n", "line 2 of s.txt is not UTF-8"),
    ];
    for (text, problem) in cases {
        bench.write("s.txt", text);
        let line = bench.refused(EMBED);
        assert!(line.contains(problem), "{line}");
    }
    assert!(bench.refused("embed encoder --input no.txt --out e.npy").contains("no.txt"));
}

#[test]
fn folders_that_hold_no_sentence_encoder_are_refused() {
    let refused = |file: &str, content: &[u8]| {
        let bench = bench();
        bench.write(&format!("encoder/{file}"), content);
        bench.refused(EMBED)
    };
    assert!(refused("tokenizer.json", b"{}").contains("this is not a Hugging Face tokenizer.json"));
    assert!(refused("config.json", b"{}").contains("no model_type"));
    let llama = serde_json::to_vec(&Architecture::preset("stories260K").unwrap()).unwrap();
    assert!(refused("config.json", &llama).contains("the model is no encoder"));
    let bench = bench();
    let text = String::from_utf8(bench.read("encoder/config.json")).unwrap();
    let deeper = text.replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":3");
    let line = refused("config.json", deeper.as_bytes());
    assert!(line.contains("\"encoder.layer.2.attention.self.query.weight\" is missing"), "{line}");
    let narrower = text.replace("\"intermediate_size\":64", "\"intermediate_size\":63");
    assert!(refused("config.json", narrower.as_bytes()).contains("where the model needs"));
    assert!(refused("model.safetensors", b"no weights").contains("model.safetensors"));
    let first = br#"{"pooling_mode_cls_token": true}"#;
    assert!(refused("1_Pooling/config.json", first).contains("several poolings"));
    let outside = br#"[{"path":"","type":"x.Transformer"},{"path":"../..","type":"x.Pooling"}]"#;
    assert!(refused("modules.json", outside).contains("no path below"));
    assert!(bench.refused("embed nothing --input s.txt --out e.npy").contains("nothing"));
}

/// A pair of equal sentences is as alike as can be, whatever the model; the scores are in the order of the cosines.
#[test]
fn eval_ranks_pairs_and_says_what_it_needs() {
    let bench = bench();
    bench.good(EMBED);
    let vectors = read_npy(bench.path("e.npy")).unwrap().to_vec::<f32>().unwrap();
    let cosine = |i: usize, j: usize| -> f64 {
        let row = |i: usize| &vectors[i * 32..(i + 1) * 32];
        row(i).iter().zip(row(j)).map(|(a, b)| f64::from(a * b)).sum()
    };
    let lines: Vec<&str> = SENTENCES.lines().collect();
    let places = [(0, 0), (0, 1), (1, 2), (0, 2)];
    let text = |reversed: bool| -> String {
        let line = |&(i, j): &(usize, usize)| {
            let score = if reversed { -cosine(i, j) } else { 5.0 * cosine(i, j) };
            format!("{}\t{}\t{score}\n", lines[i], lines[j])
        };
        places.iter().map(line).collect()
    };
    bench.write("p.tsv", text(false).as_bytes());
    bench.write("n.txt", text(true).as_bytes());
    let of = |data: &str| bench.json(&format!("eval encoder --data {data}"));
    let ranked = of("p.tsv");
    assert_eq!((&ranked["spearman"], &ranked["pairs"]), (&1.0.into(), &4.into()));
    let mean = places.iter().map(|&(i, j)| cosine(i, j)).sum::<f64>() / 4.0;
    assert!((ranked["mean_cosine"].as_f64().unwrap() - mean).abs() < 1e-6, "{ranked} {mean}");
    assert_eq!(of("n.txt")["spearman"], -1.0);
    bench.write(
        "pairs.tsv",
        format!("{0}\t{1}\n{1}\t{2}\n", lines[0], lines[1], lines[2]).as_bytes(),
    );
    let line = bench.good("eval encoder --data pairs.tsv");
    assert!(line.contains("mean cosine") && !line.contains("Spearman"), "{line}");
    let line = bench.refused("eval encoder --data s.txt");
    assert!(line.contains("a tab between them") && line.contains("`audit`"), "{line}");
}

/// A text calibrates an encoder line by line, as it judges one, and not in windows of its context.
#[test]
fn lines_calibrate_an_encoder_within_a_budget() {
    let bench = bench();
    let line = |i: usize| format!("Sentence {i} of this text, {}\n", i * i);
    bench.write("lines.txt", (0..48).map(line).collect::<String>().as_bytes());
    let quantize = "quantize encoder --calibrate lines.txt --max-error 5% --out within";
    let outcome = bench.json(quantize);
    let ladder = &outcome["ladder"];
    assert_eq!((&ladder["within"], &ladder["held_out_samples"]), (&true.into(), &12.into()));
    assert_eq!(outcome["calibration_samples"], 48);
    let few = bench.json(&quantize.replace("--max-error 5%", "--samples 16"));
    assert_eq!(few["calibration_samples"], 16);
    fs::copy(bench.path("encoder/model.safetensors"), bench.path("alone.safetensors")).unwrap();
    fs::copy(bench.path("encoder/config.json"), bench.path("config.json")).unwrap();
    let line =
        bench.refused("quantize alone.safetensors --calibrate lines.txt --out q.safetensors");
    assert!(line.contains("put its tokenizer.json there"), "{line}");
}
