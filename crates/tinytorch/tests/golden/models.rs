//! The models that values are recorded of, each with its data.

use super::audits;
use super::battery::Case;
use super::decoding::decoding;
use super::published;
use super::quantizing::{suited, way};
use super::smaller::{
    adapters, budgets, calibrations, distillation, low_rank, pruning, qat, trainings,
};
use super::support::{
    AnyModel, Architecture, BertConfig, CnnBlock, GptConfig, HybridConfig, ImageText,
    ImageTextConfig, Init, LlamaConfig, ResnetConfig, Rope, RopePairs, build, eager, gradients,
    preset, random_inputs, random_labels, sentence_encoder, weights,
};
use super::values::Values;
use tinytorch::Tensor;
use tinytorch::data::{Examples, digits, tinytalks};

fn first(examples: &Examples, count: usize) -> Examples {
    examples.select(&(0..count).collect::<Vec<_>>()).unwrap()
}

/// A preset on the embedded digits.
fn on_digits(name: &str) -> (Case<AnyModel, Tensor>, Examples) {
    let (data, architecture) = (digits().unwrap(), preset(name));
    let (train, held_out) = (first(&data.train, 128), data.test.unwrap());
    let judged = [0..7, 7..23].map(|part| held_out.inputs().slice(0, part).unwrap());
    let case = Case {
        model: build(&architecture, 1),
        suited: suited(&architecture),
        training: train.inputs().clone(),
        labels: train.labels().clone(),
        batch: 16,
        judged,
    };
    (case, held_out)
}

/// An architecture on random data: `count` samples, `batch` a step; sequences of `length`.
fn on_random(
    architecture: &Architecture,
    [count, batch, length]: [usize; 3],
) -> Case<AnyModel, Tensor> {
    let judged = [(3, 4, length.saturating_sub(2)), (2, 5, length)];
    let judged = judged.map(|(n, seed, length)| random_inputs(architecture, n, length, seed));
    let training = random_inputs(architecture, count, length, 3);
    Case::new(build(architecture, 1), suited(architecture), training, batch, judged)
}

fn changed(case: &Case<AnyModel, Tensor>, architecture: &Architecture, values: &mut Values) {
    trainings(case, values);
    qat(case, values);
    adapters(case, values);
    low_rank(case, values);
    pruning(case, values);
    distillation(case, values, build(architecture, 9));
    calibrations(case, values);
}

pub(crate) fn digits_mlp(values: &mut Values) {
    let (mut case, _) = on_digits("digits-mlp");
    case.digest(values);
    changed(&case, &preset("digits-mlp"), values);
    budgets(&case, values, &[0.02, 0.008, 0.002]);
    audits::reference("digits-mlp", values);
}

pub(crate) fn digits_cnn(values: &mut Values) {
    let (mut case, _) = on_digits("digits-cnn");
    case.digest(values);
    changed(&case, &preset("digits-cnn"), values);
    budgets(&case, values, &[0.02, 0.005]);
    audits::reference("digits-cnn", values);
}

pub(crate) fn digits_hybrid(values: &mut Values) {
    let (mut case, held_out) = on_digits("digits-hybrid");
    case.digest(values);
    qat(&case, values);
    adapters(&case, values);
    audits::short(&case, first(&held_out, 24), values);
}

pub(crate) fn mnist_mlp(values: &mut Values) {
    on_random(&preset("mnist-mlp"), [24, 12, 0]).digest(values);
}

pub(crate) fn mnist_cnn(values: &mut Values) {
    on_random(&preset("mnist-cnn"), [8, 4, 0]).digest(values);
}

pub(crate) fn talks_gpt(values: &mut Values) {
    let (talks, architecture) = (tinytalks(), preset("talks-gpt"));
    let windows = talks.windows(&talks.tokenizer().unwrap(), 64).unwrap();
    let train = first(&windows.train, 4);
    let judged = [0..1, 1..3].map(|part| windows.test.inputs().slice(0, part).unwrap());
    let mut case = Case {
        model: build(&architecture, 1),
        suited: suited(&architecture),
        training: train.inputs().clone(),
        labels: train.labels().clone(),
        batch: 2,
        judged,
    };
    case.digest(values);
    let ids = windows.test.inputs().slice(1, 0..12).unwrap().slice(0, 0..2).unwrap();
    decoding(&case, values, &[5, 17, 3, 42], &ids.contiguous().unwrap());
    case.suited = way("dynamic");
    audits::short(&case, first(&windows.test, 3), values);
}

pub(crate) fn gpt_small(values: &mut Values) {
    let (vocab, context, dim, layers, heads, hidden) = (50, 40, 24, 2, 4, 44);
    let gpt = GptConfig {
        vocab,
        context,
        dim,
        layers,
        heads,
        hidden,
        dropout: 0.1,
        ..GptConfig::TALKS_GPT
    };
    decoder_small(&Architecture::Gpt(gpt), values);
}

/// Heads that share keys, a head of its own, and the pairs that Hugging Face turns.
pub(crate) fn llama_small(values: &mut Values) {
    let llama = LlamaConfig {
        vocab: 50,
        context: 40,
        dim: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 48,
        rope: Rope::new(500.0, RopePairs::Halves),
        norm_eps: 1e-5,
        tied: false,
        qkv_bias: false,
        head_dim: None,
        qk_norm: false,
    };
    decoder_small(&Architecture::Llama(llama), values);
}

