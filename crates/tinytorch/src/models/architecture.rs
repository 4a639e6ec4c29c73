//! Kinds and sizes of tinytorch's own models of one input.

use super::{
    Bert, BertConfig, Cnn, CnnConfig, ForeignNames, Gpt, GptConfig, Hybrid, HybridConfig, Llama,
    LlamaConfig, Mlp, MlpConfig, Model, Resnet, ResnetConfig, Sample,
};
use crate::Result;
use crate::nn::Init;
use crate::ops::RopePairs;
use crate::tensor::{Shape, Tensor};
use serde::{Deserialize, Serialize};

/// A model's kind and hyper-parameters: everything but its weights.
///
/// ```
/// use tinytorch::models::{Architecture, MlpConfig};
/// let mlp = Architecture::Mlp(MlpConfig { inputs: 4, hidden: vec![8], outputs: 2 });
/// let text = r#"{"architecture":"mlp","inputs":4,"hidden":[8],"outputs":2}"#;
/// assert_eq!(serde_json::to_string(&mlp).unwrap(), text);
/// assert_eq!(serde_json::from_str::<Architecture>(text).unwrap(), mlp);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// [`Mlp`]: linear layers with ReLU between them.
    Mlp(MlpConfig),
    /// [`Cnn`]: convolutions with batch norms, and linear layers after them.
    Cnn(CnnConfig),
    /// [`Hybrid`]: convolutions, then a transformer.
    Hybrid(HybridConfig),
    /// [`Gpt`]: a decoder with learned positions.
    Gpt(GptConfig),
    /// [`Llama`]: a decoder with rotary positions.
    Llama(LlamaConfig),
    /// [`Bert`]: an encoder.
    Bert(BertConfig),
    /// [`Resnet`]: residual blocks of convolutions.
    Resnet(ResnetConfig),
}

impl Architecture {
    /// The model, its parameters as `init` makes them.
    ///
    /// # Errors
    /// [`ModelError::Hyperparameter`](super::ModelError::Hyperparameter) for sizes that make no model.
    pub fn build(&self, init: &mut Init) -> Result<Box<dyn Model>> {
        Ok(match self {
            Architecture::Mlp(config) => Box::new(Mlp::new(config, init)?),
            Architecture::Cnn(config) => Box::new(Cnn::new(config, init)?),
            Architecture::Hybrid(config) => Box::new(Hybrid::new(config, init)?),
            Architecture::Gpt(config) => Box::new(Gpt::new(config, init)?),
            Architecture::Llama(config) => Box::new(Llama::new(config, init)?),
            Architecture::Bert(config) => Box::new(Bert::new(config, init)?),
            Architecture::Resnet(config) => Box::new(Resnet::new(config, init)?),
        })
    }

    /// How the files that others publish for this architecture name its parameters.
    pub fn foreign_names(&self) -> ForeignNames {
        match self {
            Architecture::Mlp(_)
            | Architecture::Cnn(_)
            | Architecture::Resnet(_)
            | Architecture::Hybrid(_) => ForeignNames::SAME,
            Architecture::Gpt(_) => ForeignNames::HF_GPT2,
            Architecture::Llama(config) => match config.rope.pairs {
                RopePairs::Interleaved => ForeignNames::LLAMA2_C,
                RopePairs::Halves => ForeignNames::HF_LLAMA,
            },
            Architecture::Bert(config) if config.types == 0 => ForeignNames::HF_DISTILBERT,
            Architecture::Bert(_) => ForeignNames::HF_BERT,
        }
    }

    /// Whether it is made of attention blocks.
    pub fn is_transformer(&self) -> bool {
        matches!(self, Architecture::Gpt(_) | Architecture::Llama(_) | Architecture::Bert(_))
    }

    /// Whether the output head is the token table, if there is a token table to be one.
    pub(crate) fn has_tied_head(&self) -> Option<bool> {
        match self {
            Architecture::Gpt(_) => Some(true),
            Architecture::Llama(config) => Some(config.tied),
            Architecture::Mlp(_)
            | Architecture::Cnn(_)
            | Architecture::Resnet(_)
            | Architecture::Hybrid(_)
            | Architecture::Bert(_) => None,
        }
    }

