//! What commands refuse beyond the library's own errors.

use std::path::PathBuf;
use tinytorch::tensor::{Dtype, Shape};

/// What a command refuses beyond the library's own errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "{} is read by the command and would be replaced by its result; {remedy}",
        path.display()
    )]
    OverInput { path: PathBuf, remedy: &'static str },
    #[error("{} would be written twice, as two results; name two files", path.display())]
    WrittenTwice { path: PathBuf },
    #[error(
        "static activations take their ranges from data; name some with --calibrate, or choose --activations dynamic"
    )]
    NoCalibration,
    #[error("--max-error is judged on data; name some with --calibrate")]
    NothingToJudge,
    #[error(
        "{data} holds samples of shape {got}, but the model takes {expected}; use data of the kind that the model was made for"
    )]
    SampleShape { data: String, got: Shape, expected: Shape },
    #[error(
        "{data} holds values from {} to {}, and the model was made with values from {} to {}; bring them to that scale (bytes, 8-bit integers without a sign, are divided by 255, other numbers are taken as they are)",
        got.0, got.1, known.0, known.1
    )]
    Scale { data: String, got: (f32, f32), known: (f32, f32) },
    #[error(
        "every value of {data} is {value}, which shows no range of the activations; calibrate with inputs that the model will meet"
    )]
    ConstantCalibration { data: String, value: f32 },
    #[error(
        "{data} holds the arrays {holds}, and the model takes one, of token ids; keep that one, or write it as an .npy"
    )]
    SeveralArrays { data: String, holds: String },
    #[error(
        "line {line} of {} has {columns} columns; a sentence encoder is judged by pairs: write two sentences on each line with a tab between them, and behind another tab how alike they are, if that is known (`audit` compares two models by sentences alone)",
        path.display()
    )]
    NoPair { path: PathBuf, line: usize, columns: usize },
    #[error("line {line} of {} says that its sentences are {text:?} alike; write a number", path.display())]
    NoScore { path: PathBuf, line: usize, text: String },
    #[error("{data} holds no token ids as 64-bit integers, which is what the model takes")]
    NoIds { data: String },
    #[error(
        "--float-floor is not a possible {measure}; accuracies lie between 0% and 100%, perplexities from 1 on"
    )]
    Floor { measure: String },
    #[error(
        "--float-floor is an accuracy or a perplexity, and these data have no classes to tell one by; add an array `labels`, an integer for each sample, or leave the floor out"
    )]
    FloorWithoutClasses,
    #[error(
        "{data} is a text, which the model does not take; use data of the kind that the model was made for"
    )]
    TextForOther { data: String },
    #[error(
        "{data} is a text, and which of the model's {vocab} tokens stand for it is not known, since no tokenizer is carried by the model's file or lies beside it; put its tokenizer.json there"
    )]
    UnknownIds { data: String, vocab: usize },
    #[error(
        "{data} is a text, and the model {} gives neither scores of next tokens nor one vector for a sentence; a sentence encoder's folder has a modules.json that says how it pools",
        path.display()
    )]
    TextModel { data: String, path: PathBuf },
    #[error(
        "{} does not say how its sentences become ids; name {looked}, with its tokenizer.json",
        path.display()
    )]
    NoSentenceTokenizer { path: PathBuf, looked: String },
    #[error("line {line} of {} is not UTF-8; convert the file to UTF-8 first", path.display())]
    NotUtf8 { path: PathBuf, line: usize },
    #[error("{} holds no text; write one sentence on each line", path.display())]
    NoText { path: PathBuf },
    #[error("line {line} of {} is empty; write one sentence on each line", path.display())]
    EmptyLine { path: PathBuf, line: usize },
    #[error(
        "{data} has no array `{input}` for the model's input of that name; it holds {holds}; if it is a state that an output becomes, say so with --state OUTPUT={input}"
    )]
    NoArray { data: String, input: String, holds: String },
    #[error(
        "`{array}` of {data} holds {got} samples where the first input has {expected}; the first axis counts the samples"
    )]
    UnevenArray { data: String, array: String, got: usize, expected: usize },
    #[error(
        "`{array}` of {data} holds no sample; the first axis counts the samples, of which there must be one at least"
    )]
    NoSample { data: String, array: String },
    #[error("`{array}` of {data} is of type {got}, and the model takes {expected}")]
    ArrayType { data: String, array: String, got: Dtype, expected: Dtype },
    #[error(
        "`{array}` of {data} is {got} where a class of each of {samples} samples is expected, as an integer"
    )]
    NoLabels { data: String, array: String, got: String, samples: usize },
    #[error(
        "these graphs are judged by their answers, on an .npz with arrays called {}, an .npy or pictures",
        inputs.join(", ")
    )]
    Arrays { inputs: Vec<String> },
    #[error(
        "a model that another program has quantized was not fine-tuned here; leave --before out"
    )]
    ForeignBefore,
    #[error("models that are judged as black boxes are judged sample by sample; leave --state out")]
    ForeignState,
    #[error("only another engine reads {}; name one with --engine", path.display())]
    OnlyEngine { path: PathBuf },
    #[error("engines read ONNX files; export {} with `tinytorch export` first", path.display())]
    NotForEngine { path: PathBuf },
    #[error(
        "models are exported as ONNX; choose another --out than {}, such as model.int8.onnx",
        path.display()
    )]
    NotExported { path: PathBuf },
    #[error("{}", match is_onnx {
        true => "an ONNX model says itself what it is; leave --architecture out",
        false => "a safetensors file of another program does not say what it is; name it with --architecture",
    })]
    Architecture { is_onnx: bool },
    #[error(
        "the model takes no pictures: it has another number of inputs or sizes than one picture has"
    )]
    NoPictures,
    #[error("{} cannot be read as pictures: {problem}", path.display())]
    Picture { path: PathBuf, problem: String },
    #[error(
        "{what} has {got} numbers for pictures of {channels} channels; give one, or one for each"
    )]
    Channels { what: &'static str, got: usize, channels: usize },
    #[error(
        "`{array}` holds bytes and the model takes floats; say with --scale what they are multiplied by, such as 1/255 or 1"
    )]
    Bytes { array: String },
    #[error(
        "--shape names the input `{input}`, which the model does not have; its inputs are {known}"
    )]
    UnknownInput { input: String, known: String },
    #[error("the model takes {fixed} samples in a pass and no other number, got {got}")]
    FixedBatch { got: usize, fixed: usize },
    #[error(
        "{data} holds no steps of a sequence, which is what a model with a state takes; give an .npz with an array for each input that is no state"
    )]
    NoSteps { data: String },
    #[error(
        "{data} has no labels, which the metric top-1 needs; add an array `labels`, an integer for each sample, or choose another metric"
    )]
    NeedsLabels { data: String },
    #[error(
        "the metric top-1 needs labels, which steps of a sequence do not have; choose another metric"
    )]
    LabelsOfSteps,
    #[error(
        "the metric reads {count} outputs; name them with --metric-outputs, of which the model has {known}"
    )]
    MetricOutputs { count: usize, known: String },
    #[error("the command of --metric, {words:?}, gives no number: {problem}")]
    Metric { words: String, problem: String },
    #[error("{threads} threads cannot be started; ask for fewer")]
    Threads { threads: usize },
    #[error("the model has {count} inputs and commands feed one; use the library")]
    SeveralInputs { count: usize },
    #[error("the model has {count} outputs and an .npy file holds one array; write an .npz")]
    SeveralOutputs { count: usize },
    #[error("the model answers with shape {got} for one sample, which gives it no class")]
    NoClasses { got: Shape },
    #[error(
        "{} holds no language model; name one whose architecture is gpt or llama",
        path.display()
    )]
    NotALanguageModel { path: PathBuf },
    #[error(
        "{} carries no tokenizer and none of {looked} lies beside it; name its file with --tokenizer",
        path.display()
    )]
    NoTokenizer { path: PathBuf, looked: String },
    #[error("{what} cannot be {got:?}; it is one of {known}")]
    Choice { what: &'static str, got: String, known: String },
    #[error("{what} cannot be {got:?}: {problem}")]
    Argument { what: &'static str, got: String, problem: String },
    #[error("there is no command {name}; tinytorch --help names them all")]
    UnknownCommand { name: String },
    #[error("the prompt is empty; give it a text, or leave --prompt out to begin a text anew")]
    EmptyPrompt,
    #[error("the tokenizer of {} has no token that begins a text; give a text to continue with --prompt", path.display())]
    NoBegin { path: PathBuf },
}
