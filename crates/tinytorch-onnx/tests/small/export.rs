//! A model becomes an ONNX file again: with the values that its parameters have now, int8 ones as such.

use super::support::*;
use prost::Message;
use tinytorch::Tensor;
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{autograd::Var, nn::Module};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{GraphProto, ModelProto};

/// Numbers of both signs without a pattern.
fn noise(name: &str, dims: &[i64], size: f32) -> tinytorch_onnx::proto::TensorProto {
    let count = dims.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|i| size * (i as f32 * 12.9898).sin()).collect();
    floats(name, dims, &values)
}

/// A convolution without a bias whose batch norm folds, one with a bias, a product and a `Gemm`.
fn network() -> GraphProto {
    let nodes = vec![
        node("Conv", &["x", "first"], &["c1"]),
        node("BatchNormalization", &["c1", "n.weight", "n.bias", "mean", "var"], &["n"]),
        node("Relu", &["n"], &["r1"]),
        node("Conv", &["r1", "second", "second_bias"], &["c2"]),
        node("Relu", &["c2"], &["r2"]),
        with(node("Flatten", &["r2"], &["f"]), &[int("axis", 1)]),
        node("MatMul", &["f", "product"], &["p"]),
        node("Relu", &["p"], &["r3"]),
        with(node("Gemm", &["r3", "head", "head_bias"], &["y"]), &[int("transB", 1)]),
    ];
    let constants = vec![
        noise("first", &[8, 3, 3, 3], 0.4),
        floats("n.weight", &[8], &[1.5, 0.5, 0.75, 1.0, 1.25, 0.6, 0.9, 1.1]),
        noise("n.bias", &[8], 0.3),
        noise("mean", &[8], 0.2),
        floats("var", &[8], &[4.0, 0.25, 1.0, 2.0, 0.5, 1.5, 0.75, 3.0]),
        noise("second", &[8, 8, 3, 3], 0.2),
        noise("second_bias", &[8], 0.5),
        noise("product", &[32, 16], 0.3),
        noise("head", &[5, 16], 0.4),
        noise("head_bias", &[5], 0.2),
    ];
    let inputs = vec![value("x", F32, &[-1, 3, 6, 6])];
    graph(nodes, constants, inputs, vec![value("y", F32, &[-1, 5])])
}

/// The same with identities between a weight and a norm's scale and those that read them.
fn behind_identities() -> GraphProto {
    let mut graph = network();
    for name in ["first", "n.weight"] {
        let same = format!("same_{name}");
        for reader in &mut graph.node {
            reader.input.iter_mut().filter(|input| *input == name).for_each(|i| *i = same.clone());
        }
        graph.node.insert(0, node("Identity", &[name], &[&same]));
    }
    graph
}

fn inputs(samples: usize) -> Tensor {
    let values = (0..samples * 108).map(|i| (i as f32 * 78.233).sin()).collect();
    Tensor::from_vec(values, [samples, 3, 6, 6]).unwrap()
}

fn quantized(graph: GraphProto, config: &QuantConfig) -> OnnxModel {
    let mut model = read(graph).unwrap();
    quantize_model(&mut model, [Ok(vec![Var::from(&inputs(64))])], config).unwrap();
    model
}

fn outputs(model: &OnnxModel, x: &Tensor) -> Vec<f32> {
    model.run(std::slice::from_ref(x)).unwrap()[0].to_vec().unwrap()
}

#[test]
fn a_float_model_comes_back_with_the_same_outputs_to_the_bit() {
    let model = read(network()).unwrap();
    let exported = model.to_onnx().unwrap();
    assert!(exported.int8.is_empty() && exported.weights_only.is_empty());
    let again = OnnxModel::from_bytes("exported", exported.bytes).unwrap();
    assert_eq!(again.param_count(), model.param_count());
    assert_eq!(outputs(&again, &inputs(3)), outputs(&model, &inputs(3)));
}

#[test]
fn an_int8_model_comes_back_with_the_outputs_of_its_integers() {
    let model = quantized(network(), &QuantConfig::default().knowingly());
    let exported = model.to_onnx().unwrap();
    assert_eq!(exported.int8, ["first", "head", "product", "second"]);
    let proto = ModelProto::decode(&exported.bytes[..]).unwrap();
    let graph = proto.graph.unwrap();
    let stored = |name: &str| graph.initializer.iter().find(|t| t.name == name).unwrap();
    for (name, dims) in [("first", vec![8, 3, 3, 3]), ("product", vec![32, 16])] {
        let weight = stored(&format!("{name}_quantized"));
        assert_eq!((weight.data_type, &weight.dims), (3, &dims));
        assert!(graph.initializer.iter().all(|t| t.name != name), "{name} is there in floats too");
    }
    assert!(graph.node.iter().all(|node| node.op_type != "BatchNormalization"));
    assert_same_outputs(&model, exported.bytes);
}

#[test]
fn identities_hide_neither_a_weight_nor_a_norm_that_was_folded() {
    let model = quantized(behind_identities(), &QuantConfig::default().knowingly());
    let exported = model.to_onnx().unwrap();
    assert_eq!(exported.int8, ["first", "head", "product", "second"]);
    assert_same_outputs(&model, exported.bytes);
}

/// Read again, it is the same model but for biases, which lie within half a step of the products: now and then a
/// value falls on the other side of a step.
fn assert_same_outputs(model: &OnnxModel, exported: Vec<u8>) {
    let again = OnnxModel::from_bytes("exported", exported).unwrap();
    assert_eq!(again.frame(), model.frame());
    assert_eq!(again.named_flags(), model.named_flags());
    for ((name, was), (other, is)) in model.named_params().iter().zip(again.named_params()) {
        assert_eq!((name, was.shape()), (&other, is.shape()));
        let (Some(was), Some(is)) = (was.int8(), is.int8()) else { continue };
        assert!(was.panels() == is.panels() && was.scales() == is.scales(), "{name}");
        assert_eq!((was.input(), was.shift().is_some()), (is.input(), is.shift().is_some()));
    }
    let (want, got) = (outputs(model, &inputs(32)), outputs(&again, &inputs(32)));
    let largest = want.iter().fold(0.0f32, |most, y| most.max(y.abs()));
    let apart = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= 1e-2 * largest, "{apart} of {largest}");
    let equal = want.iter().zip(&got).filter(|(a, b)| (*a - *b).abs() <= 1e-5 * largest).count();
    assert!(equal * 10 >= want.len() * 9, "{equal} of {} are equal", want.len());
}

#[test]
fn what_takes_its_range_as_it_comes_multiplies_floats_elsewhere_and_is_named() {
    let config = QuantConfig::new(tinytorch::quant::Activations::Dynamic).knowingly();
    let exported = quantized(network(), &config).to_onnx().unwrap();
    assert!(exported.int8.is_empty());
    assert_eq!(exported.weights_only, ["first", "head", "product", "second"]);
}

#[test]
fn a_version_without_scales_by_channel_is_refused_with_the_remedy() {
    let mut proto = model(network());
    proto.opset_import[0].version = 11;
    let mut old = OnnxModel::from_proto(&proto).unwrap();
    let config = QuantConfig::default().knowingly();
    quantize_model(&mut old, [Ok(vec![Var::from(&inputs(8))])], &config).unwrap();
    let refused = old.to_onnx().unwrap_err().to_string();
    assert!(refused.contains("version 11") && refused.contains("version_converter"), "{refused}");
}
