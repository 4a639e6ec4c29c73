//! The pieces on their own: one tensor, one layer, one model, one measurement.

use super::support::{error, floats, output, plain, quantized, untrained};
use tinytorch::autograd::Var;
use tinytorch::int8::{Encoding, Scales};
use tinytorch::nn::{Init, Linear, Module};
use tinytorch::quant::{
    Activations, Int8Tensor, compare_model_sizes, dequantize_int8, quantize_int8, quantize_model,
};
use tinytorch::tensor::Dtype;
use tinytorch::{Rng, Tensor};

#[test]
fn test_unit_quantize_int8() {
    let x = Tensor::randn([64, 32], 3.0, &mut Rng::seed(1)).unwrap();
    let q = quantize_int8(&x).unwrap();
    assert_eq!((q.values.dtype(), q.values.shape()), (Dtype::I8, x.shape()));
    assert_eq!(q.values.bytes(), x.bytes() / 4);
    let levels = q.values.to_vec::<i8>().unwrap();
    assert!(levels.contains(&-128) && levels.contains(&127), "the whole range is used");
    for (x, level) in x.to_vec::<f32>().unwrap().into_iter().zip(levels) {
        let back = (f32::from(level) - f32::from(q.zero_point)) * q.scale;
        assert!((x - back).abs() <= 0.5001 * q.scale, "{x} came back as {back}");
    }
    assert!(quantize_int8(&Tensor::from_vec(vec![f32::NAN], [1]).unwrap()).is_err());
}

#[test]
fn test_unit_dequantize_int8() {
    let values = Tensor::from_vec(vec![-128i8, -1, 0, 3, 127], [5]).unwrap();
    let q = Int8Tensor { values, scale: 0.5, zero_point: 3 };
    let back = dequantize_int8(&q).unwrap();
    assert_eq!(back.to_vec::<f32>().unwrap(), [-65.5, -2.0, -1.5, 0.0, 62.0]);
    let again = quantize_int8(&back).unwrap();
    assert_eq!((again.scale, again.zero_point), (q.scale, q.zero_point));
    assert_eq!(again.values.to_vec::<i8>().unwrap(), q.values.to_vec::<i8>().unwrap());
    let floats = Int8Tensor { values: Tensor::ones([2]).unwrap(), scale: 1.0, zero_point: 0 };
    assert!(dequantize_int8(&floats).is_err());
}

/// The layer's output is, to rounding, the sum over integers that its levels and scales define.
#[test]
fn test_unit_quantized_linear() {
    let float = Linear::new(100, 30, &mut Init::seed(1)).unwrap();
    let x = Tensor::randn([7, 100], 1.0, &mut Rng::seed(2)).unwrap();
    let (int8, _) = quantized(&float, &Var::from(&x), Activations::Static);
    assert_eq!(int8.named_layers(), float.named_layers());
    let weight = int8.weight.int8().unwrap();
    let Encoding::Static(params) = weight.input() else { panic!("{:?}", weight.input()) };
    let levels: Vec<u8> =
        x.to_vec::<f32>().unwrap().into_iter().map(|v| params.quantize(v)).collect();
    let Scales::PerChannel(scales) = weight.scales() else { panic!("{:?}", weight.scales()) };
    let bias = float.bias.as_ref().unwrap().value().unwrap().to_vec::<f32>().unwrap();
    let got = output(&int8, &Var::from(&x)).to_vec::<f32>().unwrap();
    let mut row = vec![0i8; 100];
    for out in 0..30 {
        weight.row_into(out, &mut row).unwrap();
        for (sample, levels) in levels.chunks(100).enumerate() {
            let term =
                |(&w, &a): (&i8, &u8)| i32::from(w) * (i32::from(a) - i32::from(params.zero_point));
            let sum: i32 = row.iter().zip(levels).map(term).sum();
            let scale = f64::from(params.scale) * f64::from(scales[out]);
            let expected = f64::from(sum) * scale + f64::from(bias[out]);
            let got = f64::from(got[sample * 30 + out]);
            assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{got}, {expected}");
        }
    }
    assert!(error(&float, &int8, &Var::from(&x)) < 0.02);
}

#[test]
fn test_unit_quantize_model() {
    let float = untrained("digits-cnn", 1);
    let mut int8 = float.clone();
    let images = Var::from(Tensor::rand([32, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(2)).unwrap());
    let report = quantize_model(&mut int8, [Ok(images)], &plain(Activations::Static)).unwrap();
    let names: Vec<&str> = report.weights.iter().map(|w| w.name.as_str()).collect();
    let heads = ["head.layers.0.weight", "head.layers.1.weight"];
    assert_eq!(names, [&["blocks.0.conv.weight", "blocks.1.conv.weight"], &heads[..]].concat());
    assert!(report.skipped.is_empty());
    assert_eq!(report.folded, ["blocks.0.norm", "blocks.1.norm"]);
    for (name, param) in int8.named_params() {
        assert_eq!(param.int8().is_some(), names.contains(&name.as_str()), "{name}");
    }
    // What the report does not name has kept its bits.
    let kept = |model: &dyn Module| {
        let mut floats = floats(model);
        floats
            .retain(|(name, _)| !report.changed.contains(name) && !names.contains(&name.as_str()));
        floats
    };
    assert_eq!(kept(&*int8), kept(&*float));
}

/// Compared are sizes that were measured, so they are those that a hand count gives.
#[test]
fn test_unit_compare_model_sizes() {
    let float = Linear::new(512, 256, &mut Init::seed(1)).unwrap();
    let x = Var::from(Tensor::ones([1, 512]).unwrap());
    let (int8, _) = quantized(&float, &x, Activations::Dynamic);
    let sizes = compare_model_sizes(&float, &int8).unwrap();
    assert_eq!(sizes.float.parameters, sizes.int8.parameters);
    assert_eq!(sizes.float.payload_bytes, 4 * (512 * 256 + 256));
    assert_eq!(sizes.int8.payload_bytes, 512 * 256 + 4 * 256 + 4 * 256);
    let same = compare_model_sizes(&float, &float.clone()).unwrap();
    assert_eq!(same.float.payload_bytes, same.int8.payload_bytes);
}
