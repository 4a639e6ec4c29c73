//! Settings in the files of published models that change the numbers: computed as NumPy does, or refused
//! by name.

use super::published_support::*;
use serde_json::{Value, json};
use tinytorch::autograd::Ctx;
use tinytorch::files::{Embedder, import_folder, load_model, save_model};
use tinytorch::nn::Forward;

fn with(mut config: Value, settings: &Value) -> Value {
    for (name, value) in settings.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

#[test]
fn every_way_to_write_the_rotary_base_gives_its_scores() {
    let tensors = llama_tensors(true);
    for (settings, want) in [
        (json!({}), "llama_10k"),
        (json!({"rope_theta": 10000.0}), "llama_10k"),
        (json!({"rope_theta": 10000.0, "rope_scaling": {"rope_type": "default"}}), "llama_10k"),
        (
            json!({"rope_theta": 1e4, "rope_scaling": {"type": "dynamic", "factor": 2.0}}),
            "llama_10k",
        ),
        (json!({"rope_theta": 500000, "rope_scaling": null}), "llama_500k"),
        (json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}), "llama_500k"),
    ] {
        let folder = Folder::new(&with(llama_config(), &settings), &tensors);
        assert_reference(&last_scores(&import_folder(folder.root()).unwrap()), want);
    }
}

#[test]
fn scaled_rotary_positions_give_their_scores() {
    let tensors = llama_tensors(true);
    let (theta, before) = ("rope_theta", "original_max_position_embeddings");
    for (parameters, want) in [
        (json!({theta: 1e4, "rope_type": "linear", "factor": 2.0}), "llama_linear"),
        (
            json!({theta: 5e5, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, before: 16}),
            "llama_llama3",
        ),
        (json!({theta: 1e4, "rope_type": "yarn", "factor": 4.0, before: 16}), "llama_yarn"),
        (
            json!({theta: 1e4, "rope_type": "yarn", "factor": 2.0, "beta_fast": 4.0,
                "beta_slow": 0.5, "attention_factor": 1.2, "truncate": false}),
            "llama_yarn_own",
        ),
    ] {
        let mut scaling = parameters.clone();
        let base = scaling.as_object_mut().unwrap().remove(theta).unwrap();
        for settings in
            [json!({"rope_parameters": parameters}), json!({theta: base, "rope_scaling": scaling})]
        {
            let folder = Folder::new(&with(llama_config(), &settings), &tensors);
            let loaded = import_folder(folder.root()).unwrap();
            assert_reference(&last_scores(&loaded), want);
            // What the file says of itself gives the same angles again.
            let own = folder.path("own.safetensors");
            save_model(&own, &*loaded.model, &loaded.provenance).unwrap();
            assert_reference(&last_scores(&load_model(&own).unwrap()), want);
        }
    }
}

#[test]
fn families_that_are_built_like_a_llama_give_their_scores() {
    let mistral = with(llama_config(), &json!({"model_type": "mistral", "sliding_window": null}));
    let folder = Folder::new(&mistral, &llama_tensors(true));
    assert_reference(&last_scores(&import_folder(folder.root()).unwrap()), "llama_10k");
    let settings = json!({"model_type": "qwen2", "tie_word_embeddings": true, "use_sliding_window": false,
        "sliding_window": 4, "max_window_layers": 1});
    let folder =
        Folder::new(&with(llama_config(), &settings), &decoder_tensors(false, Extra::Biases));
    assert_reference(&last_scores(&import_folder(folder.root()).unwrap()), "qwen2");
    let long = json!({"model_type": "mistral", "max_position_embeddings": 8192});
    let folder = Folder::new(&with(llama_config(), &long), &llama_tensors(true));
    let line = import_folder(folder.root()).err().unwrap().to_string();
    assert!(line.contains("sliding_window is 4096"), "{line}");
    let folder = Folder::new(&qwen3_config(), &decoder_tensors(false, Extra::HeadNorms));
    assert_reference(&last_scores(&import_folder(folder.root()).unwrap()), "qwen3");
    // SmolLM's files call themselves llamas and say what every llama is.
    let smol = json!({"is_llama_config": true, "rope_interleaved": false, "tie_word_embeddings": true,
        "transformers.js_config": {"dtype": "q4"}});
    let folder = Folder::new(&with(llama_config(), &smol), &llama_tensors(false));
    assert_reference(&last_scores(&import_folder(folder.root()).unwrap()), "llama_tied");
    let gemma = with(llama_config(), &json!({"model_type": "gemma"}));
    let folder = Folder::new(&gemma, &llama_tensors(true));
    assert!(import_folder(folder.root()).err().unwrap().to_string().contains("\"gemma\""));
}

