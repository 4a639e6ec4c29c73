//! A step between two weights that became another is named, whether samples show it or not; what tools do when they
//! quantize is no fault.

use super::support::*;
use prost::Message;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{AttributeProto, ModelProto, NodeProto, OperatorSetIdProto};

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 1, f, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: ints.to_vec(), ..Default::default() }
}

fn text(name: &str, s: &'static str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 3, s: s.as_bytes().into(), ..Default::default() }
}

/// A convolution, an activation with a limit, a pool, an activation with a slope, and shares.
fn steps() -> ModelProto {
    let conv = [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])];
    let pool = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let nodes = vec![
        with(node("Conv", &["x", "w"], &["sums"]), &conv),
        node("Clip", &["sums", "least", "most"], &["limited"]),
        with(node("MaxPool", &["limited"], &["pooled"]), &pool),
        with(node("LeakyRelu", &["pooled"], &["sloped"]), &[float("alpha", 0.1)]),
        with(node("Softmax", &["sloped"], &["y"]), &[int("axis", -1)]),
    ];
    let weight: Vec<f32> = (0..18).map(|i| (i % 5) as f32 - 2.0).collect();
    let constants = vec![
        floats("w", &[2, 1, 3, 3], &weight),
        floats("least", &[], &[-4.0]),
        floats("most", &[], &[6.0]),
    ];
    model(graph(
        nodes,
        constants,
        vec![value("x", F32, &[-1, 1, 4, 4])],
        vec![value("y", F32, &[-1, 2, 2, 2])],
    ))
}

/// What is told of the same steps with this change.
fn told(change: impl FnOnce(&mut Vec<NodeProto>, &mut ModelProto)) -> (Vec<String>, usize) {
    let read = |model: &ModelProto| OnnxModel::from_bytes("test", model.encode_to_vec()).unwrap();
    let mut other = steps();
    let mut nodes = other.graph.as_mut().map(|graph| std::mem::take(&mut graph.node)).unwrap();
    change(&mut nodes, &mut other);
    other.graph.as_mut().unwrap().node = nodes;
    read(&steps()).steps_changed_by(&read(&other))
}

fn constants(model: &mut ModelProto) -> &mut Vec<tinytorch_onnx::proto::TensorProto> {
    &mut model.graph.as_mut().unwrap().initializer
}

#[test]
fn a_step_with_another_setting_is_named() {
    let slope = "the LeakyRelu that gives `sloped` has alpha";
    let pads = "the Conv that gives `sums` has pads";
    for (change, expected) in [
        (
            ints("pads", &[0, 0, 2, 2]),
            format!("{pads} [0, 0, 2, 2], and [1, 1, 1, 1] in the float model"),
        ),
        (float("alpha", 0.11), format!("{slope} 0.11, and 0.1 in the float model")),
    ] {
        let (faults, steps) = told(|nodes, _| {
            let all = nodes.iter_mut().flat_map(|node| &mut node.attribute);
            all.filter(|one| one.name == change.name).for_each(|one| *one = change.clone());
        });
        assert_eq!((faults, steps), (vec![expected], 5));
    }
    let left_out = told(|nodes, _| nodes[3].attribute.clear()).0;
    assert_eq!(left_out, [format!("{slope} the default, and 0.1 in the float model")]);
}

#[test]
fn a_limit_that_no_sample_may_reach_is_named() {
    let (faults, _) = told(|_, model| constants(model)[2] = floats("most", &[], &[7.0]));
    assert_eq!(
        faults,
        ["the Clip that gives `limited` has another input 2 than in the float model"]
    );
}

#[test]
fn another_function_is_named() {
    let (faults, steps) = told(|nodes, _| nodes[2].op_type = "AveragePool".into());
    assert_eq!(faults, ["`pooled` comes from AveragePool, and in the float model from MaxPool"]);
    assert_eq!(steps, 4);
}

#[test]
fn what_tools_do_when_they_quantize_is_no_fault() {
    let none = (Vec::<String>::new(), 5);
    assert_eq!(told(|_, _| ()), none);
    // What a step does without being told is said.
    let spelled =
        told(|nodes, _| nodes[0].attribute.extend([ints("dilations", &[1, 1]), int("group", 1)]));
    assert_eq!(spelled, none);
    // An axis from the beginning or from the end.
    assert_eq!(told(|nodes, _| nodes[4].attribute[0].i = 3), none);
    // Pads by their numbers or by their name.
    assert_eq!(told(|nodes, _| nodes[0].attribute[1] = text("auto_pad", "SAME_UPPER")), none);
    // Values are rounded between two steps.
    let rounded = told(|nodes, model| {
        constants(model).push(floats("step", &[], &[0.05]));
        nodes[2].input[0] = "rounded".into();
        nodes.insert(2, node("QuantizeLinear", &["limited", "step"], &["levels"]));
        nodes.insert(3, node("DequantizeLinear", &["levels", "step"], &["rounded"]));
    });
    assert_eq!(rounded, none);
    // An activation that its convolution takes in: the same name comes from another step.
    let fused = told(|nodes, _| {
        nodes.remove(1);
        nodes[0].output[0] = "limited".into();
    });
    assert_eq!(fused, (vec![], 3));
}

/// What an attribute means that is left out hangs on the version.
#[test]
fn defaults_of_another_version_are_not_compared() {
    let (faults, _) = told(|nodes, model| {
        nodes[3].attribute.clear();
        model.opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 16 }];
    });
    assert_eq!(faults, Vec::<String>::new());
}
