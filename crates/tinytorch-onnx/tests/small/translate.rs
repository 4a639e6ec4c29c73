//! Models that were built here become ONNX's: the same function, and the same integers.

use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{Cnn, CnnBlock, CnnConfig, Gpt, GptConfig, Model, Resnet, ResnetConfig};
use tinytorch::nn::{Init, Module};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch_onnx::OnnxModel;

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
fn what_has_no_operator_is_named() {
    let config =
        GptConfig { context: 8, dim: 8, layers: 1, heads: 2, hidden: 16, ..GptConfig::TALKS_GPT };
    let model = Gpt::new(&config, &mut Init::seed(1)).unwrap();
    let refused = OnnxModel::of(&model).unwrap_err().to_string();
    assert!(refused.contains("is not written as ONNX's operators"), "{refused}");
}