#[test]
fn what_would_change_the_scores_is_refused_by_name() {
    let tensors = llama_tensors(true);
    for (settings, named) in [
        (json!({"rope_scaling": {"type": "longrope", "factor": 2.0}}), "rope_type is \"longrope\""),
        (json!({"sliding_window": 4, "use_sliding_window": true}), "sliding_window is 4"),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
        (json!({"quantization_config": {"load_in_8bit": true}}), "quantization_config"),
        (json!({"attention_bias": true}), "attention_bias is true"),
        (json!({"hidden_act": "relu"}), "hidden_act is \"relu\""),
        (json!({"query_pre_attn_scalar": 256}), "\"query_pre_attn_scalar\" is 256"),
    ] {
        let folder = Folder::new(&with(llama_config(), &settings), &tensors);
        let line = import_folder(folder.root()).err().unwrap().to_string();
        assert!(line.contains(named) && line.contains("config.json"), "{line}");
    }
}

/// A sentence encoder whose folder says `pooling` of its pooling.
fn encoder(pooling: Option<Value>) -> Folder {
    let folder = Folder::new(&bert_config(), &bert_tensors());
    folder.write("tokenizer.json", &tokenizer());
    if let Some(pooling) = pooling {
        let stages = json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
        ]);
        folder.write("modules.json", &stages);
        folder.write("1_Pooling/config.json", &pooling);
    }
    folder
}

#[test]
fn every_pooling_gives_its_vectors() {
    for (pooling, want) in [
        (None, "bert_mean"),
        (Some(json!({"word_embedding_dimension": WIDTH})), "bert_mean"),
        (Some(json!({"pooling_mode": "mean"})), "bert_mean"),
        (Some(json!({"pooling_mode": "cls"})), "bert_cls"),
        (Some(json!({"pooling_mode": "max"})), "bert_max"),
        (Some(json!({"pooling_mode": "lasttoken"})), "bert_lasttoken"),
        (
            Some(json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})),
            "bert_cls",
        ),
    ] {
        let folder = encoder(pooling);
        let embedder = Embedder::load(folder.root()).unwrap();
        let vectors = embedder.encoder.forward(&ids(6).into(), &mut Ctx::eval()).unwrap();
        assert_reference(&vectors.value().to_vec::<f32>().unwrap(), want);
    }
}

#[test]
fn a_sentence_encoder_that_does_something_else_is_refused_by_name() {
    let refused = |folder: &Folder| Embedder::load(folder.root()).err().unwrap().to_string();
    let weighted = encoder(Some(json!({"pooling_mode": "weightedmean"})));
    assert!(refused(&weighted).contains("pooling_mode is \"weightedmean\""));
    let prompted = encoder(None);
    let prompt = json!({"prompts": {"query": "query: "}, "default_prompt_name": "query"});
    prompted.write("config_sentence_transformers.json", &prompt);
    assert!(refused(&prompted).contains("default_prompt_name is \"query\""));
    let decoder = encoder(None);
    decoder.write("config.json", &with(bert_config(), &json!({"is_decoder": true})));
    assert!(refused(&decoder).contains("is_decoder is true"));
}

#[test]
fn text_is_turned_to_lower_case_if_the_folder_says_so() {
    let folder = encoder(None);
    let vector = |text: &str| {
        let embedder = Embedder::load(folder.root()).unwrap();
        embedder.embed(&[text]).unwrap().to_vec::<f32>().unwrap()
    };
    let (lower, upper) = (vector("hello world"), vector("Hello World"));
    assert_ne!(lower, upper);
    folder.write("sentence_bert_config.json", &json!({"do_lower_case": true}));
    assert_eq!(vector("Hello World"), lower);
}
