//! Why a training stops.

/// Why a training could not start, go on, or be resumed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss that is NaN or infinite. The model is as the step before left it.
    #[error(
        "the loss of step {step}, in epoch {epoch}, is {loss}; the model is as step {} left it; lower the learning rate, clip the gradients, or check the data", step - 1
    )]
    LossNotFinite {
        /// The step, counted from 1.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u64,
        /// The loss.
        loss: f32,
    },
    /// A loss that is NaN or infinite in evaluation.
    #[error(
        "the loss of evaluation batch {batch} is {loss}; check the model's weights and the data"
    )]
    EvaluationNotFinite {
        /// The batch, counted from 1.
        batch: usize,
        /// The loss.
        loss: f32,
    },
    /// A loader without batches.
    #[error("the {data} data has no batches; give it samples, or keep the last incomplete batch")]
    NoBatches {
        /// Which data.
        data: &'static str,
    },
    /// A model in which everything is frozen or int8.
    #[error(
        "the model has no parameter to train: {frozen} are frozen and {int8} are int8; unfreeze some, or add an adapter"
    )]
    NothingToTrain {
        /// Number of frozen parameters.
        frozen: usize,
        /// Number of int8 parameters.
        int8: usize,
    },
    /// An accumulation of no batches.
    #[error("a step over 0 batches was asked for; accumulate at least 1")]
    NoAccumulation,
    /// Early stopping without the figure that it watches.
    #[error("early stopping watches the validation {watched}, but there is none; {remedy}")]
    NothingToWatch {
        /// The figure.
        watched: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A metadata entry that the state of the training needs.
    #[error("the metadata entry {key:?} holds the state of the training; choose another name")]
    MetadataTaken {
        /// The entry.
        key: &'static str,
    },
    /// A state that JSON cannot express.
    #[error("the state of the training cannot be saved: {problem}")]
    NotSerializable {
        /// What JSON cannot express.
        problem: String,
    },
    /// A file that does not hold a training's state.
    #[error("{path} cannot be resumed: {problem}")]
    NotACheckpoint {
        /// The file.
        path: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// A checkpoint of a training with another setting.
    #[error(
        "{path} was trained with {setting} = {saved}, but this trainer has {current}; resume with the same, and change it afterwards"
    )]
    OtherSetting {
        /// The file.
        path: String,
        /// The setting.
        setting: String,
        /// Its value in the file.
        saved: String,
        /// Its value in the trainer.
        current: String,
    },
}

impl crate::CustomError for TrainError {}
