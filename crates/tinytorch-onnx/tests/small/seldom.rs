//! Operators in forms that few models have, against their definitions.

use super::support::*;
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{AttributeProto, GraphProto};

fn text(name: &str, s: &'static str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 3, s: s.into(), ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: ints.to_vec(), ..Default::default() }
}

fn random(sizes: &[usize], seed: u64) -> Tensor {
    Tensor::randn(sizes, 1.0, &mut Rng::seed(seed)).unwrap()
}

fn assert_near(got: &Tensor, want: &[f64]) {
    let got = got.to_vec::<f32>().unwrap();
    assert_eq!(got.len(), want.len());
    let far = got.iter().zip(want).find(|(a, b)| (f64::from(**a) - **b).abs() > 1e-4);
    assert_eq!(far, None);
}

/// What the model gives, which as a plan is the same.
fn outputs(model: &OnnxModel, inputs: &[Tensor]) -> Vec<Tensor> {
    let outputs = model.run(inputs).unwrap();
    let mut plan = model.plan_for(inputs).unwrap();
    let planned = plan.run_many(&inputs.iter().collect::<Vec<_>>()).unwrap();
    for (planned, own) in planned.iter().zip(&outputs) {
        assert_eq!(planned.to_vec::<f32>().unwrap(), own.to_vec::<f32>().unwrap());
    }
    outputs
}

fn einsum(equation: &'static str, inputs: &[&Tensor]) -> Result<Tensor, String> {
    let names = ["a", "b"];
    let sizes = |x: &Tensor| x.shape().iter().map(|&size| size as i64).collect::<Vec<_>>();
    let values = names.iter().zip(inputs).map(|(name, x)| value(name, F32, &sizes(x))).collect();
    let nodes =
        vec![with(node("Einsum", &names[..inputs.len()], &["y"]), &[text("equation", equation)])];
    // The output says nothing of its sizes.
    let model = read(graph(nodes, vec![], values, vec![value("y", F32, &[])]));
    let model = model.map_err(|error| error.to_string())?;
    let inputs: Vec<Tensor> = inputs.iter().map(|x| (*x).clone()).collect();
    model.run(&inputs).map_err(|error| error.to_string())?;
    Ok(outputs(&model, &inputs).remove(0))
}

#[test]
fn sums_of_products_along_diagonals_and_axes_without_a_name() {
    let (a, b) = (random(&[2, 3, 3], 1), random(&[3, 4], 2));
    let (x, w) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    let at = |batch: usize, row: usize, column: usize| f64::from(x[(batch * 3 + row) * 3 + column]);
    let weight = |row: usize, column: usize| f64::from(w[row * 4 + column]);

    let diagonal = einsum("...ii->...i", &[&a]).unwrap();
    assert_eq!(diagonal.shape().dims(), [2, 3]);
    let want: Vec<f64> = (0..6).map(|i| at(i / 3, i % 3, i % 3)).collect();
    assert_near(&diagonal, &want);

    let traces = einsum("bii", &[&a]).unwrap();
    let want: Vec<f64> = (0..2).map(|b| (0..3).map(|i| at(b, i, i)).sum()).collect();
    assert_near(&traces, &want);

    let product = einsum("...ij,jk->...ik", &[&a, &b]).unwrap();
    assert_eq!(product.shape().dims(), [2, 3, 4]);
    let entry = |i: usize| (0..3).map(|j| at(i / 12, i / 4 % 3, j) * weight(j, i % 4)).sum();
    assert_near(&product, &(0..24).map(entry).collect::<Vec<f64>>());

    let scaled = einsum("bii,ik", &[&a, &b]).unwrap();
    let entry = |i: usize| (0..3).map(|j| at(i / 4, j, j) * weight(j, i % 4)).sum();
    assert_near(&scaled, &(0..8).map(entry).collect::<Vec<f64>>());

    let error = einsum("ii->i", &[&b]).unwrap_err();
    assert!(error.contains("axes of one name of one size"), "{error}");
    let error = einsum("...i->i", &[&b]).unwrap_err();
    assert!(error.contains("not supported"), "{error}");
}

