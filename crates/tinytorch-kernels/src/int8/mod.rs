//! Eight-bit integers: quantizing, and multiplying quantized matrices.
//!
//! Activations are `u8` with a scale and a zero point ([`QParams`]), weights are `i8` with scales
//! and packed once ([`Panels`]), dot products are exact `i32`. Every function returns the same
//! bits on every instruction set and with any number of threads.

mod error;
mod pair_rule;
mod panels;
mod params;
mod quantize;

pub use error::Int8Error;
pub use pair_rule::pair_rule_holds;
pub use panels::{MAX_K, Panels};
pub use params::{QParams, symmetric_scale};
pub use quantize::{
    dequantize_i8, dequantize_u8, min_max, quantize_i8, quantize_rows_u8, quantize_u8,
};
