//! The commands, one a file.

pub(crate) mod audit;
mod audit_by_text;
mod audit_text;
mod baseline;
pub(crate) mod bench;
mod ci;
pub(crate) mod embed;
pub(crate) mod eval;
mod eval_pairs;
mod eval_text;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod inspect;
mod onnx;
pub(crate) mod profile;
pub(crate) mod quantize;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod train;
pub(crate) mod verify;
