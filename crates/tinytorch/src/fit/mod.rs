//! Fitting a model to a smaller form of its weights, each kind in a file: trained corrections of low rank
//! beside weights ([`lora`]), weights that are rounded to int8 as they train ([`prepare_qat`]), and weights as
//! products of thin factors ([`factorize`]).
//!
//! All of them put something beside a layer's weight, an
//! [`Attachment`](crate::ops::Attachment), of which the layer need not know; training, files and quantization
//! find its parameters like any others.

pub mod lora;
mod low_rank;
mod qat;

pub use low_rank::{LowRankReport, Thin, factorize, low_rank_approximate};
pub use qat::{QatReport, convert, prepare_qat};
