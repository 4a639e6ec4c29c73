//! The `tinytorch` command as its users meet it: what it prints, writes and exits with.

mod alibi;
mod bad_input;
mod between_layers;
mod embed;
mod generate;
mod import;
mod judge;
mod mismatch;
mod nothing_to_judge;
mod onnx;
mod output;
mod overwrite;
mod pipeline;
mod shell;
mod support;
mod text_models;
mod training;
mod verify;
mod whole_way;