/// A transposed convolution of a volume: sizes of its input and weight, strides, dilations, borders, what is added
/// behind, and groups.
struct Volume {
    x: [usize; 5],
    w: [usize; 5],
    strides: [usize; 3],
    dilations: [usize; 3],
    pads: [usize; 6],
    extra: [usize; 3],
    groups: usize,
}

impl Volume {
    fn sizes(&self) -> [usize; 3] {
        [0, 1, 2].map(|i| {
            (self.x[i + 2] - 1) * self.strides[i]
                + (self.w[i + 2] - 1) * self.dilations[i]
                + 1
                + self.extra[i]
                - self.pads[i]
                - self.pads[i + 3]
        })
    }

    /// Each value times the kernel, added where the definition says.
    fn by_definition(&self, x: &[f32], w: &[f32]) -> Vec<f64> {
        let ([batch, channels, ..], [_, per_group, ..]) = (self.x, self.w);
        let (sizes, outputs) = (self.sizes(), per_group * self.groups);
        let mut y = vec![0.0; batch * outputs * sizes.iter().product::<usize>()];
        let place = |sizes: &[usize], at: &[usize]| {
            sizes.iter().zip(at).fold(0, |sum, (size, at)| sum * size + at)
        };
        let volume = |s: &[usize]| -> Vec<[usize; 3]> {
            let all = 0..s[0] * s[1] * s[2];
            all.map(|i| [i / (s[1] * s[2]), i / s[2] % s[1], i % s[2]]).collect()
        };
        for b in 0..batch {
            for c in 0..channels {
                let group = c / (channels / self.groups);
                for o in 0..per_group {
                    for at in volume(&self.x[2..]) {
                        for k in volume(&self.w[2..]) {
                            let to = [0, 1, 2].map(|i| {
                                let to = at[i] * self.strides[i] + k[i] * self.dilations[i];
                                to.checked_sub(self.pads[i]).filter(|to| *to < sizes[i])
                            });
                            let [Some(d), Some(h), Some(v)] = to else { continue };
                            let value = x[place(&self.x, &[b, c, at[0], at[1], at[2]])];
                            let weight = w[place(&self.w, &[c, o, k[0], k[1], k[2]])];
                            let all = [batch, outputs, sizes[0], sizes[1], sizes[2]];
                            y[place(&all, &[b, group * per_group + o, d, h, v])] +=
                                f64::from(value) * f64::from(weight);
                        }
                    }
                }
            }
        }
        y
    }

