//! Terms of a sum that are made alike are told apart by what they hold, in whatever order they stand.

use super::support::*;
use prost::Message;
use std::collections::BTreeMap;
use tinytorch::autograd::Param;
use tinytorch::nn::Module;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Steps of an int8 weight are taken for so much.
const STEP: f32 = 1.0 / 64.0;

/// Values from -1 to 1 that hang on a name.
fn weight(name: &str, dims: &[i64]) -> TensorProto {
    let mut seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31) + u32::from(byte));
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let count: i64 = dims.iter().product();
    floats(name, dims, &(0..count).map(|_| next()).collect::<Vec<_>>())
}

/// A layer of these outputs and inputs.
fn layer(from: &str, weight: &str, more: &[&str], to: &str) -> NodeProto {
    with(node("Gemm", &[&[from, weight], more].concat(), &[to]), &[int("transB", 1)])
}

/// Of `x` and `z` with two columns each, to `y`.
fn of(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    let inputs = ["x", "z"].map(|name| value(name, F32, &[-1, 2])).to_vec();
    model(graph(nodes, constants, inputs, vec![value("y", F32, &[-1, -1])]))
}

/// The same over weights in steps, every value but those at both ends under another name.
fn stepped(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().unwrap();
    let other = |name: &mut String| {
        if !["", "x", "y", "z"].contains(&name.as_str()) {
            name.insert_str(0, "other ");
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(other);
    }
    for constant in &mut graph.initializer {
        other(&mut constant.name);
        if constant.data_type == F32 {
            let steps = values(constant).into_iter().map(|v| (v / STEP).round() * STEP);
            let steps: Vec<f32> = steps.collect();
            *constant = floats(&constant.name, &constant.dims, &steps);
        }
    }
    model
}

/// The same, and weights of layers are levels.
fn in_levels(model: &ModelProto) -> ModelProto {
    let mut model = stepped(model);
    let graph = model.graph.as_mut().unwrap();
    let mut first = Vec::new();
    for constant in graph.initializer.iter_mut().filter(|one| one.dims.len() == 2) {
        let name = constant.name.clone();
        constant.name.insert_str(0, "levels of ");
        let levels = values(constant).into_iter().map(|v| (v / STEP).round() as i32);
        (constant.int32_data, constant.data_type) = (levels.collect(), 3);
        constant.raw_data.clear();
        first.push(node("DequantizeLinear", &[&constant.name, "step"], &[&name]));
    }
    graph.node.splice(0..0, first);
    graph.initializer.push(floats("step", &[], &[STEP]));
    model
}

fn values(constant: &TensorProto) -> Vec<f32> {
    let bytes = constant.raw_data.chunks(4);
    bytes.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn held(model: &OnnxModel) -> BTreeMap<String, Vec<f32>> {
    let of = |param: &Param| match param.int8() {
        Some(weight) => weight.dequantize().unwrap(),
        None => param.value().unwrap().clone(),
    };
    let params = model.named_params().into_iter();
    params.map(|(name, param)| (name, of(param).to_vec().unwrap())).collect()
}

/// What each parameter of a model becomes in another.
fn becomes(float: &ModelProto, other: &ModelProto) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let read = |model: &ModelProto| OnnxModel::from_bytes("test", model.encode_to_vec()).unwrap();
    let same = read(float).over_values_of(&read(other)).map_err(|error| error.to_string())?;
    Ok(held(&same))
}

fn is_near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= STEP)
}

/// Makes sure that every parameter becomes its own steps.
fn finds_its_own(what: &str, float: &ModelProto, other: &ModelProto) {
    let found = becomes(float, other).unwrap_or_else(|error| panic!("{what}: {error}"));
    let constants = &float.graph.as_ref().unwrap().initializer;
    for constant in constants.iter().filter(|constant| found.contains_key(&constant.name)) {
        let (name, got) = (&constant.name, &found[&constant.name]);
        assert!(is_near(got, &values(constant)), "{what}: `{name}` became another");
    }
}

fn swapped(mut model: ModelProto, is_swapped: impl Fn(&NodeProto) -> bool) -> ModelProto {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.iter_mut().filter(|node| is_swapped(node)).for_each(|node| node.input.reverse());
    model
}

fn is_sum(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Add" | "Sum")
}

