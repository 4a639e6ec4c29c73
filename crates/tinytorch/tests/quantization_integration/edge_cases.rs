//! Input that is empty, constant, extreme or wrong.

use super::support::{error, held_out, mlp, output, plain, quantized, untrained};
use tinytorch::autograd::{Ctx, Param, Role, Var};
use tinytorch::files::digest_params;
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::models::Model;
use tinytorch::nn::{
    Conv2d, Embedding, Forward, Init, Linear, MaxPool2d, Module, Relu, Sequential,
};
use tinytorch::quant::{Activations, QuantConfig, QuantError, Scheme, quantize_model};
use tinytorch::{Result, Rng, Tensor};

fn images(count: usize) -> Var {
    held_out().inputs().slice(0, 0..count).unwrap().into()
}

/// The error, after checking that the model has not changed.
fn refused(
    model: &mut Box<dyn Model>,
    calibration: Vec<Result<Var>>,
    config: &QuantConfig,
) -> QuantError {
    let before = digest_params(&**model).unwrap();
    let error = quantize_model(model, calibration, config).unwrap_err();
    assert_eq!(digest_params(&**model).unwrap(), before, "a failed call changes nothing");
    assert!(!error.to_string().contains('\n'));
    error.downcast().unwrap()
}

#[test]
fn test_empty_calibration_data() {
    let mut model = untrained("digits-mlp", 1);
    let error = refused(&mut model, vec![], &plain(Activations::Static));
    assert!(matches!(error, QuantError::EmptyCalibration), "{error}");
    let none = Var::from(Tensor::zeros([0, 1, 8, 8]).unwrap());
    refused(&mut model, vec![Ok(none)], &plain(Activations::Static));
    // Ranges found when rows arrive need no calibration.
    quantize_model(&mut model, [], &plain(Activations::Dynamic)).unwrap();
    assert_eq!(output(&model, &images(3)).shape().dims(), [3, 10]);
}

#[test]
fn test_zero_weights_quantization() {
    for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
        let mut layer = Linear::new(16, 4, &mut Init::seed(1)).unwrap();
        let weights = layer.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap();
        weights[..32].fill(0.0);
        let x = Var::from(Tensor::randn([5, 16], 1.0, &mut Rng::seed(2)).unwrap());
        let (int8, _) = quantized(&layer, &x, activations);
        let bias = layer.bias.as_ref().unwrap().value().unwrap().to_vec::<f32>().unwrap();
        for row in output(&int8, &x).to_vec::<f32>().unwrap().chunks(4) {
            assert_eq!(row[..2], bias[..2], "a channel of zeros gives its bias");
        }
        let silent = Var::from(Tensor::zeros([5, 16]).unwrap());
        for row in output(&int8, &silent).to_vec::<f32>().unwrap().chunks(4) {
            assert_eq!(row, bias, "an input of zeros gives the bias");
        }
    }
}

#[test]
fn test_extreme_activation_ranges() {
    let mut layer = Linear::new(32, 8, &mut Init::seed(1)).unwrap();
    layer.bias.as_mut().unwrap().value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(0.0);
    let x = Tensor::randn([40, 32], 1.0, &mut Rng::seed(2)).unwrap();
    for magnitude in [1e-9, 1e-3, 1.0, 1e9, 1e30] {
        let x = Var::from(x.scale(magnitude).unwrap());
        for activations in [Activations::Static, Activations::Dynamic] {
            let (int8, _) = quantized(&layer, &x, activations);
            let error = error(&layer, &int8, &x);
            assert!(error < 0.02, "{magnitude}, {activations:?}: {error}");
        }
    }
    // A range far from 0 keeps 0 exact, and half a step of the whole range is the price.
    let far = Var::from(Tensor::rand([40, 32], 10.0, 11.0, &mut Rng::seed(3)).unwrap());
    let (int8, _) = quantized(&layer, &far, Activations::Static);
    let (a, b) = (output(&layer, &far), output(&int8, &far));
    assert!(b.allclose(&a, 0.02, 0.1).unwrap());
    // What is far beyond the calibrated range is clipped to its end, and stays finite.
    let (int8, _) = quantized(&layer, &Var::from(&x), Activations::Static);
    let beyond = output(&int8, &Var::from(x.scale(1e30).unwrap()));
    let largest =
        |t: &Tensor| t.to_vec::<f32>().unwrap().into_iter().fold(0.0, |a: f32, b| a.max(b.abs()));
    assert!(largest(&beyond) < 30.0 * largest(&output(&layer, &Var::from(&x))));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut spoiled = x.clone();
        spoiled.as_mut_slice::<f32>().unwrap()[5] = bad;
        let quantizing =
            quantize_model(&mut layer.clone(), [Ok(spoiled.into())], &plain(Activations::Static));
        assert!(quantizing.unwrap_err().to_string().contains("weight"), "{bad}");
    }
}

