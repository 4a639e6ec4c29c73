//! An int8 graph is found to be the float graph by what it computes, whatever it is called.

use super::support::*;
use prost::Message;
use tinytorch::Tensor;
use tinytorch::nn::Module;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};

/// A convolution with a batch norm behind it, a shortcut around, and a layer.
fn float() -> ModelProto {
    let conv = [graph_ints("kernel_shape", &[1, 1])];
    let nodes = vec![
        with(node("Conv", &["x", "c.weight"], &["c"]), &conv),
        node("BatchNormalization", &["c", "n.weight", "n.bias", "n.mean", "n.var"], &["n"]),
        node("Add", &["n", "x"], &["s"]),
        node("Relu", &["s"], &["r"]),
        node("Flatten", &["r"], &["f"]),
        with(node("Gemm", &["f", "g.weight"], &["y"]), &[int("transB", 1)]),
    ];
    let some =
        |count: usize| (0..count).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect::<Vec<_>>();
    let constants = vec![
        floats("c.weight", &[2, 2, 1, 1], &some(4)),
        floats("n.weight", &[2], &[0.5, 2.0]),
        floats("n.bias", &[2], &[0.1, -0.1]),
        floats("n.mean", &[2], &[0.2, 0.3]),
        floats("n.var", &[2], &[1.0, 4.0]),
        floats("g.weight", &[3, 4], &some(12)),
    ];
    let (x, y) = (value("x", F32, &[-1, 2, 1, 2]), value("y", F32, &[-1, 3]));
    model(graph(nodes, constants, vec![x], vec![y]))
}