/// Two branches from `x` to the values `a` and `b`, whose sum is given; each is told by its name.
fn of_branches(
    branch: impl Fn(&str) -> Vec<NodeProto>,
    constants: impl Fn(&str) -> Vec<TensorProto>,
) -> [ModelProto; 2] {
    [["a", "b"], ["b", "a"]].map(|order| {
        let mut nodes = [branch("a"), branch("b")].concat();
        nodes.push(node("Add", &order, &["y"]));
        let mut all: Vec<TensorProto> = Vec::new();
        for constant in [constants("a"), constants("b")].concat() {
            if all.iter().all(|one| one.name != constant.name) {
                all.push(constant);
            }
        }
        of(nodes, all)
    })
}

fn told_apart(
    what: &str,
    branch: impl Fn(&str) -> Vec<NodeProto>,
    constants: impl Fn(&str) -> Vec<TensorProto>,
) {
    for float in of_branches(branch, constants) {
        let other = stepped(&float);
        finds_its_own(what, &float, &other);
        let last = swapped(other.clone(), |node| node.output[0] == "y");
        finds_its_own(&format!("{what}, their sum in the other order"), &float, &last);
        let all = swapped(other, is_sum);
        finds_its_own(&format!("{what}, all sums in the other order"), &float, &all);
        let all = swapped(in_levels(&float), is_sum);
        finds_its_own(&format!("{what}, in levels"), &float, &all);
    }
}

#[test]
fn branches_are_told_apart_by_their_weights_and_biases() {
    let name = |branch: &str, what: &str| format!("{branch}.{what}");
    told_apart(
        "weights",
        |b| vec![layer("x", &name(b, "w"), &[], b)],
        |b| vec![weight(&name(b, "w"), &[3, 2])],
    );
    let rows = |b: &str| -> [f32; 4] {
        if b == "a" { [0.5, 0.25, 1.0, 0.5] } else { [0.0, 0.0, 1.0, 0.5] }
    };
    told_apart(
        "weights of which one has a row of zeros",
        |b| vec![layer("x", &name(b, "w"), &[], b)],
        |b| vec![floats(&name(b, "w"), &[2, 2], &rows(b))],
    );
    told_apart(
        "biases",
        |b| vec![layer("x", "w", &[&name(b, "bias")], b)],
        |b| vec![weight("w", &[3, 2]), weight(&name(b, "bias"), &[3])],
    );
    told_apart(
        "biases through a step that changes nothing",
        |b| {
            let (bias, same) = (name(b, "bias"), name(b, "same"));
            vec![node("Identity", &[&bias], &[&same]), layer("x", "w", &[&same], b)]
        },
        |b| vec![weight("w", &[3, 2]), weight(&name(b, "bias"), &[3])],
    );
    for with_bias in ["a", "b"] {
        told_apart(
            "layers of one weight, one of them with a bias",
            |b| vec![layer("x", "w", if b == with_bias { &["bias"] } else { &[] }, b)],
            |_| vec![weight("w", &[3, 2]), weight("bias", &[3])],
        );
    }
}

#[test]
fn branches_are_told_apart_by_what_lies_behind() {
    let name = |branch: &str, what: &str| format!("{branch}.{what}");
    told_apart(
        "a weight some steps behind",
        |b| {
            let [one, two, three, four] = [1, 2, 3, 4].map(|step| format!("{b}{step}"));
            vec![
                layer("x", &name(b, "w"), &[], &one),
                node("Relu", &[&one], &[&two]),
                layer(&two, "same", &[], &three),
                node("Tanh", &[&three], &[&four]),
                layer(&four, "again", &[], b),
            ]
        },
        |b| {
            let same = [weight("same", &[4, 4]), weight("again", &[3, 4])];
            [vec![weight(&name(b, "w"), &[4, 2])], same.to_vec()].concat()
        },
    );
    told_apart(
        "a weight in a term of a sum",
        |b| {
            let [one, two, sum] = [1, 2, 3].map(|step| format!("{b}{step}"));
            vec![
                layer("x", &name(b, "w"), &[], &one),
                node("Neg", &["x"], &[&two]),
                node("Add", &[&one, &two], &[&sum]),
                node("Relu", &[&sum], &[b]),
            ]
        },
        |b| vec![weight(&name(b, "w"), &[2, 2])],
    );
    for op in ["Abs", "Floor", "Neg", "Relu", "Sigmoid", "Tanh"] {
        told_apart(
            "a weight next to much that is the same",
            |b| {
                let [given, next_to_it] = ["given", "next"].map(|what| name(b, what));
                let mut nodes = vec![
                    layer("x", &name(b, "w"), &[], &given),
                    node(op, &[&given], &[&next_to_it]),
                ];
                let mut last = "x".to_string();
                for step in 0..70 {
                    let next = format!("{b}{step}");
                    nodes.push(node(op, &[&last], &[&next]));
                    last = next;
                }
                nodes.push(node("Sub", &[&next_to_it, &last], &[b]));
                nodes
            },
            |b| vec![weight(&name(b, "w"), &[2, 2])],
        );
    }
}