#[test]
fn test_model_with_no_linear_layers() {
    #[derive(Module, Clone)]
    struct Scale {
        factor: Param,
    }
    impl Forward for Scale {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let factor = ctx.param(&self.factor)?;
            x.mul(&factor, ctx)
        }
    }
    let mut scale = Scale { factor: Param::new(Tensor::ones([8]).unwrap(), Role::Vector) };
    let result = quantize_model(&mut scale, [Ok(images(2))], &plain(Activations::Static));
    assert!(matches!(
        result.unwrap_err().downcast_ref(),
        Some(QuantError::NothingToQuantize { params: 1 })
    ));
    // Convolutions and embeddings are weights as much as linear layers are.
    let same = ConvGeometry::default().with_padding(1);
    let convolutional = Sequential::new()
        .push(Conv2d::new(1, 4, [3, 3], same, &mut Init::seed(1)).unwrap())
        .push(Relu)
        .push(MaxPool2d::new(PoolGeometry::square(2)));
    let (int8, report) = quantized(&convolutional, &images(8), Activations::Static);
    assert_eq!(report.weights.len(), 1);
    assert_eq!(output(&int8, &images(2)).shape().dims(), [2, 4, 4, 4]);
    let table = Embedding::new(20, 16, &mut Init::seed(1)).unwrap();
    let ids = Var::from(Tensor::from_vec(vec![0i64, 19, 7], [3]).unwrap());
    let (int8, _) = quantized(&table, &ids, Activations::Dynamic);
    assert!(error(&table, &int8, &ids) < 0.01);
}

#[test]
fn test_single_layer_quantization_error() {
    // Uniform rounding of n levels over a range r leaves r / n / sqrt(12): for normal inputs and weights
    // together about one percent, whatever the size of the layer.
    for (inputs, outputs) in [(16, 8), (64, 64), (300, 7), (1024, 16)] {
        let mut layer = Linear::new(inputs, outputs, &mut Init::seed(1)).unwrap();
        let weight = Tensor::randn([outputs, inputs], 1.0, &mut Rng::seed(2)).unwrap();
        *layer.weight.value_mut().unwrap() = weight;
        let x = Var::from(Tensor::randn([256, inputs], 1.0, &mut Rng::seed(3)).unwrap());
        let (int8, report) = quantized(&layer, &x, Activations::Static);
        let error = error(&layer, &int8, &x);
        let of_weight = report.weights[0].error;
        assert!((0.002..0.015).contains(&of_weight), "{inputs}: {of_weight} of the weight");
        assert!(error > of_weight && error < 0.02, "{inputs}: {error}");
    }
}

/// Everything that can be wrong is told in one sentence that names it, and changes nothing.
#[test]
fn test_quantization_edge_cases() {
    let config = plain(Activations::Static);
    let mut model = mlp().clone();
    let wrong = Var::from(Tensor::ones([4, 63]).unwrap());
    let error = refused(&mut model, vec![Ok(images(8)), Ok(wrong)], &config);
    assert!(matches!(error, QuantError::Calibration { batch: 1, .. }), "{error}");

    let skip = |names: &[&str]| {
        names.iter().fold(config.clone(), |config, name| config.with(*name, Scheme::Float))
    };
    let error = refused(&mut model, vec![Ok(images(8))], &skip(&["layers.7.weight"]));
    assert!(error.to_string().contains("layers.0.weight, layers.1.weight"), "{error}");
    let all = ["layers.0.weight", "layers.1.weight", "layers.2.weight"];
    let error = refused(&mut model, vec![Ok(images(8))], &skip(&all));
    assert!(matches!(error, QuantError::NothingToQuantize { .. }), "{error}");

    let mut spoiled = mlp().clone();
    let (_, param) = spoiled.named_params_mut().into_iter().nth(2).unwrap();
    param.value_mut().unwrap().as_mut_slice::<f32>().unwrap()[3] = f32::NAN;
    let error = refused(&mut spoiled, vec![Ok(images(8))], &config);
    assert!(error.to_string().contains("layers.1.weight"), "{error}");

    let part = skip(&["layers.2.weight"]);
    let report = quantize_model(&mut model, [Ok(images(64))], &part).unwrap();
    assert_eq!(report.skipped, [("layers.2.weight".to_string(), "skipped on request")]);
    let error = refused(&mut model, vec![Ok(images(8))], &config);
    assert!(matches!(error, QuantError::AlreadyQuantized { .. }), "{error}");

    let mut absent = mlp().architecture().unwrap().build(&mut Init::absent()).unwrap();
    let error = quantize_model(&mut absent, [Ok(images(8))], &config).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::NotLoaded { .. })), "{error}");
}
