//! Small models of random sizes, trained a little, and quantized.

use super::super::contents::Contents;
use super::super::{Base, Stage, centered_digits};
use std::path::PathBuf;
use std::sync::OnceLock;
use tinytorch::audit::{ModelFiles, Subject, relative_error};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Examples, tinytalks};
use tinytorch::models::{Architecture, CnnBlock, CnnConfig, GptConfig, MlpConfig, Model};
use tinytorch::quant::{Activations, QuantConfig};
use tinytorch::{Rng, Tensor};

/// What outputs must be off, as a share and beside the sound model, for a fault to have done harm: three times
/// as much and more than this.
const HARM: f64 = 0.01;

/// What a model was drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mlp,
    Cnn,
    Gpt,
}

/// A drawn model in its files.
pub(super) struct Drawn {
    pub(super) base: Base,
    pub(super) kind: Kind,
    architecture: Architecture,
    seed: u64,
}

impl Drawn {
    /// Draws sizes and weights, trains and quantizes.
    pub(super) fn draw(_: &Stage, seed: u64, rng: &mut Rng) -> Drawn {
        let mut pick = |low: usize, high: usize| low + rng.below(high - low + 1);
        let (kind, architecture, epochs) = match pick(0, 9) {
            0..=5 => {
                // Two layers of one width, which can be taken for each other.
                let width = pick(24, 72);
                let mut hidden = vec![width; pick(2, 3)];
                hidden.push(pick(20, 64));
                let sizes = MlpConfig { inputs: 64, hidden, outputs: 10 };
                (Kind::Mlp, Architecture::Mlp(sizes), 8)
            }
            6..=8 => {
                let blocks = vec![
                    CnnBlock { channels: pick(6, 12), pool: 2 },
                    CnnBlock { channels: pick(10, 20), pool: pick(1, 2) },
                ];
                let sizes =
                    CnnConfig { input: [1, 8, 8], blocks, hidden: vec![pick(16, 40)], outputs: 10 };
                (Kind::Cnn, Architecture::Cnn(sizes), 4)
            }
            _ => {
                let sizes = GptConfig {
                    vocab: 69,
                    context: 32,
                    // One of some thirty that were 32 wide lost 2 % of its answers: scales are for whole rows here.
                    dim: 16 * pick(3, 5),
                    layers: 1,
                    heads: 2,
                    hidden: 16 * pick(3, 8),
                    dropout: 0.0,
                    ..GptConfig::TALKS_GPT
                };
                (Kind::Gpt, Architecture::Gpt(sizes), 2)
            }
        };
        let data = match kind {
            Kind::Gpt => texts().clone(),
            Kind::Mlp | Kind::Cnn => images().clone(),
        };
        let base = Base::train(architecture.clone(), data, epochs, seed).unwrap();
        base.quantize("int8", base.train.inputs(), &config_of(kind)).unwrap();
        Drawn { base, kind, architecture, seed }
    }

    pub(super) fn name(&self) -> String {
        format!("{:?} of seed {}", self.architecture, self.seed)
    }

    /// The same architecture with other weights.
    pub(super) fn another(&self) -> Base {
        let data = match self.kind {
            Kind::Gpt => texts().clone(),
            Kind::Mlp | Kind::Cnn => images().clone(),
        };
        Base::train(self.architecture.clone(), data, 0, self.seed + 1).unwrap()
    }

    pub(super) fn contents(&self) -> Contents {
        Contents::read(&self.base.int8())
    }

    /// The names of all int8 weights.
    pub(super) fn weights(&self) -> Vec<String> {
        let contents = self.contents();
        let names: Vec<&String> = contents.tensors.iter().map(|(name, _)| name).collect();
        let is_weight = |name: &str| names.iter().any(|other| **other == format!("{name}_scale"));
        let weights = names.iter().filter(|name| name.ends_with("weight") && is_weight(name));
        weights.map(|name| name.to_string()).collect()
    }

    /// The name of one of them.
    pub(super) fn weight(&self, rng: &mut Rng) -> String {
        let names = self.weights();
        names[rng.below(names.len())].clone()
    }

    /// An edited copy of the int8 file; `None` if the edit changes nothing.
    pub(super) fn edited(&self, edit: impl FnOnce(&mut Contents)) -> Option<PathBuf> {
        let sound = self.base.edited_file(|_| ());
        let sound = std::fs::read(sound).unwrap();
        let path = self.base.edited_file(edit);
        (std::fs::read(&path).unwrap() != sound).then_some(path)
    }

    /// The sound model, judged by other samples.
    pub(super) fn judged_by(&self, samples: Examples) -> Subject {
        ModelFiles::open(self.base.float(), self.base.int8()).unwrap().judged_by(samples).unwrap()
    }

    /// Whether the outputs are further from the float model's than quantizing takes them, as computed here and
    /// not by an audit.
    pub(super) fn is_harmed(&self, subject: &Subject) -> bool {
        let inputs =
            Var::from(subject.held_out.inputs()[0].rows(0..subject.held_out.len()).unwrap());
        let of = |model: &dyn Model| -> Tensor {
            model
                .forward_list(std::slice::from_ref(&inputs), &mut Ctx::eval())
                .unwrap()
                .remove(0)
                .into_value()
        };
        let float = of(&*subject.float);
        let error = |model: &dyn Model| relative_error(&of(model), &float).unwrap();
        let sound = error(&*self.base.subject().int8);
        error(&*subject.int8) > HARM + 3.0 * sound
    }
}

/// How a model of this kind is quantized: decoders with the activations that `tinytorch quantize` gives them.
pub(super) fn config_of(kind: Kind) -> QuantConfig {
    match kind {
        Kind::Gpt => QuantConfig::new(Activations::Dynamic16),
        Kind::Mlp | Kind::Cnn => QuantConfig::default(),
    }
}

/// Digits to learn from, and to be judged by.
fn images() -> &'static (Examples, Examples) {
    static IMAGES: OnceLock<(Examples, Examples)> = OnceLock::new();
    IMAGES.get_or_init(|| centered_digits().unwrap())
}

fn texts() -> &'static (Examples, Examples) {
    static TEXTS: OnceLock<(Examples, Examples)> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let windows = tinytalks().windows(&tinytalks().tokenizer().unwrap(), 32).unwrap();
        (windows.train, windows.test)
    })
}
