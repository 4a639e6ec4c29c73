//! Whole architectures, trained and judged on samples that neither training nor calibration has seen.

use super::support::{
    AnyModel, Inputs, agreement, bits, error, hybrid, output, plain, quantized,
    standardized_digits, trained,
};
use std::sync::OnceLock;
use tinytorch::audit::relative_error;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Batch, DataLoader, Examples, TensorDataset, tinytalks};
use tinytorch::int8::Encoding;
use tinytorch::models::{
    Architecture, CnnBlock, GptConfig, ImageText, ImageTextConfig, ResnetConfig,
};
use tinytorch::nn::{
    AttentionConfig, Embedding, FeedForward, Forward, Init, LayerNorm, Linear, Module,
    MultiHeadAttention, PositionalEncoding, TransformerBlock,
};
use tinytorch::optim::{Adam, Schedule};
use tinytorch::plan::Plan;
use tinytorch::profile::profile_passes;
use tinytorch::quant::{Activations, QuantConfig, is_weight, quantize_model};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Tensor};

/// A residual network that reads digits.
fn resnet() -> AnyModel {
    let (input, mean, std) = ([1, 8, 8], vec![0.0], vec![1.0]);
    let sizes = ResnetConfig { input, mean, std, width: 8, blocks: 1, outputs: 10 };
    trained(Architecture::Resnet(sizes).build(&mut Init::seed(1)).unwrap(), 5)
}

/// A transformer that reads an image pixel by pixel, from a table of 17 shades.
#[derive(Module, Clone)]
struct PixelTransformer {
    tokens: Embedding,
    positions: PositionalEncoding,
    block: TransformerBlock,
    head: Linear,
}

impl PixelTransformer {
    const WIDTH: usize = 32;
    const PIXELS: usize = 64;
    const SHADES: usize = 17;

    fn new(init: &mut Init) -> Result<PixelTransformer> {
        let width = Self::WIDTH;
        let attention = MultiHeadAttention::new(AttentionConfig::new(width, 2), init)?;
        let mlp = FeedForward::new(width, 2 * width, init)?;
        let norms = [LayerNorm::new(width, init)?, LayerNorm::new(width, init)?];
        Ok(PixelTransformer {
            tokens: Embedding::new(Self::SHADES, width, init)?,
            positions: PositionalEncoding::new(Self::PIXELS, width, init)?,
            block: TransformerBlock::norm_first(attention, mlp, norms),
            head: Linear::new(Self::PIXELS * width, 10, init)?,
        })
    }
}

impl Forward for PixelTransformer {
    type Output = Var;

    fn forward(&self, shades: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.positions.forward(&self.tokens.forward(shades, ctx)?, ctx)?;
        let x = self.block.forward(&x, ctx)?.flatten(1, 2, ctx)?;
        self.head.forward(&x, ctx)
    }
}

/// Standardized digits as the numbers of their shades, `[samples, 64]`.
fn levels_of(images: &Tensor) -> Tensor {
    let values = images.to_vec::<f32>().unwrap();
    let black = values.iter().copied().fold(f32::INFINITY, f32::min);
    let white = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let steps = (PixelTransformer::SHADES - 1) as f32;
    let shade = |v: f32| ((v - black) / (white - black) * steps).round() as i64;
    let shades = values.into_iter().map(shade).collect();
    Tensor::from_vec(shades, [images.shape()[0], PixelTransformer::PIXELS]).unwrap()
}

fn pixel_transformer() -> PixelTransformer {
    let train = standardized_digits().train;
    let shades = Examples::new(levels_of(train.inputs()), train.labels().clone()).unwrap();
    let loader = DataLoader::new(shades, 64).unwrap().shuffle(true);
    let mut model = PixelTransformer::new(&mut Init::seed(1)).unwrap();
    let mut trainer = Trainer::new(Classification, Adam::new(3e-3));
    trainer.fit(&mut model, &loader, None, 5).unwrap();
    model
}

/// Windows of a text: what a decoder learned, and what it is judged by.
fn windows() -> &'static (Examples, Examples) {
    static WINDOWS: OnceLock<(Examples, Examples)> = OnceLock::new();
    WINDOWS.get_or_init(|| {
        let talks = tinytalks();
        let windows = talks.windows(&talks.tokenizer().unwrap(), 32).unwrap();
        (windows.train, windows.test)
    })
}

