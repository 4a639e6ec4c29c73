"""Graphs of ONNX Runtime's quantizer against exact integers, which NumPy adds up in 64 bits.

Scales are rounded to powers of two after they were written, so that products, sums and divisions of floats are exact, and what is left
to compare is integers: every number has to be equal, on every instruction set.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime has no quantizer here")

ISAS = ["scalar"] + (["avx2"] if platform.machine() in ("x86_64", "AMD64") else [])
CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
ISAS += [isa for isa in ("avxvnni", "avx512vnni") if isa.replace("512", "512_").replace("avxvnni", "avx_vnni") in CPU]


@dataclass
class Steps:
    """Integers, and what one of them stands for."""

    numbers: Any
    scale: Any

    def floats(self) -> Any:
        return self.numbers * np.float64(self.scale)


Value = Union[Any, Steps]


def spread(values: Any, rank: int, axis: int) -> Any:
    """A list along an axis of so many."""
    values = np.asarray(values)
    return values if values.ndim == 0 or values.size == 1 else values.reshape([-1 if at == axis else 1 for at in range(rank)])


def quantize(x: Value, scale: Any, zero: Any) -> Any:
    info = np.iinfo(zero.dtype)
    x = x.floats() if isinstance(x, Steps) else np.asarray(x, np.float64)
    return np.clip(np.rint(x / np.float64(scale)) + np.int64(zero), info.min, info.max).astype(np.int64)


def dequantize(levels: Any, scale: Any, zero: Any, axis: int) -> Steps:
    levels = np.asarray(levels).astype(np.int64)
    zero, scale = (spread(np.asarray(value), levels.ndim, axis) for value in (zero, scale))
    return Steps(levels - zero.astype(np.int64), scale.astype(np.float64))


def convolved(x: Any, w: Any, pads: list[int], group: int) -> Any:
    """A convolution of integers, by its definition."""
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    rows, columns = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    out = np.zeros((len(x), len(w), rows, columns), np.int64)
    into, of = w.shape[1], len(w) // group
    for channel in range(len(w)):
        first = channel // of * into
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                part = x[:, first : first + into, i : i + rows, j : j + columns]
                out[:, channel] += np.einsum("nchw,c->nhw", part, w[channel, :, i, j])
    return out


def flat(scale: Any) -> Any:
    return np.asarray(scale, np.float64).reshape(-1)


class Exact:
    """Runs the operators that these tests need."""

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.values: dict[str, Value] = {"": None}
        self.values.update({one.name: onnx.numpy_helper.to_array(one) for one in self.graph.initializer})

    def run(self, x: Any) -> Any:
        self.values["x"] = x
        for node in self.graph.node:
            inputs = [self.values[name] for name in node.input]
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            outputs = getattr(self, node.op_type)(*inputs, **attributes)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            self.values.update(zip(node.output, outputs))
        y = self.values["y"]
        return (y.floats() if isinstance(y, Steps) else y).astype(np.float32)

    def QuantizeLinear(self, x: Value, scale: Any, zero: Any, **_: Any) -> Any:
        return quantize(x, scale, zero)

    def DequantizeLinear(self, levels: Any, scale: Any, zero: Any = None, axis: int = 1, **_: Any) -> Steps:
        return dequantize(levels, scale, np.int64(0) if zero is None else zero, axis)

    def Relu(self, x: Steps) -> Steps:
        return Steps(np.maximum(x.numbers, 0), x.scale)

    def Flatten(self, x: Value, axis: int = 1) -> Value:
        if isinstance(x, Steps):
            assert np.size(x.scale) == 1
            return Steps(x.numbers.reshape(len(x.numbers), -1), x.scale)
        return x.reshape(len(x), -1)

    def Conv(self, x: Steps, w: Steps, b: Optional[Steps] = None, pads: Any = (0, 0, 0, 0), group: int = 1, **_: Any) -> Steps:
        sums = convolved(x.numbers, w.numbers, list(pads), group)
        if b is not None:
            sums += b.numbers.reshape(1, -1, 1, 1)
        return Steps(sums, float(x.scale) * spread(flat(w.scale), 4, 1))

    def Gemm(self, x: Steps, w: Steps, b: Optional[Steps] = None, transB: int = 0, **_: Any) -> Steps:
        sums = x.numbers @ (w.numbers.T if transB else w.numbers)
        return Steps(sums + (0 if b is None else b.numbers), float(x.scale) * spread(flat(w.scale), 2, 1))

    def QLinearConv(self, x: Any, xs: Any, xz: Any, w: Any, ws: Any, wz: Any, ys: Any, yz: Any, b: Any = None, **how: Any) -> Any:
        bias = None if b is None else Steps(b.astype(np.int64), 1.0)
        return quantize(self.Conv(dequantize(x, xs, xz, 1), dequantize(w, ws, wz, 0), bias, **how), ys, yz)

    def QGemm(self, x: Any, xs: Any, xz: Any, w: Any, ws: Any, wz: Any, b: Any = None, ys: Any = None, yz: Any = None, transB: int = 0, **_: Any) -> Any:
        bias = None if b is None else Steps(b.astype(np.int64), 1.0)
        y = self.Gemm(dequantize(x, xs, xz, 1), dequantize(w, ws, wz, 0 if transB else 1), bias, transB)
        return y if ys is None else quantize(y, ys, yz)

    def DynamicQuantizeLinear(self, x: Any) -> Any:
        low, high = min(np.float32(0), x.min()), max(np.float32(0), x.max())
        scale = np.float32(high - low) / np.float32(255)
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        return quantize(x, scale, zero), scale, zero

    def MatMulInteger(self, x: Any, w: Any, xz: Any, wz: Any) -> Any:
        return (x - np.int64(xz)) @ (w.astype(np.int64) - np.asarray(wz, np.int64))

    def ConvInteger(self, x: Any, w: Any, xz: Any, wz: Any, pads: Any = (0, 0, 0, 0), group: int = 1, **_: Any) -> Any:
        w = w.astype(np.int64) - spread(np.asarray(wz, np.int64), 4, 0)
        return convolved(x - np.int64(xz), w, list(pads), group)

    def Cast(self, x: Any, to: int) -> Any:
        assert to == onnx.TensorProto.FLOAT
        return x.astype(np.float64)

    def Mul(self, a: Any, b: Any) -> Any:
        return np.float64(a) * np.float64(b) if np.ndim(a) == 0 and np.ndim(b) == 0 else a * np.asarray(b, np.float64)

    def Add(self, a: Any, b: Any) -> Any:
        return a + np.asarray(b, np.float64)

    def Reshape(self, x: Any, shape: Any, **_: Any) -> Any:
        return np.reshape(x, shape)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs, [output], **attributes)


def saved(path: Path, nodes: list[Any], weights: dict[str, Any], shape: list[Any], out: list[Any]) -> Path:
    ends = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, ["n", *sizes]) for end, sizes in (("x", shape), ("y", out))]
    made = [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], made)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def convolutions(path: Path) -> Path:
    """A convolution with a border, one of two groups, and a head."""
    rng = np.random.default_rng(5)
    shapes = {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (6, 4, 2, 2), "b1": (6,), "w2": (5, 150), "b2": (5,)}
    weights = {name: rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for name, shape in shapes.items()}
    nodes = [
        node("Conv", ["x", "w0", "b0"], "c0", pads=[1] * 4),
        node("Relu", ["c0"], "r0"),
        node("Conv", ["r0", "w1", "b1"], "c1", group=2),
        node("Relu", ["c1"], "r1"),
        node("Flatten", ["r1"], "f"),
        node("Gemm", ["f", "w2", "b2"], "y", transB=1),
    ]
    return saved(path, nodes, weights, [3, 6, 6], [5])


def power(scale: Any) -> Any:
    return np.exp2(np.rint(np.log2(scale))).astype(np.float32)


def in_powers_of_two(path: Path) -> Any:
    """The same model with scales that are powers of two; those of biases are still the products' steps."""
    model = onnx.load(path)
    constants = {one.name: one for one in model.graph.initializer}
    array = lambda name: onnx.numpy_helper.to_array(constants[name])  # noqa: E731
    biases = {}
    for one in model.graph.node:
        if one.op_type in ("Conv", "Gemm"):
            giver = {output: other for other in model.graph.node for output in other.output}
            x, w, b = (giver[name] for name in one.input)
            biases[b.input[1]] = (x.input[1], w.input[1])
    for name, one in constants.items():
        if one.data_type == onnx.TensorProto.FLOAT and "scale" in name and name not in biases:
            one.CopyFrom(onnx.numpy_helper.from_array(power(array(name)), name))
    for name, (x, w) in biases.items():
        value = (array(x) * array(w)).astype(np.float32).reshape(array(name).shape)
        constants[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, path)
    return model


