//! Models that were built here become ONNX's: the same function, and the same integers.

use prost::Message;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::files::digest_params;
use tinytorch::models::{
    Bert, BertConfig, Cnn, CnnBlock, CnnConfig, Gpt, GptConfig, ListModel, Llama, LlamaConfig,
    Model, Pooling, Rebuild, Resnet, ResnetConfig, Sample, SentenceEncoder,
};
use tinytorch::nn::{Activation, Forward, Init, Linear, Module};
use tinytorch::ops::{Rope, RopePairs, Scalar};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::tensor::Shape;
use tinytorch_onnx::proto::ModelProto;
use tinytorch_onnx::{Form, OnnxModel};

fn cnn() -> Cnn {
    let blocks = vec![CnnBlock { channels: 8, pool: 2 }, CnnBlock { channels: 16, pool: 1 }];
    let config = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![12], outputs: 5 };
    Cnn::new(&config, &mut Init::seed(3)).unwrap()
}

fn resnet() -> Resnet {
    let config = ResnetConfig {
        input: [3, 9, 9],
        mean: vec![0.5, 0.4, 0.3],
        std: vec![0.25, 0.5, 0.2],
        width: 8,
        blocks: 1,
        outputs: 4,
    };
    Resnet::new(&config, &mut Init::seed(4)).unwrap()
}

fn inputs(model: &dyn Model, count: usize) -> Tensor {
    model.samples().unwrap()[0].batch(count).unwrap()
}

