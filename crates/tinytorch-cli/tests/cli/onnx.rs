//! The whole way of an ONNX model through the command: a model that is written here, quantized and judged.

use crate::support::{Bench, one_line, trained};
use prost::Message;
use tinytorch::data::{digits, write_npz};
use tinytorch::files::load_model;
use tinytorch::nn::Module;
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

pub(crate) const F32: i32 = 1;

pub(crate) fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
    let (input, output) = (names(inputs), names(outputs));
    NodeProto { op_type: op_type.into(), input, output, ..Default::default() }
}

pub(crate) fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim =
        |&size: &i64| DimensionProto { dim_value: (size >= 0).then_some(size), dim_param: None };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: F32, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// The layers of the digits' model as ONNX has them, its weights turned: `x W`. Beside the answer it gives what the
/// last layer reads, if `outputs` are two.
fn model(batch: i64, outputs: &[&str]) -> Vec<u8> {
    let trained = load_model(trained()).unwrap().model;
    let (mut nodes, mut initializer) = (vec![node("Flatten", &["image"], &["h0"])], Vec::new());
    let params = trained.named_params();
    let weights: Vec<_> = params.iter().filter(|(_, p)| p.shape().rank() == 2).collect();
    for (i, (name, weight)) in weights.iter().enumerate() {
        let bias = name.replace("weight", "bias");
        let bias_values = &params.iter().find(|(known, _)| *known == bias).unwrap().1;
        let turned = weight.value().unwrap().transpose(0, 1).unwrap();
        for (name, tensor) in [(name, &turned), (&bias, bias_values.value().unwrap())] {
            initializer.push(TensorProto {
                name: name.clone(),
                dims: tensor.shape().iter().map(|&size| size as i64).collect(),
                data_type: F32,
                float_data: tensor.to_vec().unwrap(),
                ..Default::default()
            });
        }
        let (x, y) = (format!("h{i}"), format!("g{i}"));
        nodes.push(node("Gemm", &[&x, name, &bias], &[&y]));
        let next = format!("h{}", i + 1);
        let last = i + 1 == weights.len();
        nodes.push(node(
            if last { "Identity" } else { "Relu" },
            &[&y],
            &[if last { "answer" } else { &next }],
        ));
    }
    let sizes = |name: &&str| {
        if *name == "answer" { value(name, &[batch, 10]) } else { value(name, &[batch, 64]) }
    };
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value("image", &[batch, 1, 8, 8])],
        output: outputs.iter().map(sizes).collect(),
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
        .encode_to_vec()
}

/// A folder with an ONNX model in `m.onnx`, and data by the name of its input.
pub(crate) fn bench(batch: i64, outputs: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.write("m.onnx", &model(batch, outputs));
    let data = digits().unwrap();
    let (train, test) = (data.train, data.test.unwrap());
    write_npz(bench.path("train.npz"), &[("image", train.inputs())]).unwrap();
    let labeled = [("image", test.inputs()), ("labels", test.labels())];
    write_npz(bench.path("test.npz"), &labeled).unwrap();
    let few = test.inputs().slice(0, 0..32).unwrap().contiguous().unwrap();
    write_npz(bench.path("few.npz"), &[("image", &few)]).unwrap();
    bench
}

/// Two outputs that differ by less than a level of their weights, so that in int8 one of them has all the answers.
fn nearly_equal_answers() -> Vec<u8> {
    let row = [1.0, -0.8, 0.6, 0.1, -0.3, 0.5, 0.7, -0.9];
    let mut other = row;
    other[3] += 0.0003;
    let weight = TensorProto {
        name: "weight".into(),
        dims: vec![8, 2],
        data_type: F32,
        float_data: row.into_iter().zip(other).flat_map(|(a, b)| [a, b]).collect(),
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node("MatMul", &["x", "weight"], &["y"])],
        initializer: vec![weight],
        input: vec![value("x", &[-1, 8])],
        output: vec![value("y", &[-1, 2])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
        .encode_to_vec()
}

/// What is said is what failed: the error is within the budget, a class is not.
#[test]
fn labels_make_answers_of_outputs_and_a_lost_class_is_told() {
    let bench = Bench::new();
    bench.write("m.onnx", &nearly_equal_answers());
    let x = Tensor::randn([256, 8], 1.0, &mut Rng::seed(1)).unwrap();
    let labels = Tensor::zeros([256]).unwrap().to_dtype::<i64>().unwrap();
    write_npz(bench.path("labeled.npz"), &[("x", &x), ("labels", &labels)]).unwrap();
    write_npz(bench.path("plain.npz"), &[("x", &x)]).unwrap();
    let quantize = |data: &str| {
        let args =
            format!("quantize m.onnx --calibrate {data} --max-error 20% --out q.safetensors");
        let output = bench.run(&args);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = quantize("labeled.npz");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("within 20.00 %, but class 1 has lost"), "{told}");
    assert!(told.contains("within the budget that keeps every class"), "{told}");
    assert!(!bench.path("q.safetensors").exists());
    let (code, told) = quantize("plain.npz");
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("class"), "{told}");
}

