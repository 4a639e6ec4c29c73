//! Nodes that together spell one operator, which exporters take apart where their opset does not have it: a layer norm, a
//! GELU, a hard swish, a product with its bias, a convolution with its border, the shortcut of a residual network. The last of the nodes becomes the operator; the others go if nobody else reads them.

use crate::apply::Operator;
use crate::node::Node;
use crate::operators;
use crate::program::{Slot, Step};
use crate::proto::{AttributeProto, GraphProto, NodeProto};
use std::collections::BTreeMap;
use tinytorch_core::Tensor;
use tinytorch_core::tensor::{Dtype, Number};

/// The opset that has all operators which are spelled.
const OPSET: i64 = 20;

/// Between constants as exporters write them, and what they stand for.
const ROUNDING: f32 = 1e-4;

/// An operator that nodes spell.
pub(super) struct Spelled {
    pub(super) what: What,
    /// What it reads.
    pub(super) inputs: Vec<Slot>,
    /// The steps that spell it, but for the last.
    pub(super) parts: Vec<usize>,
}

/// An operator that can take the place of those steps.
pub(super) struct Read {
    pub(super) name: &'static str,
    pub(super) operator: Operator,
    pub(super) inputs: Vec<Slot>,
    /// As [`Spelled::parts`].
    pub(super) parts: Vec<usize>,
}

impl Spelled {
    /// The operator; what cannot be read as one stays as it is spelled. `numbers` are those that the file declares.
    pub(super) fn read<'t>(
        self,
        constant: impl Fn(Slot) -> Option<&'t Tensor>,
        numbers: &BTreeMap<Slot, Number>,
    ) -> Option<Read> {
        let Spelled { what, inputs, parts } = self;
        let (name, operator) = match what {
            What::Operator(name, operator) => (name, operator),
            What::Node(node) => {
                let constants = inputs.iter().map(|&slot| constant(slot).cloned()).collect();
                let numbers = inputs.iter().map(|slot| numbers.get(slot).copied()).collect();
                operators::read(&node, &Node::new(&node, OPSET, constants, numbers)).ok()?
            }
        };
        Some(Read { name, operator, inputs, parts })
    }
}

/// What an operator is.
pub(super) enum What {
    /// One of ONNX, of the version [`OPSET`].
    Node(NodeProto),
    /// One that ONNX has no name for.
    Operator(&'static str, Operator),
}

/// Steps, and what is known of the values between them.
pub(super) struct Steps<'s, C> {
    graph: &'s GraphProto,
    steps: &'s [Step],
    /// The places of values by their names.
    slots: &'s BTreeMap<String, Slot>,
    /// Gives values that are known.
    constant: C,
    /// The step that gives a value.
    givers: BTreeMap<Slot, usize>,
    /// How many steps, and outputs, read a value.
    readers: BTreeMap<Slot, usize>,
}

/// A step that was recognized, and its inputs.
pub(super) struct Found<'s> {
    pub(super) at: usize,
    pub(super) node: &'s NodeProto,
    /// Up to the first that is left out.
    pub(super) inputs: Vec<Slot>,
}

impl Found<'_> {
    /// An input, which a file may have left out.
    pub(super) fn input(&self, i: usize) -> Option<Slot> {
        self.inputs.get(i).copied()
    }
}

