//! Quantizing in place destroys the float weights, so it says so, and nothing is lost by surprise.

use super::support::{cnn, floats, held_out, mlp, output, plain, quantized, untrained};
use std::sync::{Arc, Mutex};
use tinytorch::autograd::Var;
use tinytorch::files::digest_params;
use tinytorch::nn::{Init, Linear, Module};
use tinytorch::quant::{
    Activations, QuantConfig, QuantError, dequantize_int8, quantize_int8, quantize_model,
    unquantize_model,
};
use tinytorch::{Rng, Tensor};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn images(count: usize) -> Var {
    held_out().inputs().slice(0, 0..count).unwrap().into()
}

/// Keeps the warnings of the thread that it listens to.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// What `run` warns of.
    fn of(run: impl FnOnce()) -> Vec<String> {
        let warnings = Warnings::default();
        tracing::subscriber::with_default(warnings.clone(), run);
        let heard = warnings.0.lock().unwrap();
        heard.clone()
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn test_in_place_modification_warning() {
    let mut model = untrained("digits-mlp", 1);
    let config = QuantConfig::default();
    let heard = Warnings::of(|| {
        quantize_model(&mut model, [Ok(images(8))], &config).unwrap();
    });
    let [warning] = &heard[..] else { panic!("one warning: {heard:?}") };
    for part in ["in place", "cannot be restored", "clone", "weights=3"] {
        assert!(warning.contains(part), "{part:?} in {warning:?}");
    }
    // Who says that they know is not warned.
    let mut model = untrained("digits-mlp", 1);
    let heard = Warnings::of(|| {
        quantize_model(&mut model, [Ok(images(8))], &plain(Activations::Static)).unwrap();
    });
    assert!(heard.is_empty(), "{heard:?}");
    // A call that fails destroys nothing and warns of nothing.
    let heard = Warnings::of(|| {
        quantize_model(&mut model, [Ok(images(8))], &config).unwrap_err();
    });
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn test_cannot_unquantize_model() {
    let (mut int8, _) = quantized(mlp(), &images(64), Activations::Static);
    let before = digest_params(&*int8).unwrap();
    let error = unquantize_model(&mut *int8).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error.downcast_ref(), Some(QuantError::Irreversible { .. })), "{message}");
    for part in ["layers.0.weight", "gone", "clone the model before"] {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
    assert_eq!(digest_params(&*int8).unwrap(), before);
    let weight = int8.named_params()[0].1;
    assert!(weight.value().is_err(), "an int8 weight has no float values to give");
    assert!(unquantize_model(&mut *mlp().clone()).is_ok(), "nothing to restore in a float model");
}

#[test]
fn test_deepcopy_prevents_modification() {
    for float in [mlp(), cnn()] {
        let original = float.clone();
        let (digest, before) = (digest_params(&*original).unwrap(), output(&original, &images(9)));
        let (int8, _) = quantized(&original, &images(64), Activations::Static);
        assert_eq!(digest_params(&*original).unwrap(), digest);
        let after = output(&original, &images(9));
        assert_eq!(after.to_vec::<f32>().unwrap(), before.to_vec::<f32>().unwrap());
        assert!(original.named_params().iter().all(|(_, param)| param.int8().is_none()));
        assert_ne!(digest_params(&*int8).unwrap(), digest);
    }
}

#[test]
fn test_quantizing_quantized_model_errors() {
    for activations in [Activations::Static, Activations::Dynamic] {
        let (mut int8, _) = quantized(cnn(), &images(64), activations);
        let before = (digest_params(&*int8).unwrap(), int8.named_flags());
        let error = quantize_model(&mut int8, [Ok(images(64))], &plain(activations)).unwrap_err();
        let Some(QuantError::AlreadyQuantized { name }) = error.downcast_ref() else {
            panic!("{error}")
        };
        assert_eq!(name, "blocks.0.conv.weight");
        assert_eq!((digest_params(&*int8).unwrap(), int8.named_flags()), before);
    }
}

#[test]
fn test_edge_case_constant_tensors() {
    for value in [0.0, 1.0, -1.0, 7.3, 1e-9, -1e-9, 1e30, -1e30, f32::MIN_POSITIVE] {
        let x = Tensor::full(value, [5, 3]).unwrap();
        let q = quantize_int8(&x).unwrap();
        let back = dequantize_int8(&q).unwrap().to_vec::<f32>().unwrap();
        assert!(back.iter().all(|v| (v - value).abs() <= 0.5001 * q.scale), "{value}: {back:?}");
        assert!(q.scale.is_finite() && q.scale > 0.0);
        if value.abs() >= 1e-30 {
            assert!(q.scale <= value.abs() / 127.0, "{value} sets the scale {}", q.scale);
        }
        // A layer of equal weights, on an input of equal values.
        if value.abs() <= 1e3 {
            let mut layer = Linear::new(6, 4, &mut Init::seed(1)).unwrap();
            layer.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(value);
            let input = Var::from(Tensor::full(value, [2, 6]).unwrap());
            let (int8, _) = quantized(&layer, &input, Activations::Static);
            let (a, b) = (output(&layer, &input), output(&int8, &input));
            assert!(b.allclose(&a, 0.01, 1e-6).unwrap(), "{value}: {a:?} {b:?}");
        }
    }
}

/// Who quantizes knows afterwards what was lost, and whoever reads the documentation knew before.
#[test]
fn test_quantization_in_place_warning() {
    let mut model = mlp().clone();
    let before = floats(&*model);
    let report = quantize_model(&mut model, [Ok(images(64))], &QuantConfig::default()).unwrap();
    let lost: Vec<&str> = report.weights.iter().map(|weight| weight.name.as_str()).collect();
    for (name, values) in before {
        let kept = floats(&*model).contains(&(name.clone(), values));
        assert_eq!(kept, !lost.contains(&name.as_str()), "{name}");
    }
    let documentation = include_str!("../../src/quant/apply.rs");
    let (before, _) = documentation.split_once("pub fn quantize_model").unwrap();
    for part in
        ["in place", "its float values are gone", "model.clone()", "let mut int8 = model.clone();"]
    {
        assert!(before.contains(part), "{part:?} in the documentation of quantize_model");
    }
    let x = Tensor::randn([4], 1.0, &mut Rng::seed(1)).unwrap();
    let kept = x.to_vec::<f32>().unwrap();
    quantize_int8(&x).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), kept, "single tensors are not changed in place");
}