#[test]
fn a_classifier_is_quantized_within_a_budget_and_judged() {
    let bench = bench(-1, &["answer"]);
    let told = bench.json(
        "quantize m.onnx --calibrate train.npz --samples 256 --max-error 1% --out q.safetensors",
    );
    assert_eq!(told["weights"].as_array().unwrap().len(), 3);
    assert_eq!(told["ladder"]["within"], true);
    assert_eq!(told["calibration_samples"], 256);

    let told = bench.good("audit m.onnx q.safetensors --data test.npz --no-latency --junit r.xml");
    assert!(told.contains("verdict: q pass"), "{told}");
    let report: serde_json::Value =
        serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
    let gates = report["models"][0]["gates"].as_array().unwrap();
    let result = |id: &str| gates.iter().find(|gate| gate["id"] == id).unwrap()["result"].clone();
    for id in
        ["f32_floor", "structure", "coverage", "output_error", "accuracy", "agreement", "batches"]
    {
        assert_eq!(result(id), "pass", "{id}: {told}");
    }

    // Other commands read what was written, and the ONNX model itself.
    let scores = |file: &str| {
        bench.json(&format!("eval {file} --data digits"))["accuracy"].as_f64().unwrap()
    };
    assert!(scores("m.onnx") > 0.9 && scores("q.safetensors") > 0.9);
    bench.good("import m.onnx --out f.safetensors");
    bench.good("run m.onnx --input few.npz --out a.npz");
    bench.good("run f.safetensors --input few.npz --out b.npz");
    assert_eq!(bench.read("a.npz"), bench.read("b.npz"));
    bench.good("profile m.onnx");
}

/// The float model, and the int8 one, as ONNX files: nothing that an audit asks is lost on the way.
#[test]
fn an_int8_model_in_an_onnx_file_is_judged_as_what_it_is() {
    let bench = bench(-1, &["answer"]);
    bench.good("quantize m.onnx --calibrate train.npz --samples 256 --out q.onnx");
    bench.good("quantize m.onnx --calibrate train.npz --samples 256 --out q.safetensors");
    let told = bench.good("audit m.onnx q.onnx --data test.npz --no-latency");
    assert!(told.contains("verdict: q pass"), "{told}");
    let report: serde_json::Value =
        serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
    for gate in report["models"][0]["gates"].as_array().unwrap() {
        assert_ne!(gate["result"], "n/a", "{gate}");
    }
    assert!(bench.good("inspect q.onnx").contains("3 of the parameters are int8"));
    let answers = |model: &str| {
        bench.good(&format!("run {model} --input few.npz --out a.npz"));
        let mut arrays = tinytorch::data::Npz::open(bench.path("a.npz")).unwrap();
        arrays.read("answer").unwrap()
    };
    assert!(answers("q.onnx").allclose(&answers("q.safetensors"), 1e-3, 1e-2).unwrap());

    // Saved, loaded and saved again it is the same file.
    bench.good("import q.onnx --out i.safetensors");
    bench.good("export i.safetensors --out again.onnx");
    bench.good("import again.onnx --out j.safetensors");
    let values = |file: &str| {
        let model = tinytorch::files::open_with(
            bench.path(file),
            &tinytorch::models::Kinds::built_in().with::<tinytorch_onnx::OnnxModel>(),
        );
        tinytorch::files::digest_params(&*model.unwrap().model).unwrap()
    };
    assert_eq!(values("i.safetensors"), values("j.safetensors"));
}