fn outputs(model: &dyn Model, x: &Tensor) -> Vec<f32> {
    let y = model.forward_list(&[Var::from(x)], &mut Ctx::eval()).unwrap();
    y[0].value().to_vec().unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(f32::MIN_POSITIVE, |most, y| most.max(y.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn floats_are_the_same_function_of_batches_of_any_size() {
    let models: [&dyn Model; 2] = [&cnn(), &resnet()];
    for model in models {
        let translated = OnnxModel::of(model).unwrap();
        let again = OnnxModel::from_bytes("m", translated.to_onnx().unwrap().bytes).unwrap();
        let names = |model: &dyn Module| {
            model.named_params().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        // Fixed numbers of the model, such as the mean of its images, may stand beside its parameters.
        let (own, theirs) = (names(model), names(&again));
        assert!(own.iter().all(|name| theirs.contains(name)), "{own:?} of {theirs:?}");
        let x = inputs(model, 5);
        let difference = apart(&outputs(model, &x), &outputs(&again, &x));
        assert!(difference < 1e-5, "{}: {difference}", model.kind());
    }
}

#[test]
fn int8_weights_are_the_models_own() {
    let (mut cnn, mut resnet) = (cnn(), resnet());
    let config = QuantConfig::default().knowingly();
    let batch = |model: &dyn Model| [Ok(Var::from(inputs(model, 32)))];
    let batches = batch(&cnn);
    quantize_model(&mut cnn, batches, &config).unwrap();
    let batches = batch(&resnet);
    quantize_model(&mut resnet, batches, &config).unwrap();
    let models: [&dyn Model; 2] = [&cnn, &resnet];
    for model in models {
        let exported = OnnxModel::of(model).unwrap().to_onnx().unwrap();
        let int8 = model.named_params().into_iter().filter(|(_, param)| param.int8().is_some());
        assert_eq!(exported.int8.len(), int8.count());
        assert!(exported.floats.is_empty() && exported.weights_only.is_empty());
        let again = OnnxModel::from_bytes("m", exported.bytes).unwrap();
        let x = inputs(model, 7);
        // Biases are multiples of the products' steps in the file.
        let difference = apart(&outputs(model, &x), &outputs(&again, &x));
        assert!(difference < 2e-2, "{}: {difference}", model.kind());
    }
}

#[test]
fn operators_of_integers_mean_the_same() {
    let (mut cnn, mut resnet) = (cnn(), resnet());
    let config = QuantConfig::default().knowingly();
    let batches = [Ok(Var::from(inputs(&cnn, 32)))];
    quantize_model(&mut cnn, batches, &config).unwrap();
    let batches = [Ok(Var::from(inputs(&resnet, 32)))];
    quantize_model(&mut resnet, batches, &config).unwrap();
    let models: [(&dyn Model, &[&str]); 2] =
        [(&cnn, &["QLinearConv", "QGemm"]), (&resnet, &["QLinearConv", "ConvInteger", "QGemm"])];
    for (model, expected) in models {
        let translated = OnnxModel::of(model).unwrap();
        let file = translated.to_onnx_as(Form::QOperator).unwrap().bytes;
        let nodes = ModelProto::decode(&file[..]).unwrap().graph.unwrap().node;
        let count = |op_type: &str| nodes.iter().filter(|node| node.op_type == op_type).count();
        assert!(expected.iter().all(|op_type| count(op_type) > 0), "{}", model.kind());
        for gone in ["Conv", "Gemm", "DequantizeLinear"] {
            assert_eq!(count(gone), 0, "{} {gone}", model.kind());
        }
        let pairs = OnnxModel::from_bytes("m", translated.to_onnx().unwrap().bytes).unwrap();
        let operators = OnnxModel::from_bytes("m", file).unwrap();
        let x = inputs(model, 7);
        let difference = apart(&outputs(&pairs, &x), &outputs(&operators, &x));
        // Floats are added and scaled in another order, which once in a while is another level.
        assert!(difference < 2e-2, "{}: {difference}", model.kind());
    }
}

/// Transformers of every kind that is built here, small.
fn transformers() -> Vec<Box<dyn Model>> {
    let init = || Init::seed(7);
    let gpt = |activation| GptConfig {
        vocab: 24,
        context: 10,
        dim: 16,
        layers: 2,
        heads: 4,
        hidden: 32,
        activation,
        ..GptConfig::TALKS_GPT
    };
    let llama = |pairs, kv_heads, tied, qk_norm| LlamaConfig {
        vocab: 24,
        context: 10,
        dim: 16,
        layers: 2,
        heads: 4,
        kv_heads,
        hidden: 20,
        rope: Rope::new(100.0, pairs),
        tied,
        qk_norm,
        ..LlamaConfig::LLAMA2_C
    };
    let bert = BertConfig {
        vocab: 24,
        context: 10,
        types: 2,
        dim: 12,
        layers: 2,
        heads: 3,
        hidden: 16,
        norm_eps: 1e-12,
        pad: 0,
        first_position: 0,
    };
    let mut all: Vec<Box<dyn Model>> = Vec::new();
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
        all.push(Box::new(Gpt::new(&gpt(activation), &mut init()).unwrap()));
    }
    for config in
        [llama(RopePairs::Interleaved, 2, true, false), llama(RopePairs::Halves, 4, false, true)]
    {
        all.push(Box::new(Llama::new(&config, &mut init()).unwrap()));
    }
    all.push(Box::new(Bert::new(&bert, &mut init()).unwrap()));
    for (pooling, normalize) in [
        (Pooling::Mean, true),
        (Pooling::Cls, false),
        (Pooling::LastToken, true),
        (Pooling::Max, false),
    ] {
        let bert = Bert::new(&bert, &mut init()).unwrap();
        all.push(Box::new(SentenceEncoder { bert, pooling, normalize }));
    }
    all
}

/// Ids of another batch and another length than those that were traced, some of them padding.
fn ids() -> Tensor {
    let ids = (0..4 * 6).map(|i| if i % 6 > 3 && i < 12 { 0 } else { (i * 7 % 23 + 1) as i64 });
    Tensor::from_vec(ids.collect(), [4, 6]).unwrap()
}

#[test]
fn transformers_are_the_same_function_of_sequences_of_any_length() {
    for model in transformers() {
        let translated = OnnxModel::of(&*model).unwrap();
        let file = translated.to_onnx().unwrap().bytes;
        let again = OnnxModel::from_bytes("m", file.clone()).unwrap();
        let difference = apart(&outputs(&*model, &ids()), &outputs(&again, &ids()));
        assert!(difference < 1e-5, "{}: {difference}", model.kind());
        assert_eq!(again.to_onnx().unwrap().bytes, file, "{}", model.kind());
    }
}

/// An audit knows the float model by it, in whichever form. Where fixed numbers stand beside the parameters, as turns do, it is
/// another.
#[test]
fn a_translated_model_has_the_digest_of_its_own() {
    let mut models = transformers();
    models.retain(|model| model.kind() == Gpt::NAME);
    models.push(Box::new(cnn()));
    assert!(models.len() > 1);
    for model in models {
        let bytes = OnnxModel::of(&*model).unwrap().to_onnx().unwrap().bytes;
        let again = OnnxModel::from_bytes("m", bytes).unwrap();
        let digests = [digest_params(&*model).unwrap(), digest_params(&again).unwrap()];
        assert_eq!(digests[0], digests[1], "{}", model.kind());
    }
}

#[test]
fn int8_tables_and_layers_of_transformers_are_the_models_own() {
    for mut model in transformers() {
        let batches = [Ok(vec![Var::from(ids())])];
        let config = QuantConfig::default().knowingly();
        quantize_model(&mut *model as &mut dyn ListModel, batches, &config).unwrap();
        let exported = OnnxModel::of(&*model).unwrap().to_onnx().unwrap();
        let int8 = model.named_params().into_iter().filter(|(_, param)| param.int8().is_some());
        let int8: Vec<String> = int8.map(|(name, _)| name).collect();
        assert!(int8.iter().any(|name| name.contains("tokens")), "{int8:?}");
        let again = OnnxModel::from_bytes("m", exported.bytes.clone()).unwrap();
        for (name, param) in again.named_params() {
            assert_eq!(param.int8().is_some(), int8.contains(&name), "{}: {name}", model.kind());
        }
        let difference = apart(&outputs(&*model, &ids()), &outputs(&again, &ids()));
        assert!(difference < 1e-4, "{}: {difference}", model.kind());
        assert_eq!(again.to_onnx().unwrap().bytes, exported.bytes, "{}", model.kind());
    }
}

/// A model of which no operator is known for a step.
#[derive(Module, Clone, Debug)]
struct Sines {
    linear: Linear,
}

impl Forward for Sines {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> tinytorch::Result<Var> {
        let y = self.linear.forward(x, ctx)?;
        ctx.apply(Scalar::Sin, &[&y])
    }
}

impl Rebuild for Sines {
    type Input = Var;
    type Config = usize;
    const NAME: &'static str = "sines";

    fn config(&self) -> usize {
        4
    }

    fn build(width: &usize, init: &mut Init) -> tinytorch::Result<Sines> {
        Ok(Sines { linear: Linear::new(*width, *width, init)? })
    }

    fn samples(&self) -> tinytorch::Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[4])?)])
    }
}

#[test]
fn what_has_no_operator_is_named() {
    let model = Sines::build(&4, &mut Init::seed(1)).unwrap();
    let refused = OnnxModel::of(&model).unwrap_err().to_string();
    assert!(refused.contains("`sin` is not written as ONNX's operators"), "{refused}");
}
