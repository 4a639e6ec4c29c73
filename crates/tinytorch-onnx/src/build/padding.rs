//! A border of zeros that is a node of its own before a convolution, as TensorFlow and Keras write it: the convolution has one
//! itself, which is no copy of the image and lets levels of 8 bits through.

use super::idioms::{Found, Spelled, Steps, What, operator};
use crate::program::Slot;
use crate::proto::AttributeProto;
use tinytorch_core::Tensor;

/// The attributes of a convolution that say where its borders are.
const BORDERS: [&str; 2] = ["auto_pad", "pads"];

/// The type of an attribute that is a list of integers.
const INTS: i32 = 7;

impl<'s, C: Fn(Slot) -> Option<&'s Tensor>> Steps<'s, C> {
    pub(super) fn padded_convolution(&self, at: usize) -> Option<Spelled> {
        let conv = self.step(at)?;
        let pad = self.giver(conv.input(0)?, "Pad")?;
        let border = self.border(&pad)?;
        let of = |name: &str| conv.node.attribute.iter().find(|attribute| attribute.name == name);
        if of("auto_pad").is_some_and(|auto| !matches!(&auto.s[..], b"NOTSET" | b"VALID")) {
            return None;
        }
        let own = of("pads").map_or(&[][..], |pads| &pads.ints);
        let pads = border.iter().enumerate().map(|(i, pad)| pad + own.get(i).unwrap_or(&0));
        let pads = AttributeProto {
            name: "pads".into(),
            ints: pads.collect(),
            r#type: INTS,
            ..AttributeProto::default()
        };
        let others = conv.node.attribute.iter();
        let others = others.filter(|attribute| !BORDERS.contains(&attribute.name.as_str()));
        let mut inputs = conv.inputs.clone();
        inputs[0] = pad.input(0)?;
        let node = operator("Conv", others.cloned().chain([pads]).collect(), inputs.len());
        Some(Spelled { what: What::Node(node), inputs, parts: vec![pad.at] })
    }

    /// The zeros that a node adds around images, signals or volumes, if it adds nothing else: before each axis, then behind each.
    fn border(&self, pad: &Found<'s>) -> Option<Vec<i64>> {
        let of = |name: &str| pad.node.attribute.iter().find(|attribute| attribute.name == name);
        let pads = match (of("pads"), &pad.inputs[..]) {
            (Some(pads), [_]) => pads.ints.clone(),
            (None, [_, pads] | [_, pads, _]) => self.integers(*pads)?,
            _ => return None,
        };
        let is_zero = match pad.inputs[..] {
            [_, _, value] => self.number(value) == Some(0.0),
            _ => of("value").is_none_or(|value| value.f == 0.0),
        };
        let is_constant = of("mode").is_none_or(|mode| mode.s == "constant");
        let (before, behind) = pads.split_at(pads.len() / 2);
        let axes = [before, behind].map(|pads| pads.split_at_checked(2));
        let [Some((outside, before)), Some((also_outside, behind))] = axes else { return None };
        let border = [before, behind].concat();
        let is_border =
            [outside, also_outside].concat() == [0; 4] && border.iter().all(|pad| *pad >= 0);
        (is_zero && is_constant && is_border).then_some(border)
    }
}

#[cfg(test)]
mod tests {
    use crate::OnnxModel;
    use crate::proto::*;
    use tinytorch_core::Tensor;

