//! `docs/formats.md`: what is read, and with which sentence the rest is refused. The page is made of what
//! reading really gives here; `TINYTORCH_WRITE_DOCS=1` writes it anew.

use super::published_support::*;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tinytorch::data::{Labels, Unlabeled, decode_csv, load, write_npy, write_npz};
use tinytorch::files::{Embedder, Provenance, import_folder, open_model, save_model};
use tinytorch::models::Architecture;
use tinytorch::nn::Init;
use tinytorch::text::{HfTokenizer, load_tokenizer};
use tinytorch::{Result, Tensor};

/// The page, row by row.
struct Page(String);

impl Page {
    fn section(&mut self, title: &str, file: &str) {
        write!(self.0, "\n## {title}\n\n| {file} | |\n|---|---|\n").unwrap();
    }

    fn row<T>(&mut self, what: &str, read: Result<T>, folder: &Path) {
        let told = match read {
            Ok(_) => "read".to_string(),
            Err(error) => {
                let line = error.to_string();
                assert!(!line.contains('\n'), "{line}");
                // Where the test lies says nothing.
                let folder = folder.display().to_string();
                let line = line.replace(&format!("{folder}/"), "").replace(&folder, "FOLDER");
                format!("refused: {}", line.replace('|', "\\|"))
            }
        };
        writeln!(self.0, "| {what} | {told} |").unwrap();
    }
}

const HEAD: &str = "# What is read, and what is refused

A test makes this page (`crates/tinytorch/tests/integration/formats.rs`) of small files of each kind: what it
says is what happens. Where a file says something that would change the numbers and tinytorch does not know it,
the answer is a refusal that names it.
";

/// An empty archive behind a member's signature.
const OTHER_ZIP: &[u8] = b"PK\x03\x04PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0";

fn models(page: &mut Page) {
    page.section("Model files", "file");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = Architecture::preset("digits-mlp").unwrap().build(&mut Init::seed(1)).unwrap();
    save_model(at("model.safetensors"), &*own, &Provenance::default()).unwrap();
    let mut row = |what: &str, name: &str, bytes: Option<&[u8]>| {
        if let Some(bytes) = bytes {
            fs::write(at(name), bytes).unwrap();
        }
        page.row(what, open_model(at(name)), folder.path());
    };
    let whole = fs::read(at("model.safetensors")).unwrap();
    row("tinytorch's own safetensors file, float or int8", "model.safetensors", None);
    row("the same, cut short", "cut.safetensors", Some(&whole[..whole.len() - 4]));
    row(
        "a pointer of Git LFS",
        "lfs.safetensors",
        Some(b"version https://git-lfs.github.com/spec/v1\n"),
    );
    row("a web page", "page.safetensors", Some(b"<!DOCTYPE html><html></html>"));
    row("GGUF", "model.gguf", Some(b"GGUF\x03\0\0\0\0\0\0\0"));
    row("ONNX", "model.onnx", Some(b"\x08\x07\x12\x07pytorch"));
    row("an archive that torch.save did not write", "other.zip", Some(OTHER_ZIP));
    row("a whole model by torch.save", "model.pt", Some(torch("whole_model.pt")));
    let cut = torch("plain.pt");
    row("a state dict by torch.save, cut short", "cut.pt", Some(&cut[..cut.len() - 4]));
    row("PyTorch's older .bin or .pt (pickle)", "old.bin", Some(b"\x80\x02}q\x00."));
    row("HDF5", "model.h5", Some(b"\x89HDF\r\n\x1a\n\0\0\0\0"));
    row("text", "notes.txt", Some(b"some notes about the model"));
    row("nothing", "empty.safetensors", Some(b""));
    let folder = Folder::new(&llama_config(), &llama_tensors(true));
    page.row(
        "a folder with `config.json` and `model.safetensors`",
        import_folder(folder.root()),
        folder.root(),
    );
    let file = open_model(folder.path("model.safetensors"));
    page.row("a safetensors file with its `config.json` beside it", file, folder.root());
    fs::rename(folder.path("model.safetensors"), folder.path("aside")).unwrap();
    fs::write(folder.path("pytorch_model.bin"), torch("llama.bin")).unwrap();
    page.row(
        "a folder with `config.json` and `pytorch_model.bin`, a state dict by torch.save",
        open_model(folder.root()),
        folder.root(),
    );
    fs::remove_file(folder.path("pytorch_model.bin")).unwrap();
    fs::rename(folder.path("aside"), folder.path("model.safetensors")).unwrap();
    let stories = super::text_stories::data("stories260K.bin");
    page.row("a `.bin` of llama2.c, version 0", open_model(&stories), folder.root());
    let index = json!({"weight_map": {"a": "model-00002-of-00002.safetensors"}});
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    folder.write("model.safetensors.index.json", &index);
    page.row(
        "a folder with an index and not all of its files",
        import_folder(folder.root()),
        folder.root(),
    );
}

