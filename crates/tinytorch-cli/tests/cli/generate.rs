//! `generate`, from the file of a language model to its text.

use crate::support::{Bench, one_line};
use std::fs;
use std::path::{Path, PathBuf};
use tinytorch::data::read_npy;
use tinytorch::files::{Provenance, load_llama2c, save_model};
use tinytorch::models::Architecture;
use tinytorch::nn::Init;
use tinytorch::text::CharTokenizer;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tinytorch/tests/data/stories260K").join(name)
}

/// A folder with stories260K in its two published forms and its tokenizer, and as a file of our own.
fn stories() -> Bench {
    let bench = Bench::new();
    for name in ["stories260K.safetensors", "config.json", "stories260K.bin", "tok512.bin"] {
        bench.write(name, &fs::read(data(name)).unwrap());
    }
    let model = load_llama2c(data("stories260K.bin")).unwrap().model;
    save_model(bench.path("own.safetensors"), &*model, &Provenance::default()).unwrap();
    bench
}

/// What a command prints that must succeed, with its one line about the time.
fn text(bench: &Bench, args: &str) -> String {
    let output = bench.run(args);
    assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
    let about = String::from_utf8(output.stderr).unwrap();
    assert!(about.ends_with(" tokens/s\n") && about.lines().count() == 1, "{about}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\n').expect("the line ends").to_string()
}

#[test]
fn every_form_of_a_model_prints_the_reference_text() {
    let bench = stories();
    let want = fs::read_to_string(data("ref_greedy_text.txt")).unwrap();
    for file in ["stories260K.safetensors", "stories260K.bin", "own.safetensors", "."] {
        if file == "." {
            fs::remove_file(bench.path("own.safetensors")).unwrap();
        }
        assert_eq!(text(&bench, &format!("generate {file} --greedy --steps 200")), want, "{file}");
    }
    let uncached = "generate stories260K.bin --greedy --steps 40 --cache none";
    assert!(want.starts_with(&text(&bench, uncached)));
}

#[test]
fn json_tells_the_ids_and_how_it_went() {
    let bench = stories();
    let told = bench.json("generate stories260K.bin --greedy --steps 199");
    let ids: Vec<i64> = serde_json::from_value(told["ids"].clone()).unwrap();
    let want: Vec<i64> = read_npy(data("ref_greedy_ids.npy")).unwrap().to_vec().unwrap();
    assert_eq!(ids[..], want[..200]);
    assert_eq!((told["prompt_tokens"].as_u64(), told["tokens"].as_u64()), (Some(1), Some(199)));
    assert_eq!((told["finish"].as_str(), told["cache"].as_str()), (Some("steps"), Some("f32")));
    assert!(told["tokens_per_second"].as_f64().unwrap() > 0.0);
    let ended = bench.json("generate stories260K.bin --greedy --steps 5000");
    assert!(["end", "context"].contains(&ended["finish"].as_str().unwrap()), "{ended}");
}

#[test]
fn a_seed_and_a_prompt_make_the_text() {
    let bench = stories();
    let told = |args: &str| text(&bench, &format!("generate stories260K.bin --steps 30 {args}"));
    let drawn = "--temperature 0.9 --top-k 50 --top-p 0.95 --seed";
    assert_eq!(told(&format!("{drawn} 1")), told(&format!("{drawn} 1")));
    assert_ne!(told(&format!("{drawn} 1")), told(&format!("{drawn} 2")));
    assert!(told("--prompt Tom --greedy").starts_with("Tom"));
    assert_eq!(told("--top-k 1"), told("--greedy"));
}

#[test]
fn an_int8_file_tells_what_quantizing_on_the_way_tells() {
    let bench = stories();
    bench.good("quantize stories260K.safetensors --out q.safetensors");
    let from = |args: &str| text(&bench, &format!("generate {args} --greedy --steps 60"));
    let int8 = from("q.safetensors");
    assert_eq!(int8, from("stories260K.bin --int8"));
    assert!(int8.starts_with("Once upon a time"), "{int8}");
    let all_int8 = from("q.safetensors --cache int8");
    assert!(all_int8.starts_with("Once upon a time"), "{all_int8}");
    let line = bench.refused("generate q.safetensors --int8");
    assert!(line.contains("int8"), "{line}");
}

/// A character model of random weights that carries its characters.
fn talker(bench: &Bench, name: &str, provenance: &Provenance) {
    let architecture = Architecture::preset("talks-gpt").unwrap();
    let model = architecture.build(&mut Init::seed(1)).unwrap();
    save_model(bench.path(name), &*model, provenance).unwrap();
}

#[test]
fn a_model_that_carries_its_characters_needs_no_other_file() {
    let bench = Bench::new();
    let mut provenance = Provenance::default();
    let corpus: String = (' '..='c').collect();
    provenance.set_tokenizer(&CharTokenizer::from_corpus(&corpus).unwrap());
    talker(&bench, "talks.safetensors", &provenance);
    talker(&bench, "mute.safetensors", &Provenance::default());
    let told = text(&bench, "generate talks.safetensors --prompt HELLO --steps 10 --seed 1");
    assert!(told.starts_with("HELLO") && told.len() > 5, "{told}");
    bench.good("quantize talks.safetensors --out q.safetensors");
    assert!(text(&bench, "generate q.safetensors --prompt HI --steps 3").starts_with("HI"));

    for (args, problem) in [
        ("talks.safetensors", "no token that begins a text"),
        (
            "mute.safetensors --prompt HELLO",
            "carries no tokenizer and none of tokenizer.json, tokenizer.model, tok69.bin",
        ),
    ] {
        let line = bench.refused(&format!("generate {args}"));
        assert!(line.contains(problem), "{args}: {line}");
    }
    let long = "A".repeat(65);
    let line = bench.refused(&format!("generate talks.safetensors --prompt {long}"));
    assert!(line.contains("65 tokens, and the model's context is 64"), "{line}");
}

#[test]
fn what_cannot_be_continued_is_refused_in_a_sentence() {
    let bench = Bench::with_model();
    for name in ["stories260K.bin", "tok512.bin"] {
        bench.write(name, &fs::read(data(name)).unwrap());
    }
    bench.write("noise.bin", b"not a tokenizer");
    bench.write("noise.json", b"{\"model\": 7}");
    bench.write("cut.bin", &fs::read(data("tok512.bin")).unwrap()[..3000]);
    let model = load_llama2c(data("stories260K.bin")).unwrap().model;
    let mut broken = model.clone();
    let (_, param) = broken.named_params_mut().pop().unwrap();
    param.value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(f32::NAN);
    save_model(bench.path("broken.safetensors"), &*broken, &Provenance::default()).unwrap();
    for (args, problem) in [
        ("stories260K.bin --tokenizer none.bin", "none.bin"),
        (
            "stories260K.bin --tokenizer noise.bin",
            "noise.bin: this is not a llama2.c tokenizer.bin",
        ),
        ("stories260K.bin --tokenizer noise.json", "noise.json: this is not a"),
        ("stories260K.bin --tokenizer cut.bin", "cut.bin"),
        ("stories260K.bin --tokenizer .", "cannot read"),
        ("stories260K.bin --temperature 0", "must be positive"),
        ("stories260K.bin --temperature -1", "must be positive"),
        ("stories260K.bin --temperature NaN", "must be positive"),
        ("stories260K.bin --top-k 0", "top-k is 0"),
        ("stories260K.bin --top-p 1.5", "top-p is 1.5"),
        ("stories260K.bin --top-p -1", "top-p is -1"),
        ("stories260K.bin --greedy --seed 3", "--seed"),
        ("stories260K.bin --steps many", "many"),
        ("stories260K.bin --cache gpu", "gpu"),
        ("tok512.bin", "llama2.c"),
        ("m.safetensors", "holds no language model"),
        ("none.safetensors", "none.safetensors"),
        ("broken.safetensors", "scores token 0 with NaN"),
    ] {
        let line = bench.refused(&format!("generate {args}"));
        assert!(line.contains(problem), "{args}: {line}");
    }
    let mut empty = bench.command("generate stories260K.bin --prompt");
    let output = empty.arg("").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(one_line(&output.stderr).contains("the prompt is empty"));
}

#[cfg(unix)]
#[test]
fn a_prompt_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let bench = stories();
    let mut command = bench.command("generate stories260K.bin --prompt");
    let output = command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line(&output.stderr).contains("UTF-8"), "{output:?}");
}

