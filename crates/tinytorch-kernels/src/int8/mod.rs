//! Eight-bit integers: quantizing, and multiplying quantized matrices.
//!
//! Activations are `u8` with a scale and a zero point ([`QParams`]), or `i16` around 0 with a scale; weights
//! are `i8` with scales and packed once ([`Panels`]), dot products are exact `i32`. Every function returns the same
//! bits on every instruction set and with any number of threads.

mod areas;
mod columns;
mod conv;
mod conv_access;
mod conv_job;
mod conv_shape;
mod conv_tasks;
mod depthwise;
mod depthwise_block;
mod dot;
mod error;
mod finish;
mod finish_whole;
mod gemm;
mod level_sums;
mod levels;
mod name;
mod nhwc;
mod operands;
mod pair_rule;
mod panels;
mod params;
mod product;
mod quantize;
mod rows;
mod runs;
mod slab;
mod tile;
mod transposed;
mod turned;
mod weight_only;
mod widen;
mod winograd;
mod words;

pub use conv::conv2d;
pub use conv_shape::ConvShape;
pub use error::Int8Error;
pub use gemm::gemm;
pub use nhwc::quantize_nchw_to_nhwc;
pub use operands::{Activations, Epilogue, Images, Layout, Output, RowParams, Scales};
pub use pair_rule::pair_rule_holds;
pub use panels::{MAX_K, MAX_K_OFF_CENTER, Panels};
pub use params::{QParams, symmetric_scale};
pub use quantize::{
    dequantize_i8, dequantize_u8, min_max, quantize_finite_u8, quantize_i8, quantize_rows_u8,
    quantize_u8,
};
pub use transposed::gemm_transposed;
pub use weight_only::gemm_weight_only;
pub use words::{MOST_WORDS, quantize_nchw_to_nhwc_i16, quantize_rows_i16};
