//! Small models: what becomes of their constants, parameters and shapes, and what is refused of them.

use super::support::*;
use tinytorch::autograd::Role;
use tinytorch::nn::Module;
use tinytorch::tensor::Dtype;
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::{OnnxError, OnnxModel};

/// `relu(x W + b)`, `x` being `[?, 3]`.
fn layer() -> tinytorch_onnx::proto::GraphProto {
    let nodes = vec![
        node("MatMul", &["x", "W"], &["xw"]),
        node("Add", &["xw", "b"], &["sum"]),
        node("Relu", &["sum"], &["y"]),
    ];
    let weights = vec![
        floats("W", &[3, 2], &[1.0, -1.0, 2.0, -2.0, 3.0, -3.0]),
        floats("b", &[2], &[0.5, 0.25]),
    ];
    graph(nodes, weights, vec![value("x", F32, &[-1, 3])], vec![value("y", F32, &[-1, 2])])
}

#[test]
fn a_product_with_a_constant_is_a_linear_weight_under_its_own_name() {
    let model = read(layer()).unwrap();
    let params = model.named_params();
    let names: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["W", "b"]);
    assert_eq!((params[0].1.role(), params[0].1.shape().dims()), (Role::LinearWeight, &[2, 3][..]));
    assert_eq!(params[1].1.role(), Role::Vector);
    assert_eq!(model.named_weights().len(), 1);
    let x = Tensor::ones([2, 3]).unwrap();
    let y = model.run(&[x]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [6.5, 0.0, 6.5, 0.0]);
}

