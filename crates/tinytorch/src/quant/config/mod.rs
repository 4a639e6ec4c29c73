//! How a model is quantized.

mod architecture;
mod before;
mod settings;

pub use settings::QuantConfig;