def move_zeros(model: Any, path: Path) -> None:
    """Other levels that stand for 0, one for each that a weight has: the quantizer leaves those of channels in the middle."""
    rng = np.random.default_rng(6)
    for one in model.graph.initializer:
        if one.name in ("w0_zero_point", "w1_zero_point", "w2_zero_point"):
            zeros = onnx.numpy_helper.to_array(one)
            moved = zeros.astype(np.int64) + rng.integers(-9, 10, zeros.shape)
            one.CopyFrom(onnx.numpy_helper.from_array(moved.clip(np.iinfo(zeros.dtype).min, np.iinfo(zeros.dtype).max).astype(zeros.dtype), one.name))
    onnx.save(model, path)


class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.batches: Iterator[Any] = iter([{"x": rng.standard_normal((16, 3, 6, 6)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> Any:
        return next(self.batches, None)


def command(*words: object, **environment: str) -> str:
    line = [sys.executable, "-m", "tinytorch", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_exact(path: Path, x: Any, want: Any, isa: str, folder: Path) -> None:
    np.savez(folder / "x.npz", x=x)
    command("run", path, "--input", folder / "x.npz", "--out", folder / "y.npz", TINYTORCH_ISA=isa)
    np.testing.assert_array_equal(np.load(folder / "y.npz")["y"], want)


def assert_kept(path: Path, folder: Path) -> None:
    """What is saved, loaded and saved again is the same file, in both formats."""
    kept, exported = [], [path]
    for name in ("first", "second", "third"):
        (folder / name).mkdir()
        # A file notes under which name it was imported.
        kept.append(folder / name / "int8.safetensors")
        command("import", exported[-1], "--out", kept[-1])
        exported.append(folder / name / "int8.onnx")
        command("export", kept[-1], "--out", exported[-1])
    assert exported[1].read_bytes() == exported[2].read_bytes() == exported[3].read_bytes()
    assert kept[1].read_bytes() == kept[2].read_bytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("types", [("QInt8", "QUInt8"), ("QInt8", "QInt8"), ("QUInt8", "QUInt8"), ("QInt8", "QUInt8", "off center"), ("QUInt8", "QUInt8", "off center")], ids="-".join)
def test_a_static_graph_gives_exact_integers(form: str, per_channel: bool, types: tuple[str, ...], isa: str, tmp_path: Path) -> None:
    path, out = convolutions(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    weight, activation = (getattr(quantization.QuantType, kind) for kind in types[:2])
    quantization.quantize_static(
        path,
        out,
        Batches(),
        quant_format=getattr(quantization.QuantFormat, form),
        per_channel=per_channel,
        weight_type=weight,
        activation_type=activation,
    )
    model = in_powers_of_two(out)
    if "off center" in types:
        move_zeros(model, out)
    x = np.random.default_rng(2).standard_normal((7, 3, 6, 6)).astype(np.float32)
    want = Exact(model).run(x)
    assert len(np.unique(want)) > 10
    assert_exact(out, x, want, isa, tmp_path)
    if isa == ISAS[0]:
        assert_kept(out, tmp_path)


def products(path: Path) -> Path:
    weights = {"w": np.random.default_rng(3).standard_normal((40, 12))}
    return saved(path, [node("MatMul", ["x", "w"], "y")], weights, [40], [12])


def kernels(path: Path) -> Path:
    weights = {"w": np.random.default_rng(4).standard_normal((6, 2, 3, 3))}
    return saved(path, [node("Conv", ["x", "w"], "y", pads=[1] * 4, group=2)], weights, [4, 5, 5], [6, 5, 5])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("made", [(products, (9, 40)), (kernels, (3, 4, 5, 5))], ids=["MatMul", "Conv"])
def test_a_dynamic_graph_gives_exact_integers(made: Any, kind: str, isa: str, tmp_path: Path) -> None:
    make, shape = made
    path, out = make(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    quantization.quantize_dynamic(path, out, weight_type=getattr(quantization.QuantType, kind))
    model = in_powers_of_two(out)
    # A range of 255 steps of 1/64: that of the integers is a power of two, too.
    x = np.random.default_rng(2).integers(-100, 156, shape) / 64
    x.flat[0], x.flat[1] = -100 / 64, 155 / 64
    x = x.astype(np.float32)
    assert_exact(out, x, Exact(model).run(x), isa, tmp_path)
    if isa == ISAS[0]:
        assert_kept(out, tmp_path)


@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("types", [("QInt8", "QUInt8"), ("QInt8", "QUInt8", "off center"), ("QUInt8", "QUInt8", "off center")], ids="-".join)
def test_what_is_exported_gives_the_same_integers_in_openvino(per_channel: bool, types: tuple[str, ...], tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    path, out, kept, exported = (tmp_path / name for name in ("float.onnx", "int8.onnx", "int8.safetensors", "exported.onnx"))
    weight, activation = (getattr(quantization.QuantType, kind) for kind in types[:2])
    quantization.quantize_static(convolutions(path), out, Batches(), per_channel=per_channel, weight_type=weight, activation_type=activation)
    model = in_powers_of_two(out)
    if "off center" in types:
        move_zeros(model, out)
    command("import", out, "--out", kept)
    command("export", kept, "--out", exported)
    x = np.random.default_rng(2).standard_normal((7, 3, 6, 6)).astype(np.float32)
    # Left alone it computes in 16 bits where a processor can.
    compiled = openvino.compile_model(str(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got, want = compiled([x])[compiled.outputs[0]], Exact(model).run(x)
    assert np.abs(got - want).max() <= 0.02 * np.abs(want).max()
    if "vnni" in CPU:
        # Elsewhere its products of bytes may saturate.
        assert (got == want).mean() >= 0.98