/// An audit runs every op again: a resize without a region among the inputs, too.
#[test]
fn what_a_node_leaves_out_is_left_out_in_an_audit() {
    let bench = bench(-1, &["answer"]);
    let mut proto = ModelProto::decode(&bench.read("m.onnx")[..]).unwrap();
    let graph = proto.graph.as_mut().unwrap();
    graph.node[0].input[0] = "pooled".into();
    let ints = |name: &str| AttributeProto {
        name: name.into(),
        r#type: 7,
        ints: vec![2, 2],
        ..Default::default()
    };
    let pool = node("MaxPool", &["large"], &["pooled"]);
    let attribute = vec![ints("kernel_shape"), ints("strides")];
    graph.node.insert(0, NodeProto { attribute, ..pool });
    graph.node.insert(0, node("Resize", &["image", "", "scales"], &["large"]));
    graph.initializer.push(TensorProto {
        name: "scales".into(),
        dims: vec![4],
        data_type: F32,
        float_data: vec![1.0, 1.0, 2.0, 2.0],
        ..Default::default()
    });
    bench.write("r.onnx", &proto.encode_to_vec());
    bench.good("quantize r.onnx --calibrate train.npz --samples 64 --out q.safetensors");
    let told = bench.good("audit r.onnx q.safetensors --data test.npz --no-latency");
    assert!(told.contains("verdict: q pass"), "{told}");
}

/// A graph that says no word of how it was made and has a step more, and one that is wrong.
#[test]
fn a_graph_of_another_program_is_judged_by_its_answers() {
    let bench = bench(-1, &["answer"]);
    bench.good("quantize m.onnx --calibrate train.npz --samples 256 --out q.onnx");
    let mut graph = ModelProto::decode(&bench.read("q.onnx")[..]).unwrap();
    graph.metadata_props.clear();
    let nodes = &mut graph.graph.as_mut().unwrap().node;
    let place = nodes.iter().position(|node| node.op_type == "Relu").unwrap();
    let from = std::mem::replace(&mut nodes[place].input[0], "positive".into());
    nodes.insert(place, node("Relu", &[&from], &["positive"]));
    bench.write("other.onnx", &graph.encode_to_vec());
    let gates = || -> Vec<serde_json::Value> {
        let report: serde_json::Value =
            serde_json::from_slice(&bench.read("audit-report/report.json")).unwrap();
        report["models"][0]["gates"].as_array().unwrap().clone()
    };
    let result =
        |id: &str| gates().into_iter().find(|gate| gate["id"] == id).unwrap()["result"].clone();
    bench.run("audit m.onnx other.onnx --data test.npz --no-latency");
    assert_eq!((result("structure"), result("output_error")), ("n/a".into(), "pass".into()));
    assert_eq!(result("accuracy"), "pass");

    // A scale that is twice what it should be.
    let scales = graph.graph.as_mut().unwrap().initializer.iter_mut();
    for scale in scales.filter(|one| one.name.ends_with("weight_scale")).take(1) {
        let doubled = scale.raw_data.chunks_exact(4).flat_map(|bytes| {
            (2.0 * f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).to_le_bytes()
        });
        scale.raw_data = doubled.collect::<Vec<u8>>().into();
    }
    bench.write("wrong.onnx", &graph.encode_to_vec());
    bench.run("audit m.onnx wrong.onnx --data test.npz --no-latency");
    assert_eq!(result("output_error"), "fail");

    let line = bench.refused("audit m.onnx other.onnx --data digits");
    assert!(line.contains("arrays called image"), "{line}");
    bench.good("import q.onnx --out q.safetensors");
    let line = bench.refused("audit m.onnx q.safetensors --data test.npz --engine onnxruntime");
    assert!(line.contains("tinytorch export"), "{line}");
}

