//! What can go wrong when a model is quantized.

/// What can go wrong when a model is quantized. The model is then as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// Outputs of the float model that are no numbers.
    #[error(
        "the float model gives NaN or infinity in its output {output}, so that no error can be told; check its weights and the inputs"
    )]
    Outputs {
        /// Which of its float outputs, from 0.
        output: usize,
    },
    /// A weight that is int8 already.
    #[error("`{name}` is int8 already; quantize a float model, once")]
    AlreadyQuantized {
        /// The weight.
        name: String,
    },
    /// A weight that is prepared for quantization-aware training.
    #[error(
        "`{name}` is prepared for quantization-aware training already; train it, and make it int8 with `convert`"
    )]
    AlreadyPrepared {
        /// The weight.
        name: String,
    },
    /// A model without a weight that is prepared for quantization-aware training.
    #[error(
        "the model is not prepared for quantization-aware training; call `prepare_qat` and train it first, or quantize it with `quantize_model`"
    )]
    NotPrepared,
    /// A model without a weight that could be int8.
    #[error(
        "the model has nothing to quantize: none of its {params} parameters is the weight of a linear layer, a convolution or an embedding that is not skipped"
    )]
    NothingToQuantize {
        /// Number of parameters.
        params: usize,
    },
    /// A weight without values.
    #[error("`{name}` holds no values yet; load a checkpoint before quantizing")]
    NotLoaded {
        /// The weight.
        name: String,
    },
    /// A weight that cannot be quantized.
    #[error("`{name}` cannot be quantized: {source}")]
    Weight {
        /// The weight.
        name: String,
        /// Why.
        source: Box<crate::Error>,
    },
    /// Static activations without data to calibrate them.
    #[error(
        "calibration has no batches, but static activations need their ranges; pass a few hundred training samples, or choose dynamic activations"
    )]
    EmptyCalibration,
    /// The model cannot run on a calibration batch.
    #[error("calibration batch {batch} does not run through the model: {source}")]
    Calibration {
        /// Index of the batch.
        batch: usize,
        /// Why.
        source: Box<crate::Error>,
    },
    /// An activation that is NaN or infinite.
    #[error(
        "the input of `{name}` is {value} in calibration batch {batch}; check the data and the model"
    )]
    Activation {
        /// The weight that would multiply it.
        name: String,
        /// The value.
        value: f32,
        /// Index of the batch.
        batch: usize,
    },
    /// A weight that no calibration batch reached.
    #[error(
        "calibration never reached `{name}`, so its input has no range; skip it, or calibrate with data that uses it"
    )]
    NeverRan {
        /// The weight.
        name: String,
    },
    /// A pattern in the configuration that fits no weight of the model.
    #[error("there is no weight `{pattern}`; the weights are {known}")]
    UnknownWeight {
        /// The pattern given.
        pattern: String,
        /// The weights there are.
        known: String,
    },
    /// Findings about another model.
    #[error(
        "calibration has seen `{name}`, which this model does not have in that form; calibrate this model or a clone of it"
    )]
    OtherModel {
        /// The parameter or layer.
        name: String,
    },
    /// An op whose output nothing is known of without data.
    #[error("the range of what {op} gives is not known without data; calibrate on some")]
    NoDataFreeRange {
        /// The op.
        op: &'static str,
    },
    /// A search for the fastest way that cannot begin.
    #[error("the ladder cannot be climbed: {problem}")]
    Ladder {
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// An attempt to get the floats back.
    #[error(
        "`{name}` is int8 and its float values are gone; clone the model before quantizing it, or load the float checkpoint again"
    )]
    Irreversible {
        /// The first int8 weight.
        name: String,
    },
    /// Findings of calibrations that do not go together.
    #[error("cannot merge what calibrations have found: {what}")]
    Merge {
        /// What differs.
        what: &'static str,
    },
    /// A file without the record of its quantization.
    #[error("the model does not say how it was quantized; quantize the float model again")]
    NoRecord,
    /// A record of another form.
    #[error(
        "the record of the quantization cannot be read: {problem}; quantize the float model again with this version"
    )]
    Record {
        /// What is wrong.
        problem: String,
    },
}

impl crate::CustomError for QuantError {}