/// A decoder whose table of tokens is its output head too.
fn decoder() -> AnyModel {
    let sizes = GptConfig {
        vocab: 69,
        context: 32,
        dim: 64,
        layers: 2,
        heads: 4,
        hidden: 128,
        dropout: 0.0,
        ..GptConfig::TALKS_GPT
    };
    let mut model = Architecture::Gpt(sizes).build(&mut Init::seed(1)).unwrap();
    let loader = DataLoader::new(windows().0.clone(), 32).unwrap().shuffle(true);
    let mut trainer = Trainer::new(Classification, Adam::new(3e-3));
    trainer.fit(&mut model, &loader, None, 3).unwrap();
    model
}

/// Every weight is int8, and on `judged` the answers are those of the float model, as deployed and op by op.
fn gives_the_same_answers<M: Forward<Output = Var>>(
    kind: &str,
    float: &M,
    int8: &M,
    judged: &Tensor,
) {
    for (name, param) in int8.named_params() {
        assert_eq!(param.int8().is_some(), is_weight(param), "{kind}: {name}");
    }
    let (a, b) = (output(float, &Var::from(judged)), output(int8, &Var::from(judged)));
    assert_eq!(a.shape(), b.shape());
    let (error, same) = (error(float, int8, &Var::from(judged)), agreement(&a, &b));
    println!("{kind}: error {error:.4}, same answers {same:.4}");
    assert!(error > 0.0 && error < 0.02, "{kind}: {error}");
    assert!(same >= 0.99, "{kind}: {same}");
    let mut plan = Plan::compile(int8, judged).unwrap();
    assert_eq!(bits(&plan.run(judged).unwrap()), bits(&b), "{kind}: the plan computes the same");
}

/// Ways around layers, heads side by side, weights used twice, convolutions before attention.
#[test]
fn test_quantization_complex_architectures() {
    let (calibration, judged) = Inputs::Real.images();
    let images = [calibration.value(), judged.value()];
    for float in [&resnet(), hybrid()] {
        for activations in [Activations::Static, Activations::Dynamic] {
            let (int8, report) = quantized(float, &calibration, activations);
            assert!(report.skipped.is_empty(), "{:?}", report.skipped);
            gives_the_same_answers(float.kind(), float, &int8, judged.value());
        }
    }
    // A table of tokens, and ranges from calibration behind it.
    let (float, levels) = (pixel_transformer(), standardized_digits());
    let [calibration, judged] = [levels.train, levels.test.unwrap()].map(|d| levels_of(d.inputs()));
    let calibration = Var::from(calibration.slice(0, 0..512).unwrap());
    let (int8, report) = quantized(&float, &calibration, Activations::Static);
    let names: Vec<&str> = report.weights.iter().map(|weight| weight.name.as_str()).collect();
    assert!(names.contains(&"tokens.weight") && names.contains(&"block.attention.q_proj.weight"));
    let params = int8.named_params();
    let inputs = params.iter().filter_map(|(_, param)| Some(param.int8()?.input()));
    let calibrated = inputs.filter(|input| matches!(input, Encoding::Static(_))).count();
    assert_eq!(calibrated, names.len() - 2, "of all but tokens and positions: {names:?}");
    gives_the_same_answers("pixel transformer", &float, &int8, &judged);

    // A table of tokens that is the head too, quantized as `tinytorch quantize` does it.
    let (text, unseen_text) = windows();
    let float = decoder();
    let some = text.inputs().slice(0, 0..8).unwrap();
    let mut int8 = float.clone();
    let config = QuantConfig::for_architecture(&float.architecture().unwrap()).knowingly();
    quantize_model(&mut int8, [Ok(Var::from(&some))], &config).unwrap();
    gives_the_same_answers("decoder", &float, &int8, unseen_text.inputs());
    // Convolutions and attention are there, and a table that is read and multiplied is stored once.
    let names = |float: &AnyModel, input: &Tensor| -> Vec<String> {
        let (_, report) = quantized(float, &Var::from(input), Activations::Dynamic);
        report.weights.into_iter().map(|weight| weight.name).collect()
    };
    let of_hybrid = names(hybrid(), images[0]);
    for part in ["conv", "q_proj"] {
        assert!(of_hybrid.iter().any(|name| name.contains(part)), "{part}: {of_hybrid:?}");
    }
    let of_decoder = names(&float, &some);
    assert!(of_decoder.contains(&"tokens.weight".to_string()), "{of_decoder:?}");
    assert!(!of_decoder.iter().any(|name| name.starts_with("head")), "{of_decoder:?}");
}

