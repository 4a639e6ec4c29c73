//! A model is made again from its frame: the same parameters under the same names, and with their values the same
//! results.

use super::support::*;
use tinytorch::Tensor;
use tinytorch::autograd::Stored;
use tinytorch::nn::Module;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::GraphProto;

/// Everything that is no plain parameter: a constant that is computed, an identity, a shape, a branch that reads a
/// weight of the graph around it, and a batch norm.
fn involved() -> GraphProto {
    let shift = |name: &str, op: &str| {
        graph(vec![node(op, &["flat", "W"], &[name])], vec![], vec![], vec![value(name, F32, &[])])
    };
    let choose = with(
        node("If", &["condition"], &["y"]),
        &[
            graph_attribute("then_branch", shift("a", "MatMul")),
            graph_attribute("else_branch", shift("b", "MatMul")),
        ],
    );
    let nodes = vec![
        node("Mul", &["half", "two"], &["kernel"]),
        node("Identity", &["kernel"], &["same"]),
        node("Conv", &["x", "same"], &["c"]),
        node("BatchNormalization", &["c", "n.weight", "n.bias", "mean", "var"], &["n"]),
        node("Identity", &["n"], &["m"]),
        with(node("Flatten", &["m"], &["f"]), &[int("axis", 1)]),
        node("Reshape", &["f", "target"], &["flat"]),
        node("Add", &["unread", "unread"], &["dead"]),
        choose,
    ];
    let constants = vec![
        floats("half", &[2, 1, 1, 1], &[0.5, -0.5]),
        floats("two", &[1], &[2.0]),
        floats("n.weight", &[2], &[1.5, 0.5]),
        floats("n.bias", &[2], &[0.25, -1.0]),
        floats("mean", &[2], &[0.125, 0.5]),
        floats("var", &[2], &[4.0, 0.25]),
        integers("target", &[-1, 4]),
        floats("W", &[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        floats("unread", &[1], &[1.0]),
    ];
    let inputs = vec![value("x", F32, &[-1, 1, 1, 2]), value("condition", BOOL, &[])];
    graph(nodes, constants, inputs, vec![value("y", F32, &[-1, 2])])
}

fn filled(frame: OnnxModel, from: &OnnxModel) -> OnnxModel {
    let mut model = frame;
    let values = from.named_params();
    for ((name, param), (known, value)) in model.named_params_mut().into_iter().zip(values) {
        assert_eq!(name, known);
        assert!(matches!(param.stored(), Stored::Absent(shape) if *shape == value.shape()));
        assert_eq!(param.role(), value.role());
        param.store(value.stored().clone());
    }
    model
}

#[test]
fn a_frame_gives_the_same_model() {
    let model = read(involved()).unwrap();
    let again = filled(OnnxModel::from_frame(model.frame()).unwrap(), &model);
    let names: Vec<String> = again.named_params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["n.weight", "n.bias", "mean", "var", "kernel"]);
    assert_eq!(again.frame(), model.frame());
    let x = Tensor::from_vec(vec![1.0f32, -2.0, 0.5, 3.0], [2, 1, 1, 2]).unwrap();
    for condition in [true, false] {
        let inputs = [x.clone(), Tensor::from_vec(vec![condition], []).unwrap()];
        let (a, b) = (model.run(&inputs).unwrap(), again.run(&inputs).unwrap());
        assert_eq!(a[0].to_vec::<f32>().unwrap(), b[0].to_vec::<f32>().unwrap());
    }
}

#[test]
fn a_norm_that_is_folded_does_nothing() {
    let mut model = read(involved()).unwrap();
    let flags = model.named_flags();
    assert_eq!(flags, [("n.folded".to_string(), false)]);
    let inputs = [Tensor::ones([1, 1, 1, 2]).unwrap(), Tensor::from_vec(vec![true], []).unwrap()];
    // conv: 1, 1, -1, -1, and W as it is.
    model.set_flags(&["n.folded".to_string()].into());
    let y = model.run(&inputs);
    assert!(y.is_ok(), "{y:?}");
    assert_eq!(y.unwrap()[0].to_vec::<f32>().unwrap(), [4.0 - 12.0, 6.0 - 14.0]);
}

#[test]
fn frames_that_lie_are_refused() {
    let frame = read(involved()).unwrap().frame();
    for end in 0..frame.len() {
        // Whatever is read of a part of it, reading ends.
        let _ = OnnxModel::from_frame(frame[..end].to_vec());
    }
    let nodes = vec![node("Add", &["w", "w"], &["sum"]), node("Mul", &["x", "sum"], &["y"])];
    let empty = |name: &str| tinytorch_onnx::proto::TensorProto {
        data_type: F32,
        dims: vec![2],
        ..integers(name, &[])
    };
    let computed =
        graph(nodes, vec![empty("w")], vec![value("x", F32, &[2])], vec![value("y", F32, &[2])]);
    let bytes = prost::Message::encode_to_vec(&model(computed));
    let refused = OnnxModel::from_frame(bytes.clone()).unwrap_err().to_string();
    assert!(refused.contains("`w`") && refused.contains("before it is loaded"), "{refused}");
    let refused = OnnxModel::from_bytes("test", bytes).unwrap_err().to_string();
    assert!(refused.contains("holds 0 elements"), "{refused}");
}