    fn ints(name: &str, ints: &[i64]) -> AttributeProto {
        let ints = ints.to_vec();
        AttributeProto { name: name.into(), ints, r#type: 7, ..AttributeProto::default() }
    }

    fn text(name: &str, s: &'static str) -> AttributeProto {
        AttributeProto { name: name.into(), s: s.into(), r#type: 3, ..AttributeProto::default() }
    }

    fn node(op: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        }
    }

    fn value(name: &str, dims: Option<[i64; 4]>) -> ValueInfoProto {
        let dim = |size: i64| DimensionProto { dim_value: Some(size), dim_param: None };
        let shape = dims.map(|dims| TensorShapeProto { dim: dims.map(dim).to_vec() });
        let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    }

    /// An image of 3 x 3 numbers, 1 to 9, under a kernel whose weights are a digit each; `zeros` are the border's values.
    fn model(version: i64, pad: NodeProto, conv: Vec<AttributeProto>, zeros: f32) -> OnnxModel {
        let floats = |name: &str, dims: &[i64], values: &[f32]| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data: values.to_vec(),
            ..TensorProto::default()
        };
        let border = TensorProto {
            name: "border".into(),
            dims: vec![8],
            data_type: 7,
            int64_data: vec![0, 0, 1, 0, 0, 0, 0, 2],
            ..TensorProto::default()
        };
        let channels = TensorProto {
            name: "channels".into(),
            int64_data: vec![0, 0, 0, 0, 1, 0, 0, 0],
            ..border.clone()
        };
        let graph = GraphProto {
            node: vec![pad, node("Conv", &["padded", "weight"], conv, "y")],
            initializer: vec![
                floats("weight", &[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]),
                floats("zeros", &[], &[zeros]),
                border,
                channels,
            ],
            input: vec![value("x", Some([1, 1, 3, 3]))],
            output: vec![value("y", None)],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
        let graph = Some(graph);
        OnnxModel::from_proto(&ModelProto {
            ir_version: 8,
            opset_import,
            graph,
            ..Default::default()
        })
        .unwrap()
    }

    fn pad(inputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
        node("Pad", inputs, attribute, "padded")
    }

    fn steps(model: &OnnxModel) -> Vec<&'static str> {
        model.program().steps.iter().map(|step| step.name).collect()
    }

    fn outputs(model: &OnnxModel) -> Vec<f32> {
        let x =
            Tensor::from_vec((1..10).map(|i| i as f32).collect::<Vec<_>>(), [1, 1, 3, 3]).unwrap();
        model.run(&[x]).unwrap()[0].to_vec().unwrap()
    }

    /// The rows 0 0 0, 1 2 3, 4 5 6 and 7 8 9, with two columns of zeros behind each, in steps of two.
    const WINDOWS: [f32; 4] = [2100.0, 300.0, 8754.0, 906.0];

    #[test]
    fn a_border_of_zeros_is_the_convolutions_own() {
        let strides = || ints("strides", &[2, 2]);
        let as_input = |inputs: &[&str], conv| model(13, pad(inputs, vec![]), conv, 0.0);
        let as_attribute = pad(&["x"], vec![ints("pads", &[0, 0, 1, 0, 0, 0, 0, 2])]);
        for padded in [
            as_input(&["x", "border"], vec![strides()]),
            as_input(&["x", "border", "zeros"], vec![strides(), text("auto_pad", "VALID")]),
            as_input(&["x", "border"], vec![strides(), text("auto_pad", "NOTSET")]),
            model(10, as_attribute, vec![strides()], 0.0),
        ] {
            assert_eq!(steps(&padded), ["Conv"]);
            assert_eq!(outputs(&padded), WINDOWS);
        }
        let own = as_input(&["x", "border"], vec![strides(), ints("pads", &[1, 0, 0, 0])]);
        assert_eq!(steps(&own), ["Conv"]);
        assert_eq!(outputs(&own), [0.0, 0.0, 5421.0, 603.0]);
    }

    #[test]
    fn another_border_is_a_step_of_its_own() {
        let strides = || vec![ints("strides", &[2, 2])];
        let bordered = |zeros| model(13, pad(&["x", "border", "zeros"], vec![]), strides(), zeros);
        assert_eq!(steps(&bordered(0.0)), ["Conv"]);
        assert_eq!(steps(&bordered(1.0)), ["Pad", "Conv"]);
        assert_eq!(outputs(&bordered(1.0))[0], 2111.0);
        let reflected = pad(&["x", "border"], vec![text("mode", "reflect")]);
        assert_eq!(steps(&model(13, reflected, strides(), 0.0)), ["Pad", "Conv"]);
        let same = vec![ints("strides", &[2, 2]), text("auto_pad", "SAME_UPPER")];
        let same = model(13, pad(&["x", "border"], vec![]), same, 0.0);
        assert_eq!(steps(&same), ["Pad", "Conv"]);
        let cut = pad(&["x"], vec![ints("pads", &[0, 0, -1, 0, 0, 0, 0, 0])]);
        assert_eq!(steps(&model(10, cut, strides(), 0.0)), ["Pad", "Conv"]);
        let channels = model(13, pad(&["x", "channels"], vec![]), strides(), 0.0);
        assert_eq!(steps(&channels), ["Pad", "Conv"]);
    }
}
