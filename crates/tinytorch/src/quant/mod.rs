//! Quantization: float weights become int8 in place, with ranges calibrated on data.
//!
//! Quantizing a layer changes how its weight is stored and not what the layer is, so the model
//! keeps its type, its names and its `forward`. The float weights are destroyed; clone the model
//! first to keep them:
//!
//! ```
//! use tinytorch::{Rng, Tensor, autograd::Var, nn::{Init, Linear, Module}};
//! use tinytorch::quant::{QuantConfig, quantize_model};
//!
//! let mut model = Linear::new(32, 8, &mut Init::seed(1))?;
//! let original = model.clone();
//! let batch = Var::from(Tensor::randn([16, 32], 1.0, &mut Rng::seed(2))?);
//! quantize_model(&mut model, [Ok(batch.clone())], &QuantConfig::default())?;
//!
//! assert!(model.weight.int8().is_some());
//! assert!(original.weight.value().is_ok());
//! let again = quantize_model(&mut model, [Ok(batch)], &QuantConfig::default());
//! assert!(again.unwrap_err().to_string().contains("int8 already"));
//! # Ok::<(), tinytorch::Error>(())
//! ```
//!
//! [`quantize_model`] is [`calibrate`] followed by [`apply`]; what lies between them, [`Prepared`], is plain
//! data that can be merged from several machines. How each weight is quantized is a [`Scheme`], by patterns
//! of names in a [`QuantConfig`].
//!
//! Where that costs too much accuracy, [`quantize_within`] finds the fastest way within a budget, and
//! [`prepare_qat`](crate::fit::prepare_qat) rounds a model's weights while they train and
//! [`convert`](crate::fit::convert) makes them int8 afterwards.

mod apply;
mod calibrate;
mod changes;
mod check;
mod config;
mod correct;
mod data_free;
mod equalize;
mod error;
mod fold;
mod input;
mod ladder;
mod moments;
mod prepared;
mod products;
mod range;
mod record;
mod relative_error;
mod report;
mod scheme;
mod seen;
mod sizes;
mod tensor;
mod trace;

pub use apply::{apply, quantize_model};
pub use calibrate::{Calibrator, calibrate};
pub(crate) use changes::Parts;
use check::check;
pub use check::{is_weight, unquantize_model};
pub use config::QuantConfig;
pub(crate) use correct::{Channels, channels};
pub use data_free::prepare_without_data;
pub use equalize::{Equalization, equalize};
pub use error::QuantError;
pub(crate) use fold::{Folded, fold};
pub(crate) use input::{input_of, static_range};
pub use ladder::{
    Cost, Ladder, Priced, Prices, RUNGS, Search, Trial, Watch, quantize_watched, quantize_within,
};
pub(crate) use moments::Moments;
pub use prepared::Prepared;
pub(crate) use products::{biases_of_layers, product_steps};
pub use range::{RangeEstimator, RangeMethod};
pub use record::QuantRecord;
pub use relative_error::relative_error;
pub use report::{QuantReport, Tried, WeightReport};
pub use scheme::{Activations, Scheme};
pub use seen::SeenRows;
pub(crate) use sizes::heap_bytes;
pub use sizes::{ModelSize, SizeComparison, compare_model_sizes};
pub use tensor::{Int8Tensor, dequantize_int8, quantize_int8};
pub(crate) use trace::lowered;
