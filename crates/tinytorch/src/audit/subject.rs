use crate::data::Examples;
use crate::models::Model;
use crate::quant::QuantConfig;

/// What an audit is about: a float model, the int8 model that was made from it, and data that
/// neither training nor calibration has seen.
pub struct Subject {
    /// What it is called in the report.
    pub name: String,
    /// The float model, as it was before quantizing.
    pub float: Box<dyn Model>,
    /// The SHA-256 of the float model's tensors, taken before it was quantized.
    pub float_digest: String,
    /// The int8 model.
    pub int8: Box<dyn Model>,
    /// Parameters that quantizing says it has changed, beside the int8 weights.
    pub changed: Vec<String>,
    /// How it was quantized.
    pub config: QuantConfig,
    /// The samples to judge by.
    pub held_out: Examples,
}

/// The limits that an int8 model is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Largest relative L2 error of the output, as a fraction.
    pub max_error: f64,
    /// Accuracy that the float model must reach to be worth the test, as a fraction.
    pub float_floor: f64,
}

impl Default for Budget {
    /// 1 % error, and any accuracy.
    fn default() -> Self {
        Budget { max_error: 0.01, float_floor: 0.0 }
    }
}