/// A limit that no sample reaches moves no answer, and the file is another model's all the same, in whichever form.
#[test]
fn a_step_between_weights_that_became_another_is_named() {
    let bench = bench(-1, &["answer"]);
    let mut float = ModelProto::decode(&bench.read("m.onnx")[..]).unwrap();
    let limit = |model: &mut ModelProto, most: f32| {
        let constants = &mut model.graph.as_mut().unwrap().initializer;
        constants.retain(|constant| !["least", "most"].contains(&constant.name.as_str()));
        constants.extend([("least", 0.0), ("most", most)].map(|(name, value)| TensorProto {
            name: name.into(),
            data_type: F32,
            float_data: vec![value],
            ..Default::default()
        }));
    };
    let nodes = &mut float.graph.as_mut().unwrap().node;
    let relu = nodes.iter_mut().find(|node| node.op_type == "Relu").unwrap();
    *relu = node("Clip", &[&relu.input[0], "least", "most"], &[&relu.output[0]]);
    limit(&mut float, 1e4);
    bench.write("m.onnx", &float.encode_to_vec());
    bench.good("quantize m.onnx --calibrate train.npz --samples 256 --out q.onnx");
    let mut other = ModelProto::decode(&bench.read("q.onnx")[..]).unwrap();
    limit(&mut other, 2e4);
    bench.write("other.onnx", &other.encode_to_vec());
    bench.good("import other.onnx --out other.safetensors");
    for file in ["other.onnx", "other.safetensors"] {
        let output = bench.run(&format!("audit m.onnx {file} --data test.npz --no-latency --json"));
        assert_eq!(output.status.code(), Some(1), "{file}: {output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let gates = report["models"][0]["gates"].as_array().unwrap();
        let gate = |id: &str| gates.iter().find(|gate| gate["id"] == id).unwrap();
        assert_eq!(
            (&gate("output_error")["result"], &gate("parameters")["result"]),
            (&"pass".into(), &"fail".into())
        );
        let reason = gate("parameters")["reason"].as_str().unwrap();
        assert!(reason.contains("the Clip that gives `h1` has another input 2"), "{reason}");
    }
}

/// What a plan notes is no copy of floats: of a single layer, and beside a graph that is kept for other lengths.
#[test]
fn a_plan_of_one_layer_and_one_with_a_loop_hold_no_copy() {
    let bench = bench(-1, &["answer"]);
    let own = ModelProto::decode(&bench.read("m.onnx")[..]).unwrap();
    let mut layer = own.clone();
    let graph = layer.graph.as_mut().unwrap();
    graph.node = vec![node("Gemm", &["flat", "layers.0.weight"], &["answer"])];
    (graph.input, graph.output) =
        (vec![value("flat", &[-1, 64])], vec![value("answer", &[-1, 128])]);
    let flat = |file: &str| {
        let mut arrays = tinytorch::data::Npz::open(bench.path(file)).unwrap();
        let images: Tensor = arrays.read("image").unwrap();
        write_npz(bench.path(&format!("flat-{file}")), &[("flat", &images.flatten(1, 3).unwrap())])
            .unwrap();
    };
    ["train.npz", "test.npz"].into_iter().for_each(flat);

    let mut looped = own;
    let graph = looped.graph.as_mut().unwrap();
    let last = graph.node.last_mut().unwrap();
    (last.op_type, last.output[0]) = ("Identity".into(), "scores".into());
    let integer = |name: &str| TensorProto {
        name: name.into(),
        data_type: 7,
        int64_data: vec![1],
        ..Default::default()
    };
    graph.initializer.push(integer("once"));
    let of_type = |name: &str, elem_type: i32| {
        let tensor_type = Some(TensorTypeProto { elem_type, shape: None });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    };
    let body = GraphProto {
        node: vec![node("Identity", &["told"], &["goes_on"]), node("Relu", &["state"], &["next"])],
        input: vec![of_type("round", 7), of_type("told", 9), of_type("state", F32)],
        output: vec![of_type("goes_on", 9), of_type("next", F32)],
        ..Default::default()
    };
    let attribute =
        AttributeProto { name: "body".into(), r#type: 5, g: Some(body), ..Default::default() };
    let step = node("Loop", &["once", "", "scores"], &["answer"]);
    graph.node.push(NodeProto { attribute: vec![attribute], ..step });

    for (name, model, data) in [("layer", layer, "flat-"), ("loop", looped, "")] {
        bench.write(&format!("{name}.onnx"), &model.encode_to_vec());
        bench.good(&format!(
            "quantize {name}.onnx --calibrate {data}train.npz --samples 256 --out {name}.safetensors"
        ));
        let output = bench.run(&format!(
            "audit {name}.onnx {name}.safetensors --data {data}test.npz --no-latency --json"
        ));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let gates = report["models"][0]["gates"].as_array().unwrap();
        let gate = gates.iter().find(|gate| gate["id"] == "no_f32_copy").unwrap();
        assert_eq!(gate["result"], "pass", "{name}: {gate}");
    }
}

#[test]
fn several_outputs_and_a_fixed_batch_are_judged_output_by_output() {
    let bench = bench(1, &["answer", "h2"]);
    bench.good("quantize m.onnx --calibrate train.npz --samples 32 --out q.safetensors");
    let output =
        bench.run("audit m.onnx q.safetensors --data few.npz --no-latency --max-error 5% --json");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let gates = report["models"][0]["gates"].as_array().unwrap();
    let gate = |id: &str| gates.iter().find(|gate| gate["id"] == id).unwrap();
    let reason = gate("output_error")["reason"].as_str().unwrap();
    assert!(reason.contains("`answer` ") && reason.contains("`h2` "), "{reason}");
    assert_eq!(gate("output_error")["result"], "pass");
    for id in ["accuracy", "batches", "f32_floor"] {
        assert_eq!(gate(id)["result"], "n/a", "{id}");
    }
    assert_eq!(gate("structure")["result"], "pass");
    assert_eq!(gate("determinism")["result"], "pass");
}

#[test]
fn data_that_do_not_fit_are_refused_and_nothing_is_written() {
    let bench = bench(-1, &["answer"]);
    let image = Tensor::ones([4, 1, 8, 8]).unwrap();
    let write =
        |file: &str, arrays: &[(&str, &Tensor)]| write_npz(bench.path(file), arrays).unwrap();
    write("other.npz", &[("picture", &image)]);
    write("flat.npz", &[("image", &Tensor::arange(256).unwrap().reshape([4, 64]).unwrap())]);
    write("ids.npz", &[("image", &Tensor::from_vec(vec![1i64; 64], [1, 1, 8, 8]).unwrap())]);
    write("none.npz", &[("image", &Tensor::zeros([0, 1, 8, 8]).unwrap())]);
    write("constant.npz", &[("image", &image)]);
    let labels = Tensor::from_vec(vec![1i64; 3], [3]).unwrap();
    write("labels.npz", &[("image", &image), ("labels", &labels)]);
    let quantize = |data: &str| {
        bench.refused(&format!("quantize m.onnx --calibrate {data} --out q.safetensors"))
    };
    for (data, expected) in [
        ("other.npz", "no array `image`"),
        ("flat.npz", "`image` is f32 [?, 1, 8, 8]"),
        ("ids.npz", "is of type i64"),
        ("none.npz", "holds no sample"),
        ("constant.npz", "every value"),
        ("labels.npz", "`labels`"),
    ] {
        let line = quantize(data);
        assert!(line.contains(expected), "{data}: {line}");
    }
    bench.good("import m.onnx --out f.safetensors");
    let line = bench.refused("import m.onnx --architecture digits-mlp --out f.safetensors");
    assert!(line.contains("--architecture"), "{line}");
    let output = bench.run("audit m.onnx m.onnx --data test.npz");
    assert!(one_line(&output.stderr).starts_with("m.onnx holds no int8 weights"), "{output:?}");
}

#[test]
fn pictures_become_numbers_as_is_told() {
    let bench = bench(-1, &["answer"]);
    let picture = |class: u8| {
        image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 16 + y * 8) as u8 + class]))
    };
    let folder = |name: &str| std::fs::create_dir_all(bench.path(name)).unwrap();
    let values = |class: u8, of: &dyn Fn(f32) -> f32| {
        let levels = picture(class).into_raw().into_iter();
        let values = levels.map(|level| of(f32::from(level))).collect();
        Tensor::from_vec(values, [1, 1, 8, 8]).unwrap()
    };
    picture(0).save(bench.path("p.png")).unwrap();
    let told = bench.good("run m.onnx --input p.png --out a.npz");
    assert!(told.contains("1 pictures of 8 x 8") && told.contains("1/255 (assumed)"), "{told}");
    write_npz(bench.path("p.npz"), &[("image", &values(0, &|level| level / 255.0))]).unwrap();
    bench.good("run m.onnx --input p.npz --out b.npz");
    let answer = |file: &str| {
        let mut arrays = tinytorch::data::Npz::open(bench.path(file)).unwrap();
        arrays.read("answer").unwrap().to_vec::<f32>().unwrap()
    };
    let near =
        |a: &str, b: &str| answer(a).iter().zip(&answer(b)).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(near("a.npz", "b.npz"));

    let told = bench.good("run m.onnx --input p.png --scale 1 --mean 100 --std 50 --out a.npz");
    assert!(told.contains("scale 1, mean 100, std 50"), "{told}");
    write_npz(bench.path("p.npz"), &[("image", &values(0, &|level| (level - 100.0) / 50.0))])
        .unwrap();
    bench.good("run m.onnx --input p.npz --out b.npz");
    assert!(near("a.npz", "b.npz"));

    // A folder for each class, the pictures of one of them larger.
    folder("set/a");
    folder("set/b");
    for i in 0..20u8 {
        picture(i).save(bench.path(&format!("set/a/{i}.png"))).unwrap();
        let large =
            image::imageops::resize(&picture(i + 60), 16, 16, image::imageops::FilterType::Nearest);
        large.save(bench.path(&format!("set/b/{i}.png"))).unwrap();
    }
    let told = bench.good("quantize m.onnx --calibrate set --scale 1/16 --out q.safetensors");
    let pictures = "40 pictures of 8 x 8, 20 of them resized, gray, scale 0.0625, mean 0 (assumed)";
    assert!(told.contains(pictures), "{told}");
    let output = bench.run("audit m.onnx q.safetensors --data set --no-latency --json");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let model = &report["models"][0];
    assert_eq!(model["held_out_samples"], 40);
    let name = model["origins"]["data"]["name"].as_str().unwrap();
    assert!(name.contains(pictures), "{name}");
    let unseen =
        model["gates"].as_array().unwrap().iter().find(|gate| gate["id"] == "unseen").unwrap();
    assert_eq!(
        unseen["result"], "fail",
        "the file notes the scale, so that the samples are those of the calibration"
    );

    let line = bench.refused("run m.onnx --input p.png --mean 1,2 --out c.npz");
    assert!(line.contains("--mean has 2 numbers"), "{line}");
    bench.write("no.png", b"no picture");
    let line = bench.refused("run m.onnx --input no.png --out c.npz");
    assert!(line.contains("no.png"), "{line}");
    let bytes = Tensor::from_vec(picture(0).into_raw(), [1, 1, 8, 8]).unwrap();
    write_npz(bench.path("bytes.npz"), &[("image", &bytes)]).unwrap();
    let line = bench.refused("quantize m.onnx --calibrate bytes.npz --out c.safetensors");
    assert!(line.contains("--scale"), "{line}");
}