#[test]
fn branches_are_told_apart_by_settings_constants_and_norms() {
    let name = |branch: &str, what: &str| format!("{branch}.{what}");
    told_apart(
        "settings",
        |b| {
            let f = if b == "a" { 0.1 } else { 0.2 };
            let alpha = tinytorch_onnx::proto::AttributeProto {
                name: "alpha".into(),
                r#type: 1,
                f,
                ..Default::default()
            };
            vec![with(node("LeakyRelu", &["x"], &[b]), &[alpha])]
        },
        |_| Vec::new(),
    );
    told_apart(
        "constants",
        |b| vec![with(node("Gather", &["x", &name(b, "place")], &[b]), &[int("axis", 1)])],
        |b| vec![integers(&name(b, "place"), &[i64::from(b == "a")])],
    );
    let parts = ["weight", "bias", "mean", "var"];
    for with_norm in ["a", "b"] {
        told_apart(
            "a norm that is kept",
            |b| {
                let given = name(b, "given");
                if b != with_norm {
                    return vec![layer("x", &name(b, "w"), &[], b)];
                }
                let norm = parts.map(|part| format!("n.{part}"));
                let [scale, bias, mean, var] = &norm;
                let reads = [given.as_str(), scale, bias, mean, var];
                let norm = node("BatchNormalization", &reads, &[b]);
                vec![layer("x", &name(b, "w"), &[], &given), norm]
            },
            |b| {
                let norm = parts.map(|part| floats(&format!("n.{part}"), &[3], &[0.5, 1.0, 2.0]));
                [vec![weight(&name(b, "w"), &[3, 2])], norm.to_vec()].concat()
            },
        );
    }
}

/// Of so many terms none is looked at by its weights, and what they are made of suffices.
#[test]
fn terms_of_a_long_sum_are_known_by_what_they_are_made_of() {
    let axis = [int("axis", 1)];
    let first = || {
        vec![
            with(node("Concat", &["x", "z"], &["both"]), &axis),
            with(node("Split", &["both"], &["s0", "s1"]), &axis),
            node("Sub", &["x", "z"], &["less"]),
            node("Sub", &["z", "x"], &["more"]),
            node("Relu", &["x"], &["relu"]),
            node("Tanh", &["x"], &["tanh"]),
            node("Sum", &["x", "z", "relu"], &["one"]),
            node("Sum", &["x", "z", "tanh"], &["two"]),
            layer("x", "k1", &[], "k2"),
            layer("k2", "k3", &[], "narrow"),
            layer("x", "m1", &[], "m2"),
            layer("m2", "m3", &[], "wide"),
            layer("relu", "w", &[], "of relu"),
            layer("tanh", "w", &[], "of tanh"),
            node("Add", &["x", "x"], &["of itself"]),
            node("Add", &["x", "half"], &["of a number"]),
            node("Slice", &["both", "from", "till", "axes", "by"], &["by axes"]),
            node("Slice", &["both", "from", "till", "", "by"], &["by places"]),
        ]
    };
    let constants = || {
        vec![
            weight("k1", &[5, 2]),
            weight("k3", &[2, 5]),
            weight("m1", &[6, 2]),
            weight("m3", &[2, 6]),
            weight("w", &[2, 2]),
            floats("half", &[], &[0.5]),
            integers("from", &[0, 1]),
            integers("till", &[1, 3]),
            integers("axes", &[0, 1]),
            integers("by", &[1, 1]),
        ]
    };
    for (one, other) in [
        ("x", "z"),
        ("s0", "s1"),
        ("less", "more"),
        ("relu", "tanh"),
        ("one", "two"),
        ("narrow", "wide"),
        ("of relu", "of tanh"),
        ("of itself", "of a number"),
        ("by axes", "by places"),
    ] {
        let mut nodes = first();
        nodes.push(node("Sum", &[one, other].repeat(33), &["y"]));
        let float = of(nodes, constants());
        let turned = swapped(stepped(&float), |node| node.output[0] == "y");
        finds_its_own(&format!("{one} and {other}"), &float, &turned);
    }
}

