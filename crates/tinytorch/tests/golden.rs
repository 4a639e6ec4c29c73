//! That nothing has changed, to the bit: digests of weights, gradients, outputs, files and audits of every
//! reference and published model, on each instruction set, are what they were when they were recorded.
//!
//! `golden/recorded` holds them, a file for each model: by instruction set, then by name. A change that is
//! meant to change results records them anew, and its commit says which and why:
//!
//! ```text
//! TINYTORCH_GOLDEN=record cargo test --release --test golden
//! ```
//!
//! That writes the values of this machine's instruction sets and leaves those of others alone.
//! `cargo test --release --test golden digits_mlp` looks at one model. Values are skipped, and a line says so,
//! where nothing is recorded for an instruction set, where the system's mathematical functions round otherwise
//! than those that the values were recorded with, and where a published model or its data is not at hand
//! (`golden/published.rs`). Names that end in `steps` or `kernels` are descriptions, whose words may change
//! when results do not.

#[path = "golden/audits.rs"]
mod audits;
#[path = "golden/battery.rs"]
mod battery;
#[path = "golden/decoding.rs"]
mod decoding;
#[path = "golden/layers.rs"]
mod layers;
#[path = "golden/library.rs"]
mod library;
#[path = "golden/models.rs"]
mod models;
#[path = "golden/ops.rs"]
mod ops;
#[path = "golden/process.rs"]
mod process;
#[path = "golden/published.rs"]
mod published;
#[path = "golden/quantizing.rs"]
mod quantizing;
#[path = "golden/recorded.rs"]
mod recorded;
#[path = "golden/smaller.rs"]
mod smaller;
#[path = "golden/support.rs"]
mod support;
#[path = "golden/values.rs"]
mod values;

use process::check;

/// A test for each model, of the model's name.
macro_rules! golden {
    ($($test:ident: $model:literal, $digest:path;)*) => {
        $(
            #[test]
            fn $test() {
                check(stringify!($test), $model, $digest);
            }
        )*
    };
}

golden! {
    every_op: "ops", ops::ops;
    every_layer: "layers", layers::layers;
    data_and_text: "data-and-text", library::data_and_text;
    digits_mlp: "digits-mlp", models::digits_mlp;
    digits_cnn: "digits-cnn", models::digits_cnn;
    digits_hybrid: "digits-hybrid", models::digits_hybrid;
    mnist_mlp: "mnist-mlp", models::mnist_mlp;
    mnist_cnn: "mnist-cnn", models::mnist_cnn;
    talks_gpt: "talks-gpt", models::talks_gpt;
    gpt_small: "gpt-small", models::gpt_small;
    llama_small: "llama-small", models::llama_small;
    bert_small: "bert-small", models::bert_small;
    sentences_small: "sentences-small", models::sentences_small;
    hybrid_small: "hybrid-small", models::hybrid_small;
    resnet_small: "resnet-small", models::resnet_small;
    image_text: "image-text", models::image_text;
    stories: "stories260K", models::stories;
    resnet20: "resnet20", models::resnet20;
}

#[test]
fn resnet20_cifar10() {
    match published::photographs() {
        Some(_) => check("resnet20_cifar10", "resnet20-cifar10", published::resnet20_cifar10),
        None => println!("skipped: TINYTORCH_SHARED names no folder with data/cifar10"),
    }
}

#[test]
fn minilm() {
    match published::minilm() {
        Some(_) => check("minilm", "minilm", published::minilm_sentences),
        None => println!("skipped: TINYTORCH_MINILM names no folder with all-MiniLM-L6-v2"),
    }
}