impl<'s, C: Fn(Slot) -> Option<&'s Tensor>> Steps<'s, C> {
    pub(super) fn new(
        graph: &'s GraphProto,
        steps: &'s [Step],
        slots: &'s BTreeMap<String, Slot>,
        outputs: &[Slot],
        constant: C,
    ) -> Steps<'s, C> {
        let gives = |(at, step): (usize, &'s Step)| match step.outputs[..] {
            [Some(slot)] => Some((slot, at)),
            _ => None,
        };
        let mut readers = BTreeMap::new();
        let read = steps.iter().flat_map(|step| step.inputs.iter().flatten());
        read.chain(outputs).for_each(|slot| *readers.entry(*slot).or_default() += 1);
        let givers = steps.iter().enumerate().filter_map(gives).collect();
        Steps { graph, steps, slots, constant, givers, readers }
    }

    /// What the step at this place is the last node of, if it is of anything.
    pub(super) fn spelled(&self, at: usize) -> Option<Spelled> {
        match self.steps[at].name {
            "Add" => self.layer_norm(at).or_else(|| self.biased_product(at)),
            "Mul" => self.gelu(at).or_else(|| self.hard_swish(at)),
            "Div" => self.hard_swish(at),
            "Pad" => self.shortcut(at),
            "Conv" => self.padded_convolution(at),
            _ => None,
        }
    }

    /// The step at this place.
    pub(super) fn step(&self, at: usize) -> Option<Found<'s>> {
        let inputs = self.steps[at].inputs.iter().map_while(|slot| *slot).collect();
        Some(Found { at, node: self.graph.node.get(self.steps[at].at)?, inputs })
    }

    /// The step that gives a value, if its operator is of this name.
    pub(super) fn giver(&self, slot: Slot, name: &str) -> Option<Found<'s>> {
        let at = *self.givers.get(&slot)?;
        self.step(at).filter(|_| self.steps[at].name == name)
    }

    /// The two inputs of a step in the order in which `first` is something of the first.
    pub(super) fn pair<T>(
        &self,
        found: &Found<'s>,
        first: impl Fn(&Self, Slot) -> Option<T>,
    ) -> Option<(T, Slot)> {
        let [a, b] = found.inputs[..] else { return None };
        first(self, a).map(|of| (of, b)).or_else(|| first(self, b).map(|of| (of, a)))
    }

    fn vector(&self, slot: Slot) -> Option<usize> {
        let value = (self.constant)(slot)?;
        (value.rank() == 1 && value.dtype() == Dtype::F32).then(|| value.len())
    }

    /// Integers that are known.
    pub(super) fn integers(&self, slot: Slot) -> Option<Vec<i64>> {
        (self.constant)(slot).filter(|value| value.rank() == 1)?.to_vec::<i64>().ok()
    }

    pub(super) fn number(&self, slot: Slot) -> Option<f32> {
        let value = (self.constant)(slot).filter(|value| value.len() == 1)?;
        value.to_dtype::<f32>().ok()?.reshape([1]).ok()?.to_vec::<f32>().ok()?.first().copied()
    }

    /// A setting that is an attribute or, in later versions, an input, which who reads it takes from the step's.
    pub(super) fn setting(&self, found: &Found<'s>, name: &str, input: usize) -> Option<f32> {
        let attribute = found.node.attribute.iter().find(|attribute| attribute.name == name);
        let given = || self.number(*self.slots.get(found.node.input.get(input)?)?);
        attribute.map(|setting| setting.f).or_else(given)
    }

    pub(super) fn is(&self, slot: Slot, number: f32) -> bool {
        self.number(slot).is_some_and(|got| (got - number).abs() <= ROUNDING * number.abs())
    }

    /// What a mean of the last axis, which stays, is taken of.
    fn mean(&self, slot: Slot) -> Option<(Found<'s>, Slot)> {
        let mean = self.giver(slot, "ReduceMean")?;
        let attribute = |name: &str| mean.node.attribute.iter().find(|a| a.name == name);
        let is_last = match (attribute("axes"), mean.inputs.get(1)) {
            (Some(axes), _) => axes.ints == [-1],
            (None, Some(&axes)) => self.number(axes) == Some(-1.0),
            (None, None) => false,
        };
        let stays = attribute("keepdims").is_none_or(|keep| keep.i == 1);
        let of = mean.input(0)?;
        (is_last && stays).then_some((mean, of))
    }

    /// `(x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias`.
    fn layer_norm(&self, at: usize) -> Option<Spelled> {
        let shifted = self.step(at)?;
        let (scaled, bias) = self.pair(&shifted, |steps, slot| steps.giver(slot, "Mul"))?;
        let (divided, weight) = self.pair(&scaled, |steps, slot| steps.giver(slot, "Div"))?;
        if self.vector(weight)? != self.vector(bias)? {
            return None;
        }
        let [centered, root] = divided.inputs[..] else { return None };
        let difference = self.giver(centered, "Sub")?;
        let [x, mean] = difference.inputs[..] else { return None };
        let (mean, of) = self.mean(mean)?;
        let root = self.giver(root, "Sqrt")?;
        let sum = self.giver(root.input(0)?, "Add")?;
        let (epsilon, variance) = self.pair(&sum, Self::number)?;
        let (variance, squares) = self.mean(variance)?;
        let (square, is_square) = match (self.giver(squares, "Pow"), self.giver(squares, "Mul")) {
            (Some(power), _) => {
                let is_square = power.input(0)? == centered && self.is(power.input(1)?, 2.0);
                (power, is_square)
            }
            (None, Some(product)) => {
                let is_square = product.inputs == [centered, centered];
                (product, is_square)
            }
            (None, None) => return None,
        };
        if of != x || !is_square {
            return None;
        }
        let epsilon =
            AttributeProto { name: "epsilon".into(), f: epsilon, r#type: 1, ..Default::default() };
        let parts = [scaled, divided, difference, mean, root, sum, variance, square];
        Some(Spelled {
            what: What::Node(operator("LayerNormalization", vec![epsilon], 3)),
            inputs: vec![x, weight, bias],
            parts: parts.map(|part| part.at).to_vec(),
        })
    }

    /// `1 + erf(x / sqrt(2))`.
    fn doubled_share(&self, slot: Slot) -> Option<(Slot, Vec<usize>)> {
        let sum = self.giver(slot, "Add")?;
        let (error, one) = self.pair(&sum, |steps, slot| steps.giver(slot, "Erf"))?;
        let half_root = std::f32::consts::FRAC_1_SQRT_2;
        let of = error.input(0)?;
        let (scaled, is_scaled) = match (self.giver(of, "Div"), self.giver(of, "Mul")) {
            (Some(quotient), _) => {
                let is_scaled = self.is(quotient.input(1)?, std::f32::consts::SQRT_2);
                ((quotient.input(0)?, quotient.at), is_scaled)
            }
            (None, Some(product)) => {
                let (number, x) = self.pair(&product, Self::number)?;
                ((x, product.at), (number - half_root).abs() <= ROUNDING)
            }
            (None, None) => return None,
        };
        let (x, first) = scaled;
        (is_scaled && self.is(one, 1.0)).then(|| (x, vec![first, error.at, sum.at]))
    }

    /// `x (1 + erf(x / sqrt(2))) / 2`, in whatever order it is multiplied.
    fn gelu(&self, at: usize) -> Option<Spelled> {
        let last = self.step(at)?;
        let [a, b] = last.inputs[..] else { return None };
        // A product of two, one of which is a product again.
        let factors = |inner: Slot, outer: Slot| {
            let inner = self.giver(inner, "Mul")?;
            let [b, c] = inner.inputs[..] else { return None };
            Some(([outer, b, c], inner.at))
        };
        [(a, b), (b, a)].into_iter().find_map(|(inner, outer)| {
            let (factors, inner) = factors(inner, outer)?;
            let (x, mut parts) = factors.iter().find_map(|&slot| self.doubled_share(slot))?;
            let has_half = factors.iter().any(|&slot| self.is(slot, 0.5));
            parts.push(inner);
            (has_half && factors.contains(&x)).then(|| Spelled {
                what: What::Node(operator("Gelu", Vec::new(), 1)),
                inputs: vec![x],
                parts,
            })
        })
    }

    /// `x W + b`, whose product nobody else reads.
    fn biased_product(&self, at: usize) -> Option<Spelled> {
        let sum = self.step(at)?;
        let (product, bias) = self.pair(&sum, |steps, slot| steps.giver(slot, "MatMul"))?;
        let [x, weight] = product.inputs[..] else { return None };
        let matrix = (self.constant)(weight)?;
        let is_weight = matrix.rank() == 2 && matrix.dtype() == Dtype::F32;
        let gives = self.steps[product.at].outputs.first().copied().flatten()?;
        let is_bias = is_weight && self.vector(bias)? == matrix.shape()[1];
        (is_bias && self.readers.get(&gives) == Some(&1)).then(|| Spelled {
            what: What::Node(operator("Gemm", Vec::new(), 3)),
            inputs: vec![x, weight, bias],
            parts: vec![product.at],
        })
    }
}

