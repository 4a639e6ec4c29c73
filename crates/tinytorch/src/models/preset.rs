//! The architectures of the reference models.

use super::{
    Architecture, CnnBlock, CnnConfig, GptConfig, HybridConfig, LlamaConfig, MlpConfig, ModelError,
    ResnetConfig,
};
use crate::Result;

/// A preset's name, and what it stands for.
type Preset = (&'static str, fn() -> Architecture);

const PRESETS: [Preset; 8] = [
    ("digits-mlp", || mlp(64, [128, 64])),
    ("digits-cnn", || cnn([1, 8, 8], [(32, 1), (64, 2)], 128)),
    ("mnist-mlp", || mlp(784, [512, 256])),
    ("mnist-cnn", || cnn([1, 28, 28], [(16, 2), (32, 2)], 256)),
    ("digits-hybrid", digits_hybrid),
    ("talks-gpt", talks_gpt),
    ("stories260K", || Architecture::Llama(LlamaConfig::LLAMA2_C)),
    ("resnet20", resnet20),
];

/// For the 68 characters of TinyTalks and the one that stands for all others.
fn talks_gpt() -> Architecture {
    Architecture::Gpt(GptConfig::TALKS_GPT)
}

fn mlp(inputs: usize, hidden: [usize; 2]) -> Architecture {
    Architecture::Mlp(MlpConfig { inputs, hidden: hidden.to_vec(), outputs: 10 })
}

fn cnn(input: [usize; 3], blocks: [(usize, usize); 2], hidden: usize) -> Architecture {
    let blocks = blocks.map(|(channels, pool)| CnnBlock { channels, pool }).to_vec();
    Architecture::Cnn(CnnConfig { input, blocks, hidden: vec![hidden], outputs: 10 })
}

/// 16 tokens of width 32.
fn digits_hybrid() -> Architecture {
    let stem = [(16, 1), (32, 2)].map(|(channels, pool)| CnnBlock { channels, pool }).to_vec();
    let (layers, heads, hidden) = (2, 4, 64);
    Architecture::Hybrid(HybridConfig {
        input: [1, 8, 8],
        stem,
        layers,
        heads,
        hidden,
        outputs: 10,
    })
}

/// ResNet-20 for CIFAR-10, with the mean and deviation of ImageNet's pixels that published weights of it
/// (akamaster/pytorch_resnet_cifar10) were trained with.
fn resnet20() -> Architecture {
    Architecture::Resnet(ResnetConfig {
        input: [3, 32, 32],
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
        width: 16,
        blocks: 3,
        outputs: 10,
    })
}

impl Architecture {
    /// The architecture of a reference model.
    ///
    /// # Errors
    /// [`ModelError::UnknownPreset`], which lists the names that there are.
    pub fn preset(name: &str) -> Result<Architecture> {
        match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, make)) => Ok(make()),
            None => Err(ModelError::UnknownPreset { name: name.to_string() }.into()),
        }
    }

    /// The names that [`Architecture::preset`] knows.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }
}
