//! A quantized model is the same model: same layers, same interface, and everything that worked on it
//! works on it still.

use super::support::{
    accuracy, cnn, error, floats, held_out, mlp, output, plain, quantized, standardized_digits,
    transformer,
};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::DataLoader;
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::nn::{AttentionConfig, FeedForward, Init, LayerNorm, MultiHeadAttention};
use tinytorch::nn::{
    Conv2d, Flatten, Forward, Linear, MaxPool2d, Module, Relu, Sequential, TransformerBlock,
};
use tinytorch::optim::{Adam, Optimizer, Sgd};
use tinytorch::profile::{LayerRow, profile_passes};
use tinytorch::quant::{Activations, is_weight, quantize_model};
use tinytorch::train::{Classification, Trainer, Untrained, frozen};
use tinytorch::{Rng, Tensor};

fn images(count: usize) -> Var {
    held_out().inputs().slice(0, 0..count).unwrap().into()
}

/// Same layers, names and shapes; weights are int8 and nothing else is; the output has its shape.
fn same_structure<M: Forward<Output = Var>>(float: &M, int8: &M) {
    let shapes = |model: &M| -> Vec<_> {
        model.named_params().into_iter().map(|(name, p)| (name, p.shape(), p.role())).collect()
    };
    assert_eq!(shapes(float), shapes(int8));
    let kinds = |model: &M| -> Vec<_> {
        model.named_layers().into_iter().map(|(name, layer)| (name, layer.kind)).collect()
    };
    assert_eq!(kinds(float), kinds(int8));
    for (name, param) in int8.named_params() {
        assert_eq!(param.int8().is_some(), is_weight(param), "{name}");
    }
    for count in [1, 7, 32] {
        let (a, b) = (output(float, &images(count)), output(int8, &images(count)));
        assert_eq!(a.shape(), b.shape());
        assert!(b.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn test_quantize_mlp_preserves_structure() {
    let (int8, _) = quantized(mlp(), &images(64), Activations::Static);
    same_structure(mlp(), &int8);
    let linear = int8.named_layers().into_iter().filter(|(_, layer)| layer.kind == "Linear");
    assert_eq!(linear.count(), 3);
    let changed: Vec<_> = floats(&*int8).into_iter().map(|(name, _)| name).collect();
    assert_eq!(changed, ["layers.0.bias", "layers.1.bias", "layers.2.bias"]);
    let biases = |model: &dyn Module| {
        let mut floats = floats(model);
        floats.retain(|(name, _)| name.ends_with("bias"));
        floats
    };
    assert_eq!(biases(&*int8), biases(&**mlp()), "biases keep their bits");
}

/// Convolutions and pools of every geometry keep their outputs' shapes, and gradients flow through.
#[test]
fn test_quantize_cnn_preserves_spatial_ops() {
    let (int8, report) = quantized(cnn(), &images(64), Activations::Static);
    same_structure(cnn(), &int8);
    assert_eq!(report.folded.len(), 2, "{:?}", report.folded);
    let flags: Vec<bool> = int8.named_flags().into_iter().map(|(_, folded)| folded).collect();
    assert_eq!(flags, [true, true]);

    let geometry = |stride: usize, padding: usize, groups: usize| {
        ConvGeometry::default().with_stride(stride).with_padding(padding).with_groups(groups)
    };
    for (geometry, window) in [
        (geometry(1, 1, 1), [3, 3]),
        (geometry(2, 0, 1), [5, 3]),
        (geometry(1, 1, 2), [3, 3]),
        (geometry(2, 1, 4), [3, 3]),
        (geometry(1, 0, 1), [1, 1]),
    ] {
        let net = Sequential::new()
            .push(Conv2d::new(4, 8, window, geometry, &mut Init::seed(1)).unwrap())
            .push(Relu)
            .push(MaxPool2d::new(PoolGeometry::square(2)));
        let x = Tensor::rand([2, 4, 9, 11], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        let (int8, _) = quantized(&net, &Var::from(&x), Activations::Static);
        let error = error(&net, &int8, &Var::from(&x));
        assert!(error < 0.02, "{geometry:?}: {error}");
        let mut ctx = Ctx::eval().recording();
        let input = ctx.input(&x);
        let loss = int8.forward(&input, &mut ctx).unwrap().sum(&mut ctx).unwrap();
        let gradients = ctx.backward(&loss).unwrap();
        let gradient = gradients.of_input(&input).unwrap();
        assert_eq!(gradient.shape(), x.shape());
        assert!(gradient.to_vec::<f32>().unwrap().iter().any(|&g| g != 0.0), "{geometry:?}");
    }
}

/// Attention still looks where it looked: a causal block does not see the future, to the bit, and its
/// weights are those of the float block, nearly.
#[test]
fn test_quantize_transformer_preserves_attention() {
    let (int8, _) = quantized(transformer(), &images(64), Activations::Dynamic);
    same_structure(transformer(), &int8);
    assert!(error(transformer(), &int8, &images(360)) < 0.01);

    let mut init = Init::seed(1);
    let config = AttentionConfig { causal: true, ..AttentionConfig::new(32, 4) };
    let block = TransformerBlock::norm_first(
        MultiHeadAttention::new(config, &mut init).unwrap(),
        FeedForward::new(32, 64, &mut init).unwrap(),
        [LayerNorm::new(32, &mut init).unwrap(), LayerNorm::new(32, &mut init).unwrap()],
    );
    let x = Tensor::randn([1, 6, 32], 1.0, &mut Rng::seed(2)).unwrap();
    let (int8, report) = quantized(&block, &Var::from(&x), Activations::Dynamic);
    let projections = ["q_proj", "k_proj", "v_proj", "out_proj"];
    for name in projections.map(|projection| format!("attention.{projection}.weight")) {
        assert!(report.weights.iter().any(|weight| weight.name == name), "{name}");
    }
    assert!(error(&block, &int8, &Var::from(&x)) < 0.02);
    let mut other_future = x.clone();
    other_future.as_mut_slice::<f32>().unwrap()[4 * 32..].fill(3.0);
    let past =
        |x: Tensor| output(&int8, &x.into()).slice(1, 0..4).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(past(x), past(other_future));
}

/// Training repairs biases that were spoiled, and what is int8 keeps its bytes.
#[test]
fn test_quantized_model_trains_correctly() {
    let data = standardized_digits();
    let loader = DataLoader::new(data.train, 64).unwrap().shuffle(true);
    let (mut int8, _) = quantized(cnn(), &images(64), Activations::Static);
    let mut rng = Rng::seed(1);
    for (_, bias) in int8.named_params_mut().into_iter().filter(|(name, _)| name.contains("head")) {
        if let Ok(values) = bias.value_mut() {
            let spoiled = Tensor::randn(*values.shape(), 2.0, &mut rng).unwrap();
            values.add_assign(&spoiled).unwrap();
        }
    }
    let untrained_parts = frozen(&*int8);
    let because = |reason| untrained_parts.iter().filter(move |(_, why)| *why == reason);
    let int8_names: Vec<&str> = because(Untrained::Int8).map(|(name, _)| name.as_str()).collect();
    assert_eq!(int8_names.len(), 4);
    assert!(int8_names.iter().all(|name| name.ends_with("weight") && !name.contains("norm")));
    let folded: Vec<&str> = because(Untrained::Folded).map(|(name, _)| name.as_str()).collect();
    assert_eq!(folded.len(), 8, "{folded:?}");
    assert!(folded.iter().all(|name| name.contains("norm")), "a folded norm does nothing");
    let weights = |model: &dyn Module| -> Vec<_> {
        let params = model.named_params().into_iter();
        params.filter_map(|(_, param)| param.int8().cloned()).collect()
    };
    let before = (weights(&*int8), floats(&*int8));
    let mut trainer = Trainer::new(Classification, Adam::new(1e-2));
    let unseen = DataLoader::new(held_out(), 64).unwrap();
    let spoiled = trainer.evaluate(&int8, &unseen).unwrap().loss;
    trainer.fit(&mut int8, &loader, None, 4).unwrap();
    let loss = trainer.evaluate(&int8, &unseen).unwrap().loss;
    let float = trainer.evaluate(cnn(), &unseen).unwrap().loss;
    let left = (loss - float) / (spoiled - float);
    assert!(left < 0.3, "{spoiled} became {loss}, where the float model has {float}");
    assert_eq!(weights(&*int8), before.0, "int8 weights are frozen");
    for ((name, old), (_, new)) in before.1.into_iter().zip(floats(&*int8)) {
        assert_eq!(old != new, name.ends_with("bias") && !name.contains("norm"), "{name}");
    }
}

#[test]
fn test_quantized_model_profiles_correctly() {
    let (int8, _) = quantized(cnn(), &images(64), Activations::Static);
    let [float, int8] =
        [cnn(), &int8].map(|model| profile_passes(&**model, images(4).value(), 3).unwrap());
    for profile in [&float, &int8] {
        let sum: u64 = profile.layers.iter().map(|row| row.nanoseconds).sum();
        assert_eq!(sum, profile.table_nanoseconds, "{profile}");
    }
    assert_eq!(float.parameters.float, int8.parameters.float + int8.parameters.int8);
    let weighted = |rows: &[LayerRow]| -> Vec<(String, u64)> {
        let rows = rows.iter().filter(|row| row.name.ends_with("weight") && row.flops > 0);
        let rows = rows.filter(|row| !row.name.contains("norm"));
        rows.map(|row| (row.name.clone(), row.flops)).collect()
    };
    assert_eq!(weighted(&float.layers), weighted(&int8.layers), "same layers, same work");
    assert_eq!(weighted(&int8.layers).len(), 4);
    let in_int8 = int8.layers.iter().filter(|row| row.kernel.contains("int8"));
    assert_eq!(in_int8.count(), 4, "{int8}");
}

/// One model of each kind goes through everything that comes before quantization in the library.
#[test]
fn test_quantization_preserves_model_structure() {
    fn goes_through<M: Forward<Output = Var> + Clone>(float: &M, activations: Activations) {
        let (mut int8, _) = quantized(float, &images(64), activations);
        same_structure(float, &int8);
        let data = standardized_digits();
        let loader = DataLoader::new(data.train, 64).unwrap();
        let batch = loader.epoch(0).last().unwrap().unwrap();
        assert_eq!(batch.len(), 45, "the last batch is smaller");
        for optimizer in
            [&mut Sgd::new(1e-3).momentum(0.9) as &mut dyn Optimizer, &mut Adam::new(1e-3)]
        {
            let mut ctx = Ctx::train(Rng::seed(1));
            let logits = int8.forward(&batch.inputs().into(), &mut ctx).unwrap();
            let loss = logits.cross_entropy(batch.targets().unwrap(), &mut ctx).unwrap();
            let gradients = ctx.backward(&loss).unwrap();
            optimizer.step(&mut int8, gradients).unwrap();
        }
        let mut trainer = Trainer::new(Classification, Sgd::new(1e-3));
        trainer.fit(&mut int8, &loader, None, 1).unwrap();
        assert!(accuracy(&int8) >= 0.95);
        assert!(profile_passes(&int8, images(2).value(), 1).unwrap().flops > 0);
    }
    goes_through(mlp(), Activations::Static);
    goes_through(cnn(), Activations::Static);
    goes_through(transformer(), Activations::Dynamic);
}

/// The example of the audit that these tests answer: its network, its input, and more than it asserts.
#[test]
fn test_quantization_preserves_cnn_functionality() {
    #[derive(Module, Clone)]
    struct SimpleCnn {
        conv1: Conv2d,
        pool: MaxPool2d,
        conv2: Conv2d,
        flatten: Flatten,
        fc: Linear,
    }
    impl Forward for SimpleCnn {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> tinytorch::Result<Var> {
            let x = self.conv1.forward(x, ctx)?.relu(ctx)?;
            let x = self.pool.forward(&x, ctx)?;
            let x = self.conv2.forward(&x, ctx)?.relu(ctx)?;
            let x = self.pool.forward(&x, ctx)?;
            self.fc.forward(&self.flatten.forward(&x, ctx)?, ctx)
        }
    }
    let mut init = Init::seed(1);
    let valid = ConvGeometry::default();
    let mut model = SimpleCnn {
        conv1: Conv2d::new(3, 16, [3, 3], valid, &mut init).unwrap(),
        pool: MaxPool2d::new(PoolGeometry::square(2)),
        conv2: Conv2d::new(16, 32, [3, 3], valid, &mut init).unwrap(),
        flatten: Flatten,
        fc: Linear::new(32 * 6 * 6, 10, &mut init).unwrap(),
    };
    let float = model.clone();
    let x = Var::from(Tensor::randn([4, 3, 32, 32], 1.0, &mut Rng::seed(2)).unwrap());
    quantize_model(&mut model, [Ok(x.clone())], &plain(Activations::Static)).unwrap();
    let (a, b) = (output(&float, &x), output(&model, &x));
    assert_eq!(a.shape(), b.shape());
    assert!(error(&float, &model, &x) < 0.05);
    assert!(model.conv1.weight.int8().is_some() && model.fc.weight.int8().is_some());
    let features = model.conv1.forward(&x, &mut Ctx::eval()).unwrap();
    assert_eq!(features.shape().dims(), [4, 16, 30, 30]);
    assert_eq!(
        model.pool.forward(&features, &mut Ctx::eval()).unwrap().shape().dims(),
        [4, 16, 15, 15]
    );
}