fn graph_ints(name: &str, ints: &[i64]) -> tinytorch_onnx::proto::AttributeProto {
    let (name, ints) = (name.into(), ints.to_vec());
    tinytorch_onnx::proto::AttributeProto { name, r#type: 7, ints, ..Default::default() }
}

fn levels(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    let (name, dims) = (name.into(), dims.to_vec());
    let int32_data = (0..count as i32).map(|i| i * 29 % 201 - 100).collect();
    TensorProto { name, dims, data_type: 3, int32_data, ..Default::default() }
}

/// The same over int8 weights under other names, the norm folded into a bias, and the layer's weight in the other order.
fn int8() -> ModelProto {
    let conv = [graph_ints("kernel_shape", &[1, 1])];
    let nodes = vec![
        node("DequantizeLinear", &["1", "step"], &["2"]),
        node("DequantizeLinear", &["3", "step"], &["4"]),
        with(node("Conv", &["x", "2", "5"], &["6"]), &conv),
        node("Add", &["6", "x"], &["7"]),
        node("Relu", &["7"], &["8"]),
        node("Flatten", &["8"], &["9"]),
        node("Gemm", &["9", "4"], &["10"]),
    ];
    let constants = vec![
        levels("1", &[2, 2, 1, 1]),
        levels("3", &[4, 3]),
        floats("step", &[], &[0.01]),
        floats("5", &[2], &[0.25, 0.5]),
    ];
    let (x, y) = (value("x", F32, &[-1, 2, 1, 2]), value("10", F32, &[-1, 3]));
    model(graph(nodes, constants, vec![x], vec![y]))
}

fn read(model: &ModelProto) -> OnnxModel {
    OnnxModel::from_bytes("test", model.encode_to_vec()).unwrap()
}

fn outputs(model: &OnnxModel) -> Vec<f32> {
    let x = Tensor::from_vec((0..8).map(|i| i as f32 / 4.0 - 1.0).collect(), [2, 2, 1, 2]).unwrap();
    model.run(&[x]).unwrap()[0].to_vec().unwrap()
}

fn refused(change: impl FnOnce(&mut GraphProto)) -> String {
    let mut other = int8();
    change(other.graph.as_mut().unwrap());
    read(&float()).over_values_of(&read(&other)).unwrap_err().to_string()
}

#[test]
fn the_float_graph_over_its_values_gives_what_an_int8_graph_gives() {
    let (float, int8) = (read(&float()), read(&int8()));
    let same = float.over_values_of(&int8).unwrap();
    assert_eq!(outputs(&same), outputs(&int8));
    let kept: Vec<(String, bool)> = same
        .named_params()
        .into_iter()
        .map(|(name, param)| (name, param.int8().is_some()))
        .collect();
    let expected = [("c.weight", true), ("n.weight", false), ("n.bias", false)];
    assert_eq!(kept[..3], expected.map(|(name, is_int8)| (name.to_string(), is_int8)));
    assert_eq!(kept[5], ("g.weight".to_string(), true));
}

#[test]
fn a_graph_that_is_another_is_told_by_its_first_difference() {
    let more = refused(|graph| {
        graph.node[4].input[0] = "twice".into();
        graph.node.insert(4, node("Relu", &["7"], &["twice"]));
    });
    let told = "its graph is not the float model's: `twice` is not the float model's `s`: it comes from Relu, and not from Add";
    assert_eq!(more, told);
    let other = refused(|graph| graph.node[4].op_type = "Abs".into());
    assert!(other.contains("`8` is not the float model's `r`"), "{other}");
    let wired = refused(|graph| graph.node[3].input[1] = "6".into());
    assert!(wired.contains("is not the float model's `x`"), "{wired}");
    let set = refused(|graph| graph.node[5].attribute.push(int("axis", 2)));
    assert!(set.contains("the Flatten that gives `9` has axis 2"), "{set}");
    let shared = refused(|graph| {
        // Two values of the float model may be one of it, and one not two.
        graph.node[3].input[1] = "same".into();
        graph.node.insert(2, node("Neg", &["x"], &["minus"]));
        graph.node.insert(3, node("Neg", &["minus"], &["same"]));
    });
    assert!(shared.contains("`same` is not the float model's `x`"), "{shared}");
    let gives = refused(|graph| graph.output.push(value("8", F32, &[-1, 2, 1, 2])));
    assert!(gives.contains("another number of inputs or outputs"), "{gives}");
}

/// That a weight is turned is no difference, and another factor beside it is one.
#[test]
fn a_setting_of_a_layer_counts_whichever_way_its_weight_lies() {
    let turned = refused(|graph| {
        graph.initializer[1].dims = vec![3, 4];
        graph.node[6].attribute.push(int("transB", 1));
        graph.node[6].attribute.push(int("transA", 0));
        graph.node[6].attribute.push(tinytorch_onnx::proto::AttributeProto {
            name: "alpha".into(),
            r#type: 1,
            f: 0.5,
            ..Default::default()
        });
    });
    assert!(turned.contains("alpha 0.5, and the default"), "{turned}");
}

#[test]
fn versions_are_another_graph_where_what_is_left_out_has_changed() {
    let of_version = |version: i64| {
        let mut other = int8();
        other.opset_import[0].version = version;
        read(&float()).over_values_of(&read(&other))
    };
    assert!(of_version(13).is_ok() && of_version(19).is_ok());
    let refused = of_version(12).unwrap_err().to_string();
    assert!(
        refused.contains("it uses version 12 of ONNX's operators, and the float model 17"),
        "{refused}"
    );
}

/// Takes this int8 graph for the float graph, and gives what it does.
fn accepted(told: &str, change: impl FnOnce(&mut GraphProto)) {
    let mut other = int8();
    change(other.graph.as_mut().unwrap());
    let other = read(&other);
    let same = read(&float()).over_values_of(&other);
    let same = same.unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(outputs(&same), outputs(&other), "{told}");
}

/// A node between the sum and what reads it, or between the convolution and the sum.
fn between(graph: &mut GraphProto, value: &str, op: &str, inputs: &[&str]) {
    let reads = |node: &NodeProto| node.input.iter().any(|name| name == value);
    let place = graph.node.iter().position(reads).unwrap();
    for name in graph.node[place].input.iter_mut().filter(|name| **name == value) {
        *name = "between".into();
    }
    let axis = [int("axis", 1)];
    let attributes: &[_] = if op == "Concat" { &axis } else { &[] };
    graph.node.insert(place, with(node(op, inputs, &["between"]), attributes));
    graph.initializer.extend([floats("one", &[], &[1.0]), floats("zero", &[], &[0.0])]);
}

/// Each alone, and in a branch of a sum whose terms stand in the other order: its norm is folded there, too.
#[test]
fn steps_that_change_nothing_are_no_difference() {
    let steps: [(&str, &[&str]); 13] = [
        ("Identity", &["v"]),
        ("Dropout", &["v"]),
        ("Sum", &["v"]),
        ("Max", &["v"]),
        ("Min", &["v"]),
        ("Mean", &["v"]),
        ("Concat", &["v"]),
        ("Mul", &["v", "one"]),
        ("Mul", &["one", "v"]),
        ("Div", &["v", "one"]),
        ("Add", &["v", "zero"]),
        ("Add", &["zero", "v"]),
        ("Sub", &["v", "zero"]),
    ];
    accepted("terms in the other order", |graph| graph.node[3].input.swap(0, 1));
    for (op, inputs) in steps {
        for value in ["6", "7"] {
            let inputs = inputs.iter().map(|&name| if name == "v" { value } else { name });
            let inputs: Vec<&str> = inputs.collect();
            accepted(op, |graph| between(graph, value, op, &inputs));
            accepted(&format!("{op} in the other order"), |graph| {
                graph.node[3].input.swap(0, 1);
                between(graph, value, op, &inputs);
            });
        }
    }
    accepted("a layer adds something", |graph| {
        graph.node[6].input.push("more".into());
        graph.initializer.push(floats("more", &[3], &[0.5, -0.25, 0.125]));
    });
}

#[test]
fn steps_that_look_as_if_they_changed_nothing_are_others() {
    let steps: [(&str, &[&str]); 8] = [
        ("Div", &["one", "7"]),
        ("Sub", &["zero", "7"]),
        ("Mul", &["7", "zero"]),
        ("Add", &["7", "one"]),
        ("Sum", &["7", "x"]),
        ("Max", &["7", "x"]),
        ("Mul", &["7", "x"]),
        ("Add", &["7", "6"]),
    ];
    for (op, inputs) in steps {
        let told = refused(|graph| between(graph, "7", op, inputs));
        assert!(told.contains("is not the float model's"), "{op} {inputs:?}: {told}");
    }
}

/// What becomes of an int8 graph that is held against another form of the float graph.
fn held_against(
    change: impl FnOnce(&mut GraphProto),
    change_int8: impl FnOnce(&mut GraphProto),
) -> Result<(), String> {
    let (mut float, mut other) = (float(), int8());
    change(float.graph.as_mut().unwrap());
    change_int8(other.graph.as_mut().unwrap());
    let (float, other) = (read(&float), read(&other));
    let same = float.over_values_of(&other).map_err(|error| error.to_string())?;
    assert_eq!(outputs(&same), outputs(&other));
    Ok(())
}

#[test]
fn a_factor_of_one_that_the_float_model_has_stays_or_goes_and_becomes_no_other() {
    let has_factor = |graph: &mut GraphProto| between(graph, "s", "Mul", &["s", "one"]);
    let keeps = |graph: &mut GraphProto| between(graph, "7", "Mul", &["7", "one"]);
    assert_eq!(held_against(has_factor, |_| ()), Ok(()));
    assert_eq!(held_against(has_factor, keeps), Ok(()));
    // Nothing is added to the value instead.
    let adds = |graph: &mut GraphProto| between(graph, "7", "Add", &["7", "zero"]);
    assert_eq!(held_against(has_factor, adds), Ok(()));
    // A product of two values is no factor, whatever else it is.
    let squares = |graph: &mut GraphProto| {
        between(graph, "s", "Mul", &["s", "s"]);
        graph.node[4].input[0] = "factored".into();
        graph.node.insert(4, node("Mul", &["between", "one"], &["factored"]));
    };
    let squares_too = |graph: &mut GraphProto| between(graph, "7", "Mul", &["7", "7"]);
    assert_eq!(held_against(squares, squares_too), Ok(()));
    let doubles = |graph: &mut GraphProto| {
        keeps(graph);
        let factor = graph.initializer.iter_mut().find(|one| one.name == "one").unwrap();
        *factor = floats("one", &[], &[2.0]);
    };
    let told = held_against(has_factor, doubles).unwrap_err();
    assert!(told.contains("`one` is not the float model's `one`"), "{told}");
}

#[test]
fn a_norm_may_be_folded_or_kept() {
    let parts = ["weight", "bias", "mean", "var"];
    let keeps = |graph: &mut GraphProto| {
        graph.node[2].input.truncate(2);
        let reads = ["6", "1.weight", "1.bias", "1.mean", "1.var"];
        graph.node.insert(3, node("BatchNormalization", &reads, &["normed"]));
        graph.node[4].input[0] = "normed".into();
        let values = [[0.5, 2.5], [0.25, -0.25], [0.5, 0.25], [1.0, 2.0]];
        let norm = parts.iter().zip(values);
        graph.initializer.extend(norm.map(|(part, v)| floats(&format!("1.{part}"), &[2], &v)));
    };
    assert_eq!(held_against(|_| (), keeps), Ok(()));
    let same_scale = |graph: &mut GraphProto| {
        graph.node[1].input[1] = "scale".into();
        graph.node.insert(0, node("Identity", &["n.weight"], &["scale"]));
    };
    assert_eq!(held_against(same_scale, |_| ()), Ok(()));
    assert_eq!(held_against(same_scale, keeps), Ok(()));
}

#[test]
fn a_step_that_reads_something_else_is_another() {
    let of = |nodes: &[NodeProto], last: NodeProto| {
        let nodes = [nodes, &[last]].concat();
        let constants = vec![integers("first", &[0]), integers("second", &[1])];
        let inputs = ["x", "z"].map(|name| value(name, F32, &[-1, 2])).to_vec();
        read(&model(graph(nodes, constants, inputs, vec![value("y", F32, &[-1, -1])])))
    };
    let axis = [int("axis", 1)];
    let split = with(node("Split", &["x"], &["s0", "s1"]), &axis);
    let drops = node("Dropout", &["x"], &["kept", "mask"]);
    let floats = |from: &str| with(node("Cast", &[from], &["y"]), &[int("to", F32.into())]);
    let taken = |place: &str| with(node("Gather", &["x", place], &["y"]), &axis);
    for (what, first, was, is) in [
        ("an input", vec![], node("Neg", &["x"], &["y"]), node("Neg", &["z"], &["y"])),
        ("an output", vec![split], node("Neg", &["s0"], &["y"]), node("Neg", &["s1"], &["y"])),
        ("the mask of a step that passes", vec![drops], floats("mask"), floats("kept")),
        ("a constant", vec![], taken("first"), taken("second")),
    ] {
        let (was, is) = (of(&first, was), of(&first, is));
        assert!(was.over_values_of(&was).is_ok(), "{what}");
        for (float, other) in [(&was, &is), (&is, &was)] {
            let told = float.over_values_of(other).map(drop).unwrap_err().to_string();
            assert!(told.contains("is not the float model's"), "{what}: {told}");
        }
    }
}

/// Sums of two terms that differ in one thing each: the input, the output of a split, the operator, the order of a difference, a third
/// term, the sizes of weights, and the order of a weight's axes. `swapped` are those whose terms stand in the other order.
fn sums(in_int8: bool, swapped: &[usize]) -> ModelProto {
    let axis = [int("axis", 1)];
    let mut nodes = vec![
        node("Relu", &["x"], &["rx"]),
        node("Relu", &["z"], &["rz"]),
        node("Add", &["rx", "rz"], &["a0"]),
        with(node("Concat", &["x", "z"], &["both"]), &axis),
        with(node("Split", &["both"], &["s0", "s1"]), &axis),
        node("Add", &["s0", "s1"], &["a1"]),
        node("Relu", &["a0"], &["ra"]),
        node("Neg", &["a0"], &["na"]),
        node("Add", &["ra", "na"], &["a2"]),
        node("Sub", &["a1", "a2"], &["d0"]),
        node("Sub", &["a2", "a1"], &["d1"]),
        node("Add", &["d0", "d1"], &["a3"]),
        node("Sum", &["a1", "a2", "a3"], &["t0"]),
        node("Sum", &["a1", "a2", "x"], &["t1"]),
        node("Add", &["t0", "t1"], &["a4"]),
    ];
    let mut constants = vec![floats("step", &[], &[0.01])];
    let mut layer = |from: &str, name: &str, sizes: [i64; 2], turned: bool| {
        let sizes = if turned && in_int8 { [sizes[1], sizes[0]] } else { sizes };
        let count = (sizes[0] * sizes[1]) as usize;
        let mut weight = name.to_string();
        if in_int8 {
            constants.push(levels(name, &sizes));
            weight += "_floats";
            nodes.push(node("DequantizeLinear", &[name, "step"], &[&weight]));
        } else {
            let values: Vec<f32> = (0..count).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect();
            constants.push(floats(name, &sizes, &values));
        }
        let output = format!("{name}_given");
        let trans = [int("transB", i64::from(!(turned && in_int8)))];
        nodes.push(with(node("Gemm", &[from, &weight], &[&output]), &trans));
        output
    };
    let hidden = layer("a4", "k1", [5, 2], false);
    let one = layer(&hidden, "k2", [3, 5], false);
    let hidden = layer("a4", "m1", [6, 2], false);
    let other = layer(&hidden, "m2", [3, 6], false);
    let beside = layer("a4", "w", [3, 2], true);
    nodes.push(node("Add", &[&one, &other], &["a5"]));
    nodes.push(node("Add", &["a5", &beside], &["y"]));
    let sums = nodes.iter_mut().filter(|node| node.op_type == "Add").enumerate();
    for (_, sum) in sums.filter(|(place, _)| swapped.contains(place)) {
        sum.input.swap(0, 1);
    }
    let inputs = ["x", "z"].map(|name| value(name, F32, &[-1, 2])).to_vec();
    model(graph(nodes, constants, inputs, vec![value("y", F32, &[-1, 3])]))
}

#[test]
fn terms_of_a_sum_are_known_by_what_they_are_made_of() {
    let float = read(&sums(false, &[]));
    let outputs = |model: &OnnxModel| -> Vec<f32> {
        let of = |by: f32| {
            let values = (0..6).map(|i| (i as f32 - 2.5) * by).collect();
            Tensor::from_vec(values, [3, 2]).unwrap()
        };
        model.run(&[of(0.5), of(-0.75)]).unwrap()[0].to_vec().unwrap()
    };
    let all: Vec<usize> = (0..7).collect();
    for swapped in all.chunks(1).chain([&all[..0], &all]) {
        let int8 = read(&sums(true, swapped));
        let same = float.over_values_of(&int8);
        let same = same.unwrap_or_else(|error| panic!("sums {swapped:?}: {error}"));
        assert_eq!(outputs(&same), outputs(&int8), "sums {swapped:?}");
    }
}