#[test]
fn the_benchmark_tells_the_time_at_growing_positions() {
    let bench = Bench::new();
    let told = bench.json("bench generate");
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3 * 6);
    let of = |cache: &str| rows.iter().filter(|row| row["cache"] == cache).collect::<Vec<_>>();
    for cache in ["f32", "int8", "none"] {
        let positions: Vec<u64> =
            of(cache).iter().map(|row| row["position"].as_u64().unwrap()).collect();
        assert_eq!(positions, [16, 32, 64, 128, 256, 512]);
        assert!(of(cache).iter().all(|row| row["microseconds"].as_f64().unwrap() > 0.0));
    }
    let bytes = |i: usize| told["caches"][i]["bytes"].as_u64().unwrap() as f64;
    assert!((bytes(1) / bytes(0) - 0.375).abs() < 0.01 && bytes(2) == 0.0, "{told}");
}

#[test]
fn eval_tells_how_well_a_text_is_foreseen() {
    let bench = stories();
    let own = fs::read_to_string(data("ref_greedy_text.txt")).unwrap();
    bench.write("own.txt", own.as_bytes());
    let shuffled: String = own.split(' ').rev().map(|word| format!("{word} ")).collect();
    bench.write("shuffled.txt", shuffled.as_bytes());
    bench.good("quantize stories260K.bin --out q.safetensors");
    let eval = |file: &str, text: &str| bench.json(&format!("eval {file} --data {text}"));
    let (float, int8) = (eval("stories260K.bin", "own.txt"), eval("q.safetensors", "own.txt"));
    let number = |scores: &serde_json::Value, name: &str| scores[name].as_f64().unwrap();
    // The model wrote this text itself, always with its likeliest token.
    assert!(number(&float, "perplexity") < 4.0, "{float}");
    assert!(number(&int8, "perplexity") / number(&float, "perplexity") < 1.05, "{int8}");
    let shuffled = eval("stories260K.bin", "shuffled.txt");
    assert!(number(&shuffled, "perplexity") > 3.0 * number(&float, "perplexity"), "{shuffled}");
    assert_eq!(number(&float, "characters"), own.chars().count() as f64);
    let per_byte = number(&float, "loss") * number(&float, "tokens") / number(&float, "bytes");
    assert!((number(&float, "perplexity_per_byte") - per_byte.exp()).abs() < 1e-9);

    bench.write("empty.txt", b"");
    bench.write("latin.txt", b"caf\xe9");
    for (args, problem) in [
        ("eval stories260K.bin --data empty.txt", "none to foresee"),
        ("eval stories260K.bin --data latin.txt", "latin.txt is not UTF-8 from byte 3"),
        ("eval stories260K.bin --data none.txt", "cannot read none.txt"),
        ("eval stories260K.bin --data own.txt --tokenizer own.txt", "not a llama2.c"),
    ] {
        let line = bench.refused(args);
        assert!(line.contains(problem), "{args}: {line}");
    }
}