/// The biases of two layers exchanged: a weight says which layer is which before its bias does.
#[test]
fn a_bias_that_went_to_another_weight_is_found_there() {
    let (near, far) = ([1.0, 0.5, -0.5, 1.0], [1.0, 0.1, -0.1, 1.0]);
    let constants = |b: &str| {
        let (w, bias) = if b == "a" { (near, [0.5, -0.75]) } else { (far, [-0.5, 0.75]) };
        let [weight, shift] = ["w", "bias"].map(|what| format!("{b}.{what}"));
        vec![floats(&weight, &[2, 2], &w), floats(&shift, &[2], &bias)]
    };
    let branch = |b: &str| vec![layer("x", &format!("{b}.w"), &[&format!("{b}.bias")], b)];
    for float in of_branches(branch, constants) {
        let mut other = stepped(&float);
        exchange(&mut other, 2);
        for other in [other.clone(), swapped(other, is_sum)] {
            let found = becomes(&float, &other).unwrap();
            assert!(is_near(&found["a.w"], &near) && is_near(&found["b.w"], &far), "{found:?}");
            assert_eq!([found["a.bias"][0], found["b.bias"][0]], [-0.5, 0.5]);
        }
    }
}

#[test]
fn three_branches_are_told_apart_in_every_order() {
    let weights = ["a", "b", "c"].map(|name| weight(name, &[3, 2]));
    let of = |terms: [usize; 3]| {
        let names = ["of a", "of b", "of c"];
        let mut nodes: Vec<NodeProto> =
            ["a", "b", "c"].iter().zip(names).map(|(w, to)| layer("x", w, &[], to)).collect();
        nodes.push(node("Sum", &terms.map(|term| names[term]), &["y"]));
        of(nodes, weights.to_vec())
    };
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (was, is) in orders.into_iter().flat_map(|was| orders.map(|is| (was, is))) {
        finds_its_own(&format!("{was:?} and {is:?}"), &of(was), &stepped(&of(is)));
    }
}

/// Its rows are a norm's times as large then, and it is the rows by which it is known.
#[test]
fn a_layer_into_which_a_norm_was_folded_is_known_by_where_its_rows_point() {
    let own = [[1.0, 0.0, 0.0, 1.0], [0.5, 0.1, 0.1, 4.0]];
    let folded = [[1.0, 0.0, 0.0, -8.0], [-5.0, -1.0, 0.1, 4.0]];
    let parts = ["weight", "bias", "mean", "var"];
    let of = |weights: [[f32; 4]; 2], with_norms: bool, terms: [&str; 2]| {
        let (mut nodes, mut constants) = (Vec::new(), Vec::new());
        for (name, values) in ["a", "b"].into_iter().zip(weights) {
            let weight = format!("{name}.w");
            constants.push(floats(&weight, &[2, 2], &values));
            if !with_norms {
                nodes.push(layer("x", &weight, &[], name));
                continue;
            }
            let norm = parts.map(|part| format!("{name}.norm.{part}"));
            constants.extend(norm.iter().map(|part| floats(part, &[2], &[1.0, 1.0])));
            let given = format!("{name}.given");
            nodes.push(layer("x", &weight, &[], &given));
            let [scale, bias, mean, var] = &norm;
            nodes.push(node("BatchNormalization", &[&given, scale, bias, mean, var], &[name]));
        }
        nodes.push(node("Add", &terms, &["y"]));
        self::of(nodes, constants)
    };
    let float = of(own, true, ["a", "b"]);
    for terms in [["a", "b"], ["b", "a"]] {
        let found = becomes(&float, &stepped(&of(folded, false, terms))).unwrap();
        assert!(is_near(&found["a.w"], &folded[0]), "{terms:?}: {found:?}");
        assert!(is_near(&found["b.w"], &folded[1]), "{terms:?}: {found:?}");
    }
}