/// Digits, each with one of two questions: whether it is odd, or whether it is at least 5.
fn questions_on_digits(digits: &Examples) -> TensorDataset {
    let labels = digits.labels().to_vec::<i64>().unwrap();
    let (mut ids, mut answers) = (Vec::new(), Vec::new());
    for (index, digit) in labels.into_iter().enumerate() {
        let is_odd = index % 2 == 0;
        ids.extend(if is_odd { [1i64, 3, 4, 0] } else { [1, 2, 5, 6] });
        answers.push(if is_odd { digit % 2 } else { i64::from(digit >= 5) });
    }
    let count = answers.len();
    let ids = Tensor::from_vec(ids, [count, 4]).unwrap();
    let answers = Tensor::from_vec(answers, [count]).unwrap();
    TensorDataset::new([digits.inputs().clone(), ids, answers]).unwrap()
}

/// An image and a question about it: the answer needs both, and in int8 it is still right.
#[test]
fn test_multimodal_model_quantization() {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 16, pool: 2 }, CnnBlock { channels: 32, pool: 1 }],
        vocab: 7,
        context: 4,
        pad: 0,
        dim: 16,
        layers: 1,
        heads: 2,
        hidden: 64,
        outputs: 2,
    };
    let mut float = ImageText::new(&config, &mut Init::seed(0)).unwrap();
    let data = standardized_digits();
    let loader = DataLoader::new(questions_on_digits(&data.train), 64).unwrap().shuffle(true);
    let answering = |model: &ImageText, batch: &Batch, ctx: &mut Ctx<'_>| {
        let [images, ids, answers] = &batch.tensors[..] else { unreachable!("three fields") };
        model.forward(&(images.into(), ids.into()), ctx)?.cross_entropy(answers, ctx)
    };
    let epochs = 25;
    let total = epochs * loader.len() as u64;
    let schedule = Schedule::Cosine { warmup: 20, total, floor: 0.0 };
    let mut trainer = Trainer::new(answering, Adam::new(3e-3)).schedule(schedule);
    trainer.fit(&mut float, &loader, None, epochs).unwrap();

    let held_out = questions_on_digits(&data.test.unwrap());
    let [images, ids, answers] = held_out.tensors() else { unreachable!("three fields") };
    let given: (Var, Var) = (images.into(), ids.into());
    let answer = |model: &ImageText, given: &(Var, Var)| {
        model.forward(given, &mut Ctx::eval()).unwrap().into_value()
    };
    let right = |logits: &Tensor| {
        let (got, expected) = (logits.argmax_last().unwrap(), answers);
        let (got, expected) = (got.to_vec::<i64>().unwrap(), expected.to_vec::<i64>().unwrap());
        got.iter().zip(&expected).filter(|(a, b)| a == b).count() as f64 / got.len() as f64
    };
    let calibration = loader.epoch(0).take(8).map(|batch| {
        let batch = batch?;
        Ok(((&batch.tensors[0]).into(), (&batch.tensors[1]).into()))
    });
    let mut int8 = float.clone();
    let config = plain(Activations::Dynamic);
    let report = quantize_model(&mut int8, calibration, &config).unwrap();
    for tower in ["image.0.conv", "image.1.conv", "tokens", "text.0.attention.q_proj", "joint"] {
        let name = format!("{tower}.weight");
        assert!(report.weights.iter().any(|weight| weight.name == name), "{name}");
    }
    let (a, b) = (answer(&float, &given), answer(&int8, &given));
    let error = relative_error(&b, &a).unwrap();
    assert!(error > 0.0 && error < 0.02, "{error}");
    assert!(agreement(&a, &b) >= 0.99);
    assert!(right(&a) > 0.9 && right(&b) >= 0.99 * right(&a), "{} {}", right(&a), right(&b));
    // The other question gets other answers, so both towers are heard.
    let swapped = Var::from(
        Tensor::from_vec([1i64, 2, 5, 6].repeat(answers.len()), [answers.len(), 4]).unwrap(),
    );
    assert!(right(&answer(&int8, &((images).into(), swapped))) < 0.9);

    let example = (images.clone(), ids.clone());
    let mut plan = Plan::compile(&int8, &example).unwrap();
    assert_eq!(bits(&plan.run(&example).unwrap()), bits(&b));
    let profile = profile_passes(&int8, &example, 1).unwrap();
    assert!(profile.layers.iter().any(|row| row.name == "tokens.weight"), "{profile}");
}