/// A folder with a llama of byte-level tokens that always says the token `says`, and what its files tell of
/// the ends of texts.
fn parrot(says: usize, config: serde_json::Value, generation: Option<serde_json::Value>) -> Bench {
    use std::collections::BTreeMap;
    use tinytorch::Tensor;
    use tinytorch::files::write_tensors;
    use tinytorch::text::BpeTokenizer;
    let (bench, dim, vocab) = (Bench::new(), 16, 256);
    let named = |name: &str, value: Tensor| (name.to_string(), value);
    let mut head = Tensor::zeros([vocab, dim]).unwrap();
    head.as_mut_slice::<f32>().unwrap()[says * dim..][..dim].fill(1.0);
    let ones = |shape: &[usize]| Tensor::ones(shape).unwrap();
    let mut tensors = vec![
        named("model.embed_tokens.weight", ones(&[vocab, dim])),
        named("model.norm.weight", ones(&[dim])),
        named("lm_head.weight", head),
    ];
    for rest in [
        "self_attn.q",
        "self_attn.k",
        "self_attn.v",
        "self_attn.o",
        "mlp.gate",
        "mlp.up",
        "mlp.down",
    ] {
        let zeros = Tensor::zeros([dim, dim]).unwrap();
        tensors.push(named(&format!("model.layers.0.{rest}_proj.weight"), zeros));
    }
    for rest in ["input", "post_attention"] {
        tensors.push(named(&format!("model.layers.0.{rest}_layernorm.weight"), ones(&[dim])));
    }
    fs::create_dir(bench.path("dir")).unwrap();
    write_tensors(bench.path("dir/model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let mut all = serde_json::json!({
        "model_type": "llama", "vocab_size": vocab, "hidden_size": dim, "intermediate_size": dim,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5, "hidden_act": "silu",
    });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    bench.write("dir/config.json", all.to_string().as_bytes());
    if let Some(generation) = generation {
        bench.write("dir/generation_config.json", generation.to_string().as_bytes());
    }
    BpeTokenizer::bytes().save(bench.path("dir/tokenizer.json")).unwrap();
    bench
}