    /// What one sample is, without the batch.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    pub fn sample(&self) -> Result<Sample> {
        Ok(match self {
            Architecture::Mlp(config) => Sample::Values(Shape::new(&[config.inputs])?),
            Architecture::Cnn(config) => Sample::Values(Shape::new(&config.input)?),
            Architecture::Resnet(config) => Sample::Values(Shape::new(&config.input)?),
            Architecture::Hybrid(config) => Sample::Values(Shape::new(&config.input)?),
            Architecture::Gpt(config) => Sample::ids(config.vocab, config.context),
            Architecture::Llama(config) => Sample::ids(config.vocab, config.context),
            Architecture::Bert(config) => {
                Sample::Ids { vocab: config.vocab, context: config.context, pad: Some(config.pad) }
            }
        })
    }

    /// An input of `batch` samples that the model takes, always the same: values from 0 to 1, or ids
    /// that fill the context.
    ///
    /// ```
    /// use tinytorch::{models::Architecture, tensor::Dtype};
    /// let images = Architecture::preset("digits-cnn")?.example(4)?;
    /// assert_eq!((images.dtype(), images.shape().dims()), (Dtype::F32, &[4, 1, 8, 8][..]));
    /// let ids = Architecture::preset("talks-gpt")?.example(4)?;
    /// assert_eq!((ids.dtype(), ids.shape().dims()), (Dtype::I64, &[4, 64][..]));
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Architecture::sample`], of the whole batch.
    pub fn example(&self, batch: usize) -> Result<Tensor> {
        self.sample()?.batch(batch)
    }
}

impl dyn Model + '_ {
    /// Its kind and sizes, if it is one of those that an [`Architecture`] describes.
    pub fn architecture(&self) -> Option<Architecture> {
        serde_json::from_str(&self.description().ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Observer, OpRun};
    use crate::models::{CnnBlock, Kinds};
    use crate::nn::{Forward, Module};
    use crate::tensor::Tensor;

    /// Adds up what a pass costs.
    struct Flops(u64);

    impl Observer for Flops {
        fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
            self.0 += run.cost.flops;
            Ok(())
        }
    }

    #[test]
    fn every_preset_runs_and_is_rebuilt_from_its_description() {
        for name in Architecture::presets() {
            let architecture = Architecture::preset(name).unwrap();
            let model = architecture.build(&mut Init::seed(1)).unwrap();
            assert_eq!(model.architecture().as_ref(), Some(&architecture));
            let described =
                Kinds::built_in().build(&model.description().unwrap(), &mut Init::absent());
            assert_eq!(described.unwrap().description().unwrap(), model.description().unwrap());
            assert_eq!(model.description().unwrap(), serde_json::to_string(&architecture).unwrap());
            let json = serde_json::to_string(&architecture).unwrap();
            assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);

            let batch = architecture.example(2).unwrap();
            let scores = match architecture.sample().unwrap() {
                Sample::Values(_) => vec![2, 10],
                Sample::Ids { vocab, context, .. } => vec![2, context, vocab],
            };
            let logits = model.forward(&batch.into(), &mut Ctx::eval()).unwrap();
            assert_eq!(logits.shape().dims(), scores, "{name}");

            let absent = architecture.build(&mut Init::absent()).unwrap();
            let shapes = |m: &dyn Model| -> Vec<(String, Shape)> {
                m.named_params().into_iter().map(|(name, p)| (name, p.shape())).collect()
            };
            assert_eq!(shapes(&*model), shapes(&*absent));
        }
    }

    #[test]
    fn the_convolutional_presets_are_worth_measuring() {
        let build = |name| Architecture::preset(name).unwrap().build(&mut Init::seed(1)).unwrap();
        let mut flops = Flops(0);
        let image = Tensor::ones([1, 1, 8, 8]).unwrap().into();
        build("digits-cnn").forward(&image, &mut Ctx::eval().observed(&mut flops)).unwrap();
        assert!(flops.0 >= 1_000_000, "{} FLOPs per image", flops.0);
        assert!(build("mnist-cnn").param_count() >= 400_000);
        let names: Vec<String> =
            build("digits-cnn").named_params().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names[..3],
            ["blocks.0.conv.weight", "blocks.0.conv.bias", "blocks.0.norm.weight"]
        );
        assert_eq!(names[12..14], ["head.layers.0.weight", "head.layers.0.bias"]);
    }

    #[test]
    fn a_clone_has_parameters_of_its_own() {
        let model = Architecture::preset("digits-mlp").unwrap().build(&mut Init::seed(1)).unwrap();
        let copy = model.clone();
        assert_ne!(model.named_params()[0].1.id(), copy.named_params()[0].1.id());
        assert_eq!(model.architecture(), copy.architecture());
    }

    #[test]
    fn what_makes_no_model_is_an_error_that_says_what_would() {
        let unknown = Architecture::preset("vgg").unwrap_err().to_string();
        assert!(Architecture::presets().all(|name| unknown.contains(name)), "{unknown}");

        let refused = |input, blocks: &[(usize, usize)], hidden: &[usize]| {
            let blocks = blocks.iter().map(|&(channels, pool)| CnnBlock { channels, pool });
            let config =
                CnnConfig { input, blocks: blocks.collect(), hidden: hidden.to_vec(), outputs: 10 };
            Architecture::Cnn(config)
                .build(&mut Init::absent())
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        assert!(refused([1, 0, 8], &[(4, 1)], &[]).contains("size of the input is 0"));
        assert!(refused([1, 8, 8], &[], &[]).contains("number of blocks is 0"));
        assert!(refused([1, 8, 8], &[(4, 2), (4, 2), (4, 4)], &[]).contains("pooling"));
        assert!(refused([1, 8, 8], &[(4, 0)], &[]).contains("pooling"));
        assert!(refused([1, 8, 8], &[(0, 1)], &[]).contains("channels"));
        let wide = 1 << 24;
        assert!(refused([wide, wide, wide], &[(wide, 1)], &[]).contains("too large"));
        assert!(refused([1, 8, 8], &[(4, 1)], &[0]).contains("a width is 0"));
    }
}
