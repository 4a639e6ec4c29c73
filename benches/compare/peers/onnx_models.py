"""ONNX models of the cases, for the engines that read them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from protocol import Case, Variant, Ways

OPSET = 17
# The format's version that goes with the opset, so that engines older than the package onnx read it.
IR_VERSION = 8


class Builder:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, values: Any, name: str = "") -> str:
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def model(self, inputs: dict[str, Any], output: str, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """The model that takes arrays like these and gives `output`."""
        takes = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ]
        gives = [helper.make_tensor_value_info(output, kind, None)]
        graph = helper.make_graph(self.nodes, "case", takes, gives, self.constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def product(case: Case, known: bool) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A float product and its inputs; `known` makes B a constant."""
    work = case.work
    a, b = case.array("a"), case.array("b")
    if work["batch"] == 1:
        a, b = a[0], b[0]
    graph, inputs = Builder(), {"a": a, "b": b}
    if known:
        graph.constant(inputs.pop("b"), "b")
    transposed = [work["a_transposed"], work["b_transposed"]]
    if work["batch"] == 1 and any(transposed):
        output = graph.add("Gemm", "a", "b", transA=int(transposed[0]), transB=int(transposed[1]))
    else:
        swapped = [
            graph.add("Transpose", name, perm=[0, 2, 1]) if flip else name
            for name, flip in zip("ab", transposed, strict=True)
        ]
        output = graph.add("MatMul", *swapped)
    return graph.model(inputs, output), inputs