fn with(mut config: Value, settings: &Value) -> Value {
    for (name, value) in settings.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn configurations(page: &mut Page) {
    page.section("Settings of a `config.json`", "setting");
    let scaled = |kind: &str| json!({"rope_scaling": {"rope_type": kind, "factor": 2.0}});
    let new = |kind: &str| json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": kind}});
    let llamas = [
        json!({"model_type": "llama"}),
        json!({"rope_theta": 500000.0}),
        new("default"),
        new("llama3"),
        scaled("default"),
        scaled("dynamic"),
        scaled("linear"),
        scaled("yarn"),
        scaled("longrope"),
        json!({"partial_rotary_factor": 0.5}),
        json!({"sliding_window": 4}),
        json!({"sliding_window": 4, "use_sliding_window": false}),
        json!({"attention_bias": true}),
        json!({"mlp_bias": true}),
        json!({"hidden_act": "relu"}),
        json!({"head_dim": 16}),
        json!({"tie_word_embeddings": true}),
        json!({"quantization_config": {"load_in_8bit": true}}),
        json!({"logits_scaling": 8.0}),
        json!({"torch_dtype": "bfloat16", "eos_token_id": [1, 2], "use_cache": true}),
        json!({"model_type": "mistral", "sliding_window": null}),
        json!({"model_type": "mistral", "max_position_embeddings": 8192}),
        json!({"model_type": "gemma"}),
    ];
    let berts = [
        json!({"model_type": "bert"}),
        json!({"is_decoder": true}),
        json!({"position_embedding_type": "relative_key"}),
        json!({"hidden_act": "gelu_new"}),
        json!({"layer_norm_eps": null, "type_vocab_size": null}),
    ];
    let plain = [json!({})];
    let gpts = [
        json!({}),
        json!({"activation_function": "relu"}),
        json!({"activation_function": "tanh"}),
        json!({"scale_attn_by_inverse_layer_idx": true}),
    ];
    for (config, tensors, all) in [
        (llama_config(), llama_tensors(true), &llamas[..]),
        (qwen3_config(), decoder_tensors(false, Extra::HeadNorms), &plain),
        (gpt2_config(), gpt2_tensors(), &gpts),
        (bert_config(), bert_tensors(), &berts),
        (roberta_config(), roberta_tensors(), &plain),
        (distilbert_config(), distilbert_tensors(), &plain),
    ] {
        for settings in all {
            let folder = Folder::new(&with(config.clone(), settings), &tensors);
            let kind = config["model_type"].as_str().unwrap();
            let what = format!("{kind}: `{settings}`");
            page.row(&what, import_folder(folder.root()), folder.root());
        }
    }
}

fn sentence_encoders(page: &mut Page) {
    page.section("Sentence encoders", "`1_Pooling/config.json`, or the file that is named");
    let folder = Folder::new(&bert_config(), &bert_tensors());
    folder.write("tokenizer.json", &tokenizer());
    let stage = |path: &str, kind: &str| json!({"path": path, "type": kind});
    let stages = |last: &[&str]| {
        let mut all = vec![stage("", "x.Transformer"), stage("1_Pooling", "x.Pooling")];
        all.extend(last.iter().map(|kind| stage("", kind)));
        json!(all)
    };
    folder.write("modules.json", &stages(&["x.Normalize"]));
    for pooling in [
        json!({"pooling_mode": "mean"}),
        json!({"pooling_mode": "cls"}),
        json!({"pooling_mode": "lasttoken"}),
        json!({"pooling_mode": "max"}),
        json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}),
        json!({}),
        json!({"pooling_mode": "weightedmean"}),
        json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}),
        json!({"pooling_mode_mean_sqrt_len_tokens": true}),
    ] {
        folder.write("1_Pooling/config.json", &pooling);
        page.row(&format!("`{pooling}`"), Embedder::load(folder.root()), folder.root());
    }
    folder.write("1_Pooling/config.json", &json!({}));
    folder.write("modules.json", &stages(&["x.Dense"]));
    page.row("`modules.json` with a Dense stage", Embedder::load(folder.root()), folder.root());
    folder.write("modules.json", &stages(&[]));
    folder.write("config_sentence_transformers.json", &json!({"default_prompt_name": "query"}));
    page.row("a default prompt", Embedder::load(folder.root()), folder.root());
}