/// A node of one output whose inputs are all there.
pub(super) fn operator(name: &str, attribute: Vec<AttributeProto>, inputs: usize) -> NodeProto {
    let input = (0..inputs).map(|i| format!("input {i}")).collect();
    NodeProto {
        op_type: name.into(),
        attribute,
        input,
        output: vec!["output".into()],
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::OnnxModel;
    use crate::proto::*;
    use tinytorch_core::{Rng, Tensor};

    /// A node of one output, which its name tells.
    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn mean(of: &str, output: &str) -> NodeProto {
        let axes =
            AttributeProto { name: "axes".into(), ints: vec![-1], r#type: 7, ..Default::default() };
        NodeProto { attribute: vec![axes], ..node("ReduceMean", &[of], output) }
    }

    fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        let (dims, float_data) = (dims.to_vec(), values.to_vec());
        TensorProto { name: name.into(), dims, data_type: 1, float_data, ..Default::default() }
    }

    const WIDTH: usize = 6;

    /// A graph of rows `x` that gives `y`, and `also` too.
    fn model(nodes: Vec<NodeProto>, also: &[&str]) -> OnnxModel {
        let weight: Vec<f32> = (0..WIDTH).map(|i| 0.5 + i as f32 / 4.0).collect();
        let matrix: Vec<f32> = (0..WIDTH * 4).map(|i| (i as f32).sin()).collect();
        let value = |name: &str, width: Option<usize>| ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: 1,
                    shape: width.map(|width| TensorShapeProto {
                        dim: [2, width as i64]
                            .map(|size| DimensionProto { dim_value: Some(size), dim_param: None })
                            .to_vec(),
                    }),
                }),
            }),
        };
        let graph = GraphProto {
            node: nodes,
            initializer: vec![
                tensor("weight", &[WIDTH as i64], &weight),
                tensor(
                    "bias",
                    &[WIDTH as i64],
                    &weight[..].iter().map(|w| w - 1.0).collect::<Vec<_>>(),
                ),
                tensor("matrix", &[WIDTH as i64, 4], &matrix),
                tensor("short", &[4], &[1.0, -2.0, 3.0, 0.5]),
                tensor("eps", &[], &[1e-3]),
                tensor("two", &[], &[2.0]),
                tensor("root", &[], &[std::f32::consts::SQRT_2]),
                tensor("one", &[], &[1.0]),
                tensor("three", &[1], &[3.0]),
                tensor("six", &[1], &[6.0]),
                tensor("sixth", &[], &[1.0 / 6.0]),
                tensor("zero", &[], &[0.0]),
                tensor("half", &[], &[0.5]),
            ],
            input: vec![value("x", Some(WIDTH))],
            output: ["y"].iter().chain(also).map(|name| value(name, None)).collect(),
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: 14 };
        let (ir_version, opset_import) = (8, vec![opset]);
        let proto =
            ModelProto { ir_version, opset_import, graph: Some(graph), ..Default::default() };
        OnnxModel::from_proto(&proto).unwrap()
    }

    fn norm() -> Vec<NodeProto> {
        vec![
            mean("x", "mean"),
            node("Sub", &["x", "mean"], "centered"),
            node("Pow", &["centered", "two"], "squares"),
            mean("squares", "variance"),
            node("Add", &["variance", "eps"], "sum"),
            node("Sqrt", &["sum"], "deviation"),
            node("Div", &["centered", "deviation"], "standard"),
            node("Mul", &["standard", "weight"], "scaled"),
            node("Add", &["scaled", "bias"], "y"),
        ]
    }

    fn gelu() -> Vec<NodeProto> {
        vec![
            node("Div", &["x", "root"], "scaled"),
            node("Erf", &["scaled"], "error"),
            node("Add", &["error", "one"], "share"),
            node("Mul", &["x", "share"], "twice"),
            node("Mul", &["twice", "half"], "y"),
        ]
    }

    fn product() -> Vec<NodeProto> {
        vec![node("MatMul", &["x", "matrix"], "product"), node("Add", &["short", "product"], "y")]
    }

    #[test]
    fn a_hard_swish_is_one_step_in_whatever_order_it_is_spelled() {
        let clipped = || {
            vec![
                node("Add", &["x", "three"], "sum"),
                node("Clip", &["sum", "zero", "six"], "share"),
            ]
        };
        let ends = [
            [("Mul", ["x", "share"]), ("Div", ["between", "six"])],
            [("Mul", ["share", "x"]), ("Mul", ["sixth", "between"])],
            [("Div", ["share", "six"]), ("Mul", ["x", "between"])],
            [("Mul", ["sixth", "share"]), ("Mul", ["between", "x"])],
        ];
        for [(first, of), (last, by)] in ends {
            let mut nodes = clipped();
            nodes.extend([node(first, &of, "between"), node(last, &by, "y")]);
            let spelled = model(nodes, &[]);
            assert_eq!(steps(&spelled), ["HardSwish"]);
            let want = input().map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0).unwrap();
            let got = spelled.run(&[input()]).unwrap().remove(0);
            assert!(got.allclose(&want, 1e-6, 1e-6).unwrap(), "{got:?} {want:?}");
        }
        // Clipped elsewhere, or of another value, it is none.
        for (bound, factor) in [("two", "x"), ("six", "sum")] {
            let nodes = vec![
                node("Add", &["x", "three"], "sum"),
                node("Clip", &["sum", "zero", bound], "share"),
                node("Mul", &[factor, "share"], "between"),
                node("Div", &["between", "six"], "y"),
            ];
            assert_eq!(steps(&model(nodes, &[])).len(), 4);
        }
    }

    fn steps(model: &OnnxModel) -> Vec<&'static str> {
        model.program().steps.iter().map(|step| step.name).collect()
    }

    fn input() -> Tensor {
        Tensor::randn([2, WIDTH], 2.0, &mut Rng::seed(3)).unwrap()
    }

    #[test]
    fn nodes_that_spell_an_operator_are_one_step() {
        for (nodes, name) in [(norm(), "LayerNormalization"), (gelu(), "Gelu"), (product(), "Gemm")]
        {
            let spelled = model(nodes.clone(), &[]);
            assert_eq!(steps(&spelled), [name]);
            // Without the last node, which none of the others spell: computed here as the format says.
            let (last, others) = nodes.split_last().unwrap();
            let names: Vec<&str> = last.input.iter().map(String::as_str).collect();
            let before =
                names.iter().find(|name| others.iter().any(|node| node.output[0] == **name));
            let mut others = others.to_vec();
            others.push(node("Identity", &[before.unwrap()], "y"));
            let before = model(others, &[]).run(&[input()]).unwrap().remove(0);
            let values = before.to_vec::<f32>().unwrap();
            let width = values.len() / 2;
            let expected: Vec<f32> = values
                .iter()
                .enumerate()
                .map(|(i, value)| match name {
                    "LayerNormalization" => value + (i % width) as f32 / 4.0 - 0.5,
                    "Gelu" => value * 0.5,
                    _ => value + [1.0, -2.0, 3.0, 0.5][i % width],
                })
                .collect();
            let expected = Tensor::from_vec(expected, *before.shape()).unwrap();
            let got = spelled.run(&[input()]).unwrap().remove(0);
            assert!(got.allclose(&expected, 1e-5, 1e-6).unwrap(), "{name}: {got:?} {expected:?}");
        }
    }

    #[test]
    fn slices_and_zeros_are_a_shortcut() {
        let integers = |name: &str, values: &[i64]| TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: 7,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        let model = |pads: &[i64]| {
            let nodes = vec![
                node("Slice", &["x", "zero", "end", "rows", "every"], "fewer"),
                node("Slice", &["fewer", "zero", "end", "columns", "every"], "few"),
                node("Pad", &["few", "pads"], "y"),
            ];
            let dim = |size: i64| DimensionProto { dim_value: Some(size), dim_param: None };
            let value = |name: &str, shape: Option<TensorShapeProto>| ValueInfoProto {
                name: name.into(),
                r#type: Some(TypeProto {
                    tensor_type: Some(TensorTypeProto { elem_type: 1, shape }),
                }),
            };
            let graph = GraphProto {
                node: nodes,
                initializer: vec![
                    integers("zero", &[0]),
                    integers("end", &[i64::MAX]),
                    integers("rows", &[2]),
                    integers("columns", &[3]),
                    integers("every", &[2]),
                    integers("pads", pads),
                ],
                input: vec![value(
                    "x",
                    Some(TensorShapeProto { dim: [1, 2, 3, 5].map(dim).to_vec() }),
                )],
                output: vec![value("y", None)],
                ..GraphProto::default()
            };
            let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
            let (ir_version, opset_import) = (8, vec![opset]);
            let proto =
                ModelProto { ir_version, opset_import, graph: Some(graph), ..Default::default() };
            OnnxModel::from_proto(&proto).unwrap()
        };
        let spelled = model(&[0, 1, 0, 0, 0, 2, 0, 0]);
        assert_eq!(steps(&spelled), ["PadShortcut"]);
        let x = Tensor::arange(30).unwrap().reshape([1, 2, 3, 5]).unwrap();
        let y = spelled.run(&[x]).unwrap().remove(0);
        assert_eq!(y.shape().dims(), [1, 5, 2, 3]);
        let zeros = [0.0; 6];
        let kept = [0.0, 2.0, 4.0, 10.0, 12.0, 14.0, 15.0, 17.0, 19.0, 25.0, 27.0, 29.0];
        let expected = [&zeros[..], &kept, &zeros, &zeros].concat();
        assert_eq!(y.to_vec::<f32>().unwrap(), expected);
        // More channels before than after, and rows of zeros, are none.
        for pads in [[0, 2, 0, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1, 0, 0]] {
            assert_eq!(steps(&model(&pads)), ["Slice", "Slice", "Pad"]);
        }
    }

    #[test]
    fn what_others_read_is_still_computed() {
        let spelled = model(norm(), &["standard"]);
        assert!(steps(&spelled).contains(&"LayerNormalization"));
        assert!(steps(&spelled).contains(&"Div"));
        let outputs = spelled.run(&[input()]).unwrap();
        let row = &outputs[1].to_vec::<f32>().unwrap()[..WIDTH];
        assert!(row.iter().sum::<f32>().abs() < 1e-5, "{row:?}");
        assert_eq!(steps(&model(product(), &["product"])), ["MatMul", "Add"]);
    }

    #[test]
    fn other_constants_and_inputs_spell_nothing() {
        let change = |mut nodes: Vec<NodeProto>, at: usize, inputs: [&str; 2]| {
            nodes[at].input = inputs.map(String::from).to_vec();
            let count = nodes.len();
            assert_eq!(steps(&model(nodes, &[])).len(), count);
        };
        change(norm(), 2, ["centered", "half"]);
        change(norm(), 1, ["mean", "mean"]);
        change(norm(), 6, ["x", "deviation"]);
        change(gelu(), 0, ["x", "two"]);
        change(gelu(), 2, ["error", "half"]);
        change(gelu(), 3, ["error", "share"]);
        change(gelu(), 4, ["twice", "two"]);
        change(product(), 1, ["one", "product"]);
    }

    #[test]
    fn a_model_that_was_saved_spells_the_same() {
        for nodes in [norm(), gelu(), product()] {
            let spelled = model(nodes, &[]);
            let again = OnnxModel::from_frame(spelled.frame()).unwrap();
            assert_eq!(steps(&again), steps(&spelled));
        }
    }
}