def int8_product(case: Case, signed: bool) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The exact product of levels; B as u8 with a zero point of 128, or signed."""
    a, b = case.array("a_levels"), case.array("b_levels")
    graph = Builder()
    zero = graph.constant(numpy.array(128, numpy.uint8))
    if signed:
        factors = ["a", graph.constant(b), zero]
    else:
        factors = ["a", graph.constant((b.astype(numpy.int16) + 128).astype(numpy.uint8)), zero, zero]
    output = graph.add("MatMulInteger", *factors)
    return graph.model({"a": a}, output, TensorProto.INT32), {"a": a}


def inputs_of(case: Case) -> dict[str, Any]:
    """What the network of a case is run on, by the names of its inputs."""
    if case.work["kind"] == "onnx":
        return {name: case.array(f"input-{i}") for i, name in enumerate(case.work["inputs"])}
    return {"input": case.array("input")}


def calibration_of(case: Case) -> list[dict[str, Any]]:
    """Batches to calibrate on."""
    if case.work["kind"] == "onnx":
        names = case.work["inputs"]
        arrays = [case.array(f"calibration-{i}") for i in range(len(names))]
        return [dict(zip(names, batch, strict=True)) for batch in zip(*arrays, strict=True)]
    return [{"input": batch} for batch in case.array("calibration")]


def from_file(case: Case) -> onnx.ModelProto:
    """The model of a case that is a file, for inputs of the case's size and with constants that are no inputs, so that
    every engine may fold them."""
    model = onnx.load(case.work["file"])
    inputs = inputs_of(case)
    for value in list(model.graph.input):
        if value.name not in inputs:
            model.graph.input.remove(value)
            continue
        for dim, size in zip(value.type.tensor_type.shape.dim, inputs[value.name].shape, strict=True):
            dim.dim_value = size
    return model


def network(case: Case) -> onnx.ModelProto:
    """The network of a case, with its weights, for inputs of the case's size."""
    if case.work["kind"] == "onnx":
        return from_file(case)
    graph = Builder()
    value = graph.constant

    def weight(name: str) -> str:
        return value(case.array(f"weights/{name}"), name)

    def attention(node: dict[str, Any], output: str) -> str:
        """Scaled dot products of heads side by side in each row."""
        shape = value(numpy.array([0, 0, node["heads"], node["width"] // node["heads"]]))
        q, k, v = (graph.add("Reshape", name, shape) for name in node["inputs"])
        q, v = (graph.add("Transpose", heads, perm=[0, 2, 1, 3]) for heads in (q, v))
        k = graph.add("Transpose", k, perm=[0, 2, 3, 1])
        scale = value(numpy.float32((node["heads"] / node["width"]) ** 0.5))
        scores = graph.add("Mul", graph.add("MatMul", q, k), scale)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), v)
        rows = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return graph.add("Reshape", rows, value(numpy.array([0, 0, node["width"]])), output=output)

    def gelu(x: str, output: str) -> str:
        """As exporters write it: opset 17 has no GELU."""
        error = graph.add("Erf", graph.add("Div", x, value(numpy.float32(2**0.5))))
        doubled = graph.add("Mul", x, graph.add("Add", error, value(numpy.float32(1))))
        return graph.add("Mul", doubled, value(numpy.float32(0.5)), output=output)

    def shortcut(x: str, node: dict[str, Any], output: str) -> str:
        stride, added = node["stride"], node["added"]
        ends = [numpy.iinfo(numpy.int64).max] * 2
        every = graph.add(
            "Slice", x, *(value(numpy.array(part)) for part in ([0, 0], ends, [2, 3], [stride] * 2))
        )
        before = added // 2
        pads = [0, before, 0, 0, 0, added - before, 0, 0]
        return graph.add("Pad", every, value(numpy.array(pads)), output=output)

    def linear(x: str, node: dict[str, Any], output: str) -> str:
        name = node["name"]
        bias = weight(f"{name}.bias")
        if node["flat"]:
            return graph.add("Gemm", x, weight(f"{name}.weight"), bias, transB=1, output=output)
        transposed = value(case.array(f"weights/{name}.weight").T, f"{name}.weight")
        return graph.add("Add", graph.add("MatMul", x, transposed), bias, output=output)

    for node in case.work["nodes"]:
        op, output = node["op"], node["output"]
        x, name = node["inputs"][0], node.get("name")
        match op:
            case "linear":
                linear(x, node, output)
            case "conv":
                names = ("weight", "bias") if node["bias"] else ("weight",)
                parts = [weight(f"{name}.{part}") for part in names]
                size, pad = [node["stride"]] * 2, [node["padding"]] * 4
                graph.add("Conv", x, *parts, strides=size, pads=pad, output=output)
            case "batch-norm":
                parts = [
                    weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
                ]
                graph.add("BatchNormalization", x, *parts, epsilon=node["eps"], output=output)
            case "layer-norm":
                parts = [weight(f"{name}.{part}") for part in ("weight", "bias")]
                graph.add("LayerNormalization", x, *parts, epsilon=node["eps"], output=output)
            case "normalize":
                mean, std = (
                    numpy.array(node[part], numpy.float32).reshape(-1, 1, 1) for part in ("mean", "std")
                )
                graph.add("Div", graph.add("Sub", x, value(mean)), value(std), output=output)
            case "max-pool":
                graph.add(
                    "MaxPool", x, kernel_shape=[node["size"]] * 2, strides=[node["size"]] * 2, output=output
                )
            case "mean-of-channels":
                graph.add("Flatten", graph.add("GlobalAveragePool", x), output=output)
            case "flatten":
                graph.add("Flatten", x, output=output)
            case "relu":
                graph.add("Relu", x, output=output)
            case "gelu":
                gelu(x, output)
            case "add":
                graph.add("Add", *node["inputs"], output=output)
            case "attention":
                attention(node, output)
            case "pad-shortcut":
                shortcut(x, node, output)
            case _:
                raise ValueError(f"no ONNX operator for {op}")
    return graph.model({"input": case.array("input")}, case.work["nodes"][-1]["output"])


@dataclass
class Quantization:
    """An int8 model that ONNX Runtime's tools make: the way of the case that it is, and settings other than
    the tools' own."""

    way: str
    seven_bits: bool = False
    u8_weights: bool = False


# What is not the default is what ONNX Runtime's documentation advises for CPUs whose products of u8 and s8
# saturate.
QUANTIZATIONS = {
    "int8 static": Quantization("int8 static"),
    "int8 static, 7 bits": Quantization("int8 static", seven_bits=True),
    "int8 static, u8 weights": Quantization("int8 static", u8_weights=True),
    "int8 dynamic": Quantization("int8 dynamic"),
    "int8 dynamic, 7 bits": Quantization("int8 dynamic", seven_bits=True),
    "int8 dynamic, u8 weights": Quantization("int8 dynamic", u8_weights=True),
}


def quantized(case: Case, quantization: Quantization) -> bytes:
    """An int8 model, made by ONNX Runtime's tools on the case's calibration data."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration_of(case))

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    settings: dict[str, Any] = {
        "weight_type": QuantType.QUInt8 if quantization.u8_weights else QuantType.QInt8,
        "per_channel": quantization.seven_bits,
        "reduce_range": quantization.seven_bits,
    }
    with TemporaryDirectory() as folder:
        source, prepared, result = (Path(folder) / f"{part}.onnx" for part in ("float", "prepared", "int8"))
        onnx.save(network(case), source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        if quantization.way == "int8 static":
            # With activations of s8, the tools' default, ONNX Runtime leaves convolutions in float on x86.
            quantize_static(prepared, result, Batches(), activation_type=QuantType.QUInt8, **settings)
        else:
            quantize_dynamic(prepared, result, **settings)
        return result.read_bytes()


# Makes a way to run a model, given its bytes and its inputs.
Engine = Callable[[bytes, dict[str, Any]], Variant]


def product_ways(case: Case, engine: Engine) -> Ways:
    """The ways to run a product as an ONNX model."""

    def way(make: Callable[[Case, bool], tuple[onnx.ModelProto, dict[str, Any]]], flag: bool) -> Variant:
        model, inputs = make(case, flag)
        return engine(model.SerializeToString(), inputs)

    ways: Ways = {
        "f32": lambda: way(product, False),
        "f32, B known": lambda: way(product, True),
        "int8": lambda: way(int8_product, False),
        "int8, u8 x s8": lambda: way(int8_product, True),
    }
    return {name: make for name, make in ways.items() if case.wants(name)}


def network_ways(case: Case, engine: Engine) -> Ways:
    """The ways to run a network as an ONNX model."""
    inputs = inputs_of(case)

    def int8(quantization: Quantization) -> Callable[[], Variant]:
        return lambda: engine(quantized(case, quantization), inputs)

    ways: Ways = {"f32": lambda: engine(network(case).SerializeToString(), inputs)}
    wanted = {name: made for name, made in QUANTIZATIONS.items() if case.wants(made.way)}
    return ways | {name: int8(made) for name, made in wanted.items()}