fn tokenizers(page: &mut Page) {
    page.section("Tokenizers", "`tokenizer.json`");
    let golden: Value =
        serde_json::from_str(include_str!("../data/tokenizers/kinds.json")).unwrap();
    let none = Path::new("/");
    for (kind, case) in golden["kinds"].as_object().unwrap() {
        let read = HfTokenizer::from_json(case["file"].to_string().as_bytes());
        page.row(&format!("of the kind of {kind}"), read.map_err(tinytorch::Error::from), none);
    }
    let mut row = |what: &str, path: &str, value: Value| {
        let mut file = golden["kinds"]["llama2"]["file"].clone();
        *file.pointer_mut(path).unwrap() = value;
        let read = HfTokenizer::from_json(file.to_string().as_bytes());
        page.row(what, read.map_err(tinytorch::Error::from), none);
    };
    row("BPE with dropout", "/model/dropout", json!(0.1));
    row("the decoder CTC", "/decoder", json!({"type": "CTC"}));
    row("the decoder BPEDecoder", "/decoder", json!({"type": "BPEDecoder", "suffix": "</w>"}));
    row("another post-processor", "/post_processor", json!({"type": "Own"}));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    fs::write(&path, b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02").unwrap();
    page.row("SentencePiece's `tokenizer.model`", load_tokenizer(&path), folder.path());
}

fn tables(page: &mut Page) {
    page.section("Tables (.csv)", "content");
    let none = Path::new("/");
    for (what, text) in [
        ("a column named label, class or target", "a,label\n.5,1\n.6,0\n"),
        ("the last column named y", "a,y\n.5,1\n.6,0\n"),
        ("a column of text", "a,kind\n.5,rose\n.6,lily\n"),
        ("no names, classes in the last column only", ".1,.5,1\n.2,.6,0\n"),
        ("no names, classes in the first column only", "1,.1,.5\n0,.2,.6\n"),
        ("no names, both could be", "1,.5,3\n0,.6,2\n"),
        ("names that fit two columns", "y,a,class\n1,.5,3\n0,.6,2\n"),
        ("names of which none tells", "a,b\n.5,1\n.6,0\n"),
        ("a header 0,1,2,...", "0,1,2\n.5,.5,1\n.6,.6,0\n"),
        ("a nameless first column of row numbers", ",a,label\n0,.5,1\n1,.6,0\n"),
        ("semicolons and decimal commas", "a;label\n0,5;1\n0,6;0\n"),
        ("decimal commas and points", "a;label\n0,5;1\n0.6;0\n"),
        ("BOM, CRLF and quotes", "\u{feff}\"a\",\"label\"\r\n\".5\",\"1\"\r\n.6,0\r\n"),
        ("a field that is missing", "a,label\n,1\n.6,0\n"),
        ("NA in a later row", "a,label\n.5,1\nNA,0\n"),
        ("rows of other lengths", "a,label\n.5,1\n.6\n"),
        ("two columns of text", "a,b,label\n.5,x,rose\n.6,y,lily\n"),
        ("no rows", "a,label\n"),
    ] {
        let read = decode_csv("FILE", text.as_bytes());
        page.row(what, read.and_then(|table| table.split_labels(&Labels::Known)), none);
    }
    let utf16 = decode_csv("FILE", &[0xff, 0xfe, b'1', 0]);
    page.row("UTF-16", utf16, none);
}

fn data(page: &mut Page) {
    page.section("Other data", "file");
    let folder: TempDir = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let labels = Tensor::from_vec(vec![0i64, 1], [2]).unwrap();
    let bytes = |most: u8| Tensor::from_vec(vec![0u8, most, 1, 0], [2, 2]).unwrap();
    let inputs = Tensor::from_vec(vec![0.0f32, 0.5, 1.0, 0.2], [2, 2]).unwrap();
    let mut set = |what: &str, x: &Tensor| {
        write_npz(at("d.npz"), &[("x", x), ("y", &labels)]).unwrap();
        page.row(what, load(at("d.npz")), folder.path());
    };
    set("an .npz with x and y", &inputs);
    set("bytes up to 255, which become 0..1", &bytes(255));
    set("bytes that never exceed 32", &bytes(16));
    set("NaN", &Tensor::full(f32::NAN, [2, 2]).unwrap());
    write_npz(at("d.npz"), &[("z", &inputs)]).unwrap();
    page.row("an .npz without x and y", load(at("d.npz")), folder.path());
    write_npy(at("d.npy"), &inputs).unwrap();
    page.row("an .npy, which has no labels", load(at("d.npy")), folder.path());
    let inputs_only = Unlabeled { count: 2, seed: 0, labels: Labels::Known, width: None };
    page.row("an .npy where no labels are needed", inputs_only.load(at("d.npy")), folder.path());
    fs::write(at("l.npz"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    page.row("a pointer of Git LFS", load(at("l.npz")), folder.path());
    fs::write(at("d.parquet"), "PAR1").unwrap();
    page.row("anything else", load(at("d.parquet")), folder.path());
}

#[test]
fn the_page_says_what_happens() {
    let mut page = Page(HEAD.to_string());
    models(&mut page);
    configurations(&mut page);
    sentence_encoders(&mut page);
    tokenizers(&mut page);
    tables(&mut page);
    data(&mut page);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    if std::env::var_os("TINYTORCH_WRITE_DOCS").is_some() {
        fs::write(&path, &page.0).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    for (written, made) in written.lines().zip(page.0.lines()) {
        assert_eq!(written, made, "docs/formats.md is out of date");
    }
    assert_eq!(written, page.0, "docs/formats.md is out of date");
}