#[test]
fn a_model_is_timed_at_sizes_that_are_given() {
    let bench = bench(-1, &["answer"]);
    let times = bench.json("bench m.onnx --batch 4 --threads 1 --seconds 0.05");
    assert_eq!((&times["batch"], &times["threads"]), (&4.into(), &1.into()));
    let time = |key: &str| times[key].as_f64().unwrap();
    assert!(time("p10") <= time("median_ms") && time("median_ms") <= time("p90"));
    assert_eq!(bench.json("bench m.onnx --shape image=3x1x8x8 --seconds 0.05")["batch"], 3);
    bench.good("profile m.onnx --shape image=2x1x8x8");
    let line = bench.refused("bench m.onnx --shape picture=3x1x8x8");
    assert!(line.contains("`picture`") && line.contains("image"), "{line}");
    assert!(
        bench.refused("bench m.onnx --shape image=3x1").contains("image"),
        "a shape of another rank"
    );
    assert!(bench.refused("bench").contains("MODEL"));
}

#[test]
fn run_says_which_output_is_not_finite() {
    let bench = Bench::with_models();
    bench.write("m.onnx", &model(-1, &["answer"]));
    let mut pixels = Tensor::zeros([3, 1, 8, 8]).unwrap().to_vec::<f32>().unwrap();
    pixels[64 + 5] = f32::NAN;
    let pixels = Tensor::from_vec(pixels, [3, 1, 8, 8]).unwrap();
    write_npz(bench.path("x.npz"), &[("image", &pixels)]).unwrap();
    let out = bench.run("run m.onnx --input x.npz --out y.npz");
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("10 of 30 outputs of `answer` are not finite"), "{said}");
    assert!(said.contains("the first for sample 1"), "{said}");
}
