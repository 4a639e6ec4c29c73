//! Everything that makes quantizing fail is a typed error of one sentence, and the model is then what
//! it was before, to the bit.

use tinytorch::autograd::{Ctx, Param, Role, Var};
use tinytorch::files::digest_params;
use tinytorch::int8::Granularity;
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::quant::{
    Activations, QuantConfig, QuantError, RangeMethod, Scheme, is_weight, quantize_model,
    unquantize_model,
};
use tinytorch::{Result, Rng, Tensor};

fn model() -> Box<dyn Model> {
    Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(1)).unwrap()
}

fn images(n: usize) -> Var {
    Tensor::rand([n, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(2)).unwrap().into()
}

/// Quantizes, expects an error, and checks that the model has not changed.
fn refused(
    model: &mut Box<dyn Model>,
    calibration: Vec<Result<Var>>,
    config: &QuantConfig,
) -> QuantError {
    let before = (digest_params(model).unwrap(), format!("{:?}", model.named_layers()));
    let error = quantize_model(model, calibration, config).unwrap_err();
    let after = (digest_params(model).unwrap(), format!("{:?}", model.named_layers()));
    assert_eq!(before, after, "a failed call must leave the model as it was");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "one sentence: {text}");
    error.downcast().unwrap()
}

#[test]
fn quantizing_twice() {
    let mut model = model();
    quantize_model(&mut model, [Ok(images(8))], &QuantConfig::default()).unwrap();
    let error = refused(&mut model, vec![Ok(images(8))], &QuantConfig::default());
    assert!(
        matches!(&error, QuantError::AlreadyQuantized { name } if name == "blocks.0.conv.weight")
    );
}

#[test]
fn weights_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut model = model();
        for (name, param) in model.named_params_mut() {
            if name == "head.layers.1.weight" {
                param.value_mut().unwrap().as_mut_slice::<f32>().unwrap()[7] = bad;
            }
        }
        let dynamic = QuantConfig::new(Activations::Dynamic);
        let error = refused(&mut model, vec![Ok(images(8))], &dynamic);
        assert!(error.to_string().contains("head.layers.1.weight"), "{error}");
    }
}

#[test]
fn calibration_that_is_empty_or_does_not_fit() {
    let config = QuantConfig::default();
    let error = refused(&mut model(), vec![], &config);
    assert!(matches!(error, QuantError::EmptyCalibration));

    let wrong = Var::from(Tensor::ones([4, 3, 8, 8]).unwrap());
    let error = refused(&mut model(), vec![Ok(wrong)], &config);
    assert!(matches!(error, QuantError::Calibration { batch: 0, .. }), "{error}");
}

#[test]
fn activations_that_are_not_finite() {
    let mut broken = images(8).into_value();
    broken.as_mut_slice::<f32>().unwrap()[100] = f32::NAN;
    let calibration = vec![Ok(images(8)), Ok(broken.into())];
    let error = refused(&mut model(), calibration, &QuantConfig::default());
    match error {
        QuantError::Activation { name, value, batch } => {
            assert_eq!((name.as_str(), batch), ("blocks.0.conv.weight", 1));
            assert!(value.is_nan());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_batch_that_cannot_be_read() {
    let unreadable = Err(Tensor::ones([2]).unwrap().reshape([3]).unwrap_err());
    let calibration = vec![Ok(images(8)), unreadable];
    let error = refused(&mut model(), calibration, &QuantConfig::default());
    assert!(matches!(error, QuantError::Calibration { batch: 1, .. }), "{error}");
}

#[test]
fn a_model_with_nothing_to_quantize() {
    #[derive(Module, Clone)]
    struct Shift {
        bias: Param,
    }
    impl Forward for Shift {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let bias = ctx.param(&self.bias)?;
            x.add(&bias, ctx)
        }
    }
    let mut model = Shift { bias: Param::new(Tensor::ones([8]).unwrap(), Role::Vector) };
    let error = quantize_model(&mut model, [Ok(images(2))], &QuantConfig::default()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::NothingToQuantize { params: 1 })));

    let model = self::model();
    let weights = model.named_params().into_iter().filter(|(_, param)| is_weight(param));
    let config = weights.fold(QuantConfig::default(), |c, (name, _)| c.with(name, Scheme::Float));
    let error = refused(&mut self::model(), vec![Ok(images(8))], &config);
    assert!(matches!(error, QuantError::NothingToQuantize { .. }), "{error}");
}

