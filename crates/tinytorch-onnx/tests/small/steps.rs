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
        model.opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 12 }];
    });
    assert_eq!(faults, Vec::<String>::new());
}

/// A step of an encoder: a sum of two paths, rows of a loop's state, and a product of squares.
fn wired() -> ModelProto {
    let body = graph(
        vec![
            node("Identity", &["goes_on"], &["goes_on_then"]),
            node("Add", &["state", "x"], &["grown"]),
            node("Mul", &["grown", "half"], &["next"]),
        ],
        vec![floats("half", &[], &[0.5])],
        vec![value("round", I64, &[]), value("goes_on", BOOL, &[]), value("state", F32, &[])],
        vec![value("goes_on_then", BOOL, &[]), value("next", F32, &[])],
    );
    let squares: Vec<f32> = (0..9).map(|i| (i % 4) as f32 - 1.5).collect();
    let others: Vec<f32> = squares.iter().map(|w| 1.0 - w).collect();
    let nodes = vec![
        node("Gemm", &["x", "w"], &["a"]),
        node("Gemm", &["x", "v"], &["b"]),
        node("Relu", &["a"], &["ra"]),
        node("Sigmoid", &["b"], &["sb"]),
        node("Add", &["ra", "sb"], &["sum"]),
        with(node("Cast", &["sum"], &["cast"]), &[int("to", F32.into())]),
        with(node("Loop", &["rounds", "", "cast"], &["looped"]), &[graph_attribute("body", body)]),
        node("Sub", &["looped", "a"], &["y"]),
    ];
    let rounds = tinytorch_onnx::proto::TensorProto { dims: vec![], ..integers("rounds", &[3]) };
    let constants = vec![floats("w", &[3, 3], &squares), floats("v", &[3, 3], &others), rounds];
    model(graph(nodes, constants, vec![value("x", F32, &[3, 3])], vec![value("y", F32, &[3, 3])]))
}

fn told_of_wired(change: impl FnOnce(&mut Vec<NodeProto>)) -> Vec<String> {
    let read = |model: &ModelProto| OnnxModel::from_bytes("test", model.encode_to_vec()).unwrap();
    let mut other = wired();
    change(&mut other.graph.as_mut().unwrap().node);
    read(&wired()).steps_changed_by(&read(&other)).0
}

#[test]
fn a_step_that_reads_another_value_is_named() {
    for (place, input, from, expected) in [
        (4, 1, "ra", "the Add that gives `sum` reads `ra`, and `sb` in the float model"),
        (1, 1, "w", "the Gemm that gives `b` reads `w`, and `v` in the float model"),
        (2, 0, "b", "the Relu that gives `ra` reads `b`, and `a` in the float model"),
        (7, 1, "b", "the Sub that gives `y` reads `b`, and `a` in the float model"),
    ] {
        let faults = told_of_wired(|nodes| nodes[place].input[input] = from.into());
        assert_eq!(faults, [expected]);
    }
    // The order of a difference counts, and that of a sum does not.
    let turned = |nodes: &mut Vec<NodeProto>, place: usize| nodes[place].input.swap(0, 1);
    assert_eq!(told_of_wired(|nodes| turned(nodes, 7)).len(), 2);
    assert_eq!(told_of_wired(|nodes| turned(nodes, 4)), Vec::<String>::new());
}

#[test]
fn one_constant_in_place_of_an_equal_one_is_no_fault() {
    let read = |model: &ModelProto| OnnxModel::from_bytes("test", model.encode_to_vec()).unwrap();
    let mut float = wired();
    let equal = float.graph.as_ref().unwrap().initializer[0].clone();
    constants(&mut float)[1] = tinytorch_onnx::proto::TensorProto { name: "v".into(), ..equal };
    let mut shared = float.clone();
    shared.graph.as_mut().unwrap().node[1].input[1] = "w".into();
    assert_eq!(read(&float).steps_changed_by(&read(&shared)).0, Vec::<String>::new());
}

#[test]
fn what_lies_in_a_body_is_compared() {
    fn body(nodes: &mut [NodeProto]) -> &mut tinytorch_onnx::proto::GraphProto {
        nodes[6].attribute[0].g.as_mut().unwrap()
    }
    let constant = told_of_wired(|nodes| {
        body(nodes).initializer[0] = floats("half", &[], &[0.25]);
    });
    assert_eq!(constant, ["the Mul that gives `next` has another input 1 than in the float model"]);
    let read = told_of_wired(|nodes| body(nodes).node[2].input[0] = "state".into());
    assert_eq!(read, ["the Mul that gives `next` reads `state`, and `grown` in the float model"]);
    let function = told_of_wired(|nodes| {
        body(nodes).node[2] = node("Mul", &["bent", "half"], &["next"]);
        body(nodes).node.insert(2, node("Relu", &["grown"], &["bent"]));
    });
    // A step more has a name that the float model does not know.
    assert_eq!(function, Vec::<String>::new());
    let given = told_of_wired(|nodes| body(nodes).output[1].name = "grown".into());
    assert_eq!(given, ["a graph within a node gives `grown`, and `next` in the float model"]);
}

#[test]
fn what_is_turned_or_cast_otherwise_is_named() {
    let turned = told_of_wired(|nodes| nodes[0].attribute.push(int("transA", 1)));
    assert_eq!(
        turned,
        ["the Gemm that gives `a` has transA 1, and the default in the float model"]
    );
    // Which way a weight lies is how it is stored.
    let stored = told_of_wired(|nodes| nodes[0].attribute.push(int("transB", 1)));
    assert_eq!(stored, Vec::<String>::new());
    let cut = told_of_wired(|nodes| nodes[5].attribute[0].i = 6);
    assert_eq!(cut, ["the Cast that gives `cast` has to 6, and 1 in the float model"]);
    // Halves are held as floats.
    assert_eq!(told_of_wired(|nodes| nodes[5].attribute[0].i = 10), Vec::<String>::new());
    let wraps = told_of_wired(|nodes| nodes[5].attribute.push(int("saturate", 0)));
    assert_eq!(
        wraps,
        ["the Cast that gives `cast` has saturate 0, and the default in the float model"]
    );
}

/// One is a slope, and 0 a limit: that a value is common does not make it the default.
#[test]
fn a_common_value_is_not_always_the_default() {
    for alpha in [0.0, 1.0] {
        let read = |model: &ModelProto| OnnxModel::from_bytes("m", model.encode_to_vec()).unwrap();
        let mut usual = steps();
        usual.graph.as_mut().unwrap().node[3].attribute.clear();
        let mut other = usual.clone();
        other.graph.as_mut().unwrap().node[3].attribute.push(float("alpha", alpha));
        let faults = read(&usual).steps_changed_by(&read(&other)).0;
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