    fn check(&self) {
        let list = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let (x, w) = (random(&self.x, 3), random(&self.w, 4));
        let attributes = [
            ints("strides", &list(&self.strides)),
            ints("dilations", &list(&self.dilations)),
            ints("pads", &list(&self.pads)),
            ints("output_padding", &list(&self.extra)),
            int("group", self.groups as i64),
        ];
        let nodes = vec![with(node("ConvTranspose", &["x", "w"], &["y"]), &attributes)];
        let values = w.to_vec::<f32>().unwrap();
        let weight = floats("w", &list(&self.w), &values);
        let mut sizes = list(&self.x);
        sizes[0] = -1;
        let output = vec![value("y", F32, &[-1; 5])];
        let model =
            read(graph(nodes, vec![weight], vec![value("x", F32, &sizes)], output)).unwrap();
        let y = outputs(&model, std::slice::from_ref(&x)).remove(0);
        let [depth, rows, columns] = self.sizes();
        let channels = self.w[1] * self.groups;
        assert_eq!(y.shape().dims(), [self.x[0], channels, depth, rows, columns]);
        assert_near(&y, &self.by_definition(&x.to_vec::<f32>().unwrap(), &values));
        // A plan goes on to other batches.
        let mut plan = model.plan().unwrap();
        let first = x.slice(0, 0..1).unwrap().contiguous().unwrap();
        let planned = plan.run(&x).unwrap();
        assert_near(
            &planned,
            &y.to_vec::<f32>().unwrap().iter().map(|v| f64::from(*v)).collect::<Vec<_>>(),
        );
        let want =
            model.run(std::slice::from_ref(&first)).unwrap().remove(0).to_vec::<f32>().unwrap();
        assert_near(
            &plan.run(&first).unwrap(),
            &want.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn transposed_convolutions_of_volumes() {
    let plain = Volume {
        x: [2, 2, 3, 4, 2],
        w: [2, 3, 3, 2, 3],
        strides: [1; 3],
        dilations: [1; 3],
        pads: [0; 6],
        extra: [0; 3],
        groups: 1,
    };
    plain.check();
    Volume { strides: [2, 3, 1], extra: [1, 2, 0], ..plain }.check();
    Volume { strides: [3, 1, 2], dilations: [2, 1, 1], pads: [1, 0, 1, 2, 1, 0], ..plain }.check();
    Volume { x: [2, 4, 2, 3, 3], w: [4, 1, 2, 2, 2], strides: [2; 3], groups: 2, ..plain }.check();
    Volume { x: [1, 2, 1, 2, 2], strides: [1 << 40, 1, 1], ..plain }.check();
}

#[test]
fn a_scan_of_the_eighth_version_goes_through_every_sample() {
    let body = graph(
        vec![node("Add", &["sum", "entry"], &["next"]), node("Identity", &["next"], &["all"])],
        vec![],
        vec![value("sum", F32, &[2]), value("entry", F32, &[2])],
        vec![value("next", F32, &[2]), value("all", F32, &[2])],
    );
    let attributes = |backward: i64| {
        [
            graph_attribute("body", body.clone()),
            int("num_scan_inputs", 1),
            ints("directions", &[backward]),
        ]
    };
    let model = |backward: i64| {
        let scan = with(node("Scan", &["", "first", "x"], &["last", "y"]), &attributes(backward));
        let inputs = vec![value("first", F32, &[-1, 2]), value("x", F32, &[-1, 3, 2])];
        let outputs = vec![value("last", F32, &[-1, 2]), value("y", F32, &[-1, 3, 2])];
        let mut proto = super::support::model(graph(vec![scan], vec![], inputs, outputs));
        proto.opset_import[0].version = 8;
        OnnxModel::from_proto(&proto).unwrap()
    };
    let (first, x) = (random(&[2, 2], 5), random(&[2, 3, 2], 6));
    let (start, entries) = (first.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
    for (backward, order) in [(0, [0, 1, 2]), (1, [2, 1, 0])] {
        let got = outputs(&model(backward), &[first.clone(), x.clone()]);
        let mut want = vec![0.0; 12];
        for sample in 0..2 {
            for column in 0..2 {
                let mut sum = f64::from(start[sample * 2 + column]);
                for (step, entry) in order.iter().enumerate() {
                    sum += f64::from(entries[(sample * 3 + entry) * 2 + column]);
                    want[(sample * 3 + step) * 2 + column] = sum;
                }
            }
        }
        assert_near(&got[1], &want);
        let last: Vec<f64> = [4, 5, 10, 11].map(|i| want[i]).to_vec();
        assert_near(&got[0], &last);
    }
}

/// A graph that loops a million times over `inner`, or over nothing.
fn endless(inner: Option<GraphProto>) -> GraphProto {
    let loops = inner.map(|inner| {
        with(
            node("Loop", &["rounds", "goes_on", "state"], &["next"]),
            &[graph_attribute("body", inner)],
        )
    });
    let step = loops.unwrap_or_else(|| node("Add", &["state", "one"], &["next"]));
    graph(
        vec![step, node("Identity", &["told"], &["goes_on_then"])],
        vec![],
        vec![value("round", I64, &[]), value("told", BOOL, &[]), value("state", F32, &[])],
        vec![value("goes_on_then", BOOL, &[]), value("next", F32, &[])],
    )
}

#[test]
fn constants_that_take_for_ever_are_refused() {
    let goes_on = tinytorch_onnx::proto::TensorProto {
        name: "goes_on".into(),
        data_type: BOOL,
        int32_data: vec![1],
        ..Default::default()
    };
    let rounds =
        tinytorch_onnx::proto::TensorProto { dims: vec![], ..integers("rounds", &[1 << 20]) };
    for body in [endless(None), endless(Some(endless(None)))] {
        let nodes = vec![
            with(
                node("Loop", &["rounds", "goes_on", "one"], &["big"]),
                &[graph_attribute("body", body)],
            ),
            node("Add", &["x", "big"], &["y"]),
        ];
        let constants = vec![rounds.clone(), goes_on.clone(), floats("one", &[], &[1.0])];
        let sentence = refused(graph(
            nodes,
            constants,
            vec![value("x", F32, &[2])],
            vec![value("y", F32, &[2])],
        ));
        assert!(
            sentence.contains("0 (Loop)") && sentence.contains("more operations"),
            "{sentence}"
        );
    }
}

#[test]
fn a_value_that_is_several_outputs_is_all_of_them() {
    let nodes = vec![node("Relu", &["x"], &["y"]), node("Flatten", &["y"], &["flat"])];
    let given =
        vec![value("y", F32, &[2, 2]), value("flat", F32, &[2, 2]), value("x", F32, &[2, 2])];
    let model = read(graph(nodes, vec![], vec![value("x", F32, &[2, 2])], given)).unwrap();
    let x = Tensor::from_vec(vec![-1f32, 2.0, 3.0, -4.0], [2, 2]).unwrap();
    let got = outputs(&model, std::slice::from_ref(&x));
    for (output, want) in got.iter().zip([[0.0, 2.0, 3.0, 0.0]; 2]) {
        assert_eq!(output.to_vec::<f32>().unwrap(), want);
    }
    assert_eq!(got[2].to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
}

#[test]
fn outputs_of_one_name_are_refused() {
    let given = vec![value("y", F32, &[2]), value("y", F32, &[2])];
    let nodes = vec![node("Relu", &["x"], &["y"])];
    let sentence = refused(graph(nodes, vec![], vec![value("x", F32, &[2])], given));
    assert!(sentence.contains("the output `y` is named twice"), "{sentence}");
}

#[test]
fn what_does_not_fit_the_memory_is_a_sentence_that_names_node_and_value() {
    let sizes = integers("sizes", &[1 << 22, 1 << 22]);
    let nodes = vec![node("Expand", &["x", "sizes"], &["y"])];
    let output = vec![value("y", F32, &[-1, -1])];
    let model = read(graph(nodes, vec![sizes], vec![value("x", F32, &[1, 1])], output)).unwrap();
    let error = model.run(&[Tensor::ones([1, 1]).unwrap()]).unwrap_err().to_string();
    assert!(error.contains("node 0 (Expand) of `x`, `sizes`"), "{error}");
    assert!(error.contains("are available"), "{error}");
    // An input whose example would be as large.
    let nodes = vec![node("Relu", &["x"], &["y"])];
    let large = vec![value("x", F32, &[1 << 22, 1 << 22])];
    let model = read(graph(nodes, vec![], large, vec![value("y", F32, &[-1, -1])])).unwrap();
    let error = model.plan().unwrap_err().to_string();
    assert!(error.contains("are available"), "{error}");
}

#[test]
fn recurrent_layers_take_batches_of_nothing() {
    for (kind, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let weight = |name: &str, inputs: i64| {
            let count = (gates * 3 * inputs) as usize;
            floats(name, &[1, gates * 3, inputs], &vec![0.1; count])
        };
        let nodes = vec![with(node(kind, &["x", "w", "r"], &["", "y"]), &[int("hidden_size", 3)])];
        let constants = vec![weight("w", 2), weight("r", 3)];
        let given = vec![value("y", F32, &[1, -1, 3])];
        let model =
            read(graph(nodes, constants, vec![value("x", F32, &[2, -1, 2])], given)).unwrap();
        let y = outputs(&model, &[Tensor::zeros([2, 0, 2]).unwrap()]);
        assert_eq!(y[0].shape().dims(), [1, 0, 3], "{kind}");
    }
}
