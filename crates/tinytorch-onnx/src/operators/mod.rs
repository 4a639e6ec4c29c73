//! The operators, a file for each or for a few of a kind: a node is read into a function of values.
//!
//! What an operator does differs by the version of its set; each file asks [`Node::opset`] where it does.

mod arithmetic;
mod cast;
mod compare;
mod concat;
mod constant;
pub(crate) mod control;
mod convolution;
mod einsum;
mod gather;
mod identity;
mod integer;
mod linear;
mod normalization;
mod pad;
mod pointwise;
mod pool;
mod quantized;
mod range;
mod rearrange;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod shape;
mod slice;
mod softmax;
mod split;
mod transpose;
mod transposed;
mod transposed_volume;
mod values;
mod volume;
mod windows;

use crate::apply::Operator;

use crate::node::{Node, Reading};
use crate::proto::NodeProto;

/// Reads a node.
type Reader = fn(&Node<'_>) -> Reading<Operator>;

/// ONNX's own operators.
const OWN: &[(&str, Reader)] = &[
    ("Abs", pointwise::abs),
    ("Acos", pointwise::scalar),
    ("Acosh", pointwise::scalar),
    ("Add", arithmetic::add),
    ("And", compare::and),
    ("ArgMax", gather::arg_max),
    ("ArgMin", gather::arg_min),
    ("Asin", pointwise::scalar),
    ("Asinh", pointwise::scalar),
    ("Atan", pointwise::scalar),
    ("Atanh", pointwise::scalar),
    ("AveragePool", pool::average),
    ("BatchNormalization", normalization::batch),
    ("Cast", cast::cast),
    ("CastLike", cast::cast_like),
    ("Ceil", pointwise::scalar),
    ("Celu", pointwise::celu),
    ("Clip", pointwise::clip),
    ("Concat", concat::concat),
    ("Constant", constant::constant),
    ("ConstantOfShape", constant::of_shape),
    ("Conv", convolution::conv),
    ("ConvInteger", integer::conv),
    ("ConvTranspose", transposed::conv_transpose),
    ("Cos", pointwise::scalar),
    ("Cosh", pointwise::scalar),
    ("CumSum", rearrange::cum_sum),
    ("DepthToSpace", rearrange::depth_to_space),
    ("DequantizeLinear", quantized::dequantize),
    ("Div", arithmetic::div),
    ("Dropout", identity::dropout),
    ("DynamicQuantizeLinear", quantized::dynamic_quantize),
    ("Einsum", einsum::einsum),
    ("Elu", pointwise::elu),
    ("Equal", compare::equal),
    ("Erf", pointwise::erf),
    ("Exp", pointwise::exp),
    ("Expand", shape::expand),
    ("Flatten", reshape::flatten),
    ("Floor", pointwise::scalar),
    ("GRU", recurrent::gru),
    ("Gather", gather::gather),
    ("GatherElements", gather::gather_elements),
    ("Gelu", pointwise::gelu),
    ("Gemm", linear::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("Greater", compare::greater),
    ("GreaterOrEqual", compare::greater_or_equal),
    ("HardSigmoid", pointwise::hard_sigmoid),
    ("HardSwish", pointwise::hard_swish),
    ("Identity", identity::identity),
    ("InstanceNormalization", normalization::instance),
    ("IsNaN", compare::is_nan),
    ("LRN", rearrange::lrn),
    ("LSTM", recurrent::lstm),
    ("LayerNormalization", normalization::layer),
    ("LeakyRelu", pointwise::leaky_relu),
    ("Less", compare::less),
    ("LessOrEqual", compare::less_or_equal),
    ("Log", pointwise::log),
    ("LogSoftmax", softmax::log_softmax),
    ("LpNormalization", normalization::lp),
    ("LpPool", pool::lp),
    ("MatMul", linear::matmul),
    ("MatMulInteger", integer::matmul),
    ("Max", arithmetic::max),
    ("MaxPool", pool::max),
    ("Mean", arithmetic::mean),
    ("MeanVarianceNormalization", normalization::mean_variance),
    ("Min", arithmetic::min),
    ("Mish", pointwise::scalar),
    ("Mod", arithmetic::modulo),
    ("Mul", arithmetic::mul),
    ("Neg", pointwise::neg),
    ("Not", compare::not),
    ("OneHot", rearrange::one_hot),
    ("Or", compare::or),
    ("PRelu", pointwise::prelu),
    ("Pad", pad::pad),
    ("Pow", arithmetic::pow),
    ("RMSNormalization", normalization::rms),
    ("RNN", recurrent::rnn),
    ("QuantizeLinear", quantized::quantize),
    ("Range", range::range),
    ("Reciprocal", pointwise::reciprocal),
    ("ReduceL1", reduce::l1),
    ("ReduceL2", reduce::l2),
    ("ReduceLogSum", reduce::log_sum),
    ("ReduceLogSumExp", reduce::log_sum_exp),
    ("ReduceMax", reduce::max),
    ("ReduceMean", reduce::mean),
    ("ReduceMin", reduce::min),
    ("ReduceProd", reduce::prod),
    ("ReduceSum", reduce::sum),
    ("ReduceSumSquare", reduce::sum_square),
    ("Relu", pointwise::relu),
    ("Reshape", reshape::reshape),
    ("Resize", resize::resize),
    ("Round", pointwise::scalar),
    ("ScatterND", rearrange::scatter_nd),
    ("Selu", pointwise::selu),
    ("Shape", shape::shape),
    ("Shrink", pointwise::shrink),
    ("Sigmoid", pointwise::sigmoid),
    ("Sign", pointwise::scalar),
    ("Sin", pointwise::scalar),
    ("Sinh", pointwise::scalar),
    ("Size", shape::size),
    ("Slice", slice::slice),
    ("Softmax", softmax::softmax),
    ("Softplus", pointwise::scalar),
    ("Softsign", pointwise::scalar),
    ("SpaceToDepth", rearrange::space_to_depth),
    ("Split", split::split),
    ("Sqrt", pointwise::sqrt),
    ("Squeeze", reshape::squeeze),
    ("Sub", arithmetic::sub),
    ("Sum", arithmetic::sum),
    ("Swish", pointwise::swish),
    ("Tan", pointwise::scalar),
    ("Tanh", pointwise::tanh),
    ("ThresholdedRelu", pointwise::thresholded_relu),
    ("Tile", rearrange::tile),
    ("TopK", gather::top_k),
    ("Transpose", transpose::transpose),
    ("Trilu", rearrange::trilu),
    ("Unsqueeze", reshape::unsqueeze),
    ("Upsample", resize::upsample),
    ("Where", compare::choose),
    ("Xor", compare::xor),
];

/// Those that ONNX Runtime adds and exporters write.
const MICROSOFT: &[(&str, Reader)] =
    &[("Gelu", pointwise::gelu), ("SkipLayerNormalization", normalization::skip_layer)];

/// The oldest version from which on operators are known.
const OLDEST: i64 = 7;

/// Operators that are as they were in version 1.
const UNCHANGED: [&str; 12] = [
    "DepthToSpace",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "LRN",
    "Not",
    "Relu",
    "Shape",
    "Sigmoid",
    "Size",
    "Tanh",
    "Transpose",
];

/// Operators whose version 6 is version 7 in other words: attributes that are gone since are known to their readers.
const AS_IN_SEVEN: [&str; 45] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "ConvTranspose",
    "Div",
    "Elu",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "HardSigmoid",
    "InstanceNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Selu",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Unsqueeze",
];

/// The name of a node's operator, and the node as a function.
pub(crate) fn read(proto: &NodeProto, node: &Node<'_>) -> Reading<(&'static str, Operator)> {
    let table = match proto.domain.as_str() {
        "" | "ai.onnx" => OWN,
        "com.microsoft" => MICROSOFT,
        _ => return Err("operators of this domain are not known".into()),
    };
    let found = table.iter().find(|(name, _)| *name == proto.op_type);
    let (name, reader) = found.ok_or("the operator is not supported")?;
    let is_known = UNCHANGED.contains(name) || (node.opset == 6 && AS_IN_SEVEN.contains(name));
    if table.len() == OWN.len() && node.opset < OLDEST && !is_known {
        return Err(format!(
            "of version {}; from version {OLDEST} on it is supported: convert the model with onnx.version_converter",
            node.opset
        ));
    }
    let operator = reader(node)?;
    node.check_attributes()?;
    Ok((name, operator))
}