/// Each of two layers whose weights lie one way in one graph, and the other way in the other.
#[test]
fn branches_are_told_apart_by_weights_whichever_way_they_lie() {
    let (a, b) = (weight("a.w", &[3, 2]), weight("b.w", &[3, 2]));
    let turned = |weight: &TensorProto| {
        let rows = values(weight);
        let columns: Vec<f32> = (0..6).map(|i| rows[i % 3 * 2 + i / 3]).collect();
        floats(&weight.name, &[2, 3], &columns)
    };
    let by_columns = |weight: &str, to: &str| node("Gemm", &["x", weight], &[to]);
    let of = |layers: [NodeProto; 2], weights: [TensorProto; 2], terms: [&str; 2]| {
        let sum = node("Add", &terms, &["y"]);
        of([&layers[..], &[sum]].concat(), weights.to_vec())
    };
    let float = [layer("x", "a.w", &[], "a"), by_columns("b.w", "b")];
    let other = [by_columns("a.w", "a"), layer("x", "b.w", &[], "b")];
    let float = of(float, [a.clone(), turned(&b)], ["a", "b"]);
    for terms in [["a", "b"], ["b", "a"]] {
        let other = stepped(&of(other.clone(), [turned(&a), b.clone()], terms));
        let found = becomes(&float, &other).unwrap();
        assert!(is_near(&found["a.w"], &values(&a)), "{terms:?}: {found:?}");
    }
}

/// Gives the first layer what the second one reads in this place, and the other way around.
fn exchange(model: &mut ModelProto, place: usize) {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let mut layers = nodes.iter_mut().filter(|node| node.op_type == "Gemm");
    let (one, other) = (layers.next().unwrap(), layers.next().unwrap());
    std::mem::swap(&mut one.input[place], &mut other.input[place]);
}

/// A difference tells which branch is which, and a sum of the same branches is held to it.
#[test]
fn a_value_that_was_met_is_the_same_in_every_sum() {
    let nodes = |terms: [&str; 2]| {
        vec![
            layer("x", "a.w", &[], "a"),
            layer("x", "b.w", &[], "b"),
            node("Identity", &["a"], &["same a"]),
            node("Identity", &["b"], &["same b"]),
            node("Sub", &["a", "b"], &["less"]),
            node("Add", &terms, &["more"]),
            node("Sub", &["less", "more"], &["y"]),
        ]
    };
    let weights = [weight("a.w", &[3, 2]), weight("b.w", &[3, 2])];
    for terms in [["a", "b"], ["b", "a"], ["same a", "same b"], ["same b", "same a"]] {
        let float = of(nodes(terms), weights.to_vec());
        let mut other = stepped(&float);
        exchange(&mut other, 1);
        for other in [other.clone(), swapped(other, is_sum)] {
            let found = becomes(&float, &other).unwrap_or_else(|e| panic!("{terms:?}: {e}"));
            assert!(is_near(&found["a.w"], &values(&weights[1])), "{terms:?}: {found:?}");
        }
    }
}

/// Nothing tells two values apart that are computed alike, but that one of them was met.
#[test]
fn of_values_that_are_alike_the_one_that_was_met_is_taken() {
    for terms in [["one", "two"], ["two", "one"]] {
        for met in ["one", "two"] {
            let nodes = vec![
                node("Relu", &["x"], &["one"]),
                node("Relu", &["x"], &["two"]),
                node("Add", &terms, &["sum"]),
                node("Neg", &[met], &["minus"]),
                node("Sub", &["sum", "minus"], &["y"]),
            ];
            let float = of(nodes, Vec::new());
            let other = stepped(&float);
            finds_its_own("as they stand", &float, &other);
            finds_its_own("in the other order", &float, &swapped(other, is_sum));
            // Among so many terms that weights are not looked at.
            let mut long = float.clone();
            let sum = &mut long.graph.as_mut().unwrap().node[2];
            sum.op_type = "Sum".into();
            sum.input.extend(vec!["x".to_string(); 64]);
            let other = swapped(stepped(&long), is_sum);
            finds_its_own("in a long sum in the other order", &long, &other);
        }
    }
}

/// Where two layers of the float model hold the same, what one of them became is not looked at twice, and the other not at all.
#[test]
fn each_term_stands_for_one() {
    let constants = |b: &str| {
        let one = weight("a.w", &[3, 2]);
        vec![TensorProto { name: format!("{b}.w"), ..one }]
    };
    let branch = |b: &str| vec![layer("x", &format!("{b}.w"), &[], b)];
    for float in of_branches(branch, constants) {
        for place in 0..2 {
            let mut other = stepped(&float);
            let graph: &mut GraphProto = other.graph.as_mut().unwrap();
            let spoiled = &mut graph.initializer[place];
            *spoiled = floats(&spoiled.name, &spoiled.dims, &[1.0, -1.0, 0.5, 0.0, 0.5, 1.0]);
            let found = becomes(&float, &other).unwrap();
            let spoiled = ["a.w", "b.w"].map(|name| found[name][0] == 1.0);
            assert_eq!(spoiled.into_iter().filter(|is| *is).count(), 1, "{found:?}");
        }
    }
}