#[test]
fn a_plan_takes_other_batches_and_sizes_that_shapes_compute() {
    let nodes = vec![
        node("Shape", &["x"], &["sizes"]),
        node("Gather", &["sizes", "zero"], &["batch"]),
        node("Concat", &["batch", "rest"], &["target"]),
        node("Reshape", &["x", "target"], &["y"]),
    ];
    let nodes = nodes
        .into_iter()
        .map(|n| if n.op_type == "Concat" { with(n, &[int("axis", 0)]) } else { n });
    let constants = vec![integers("zero", &[0]), integers("rest", &[-1])];
    let g = graph(
        nodes.collect(),
        constants,
        vec![value("x", F32, &[-1, 2, 3])],
        vec![value("y", F32, &[-1, 6])],
    );
    let model = read(g).unwrap();
    let mut plan = model.plan().unwrap();
    for batch in [1, 5, 2] {
        let x = Tensor::randn([batch, 2, 3], 1.0, &mut Rng::seed(1)).unwrap();
        let y = plan.run(&x).unwrap();
        assert_eq!(y.shape().dims(), [batch, 6]);
        assert_eq!(y.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
    }
}

#[test]
fn what_depends_on_constants_alone_is_computed_once() {
    let nodes = vec![node("Add", &["a", "b"], &["sum"]), node("Mul", &["x", "sum"], &["y"])];
    let constants = vec![floats("a", &[2], &[1.0, 2.0]), floats("b", &[2], &[3.0, 4.0])];
    let g = graph(nodes, constants, vec![value("x", F32, &[2])], vec![value("y", F32, &[2])]);
    let model = read(g).unwrap();
    let params = model.named_params();
    assert_eq!(params.len(), 1);
    assert_eq!(params[0].0, "sum");
    let y = model.run(&[Tensor::ones([2]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [4.0, 6.0]);
}

/// `x + 1` if `condition`, else `x - 1`, both reading the graph around them.
fn branches() -> tinytorch_onnx::proto::GraphProto {
    let body = |op| {
        graph(vec![node(op, &["x", "one"], &["z"])], vec![], vec![], vec![value("z", F32, &[2])])
    };
    let attributes =
        [graph_attribute("then_branch", body("Add")), graph_attribute("else_branch", body("Sub"))];
    let choice = with(node("If", &["condition"], &["y"]), &attributes);
    let inputs = vec![value("condition", BOOL, &[]), value("x", F32, &[2])];
    graph(vec![choice], vec![floats("one", &[], &[1.0])], inputs, vec![value("y", F32, &[2])])
}

#[test]
fn a_branch_is_chosen_by_its_condition() {
    let model = read(branches()).unwrap();
    for (condition, want) in [(true, 6.0), (false, 4.0)] {
        let condition = Tensor::from_vec(vec![condition], []).unwrap();
        let y = model.run(&[condition, Tensor::full(5f32, [2]).unwrap()]).unwrap();
        assert_eq!(y[0].to_vec::<f32>().unwrap(), [want; 2]);
    }
    let error = model.plan().unwrap_err().to_string();
    assert!(error.contains("If") && error.contains("depends on values"), "{error}");
}

#[test]
fn a_loop_carries_and_stacks_values() {
    let body = graph(
        vec![node("Add", &["state", "x"], &["next"]), node("Identity", &["told"], &["goes_on"])],
        vec![],
        vec![value("round", I64, &[]), value("told", BOOL, &[]), value("state", F32, &[2])],
        vec![value("goes_on", BOOL, &[]), value("next", F32, &[2]), value("next", F32, &[2])],
    );
    let repeated =
        with(node("Loop", &["count", "", "x"], &["last", "all"]), &[graph_attribute("body", body)]);
    let g = graph(
        vec![repeated],
        vec![integers("count", &[3])],
        vec![value("x", F32, &[2])],
        vec![value("last", F32, &[2]), value("all", F32, &[3, 2])],
    );
    let y = read(g).unwrap().run(&[Tensor::ones([2]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [4.0; 2]);
    assert_eq!(y[1].to_vec::<f32>().unwrap(), [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
}

#[test]
fn a_plan_of_a_recurrent_layer_takes_other_lengths_and_batches() {
    let mut rng = Rng::seed(1);
    let mut random = |name: &str, dims: &[i64]| {
        let len = dims.iter().product::<i64>() as usize;
        let values = Tensor::randn([len], 0.5, &mut rng).unwrap().to_vec::<f32>().unwrap();
        floats(name, dims, &values)
    };
    let weights = vec![random("W", &[1, 8, 3]), random("R", &[1, 8, 2])];
    let lstm = with(node("LSTM", &["x", "W", "R"], &["y"]), &[int("hidden_size", 2)]);
    let inputs = vec![value("x", F32, &[-1, -1, 3])];
    let g = graph(vec![lstm], weights, inputs, vec![value("y", F32, &[-1, 1, -1, 2])]);
    let model = read(g).unwrap();
    let x = |steps, batch| Tensor::randn([steps, batch, 3], 1.0, &mut Rng::seed(2)).unwrap();
    let mut plan = model.plan_for(&[x(4, 2)]).unwrap();
    assert!(model.unrolls() && !read(layer()).unwrap().unrolls());
    for (steps, batch) in [(4, 2), (4, 5), (6, 2), (1, 3), (6, 1), (4, 1)] {
        let want = model.run(&[x(steps, batch)]).unwrap();
        let got = plan.run(&x(steps, batch)).unwrap();
        assert!(got.allclose(&want[0], 1e-5, 1e-6).unwrap(), "{steps} steps of {batch}");
    }
    let more_features = Tensor::ones([4, 2, 5]).unwrap();
    assert!(plan.run(&more_features).is_err());
}

#[test]
fn nodes_that_cannot_run_are_named_all_at_once() {
    let nodes = vec![
        node("NonMaxSuppression", &["x"], &["a"]),
        with(node("Relu", &["a"], &["b"]), &[int("slope", 1)]),
        node("Relu", &["b"], &["y"]),
    ];
    let g = graph(nodes, vec![], vec![value("x", F32, &[2])], vec![value("y", F32, &[2])]);
    let error = read(g.clone()).unwrap_err();
    let Some(OnnxError::Missing { nodes }) = error.downcast_ref() else { panic!("{error}") };
    let names: Vec<&str> = nodes.iter().map(|node| node.operator.as_str()).collect();
    assert_eq!(names, ["NonMaxSuppression", "Relu"]);
    assert!(nodes[1].reason.contains("`slope`"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, prost::Message::encode_to_vec(&model(g))).unwrap();
    assert_eq!(OnnxModel::inspect(&path).unwrap().missing.len(), 2);
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let model = read(layer()).unwrap();
    let sentence = |inputs: &[Tensor]| model.run(inputs).unwrap_err().to_string();
    assert!(
        sentence(&[Tensor::ones([2, 4]).unwrap()])
            .contains("input `x` is f32 [?, 3], got f32 [2, 4]")
    );
    assert!(sentence(&[Tensor::ones([3]).unwrap()]).contains("`x`"));
    assert!(sentence(&[Tensor::full(1u8, [2, 3]).unwrap()]).contains("got u8"));
    assert!(sentence(&[]).contains("takes 1 inputs"));
    let named = |name: &str| vec![(name.to_string(), Tensor::ones([2, 3]).unwrap())];
    assert!(model.arrange(named("z")).unwrap_err().to_string().contains("no input `z`"));
    assert!(model.arrange(vec![]).unwrap_err().to_string().contains("`x` is missing"));
    assert!(
        model.arrange([named("x"), named("x")].concat()).unwrap_err().to_string().contains("twice")
    );
    assert_eq!(model.arrange(named("x")).unwrap()[0].dtype(), Dtype::F32);
}

#[test]
fn a_plan_whose_borders_the_size_has_decided_refuses_other_sizes() {
    let auto = tinytorch_onnx::proto::AttributeProto {
        name: "auto_pad".into(),
        r#type: 3,
        s: "SAME_UPPER".into(),
        ..Default::default()
    };
    let strides = tinytorch_onnx::proto::AttributeProto {
        name: "strides".into(),
        r#type: 7,
        ints: vec![2, 2],
        ..Default::default()
    };
    let conv = with(node("Conv", &["x", "w"], &["y"]), &[auto, strides]);
    let weight = floats("w", &[1, 1, 3, 3], &[1.0; 9]);
    let x = vec![value("x", F32, &[-1, 1, -1, -1])];
    let model =
        read(graph(vec![conv], vec![weight], x, vec![value("y", F32, &[-1, 1, -1, -1])])).unwrap();
    let image = |batch, size| Tensor::ones([batch, 1, size, size]).unwrap();
    let mut plan = model.plan_for(&[image(1, 6)]).unwrap();
    let want = model.run(&[image(3, 6)]).unwrap();
    assert_eq!(
        plan.run(&image(3, 6)).unwrap().to_vec::<f32>().unwrap(),
        want[0].to_vec::<f32>().unwrap()
    );
    assert!(plan.run(&image(1, 7)).is_err());
}

#[test]
fn places_of_extremes_types_of_others_and_what_is_no_number() {
    let nodes = vec![
        with(node("ArgMax", &["x"], &["most"]), &[int("axis", 1), int("keepdims", 0)]),
        with(node("ArgMin", &["x"], &["least"]), &[int("axis", -1)]),
        node("CastLike", &["most", "x"], &["as_floats"]),
        node("IsNaN", &["x"], &["none"]),
    ];
    let outputs = vec![
        value("most", I64, &[2]),
        value("least", I64, &[2, 1]),
        value("as_floats", F32, &[2]),
        value("none", BOOL, &[2, 3]),
    ];
    let model = read(graph(nodes, vec![], vec![value("x", F32, &[2, 3])], outputs)).unwrap();
    let x = Tensor::from_vec(vec![1.0, 5.0, 5.0, f32::NAN, -2.0, -2.0], [2, 3]).unwrap();
    let y = model.run(&[x]).unwrap();
    assert_eq!((y[0].shape().dims(), y[1].shape().dims()), (&[2][..], &[2, 1][..]));
    assert_eq!(y[0].to_vec::<i64>().unwrap(), [1, 0]);
    assert_eq!(y[1].to_vec::<i64>().unwrap(), [0, 1]);
    assert_eq!(y[2].to_vec::<f32>().unwrap(), [1.0, 0.0]);
    assert_eq!(y[3].to_vec::<bool>().unwrap(), [false, false, false, true, false, false]);
}

#[test]
fn version_6_stretches_where_it_is_told_and_refuses_what_7_says_otherwise() {
    let of_6 = |nodes, constants| {
        let (x, y) = (vec![value("x", F32, &[2, 3])], vec![value("y", F32, &[2, 3])]);
        let mut proto = model(graph(nodes, constants, x, y));
        proto.opset_import[0].version = 6;
        OnnxModel::from_proto(&proto)
    };
    let add = |attributes: &[_]| vec![with(node("Add", &["x", "c"], &["y"]), attributes)];
    let row = || vec![floats("c", &[3], &[1.0, 2.0, 3.0])];
    let y = of_6(add(&[int("broadcast", 1)]), row()).unwrap();
    let y = y.run(&[Tensor::zeros([2, 3]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    let refused = |nodes, constants| of_6(nodes, constants).unwrap_err().to_string();
    let along = of_6(add(&[int("broadcast", 1), int("axis", 0)]), row()).unwrap();
    let along = along.run(&[Tensor::zeros([2, 3]).unwrap()]).unwrap_err().to_string();
    assert!(along.contains("0 (Add)") && along.contains("[3, 1]"), "{along}");
    let slopes = refused(vec![node("PRelu", &["x", "c"], &["y"])], row());
    assert!(slopes.contains("of version 6"), "{slopes}");
}
