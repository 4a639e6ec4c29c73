//! The differentiable operations, one definition each: shape, numbers, cost, derivative, lowering.
//!
//! Each file holds an op and adds the method of [`Var`](crate::autograd::Var) that applies it, so
//! the list of files is the list of what can be recorded.
//!
//! ```
//! use tinytorch_core::{Tensor, autograd::{Ctx, Var}};
//! let mut ctx = Ctx::eval();
//! let x = Var::from(Tensor::from_vec(vec![-1.0, 2.0], [2])?);
//! assert_eq!(x.relu(&mut ctx)?.sum(&mut ctx)?.value().item()?, 2.0);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```
//!
#![doc = include_str!("ops.md")]

mod activation;
mod attachments;
mod attention;
mod attention_blocks;
mod attention_mask;
mod batch_norm;
mod binary;
mod blocks;
mod cached_attention;
mod cast;
mod cat;
mod channels;
mod compare;
mod constant_of_shape;
mod context;
mod conv2d_f32;
mod conv2d_int8;
mod conv_transpose;
mod dropout;
mod elementary;
mod embedding;
mod embedding_int8;
mod error;
mod expand;
mod extremum;
mod gather;
mod gather_elements;
mod global_avg_pool;
mod is_not;
mod linear_f32;
mod linear_int8;
mod logic;
mod matmul;
mod max_axis;
mod moves;
mod normalize;
mod one_hot;
mod pad;
mod pad_shortcut;
mod pairs;
mod pointwise;
mod pool;
mod pool_windows;
mod pow;
mod power;
mod range;
mod rearrange;
mod reduce;
mod reduce_axes;
mod relu;
mod remainder;
mod reshape;
mod reshape_to;
mod resize;
mod response_norm;
mod rope;
mod row_norm;
mod scalar;
mod scatter_nd;
mod shape_of;
mod signals;
mod slice;
mod softmax;
mod sources;
mod split;
#[cfg(test)]
mod table_tests;
mod tile;
mod topk;
mod triangle;
mod weight;
mod weighted;
mod where_true;

pub use crate::graph::RopeScaling;
pub use attachments::{
    Adapter, AdapterConfig, Attached, FakeInput, FakeQuant, FakeQuantConfig, LowRank,
};
pub use attention::AttentionMask;
pub use attention_blocks::Attention;
pub use batch_norm::{BatchNorm2d, BatchNormParams};
pub use binary::Binary;
pub use blocks::Blocks;
pub use cached_attention::HeldKeysValues;
pub use cast::Cast;
pub use cat::Cat;
pub use compare::Compare;
pub use constant_of_shape::ConstantOfShape;
pub use context::WithinContext;
pub use conv_transpose::ConvTranspose2d;
pub use conv2d_f32::Conv2d;
pub use conv2d_int8::Conv2dInt8;
pub use elementary::Clamp;
pub use embedding::{Lookup, Rows};
pub use embedding_int8::LookupInt8;
pub use error::OpError;
pub use expand::Expand;
pub use extremum::Extremum;
pub use gather::Gather;
pub use gather_elements::GatherElements;
pub use global_avg_pool::GlobalAvgPool;
pub use is_not::IsNot;
pub use linear_f32::Linear;
pub use linear_int8::LinearInt8;
pub(crate) use linear_int8::multiply;
pub use logic::Logic;
pub use matmul::MatMul;
pub use max_axis::MaxAxis;
pub use normalize::Normalize;
pub use one_hot::OneHot;
pub use pad::{Border, Pad};
pub use pad_shortcut::PadShortcut;
pub use pointwise::Pointwise;
pub use pool::Pool;
pub use pool_windows::{PoolKind, PoolWindows};
pub use pow::Pow;
pub use power::Power;
pub use range::Range;
pub use rearrange::Rearrange;
pub use reduce::{SumAll, SumAxis};
pub use reduce_axes::{Reduce, Reduction};
pub use relu::Relu;
pub use remainder::Remainder;
pub use reshape::Reshape;
pub use reshape_to::ReshapeTo;
pub use resize::{Interpolation, Place as ResizePlace, Proportions, Resize, Rounding};
pub use response_norm::ResponseNorm;
pub use rope::{Rope, RopePairs, Rotate};
pub use row_norm::RowNorm;
pub use scalar::Scalar;
pub use scatter_nd::{ScatterNd, Update};
pub use shape_of::ShapeOf;
pub use slice::Slice;
pub use softmax::Softmax;
pub use split::{Parts, Split};
pub use tile::Tile;
pub use tinytorch_kernels::f32::rows::NormKind;
pub use tinytorch_kernels::f32::{Function, functions};
pub use topk::TopK;
pub use triangle::Triangle;
pub use weight::{Attachment, AttachmentKind, Part, PartMut, Place, Weight, Weighted};
pub use where_true::Where;
