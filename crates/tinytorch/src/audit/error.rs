//! What an audit refuses to judge.

use crate::tensor::Shape;
use std::path::PathBuf;

/// What an audit refuses to judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Int8 weights where the float model should be.
    #[error("{} holds int8 weights; name the float model that it was made from", path.display())]
    NotFloat {
        /// The file.
        path: PathBuf,
    },
    /// No int8 weight where there should be some.
    #[error("{} holds no int8 weights; make such a file with `tinytorch quantize`", path.display())]
    NotInt8 {
        /// The file.
        path: PathBuf,
    },
    /// Two models that cannot have been made from each other.
    #[error(
        "{} is of another architecture than {}; name the float model that the int8 model was made from",
        float.display(),
        int8.display()
    )]
    OtherArchitecture {
        /// The float model's file.
        float: PathBuf,
        /// The int8 model's file.
        int8: PathBuf,
    },
    /// Two models that were not made from the same settings.
    #[error(
        "the float model is {float} and the int8 model {int8}; give the one that the other was made from"
    )]
    OtherKind {
        /// The float model's description.
        float: String,
        /// The int8 model's.
        int8: String,
    },
    /// Nothing to judge by.
    #[error("there are no held-out samples; give at least one for each input of the model")]
    NoSamples,
    /// Tensors that hold different numbers of samples.
    #[error("{tensor} of the held-out data holds {got} samples where input 0 holds {expected}")]
    Ragged {
        /// Which tensor.
        tensor: String,
        /// Its samples.
        got: usize,
        /// Those of the first input.
        expected: usize,
    },
    /// Samples that somebody has changed while they judged.
    #[error(
        "the samples were changed while they judged; keep the arrays as they are until the audit has ended"
    )]
    SamplesChanged,
    /// Samples that do not fill the passes of a model that takes no other number of them.
    #[error(
        "{got} samples do not fill passes of {per_pass}, which is what the model takes; give a multiple of that"
    )]
    Uneven {
        /// How many there are.
        got: usize,
        /// How many a pass takes.
        per_pass: usize,
    },
    /// A task without what it judges.
    #[error("there is no {what} for the task to judge")]
    Nothing {
        /// An output or a target.
        what: &'static str,
    },
    /// Outputs that cannot be compared with their targets.
    #[error("the model's output is {output} where its target is {target}; they must be the same")]
    TargetShape {
        /// Shape of the output.
        output: Shape,
        /// Shape of the target.
        target: Shape,
    },
    /// Outputs that are no boxes with scores.
    #[error(
        "outputs of shape {boxes} and {scores} are no boxes [samples, boxes, 4] with scores [samples, boxes, classes]; name the outputs that are"
    )]
    NoBoxes {
        /// Shape of what should be boxes.
        boxes: Shape,
        /// Shape of what should be scores.
        scores: Shape,
    },
    /// Boxes most of which end before they begin.
    #[error(
        "{flat} of the {boxes} boxes that the float model finds have no area, so that they are no corners x, y, x, y; decode them in a metric of your own"
    )]
    FlatBoxes {
        /// How many have none.
        flat: usize,
        /// How many were found.
        boxes: usize,
    },
    /// An output that is no text.
    #[error(
        "an output of shape {output} is no text [samples, steps, classes]; name the output that is"
    )]
    NoText {
        /// Shape of the output.
        output: Shape,
    },
    /// An int8 model that is not what stood before a fine-tuning.
    #[error(
        "`{name}` has other values than quantizing the float model gives; name the int8 model as it was before it was fine-tuned"
    )]
    NotBefore {
        /// The parameter.
        name: String,
    },
    /// A parameter that is no number.
    #[error("`{name}` of the {which} model is NaN at index {index}; train or quantize it again")]
    NotANumber {
        /// Which of the two models.
        which: &'static str,
        /// The parameter.
        name: String,
        /// Where.
        index: usize,
    },
    /// An output of the float model that is no number.
    #[error(
        "the float model gives NaN or infinity in `{output}` for sample {sample}, so that there is nothing to hold an int8 model against; check its weights and the scale of the inputs"
    )]
    NotFinite {
        /// The output.
        output: String,
        /// The sample.
        sample: usize,
    },
    /// A name that no parameter has.
    #[error(
        "`{name}` was fine-tuned, it is said, but no float parameter of the int8 model is called so"
    )]
    NoParameter {
        /// The name.
        name: String,
    },
}

impl crate::CustomError for AuditError {}