fn decoder_small(architecture: &Architecture, values: &mut Values) {
    let mut case = on_random(architecture, [8, 4, 13]);
    case.digest(values);
    changed(&case, architecture, values);
    let ids = random_inputs(architecture, 3, 12, 7);
    decoding(&case, values, &[1, 2, 3], &ids);
}

fn bert() -> BertConfig {
    BertConfig {
        vocab: 50,
        context: 40,
        types: 2,
        dim: 24,
        layers: 2,
        heads: 4,
        hidden: 44,
        norm_eps: 1e-12,
        pad: 0,
        first_position: 0,
    }
}

pub(crate) fn bert_small(values: &mut Values) {
    let architecture = Architecture::Bert(bert());
    let mut case = on_random(&architecture, [8, 4, 13]);
    case.digest(values);
    qat(&case, values);
    adapters(&case, values);
}

pub(crate) fn sentences_small(values: &mut Values) {
    let architecture = Architecture::Bert(bert());
    let inputs = |n, seed| random_inputs(&architecture, n, 12, seed);
    let model = sentence_encoder(&bert(), 1);
    Case::new(model, suited(&architecture), inputs(8, 3), 4, [inputs(3, 4), inputs(2, 5)])
        .digest(values);
}

pub(crate) fn hybrid_small(values: &mut Values) {
    let stem = [(8, 2), (16, 1)].map(|(channels, pool)| CnnBlock { channels, pool }).to_vec();
    let (layers, heads, hidden, outputs) = (1, 2, 24, 5);
    let input = [3, 9, 10];
    let config = HybridConfig { input, stem, layers, heads, hidden, outputs };
    on_random(&Architecture::Hybrid(config), [8, 4, 0]).digest(values);
}

pub(crate) fn resnet_small(values: &mut Values) {
    let config = ResnetConfig {
        input: [2, 11, 12],
        mean: vec![0.4, 0.5],
        std: vec![0.2, 0.3],
        width: 6,
        blocks: 1,
        outputs: 7,
    };
    let architecture = Architecture::Resnet(config);
    let mut case = on_random(&architecture, [8, 4, 0]);
    case.digest(values);
    qat(&case, values);
    calibrations(&case, values);
}

/// Two inputs.
pub(crate) fn image_text(values: &mut Values) {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 12, pool: 2 }, CnnBlock { channels: 20, pool: 1 }],
        vocab: 20,
        context: 9,
        pad: 0,
        dim: 16,
        layers: 1,
        heads: 2,
        hidden: 32,
        outputs: 6,
    };
    let text = Architecture::Bert(BertConfig { vocab: 20, context: 9, ..bert() });
    let inputs = |n, length, seed| {
        let images = Tensor::rand([n, 1, 8, 8], 0.0, 1.0, &mut tinytorch::Rng::seed(seed)).unwrap();
        (images, random_inputs(&text, n, length, seed))
    };
    let model = ImageText::new(&config, &mut Init::seed(1)).unwrap();
    let judged = [inputs(3, 6, 4), inputs(2, 9, 5)];
    Case::new(model, way("static"), inputs(12, 9, 3), 6, judged).digest(values);
}

/// The published weights, on ids of its own text.
pub(crate) fn stories(values: &mut Values) {
    let architecture = preset("stories260K");
    values.tensors("built/weights", &weights(&*build(&architecture, 1)));
    let ids = published::stories_ids();
    let rows = |range: std::ops::Range<usize>, rows: usize| {
        let ids = ids[range].to_vec();
        let length = ids.len() / rows;
        Tensor::from_vec(ids, [rows, length]).unwrap()
    };
    let judged = [rows(0..51, 3), rows(0..64, 2)];
    let model = published::stories();
    let case = Case::new(model, suited(&architecture), rows(64..160, 2), 1, judged);
    values.tensors("float/gradients", &gradients(&case.model, &case.judged[0], &labels(&case)));
    case.digest_as_is(values);
    adapters(&case, values);
    budgets(&case, values, &[0.02]);
    let held_out = Examples::new(case.judged[1].clone(), case.judged[1].clone()).unwrap();
    audits::short(&case, held_out, values);
    decoding(&case, values, &ids[..4], &rows(0..24, 2));
}

fn labels(case: &Case<AnyModel, Tensor>) -> Tensor {
    let outputs = eager(&case.model, &case.judged[0]);
    random_labels(&outputs, 2)
}

/// The published weights, on noise.
pub(crate) fn resnet20(values: &mut Values) {
    let architecture = preset("resnet20");
    values.tensors("built/weights", &weights(&*build(&architecture, 1)));
    let images = |n, seed| random_inputs(&architecture, n, 0, seed);
    let judged = [images(1, 4), images(2, 5)];
    let case = Case::new(published::resnet20(), suited(&architecture), images(2, 3), 1, judged);
    values.tensors("float/gradients", &gradients(&case.model, &case.judged[0], &labels(&case)));
    case.digest_as_is(values);
    qat(&case, values);
    budgets(&case, values, &[0.2]);
}