#[test]
fn a_text_ends_where_the_models_files_say() {
    use serde_json::json;
    let finish = |config, generation, file: &str| {
        let bench = parrot(42, config, generation);
        bench.good("quantize dir --out q.safetensors");
        let args = format!("generate {file} --prompt ab --greedy --steps 5");
        let told = bench.json(&format!("{args} --tokenizer dir/tokenizer.json"));
        (told["finish"].as_str().unwrap().to_string(), told["tokens"].as_u64().unwrap())
    };
    let (end, steps) = (("end".to_string(), 0), ("steps".to_string(), 5));
    for file in ["dir", "dir/model.safetensors", "q.safetensors"] {
        assert_eq!(finish(json!({"eos_token_id": 42}), None, file), end, "{file}");
        assert_eq!(finish(json!({"eos_token_id": [7, 42]}), None, file), end);
        assert_eq!(finish(json!({}), Some(json!({"eos_token_id": [7, 42]})), file), end);
        let other = Some(json!({"eos_token_id": 7}));
        assert_eq!(finish(json!({"eos_token_id": 42}), other, file), steps);
        assert_eq!(finish(json!({}), None, file), steps);
    }
}

#[test]
fn a_text_begins_with_the_models_token() {
    use serde_json::json;
    let bench = parrot(42, json!({"bos_token_id": 1}), None);
    let ids = |args: &str| {
        let told = bench.json(&format!("generate dir --greedy --steps 2 {args}"));
        serde_json::from_value::<Vec<i64>>(told["ids"].clone()).unwrap()
    };
    assert_eq!(ids(""), [1, 42, 42]);
    let plain = ids("--prompt a");
    assert_eq!((plain.len(), &plain[1..]), (3, &[42, 42][..]));
    bench.write("dir/tokenizer_config.json", br#"{"add_bos_token": true}"#);
    assert_eq!(ids("--prompt a"), [1, plain[0], 42, 42]);
}

#[test]
fn the_embedded_text_goes_through_the_models_own_tokenizer() {
    let bench = stories();
    let perplexity = |file: &str| {
        bench.json(&format!("eval {file} --data tinytalks"))["perplexity"].as_f64().unwrap()
    };
    // Questions and answers are no stories, but their words are the model's; with the ids of another
    // vocabulary it was 1.9e11.
    let float = perplexity("stories260K.bin");
    assert!((5.0..2000.0).contains(&float), "{float}");
    bench.good("quantize stories260K.bin --calibrate tinytalks --out q.safetensors");
    assert!((perplexity("q.safetensors") / float - 1.0).abs() < 0.1);
    fs::remove_file(bench.path("tok512.bin")).unwrap();
    for command in
        ["eval stories260K.bin --data", "quantize stories260K.bin --out n.safetensors --calibrate"]
    {
        let line = bench.refused(&format!("{command} tinytalks"));
        assert!(line.contains("512 tokens") && line.contains("tokenizer"), "{line}");
    }
}
