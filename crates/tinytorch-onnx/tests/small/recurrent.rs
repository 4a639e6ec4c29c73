//! Recurrent layers hold their weights as linear layers do, in floats and in int8.

use super::support::*;
use tinytorch::autograd::Var;
use tinytorch::nn::Module;
use tinytorch::quant::{Activations, QuantConfig, quantize_model, relative_error};
use tinytorch::{Result, Tensor};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{AttributeProto, GraphProto, TensorProto};

const HIDDEN: i64 = 24;
const INPUTS: i64 = 32;

fn noise(name: &str, dims: &[i64], size: f32) -> TensorProto {
    let count = dims.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|i| size * (i as f32 * 12.9898).sin()).collect();
    floats(name, dims, &values)
}

/// A layer of so many directions, its biases among what it reads.
fn layer(kind: &str, gates: i64, reset_after: i64, directions: i64) -> GraphProto {
    let way = if directions == 1 { "forward" } else { "bidirectional" };
    let (name, s) = ("direction".to_string(), way.as_bytes().to_vec());
    let direction = AttributeProto { name, s: s.into(), ..Default::default() };
    let mut attributes = vec![int("hidden_size", HIDDEN), direction];
    if kind == "GRU" {
        attributes.push(int("linear_before_reset", reset_after));
    }
    let rows = gates * HIDDEN;
    let constants = vec![
        noise("w", &[directions, rows, INPUTS], 0.3),
        noise("r", &[directions, rows, HIDDEN], 0.3),
        noise("b", &[directions, 2 * rows], 0.2),
    ];
    let nodes = vec![with(node(kind, &["x", "w", "r", "b"], &["y"]), &attributes)];
    let given = vec![value("y", F32, &[-1, directions, -1, HIDDEN])];
    graph(nodes, constants, vec![value("x", F32, &[-1, -1, INPUTS])], given)
}

fn sequences() -> Tensor {
    let values = (0..6 * 8 * INPUTS).map(|i| (i as f32 * 78.233).sin()).collect();
    Tensor::from_vec(values, [6, 8, INPUTS as usize]).unwrap()
}

fn output(model: &OnnxModel) -> Tensor {
    model.run(&[sequences()]).unwrap().remove(0)
}

fn quantized(graph: GraphProto, activations: Activations) -> Result<OnnxModel> {
    let mut model = read(graph)?;
    let config = QuantConfig::new(activations).knowingly();
    quantize_model(&mut model, [Ok(vec![Var::from(&sequences())])], &config)?;
    Ok(model)
}

fn int8_weights(model: &OnnxModel) -> Vec<String> {
    let params = model.named_params().into_iter();
    params.filter(|(_, param)| param.int8().is_some()).map(|(name, _)| name).collect()
}

const KINDS: [(&str, i64, i64); 4] = [("LSTM", 4, 0), ("GRU", 3, 0), ("GRU", 3, 1), ("RNN", 1, 0)];

#[test]
fn weights_of_one_direction_become_int8_and_run_as_a_plan_does() {
    for (kind, gates, reset_after) in KINDS {
        let float = output(&read(layer(kind, gates, reset_after, 1)).unwrap());
        for activations in [Activations::Static, Activations::Dynamic] {
            let model = quantized(layer(kind, gates, reset_after, 1), activations).unwrap();
            assert_eq!(int8_weights(&model), ["w", "r"], "{kind}");
            let got = output(&model);
            let error = relative_error(&got, &float).unwrap();
            assert!(error < 0.06, "{kind} {reset_after} {activations:?}: {error}");
            let planned = model.plan().unwrap().run(&sequences()).unwrap();
            assert_eq!(got.to_vec::<f32>().unwrap(), planned.to_vec::<f32>().unwrap(), "{kind}");
        }
    }
}

#[test]
fn weights_of_two_directions_stay_as_they_are() {
    let error = quantized(layer("LSTM", 4, 0, 2), Activations::Dynamic).unwrap_err().to_string();
    assert!(error.contains("none of its 3 parameters"), "{error}");
}

/// Other engines multiply floats by them: what a model of int8 weights and float inputs gives.
#[test]
fn int8_weights_are_written_with_a_scale_for_each_gate() {
    for (kind, gates, reset_after) in KINDS {
        let model = quantized(layer(kind, gates, reset_after, 1), Activations::Float).unwrap();
        let exported = model.to_onnx().unwrap();
        assert!(exported.int8.is_empty());
        assert_eq!(exported.weights_only, ["r", "w"], "{kind}");
        let again = OnnxModel::from_bytes("exported", exported.bytes).unwrap();
        let error = relative_error(&output(&again), &output(&model)).unwrap();
        assert!(error < 1e-5, "{kind} {reset_after}: {error}");
    }
}