#[test]
fn a_weight_to_skip_that_is_not_there() {
    let config = QuantConfig::default().with("conv9.weight", Scheme::Float);
    let error = refused(&mut model(), vec![Ok(images(8))], &config);
    assert!(
        error.to_string().contains("blocks.0.conv.weight"),
        "the known ones are named: {error}"
    );
}

#[test]
fn a_model_that_is_not_loaded() {
    let mut model = Linear::new(4, 4, &mut Init::absent()).unwrap();
    let x = Var::from(Tensor::ones([1, 4]).unwrap());
    let error = quantize_model(&mut model, [Ok(x)], &QuantConfig::default()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::NotLoaded { .. })), "{error}");
}

#[test]
fn undoing_it() {
    let mut model = model();
    unquantize_model(&mut model).unwrap();
    quantize_model(&mut model, [Ok(images(8))], &QuantConfig::default()).unwrap();
    let before = digest_params(&model).unwrap();
    let error = unquantize_model(&mut model).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::Irreversible { .. })), "{error}");
    assert!(error.to_string().contains("clone"), "{error}");
    assert_eq!(digest_params(&model).unwrap(), before);
    let weight = &model.named_params()[0].1.value().unwrap_err().to_string();
    assert!(weight.contains("int8"), "{weight}");
}

#[test]
fn a_layer_on_its_own_and_every_configuration_quantize() {
    let x = Var::from(Tensor::randn([16, 40], 1.0, &mut Rng::seed(3)).unwrap());
    for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
        for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
            for range in [RangeMethod::MinMax, RangeMethod::Percentile(1e-3), RangeMethod::Mse] {
                let float = Linear::new(40, 24, &mut Init::seed(4)).unwrap();
                let mut int8 = float.clone();
                let scheme = Scheme::new(granularity, activations);
                let config = QuantConfig { range, ..QuantConfig::new(scheme) };
                quantize_model(&mut int8, [Ok(x.clone())], &config).unwrap();
                let want = float.forward(&x, &mut Ctx::eval()).unwrap();
                let got = int8.forward(&x, &mut Ctx::eval()).unwrap();
                assert!(got.value().allclose(want.value(), 0.0, 0.08).unwrap(), "{config:?}");
            }
        }
    }
}

#[test]
fn constant_tiny_huge_and_shifted_tensors_quantize_to_half_a_step() {
    let fills: [(&str, Vec<f32>); 6] = [
        ("zeros", vec![0.0; 64]),
        ("ones", vec![1.0; 64]),
        ("tiny", (0..64).map(|i| 1e-9 * (i as f32 - 30.0)).collect()),
        ("huge", (0..64).map(|i| 1e30 * (i as f32 - 30.0) / 64.0).collect()),
        ("far from zero", (0..64).map(|i| 10.0 + i as f32 / 63.0).collect()),
        ("one value", vec![-7.25; 64]),
    ];
    for (name, values) in fills {
        let weight = Tensor::from_vec(values.clone(), [4, 16]).unwrap();
        let mut layer = Linear::without_bias(16, 4, &mut Init::seed(1)).unwrap();
        layer.weight = Param::new(weight.clone(), Role::LinearWeight).into();
        let dynamic = QuantConfig::new(Activations::Dynamic);
        quantize_model(&mut layer, std::iter::empty::<Result<Var>>(), &dynamic).unwrap();
        let back = layer.weight.int8().unwrap().dequantize().unwrap().to_vec::<f32>().unwrap();
        for (row, (want, got)) in values.chunks(16).zip(back.chunks(16)).enumerate() {
            let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
            let half = largest / 127.0 * 0.5001 + f32::MIN_POSITIVE;
            for (w, g) in want.iter().zip(got) {
                assert!((w - g).abs() <= half, "{name}, row {row}: {w} came back as {g}");
            }
        }
    }
}
