"""Graphs that ONNX Runtime's quantizer has written, against what ONNX Runtime itself makes of them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import pytest

import tinytorch as tt

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime has no quantizer here")

Node = Any


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Node:
    return onnx.helper.make_node(op, inputs, [output], **attributes)


class Weights:
    """Random weights, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.made: list[Any] = []

    def add(self, name: str, *shape: int, fan: Optional[int] = None) -> None:
        fan = fan or int(np.prod(shape[1:])) or 100
        values = self.rng.standard_normal(shape) / np.sqrt(fan)
        self.made.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))


def saved(folder: Path, name: str, nodes: list[Node], weights: Weights, shape: list[Any], out: list[Any]) -> Path:
    ends = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, ["n", *sizes]) for end, sizes in (("x", shape), ("y", out))]
    graph = onnx.helper.make_graph(nodes, name, ends[:1], ends[1:], weights.made)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def residual(folder: Path) -> Path:
    """Convolutions with an addition around two of them, pooling and a head."""
    weights = Weights()
    for i, channels in enumerate((3, 16, 16)):
        weights.add(f"w{i}", 16, channels, 3, 3)
        weights.add(f"b{i}", 16)
    weights.add("head", 10, 16)
    weights.add("bias", 10)
    nodes = [
        node("Conv", ["x", "w0", "b0"], "c0", pads=[1] * 4),
        node("Relu", ["c0"], "r0"),
        node("Conv", ["r0", "w1", "b1"], "c1", pads=[1] * 4),
        node("Relu", ["c1"], "r1"),
        node("Conv", ["r1", "w2", "b2"], "c2", pads=[1] * 4),
        node("Add", ["c2", "r0"], "s"),
        node("Relu", ["s"], "r2"),
        node("MaxPool", ["r2"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["m"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "head", "bias"], "y", transB=1),
    ]
    return saved(folder, "residual", nodes, weights, [3, 12, 12], [10])


def separable(folder: Path) -> Path:
    """A strided convolution, a depthwise and a pointwise one, clips and a concatenation."""
    weights = Weights()
    for name, shape in (("w0", (24, 3, 3, 3)), ("w1", (24, 1, 3, 3)), ("w2", (16, 24, 1, 1)), ("w3", (32, 16, 1, 1))):
        weights.add(name, *shape)
        weights.add(name.replace("w", "b"), shape[0])
    weights.add("head", 10, 48)
    weights.add("bias", 10)
    weights.made += [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 0), ("high", 6))]
    clip = lambda i: node("Clip", [f"c{i}", "low", "high"], f"r{i}")  # noqa: E731
    nodes = [
        node("Conv", ["x", "w0", "b0"], "c0", pads=[1] * 4, strides=[2, 2]),
        clip(0),
        node("Conv", ["r0", "w1", "b1"], "c1", pads=[1] * 4, group=24),
        clip(1),
        node("Conv", ["r1", "w2", "b2"], "c2"),
        node("Conv", ["c2", "w3", "b3"], "c3"),
        clip(3),
        node("Concat", ["r3", "c2"], "cc", axis=1),
        node("GlobalAveragePool", ["cc"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "head", "bias"], "y", transB=1),
    ]
    return saved(folder, "separable", nodes, weights, [3, 16, 16], [10])


def encoder(folder: Path) -> Path:
    """Attention and a feed-forward part, of constants and of values."""
    weights = Weights()
    for name in ("wq", "wk", "wv", "wo"):
        weights.add(name, 32, 32)
    weights.add("w1", 32, 64)
    weights.add("w2", 64, 32)
    for name in ("bq", "bk", "shift"):
        weights.add(name, 32)
    weights.add("b1", 64)
    weights.made.append(onnx.numpy_helper.from_array(np.ones(32, np.float32), "gain"))
    nodes = [
        node("LayerNormalization", ["x", "gain", "shift"], "n0", axis=-1),
        node("MatMul", ["n0", "wq"], "q0"),
        node("Add", ["q0", "bq"], "q"),
        node("MatMul", ["n0", "wk"], "k0"),
        node("Add", ["k0", "bk"], "k"),
        node("MatMul", ["n0", "wv"], "v"),
        node("Transpose", ["k"], "kt", perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], "a"),
        node("Softmax", ["a"], "sm", axis=-1),
        node("MatMul", ["sm", "v"], "o"),
        node("MatMul", ["o", "wo"], "p"),
        node("Add", ["p", "x"], "h"),
        node("MatMul", ["h", "w1"], "f0"),
        node("Add", ["f0", "b1"], "f1"),
        node("Relu", ["f1"], "f2"),
        node("MatMul", ["f2", "w2"], "f3"),
        node("Add", ["f3", "h"], "y"),
    ]
    return saved(folder, "encoder", nodes, weights, [8, 32], [8, 32])


MODELS = {"residual": (residual, (3, 12, 12)), "separable": (separable, (3, 16, 16)), "encoder": (encoder, (8, 32))}


class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(1)
        self.batches: Iterator[dict[str, Any]] = iter([{"x": rng.standard_normal((8, *shape)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> Optional[dict[str, Any]]:
        return next(self.batches, None)


def as_written(path: Path, x: Any) -> Any:
    """What the graph means: each node by itself, in integers where it says so."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def assert_equal_but_for_ties(got: Any, want: Any, in_16_bits: bool = False) -> None:
    """Rounding multiplies by the inverse of a step, where ONNX Runtime divides: once in a while a value falls on the
    other side of a tie, which moves what depends on it by a level. Where it multiplies in 16 bits, 2.7 % of an encoder's
    outputs differ, by two levels at most."""
    span = float(np.abs(want).max())
    furthest, equal = (0.025, 0.97) if in_16_bits else (0.02, 0.98)
    assert np.abs(got - want).max() <= furthest * span
    assert (np.abs(got - want) <= 1e-5 * span).mean() >= equal


def multiplies_in_16_bits() -> bool:
    """Whether this processor has no sums of products of bytes in 32 bits, where ONNX Runtime's products saturate."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text(encoding="ascii", errors="ignore") if cpu.exists() else ""
    return "avx2" in flags and "vnni" not in flags


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("types", [("QInt8", "QUInt8"), ("QInt8", "QInt8"), ("QUInt8", "QUInt8")], ids="-".join)
def test_a_static_graph_means_what_onnxruntime_makes_of_it(name: str, form: str, per_channel: bool, types: tuple[str, str], tmp_path: Path) -> None:
    make, shape = MODELS[name]
    path, out = make(tmp_path), tmp_path / "int8.onnx"
    in_16_bits = form == "QOperator" and multiplies_in_16_bits()
    if in_16_bits and per_channel and types[0] == "QUInt8":
        pytest.skip("ONNX Runtime's integers are not NumPy's on this processor; test_exact_integers.py holds ours to those")
    weight, activation = (getattr(quantization.QuantType, kind) for kind in types)
    quantization.quantize_static(
        path,
        out,
        Batches(shape),
        quant_format=getattr(quantization.QuantFormat, form),
        per_channel=per_channel,
        weight_type=weight,
        activation_type=activation,
        # Products with weights of 7 bits saturate nowhere.
        reduce_range=in_16_bits and types[0] == "QInt8",
    )
    found = tt.inspect(out)
    layers = sum(op.op_type in ("Conv", "Gemm") for op in onnx.load(path).graph.node) if name != "encoder" else 6
    assert len(found["int8"]) >= layers and not found["floats"] and not found["missing"], found
    x = np.random.default_rng(2).standard_normal((5, *shape)).astype(np.float32)
    assert_equal_but_for_ties(tt.Plan(out).run({"x": x}), as_written(out, x), in_16_bits)


@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_a_dynamic_graph_means_what_onnxruntime_makes_of_it(per_channel: bool, kind: str, tmp_path: Path) -> None:
    path, out = encoder(tmp_path), tmp_path / "int8.onnx"
    of_7_bits = kind == "QInt8" and multiplies_in_16_bits()
    quantization.quantize_dynamic(path, out, per_channel=per_channel, weight_type=getattr(quantization.QuantType, kind), reduce_range=of_7_bits)
    found = tt.inspect(out)
    assert len(found["int8"]) >= 6 and not found["floats"] and not found["missing"], found
    x = np.random.default_rng(2).standard_normal((5, 8, 32)).astype(np.float32)
    assert_equal_but_for_ties(tt.Plan(out).run({"x": x}), as_written(out, x))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_operators_of_integers_that_are_written_again_mean_the_same(name: str, kind: str, tmp_path: Path) -> None:
    make, shape = MODELS[name]
    path, out, kept, again = make(tmp_path), tmp_path / "int8.onnx", tmp_path / "int8.safetensors", tmp_path / "again.onnx"
    # With 7 bits, since products of 8 saturate on some processors.
    kind = getattr(quantization.QuantType, kind)
    quantization.quantize_static(path, out, Batches(shape), activation_type=kind, per_channel=True, reduce_range=multiplies_in_16_bits())
    for words in (("import", out, "--out", kept), ("export", kept, "--out", again, "--form", "qoperator")):
        subprocess.run([sys.executable, "-m", "tinytorch", *map(str, words)], check=True, capture_output=True)
    operators = {op.op_type for op in onnx.load(again).graph.node}
    of_floats = {"LayerNormalization", "Softmax", "MatMul", "Add"} if name == "encoder" else {"Relu", "Clip", "MaxPool", "Flatten"}
    of_integers = {"QLinearConv", "QGemm", "QLinearMatMul", "QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool"}
    assert operators <= of_floats | of_integers | {"QuantizeLinear", "DequantizeLinear", "Transpose"}, operators
    wanted = {"residual": "QLinearAdd", "separable": "QLinearConcat", "encoder": "QLinearMatMul"}[name]
    assert wanted in operators and (name == "encoder" or "QLinearGlobalAveragePool" in operators), operators
    x = np.random.default_rng(2).standard_normal((5, *shape)).astype(np.float32)
    want = as_written(out, x)
    for got in (as_written(again, x), tt.Plan(again).run({"x": x})):
        assert_equal_but_for_ties(got, want, multiplies_in_16_bits())


def classes(path: Path, shape: tuple[int, ...], count: int, seed: int) -> tuple[Any, Any]:
    """Inputs, and what the float model says of them."""
    x = np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)
    return x, as_written(path, x).argmax(axis=1)


def test_the_first_example_of_the_readme_from_onnx_to_onnx(tmp_path: Path) -> None:
    path, out = residual(tmp_path), tmp_path / "model.int8.onnx"
    calibration, _ = classes(path, (3, 12, 12), 256, 3)
    report = tt.quantize(path, calibration=calibration, max_error=0.05, out=out)
    assert report and out.exists()
    verdict = tt.audit(path, out, data=classes(path, (3, 12, 12), 300, 4), max_error=0.05, latency=False)
    # Nothing is hidden in a file of another form: every gate is asked.
    asked = {gate.id: gate.result for gate in verdict.gates}
    for gate in ("structure", "coverage", "weight_bytes", "round_trip", "overflow", "output_error", "no_f32_copy"):
        assert asked[gate] == "pass", (gate, verdict.gate(gate))
    x = classes(path, (3, 12, 12), 5, 5)[0]
    np.testing.assert_allclose(tt.Plan(out).run({"x": x}), report_model(report, x), rtol=1e-4, atol=1e-3)


def report_model(report: tt.QuantizeReport, x: Any) -> Any:
    return tt.Plan(report.model).run({"x": x})


def test_a_graph_of_another_quantizer_is_judged_by_its_answers(tmp_path: Path) -> None:
    path, out = residual(tmp_path), tmp_path / "int8.onnx"
    quantization.quantize_static(path, out, Batches((3, 12, 12)), per_channel=True)
    verdict = tt.audit(path, out, classes(path, (3, 12, 12), 300, 4), max_error=0.25, latency=False)
    assert verdict.gate("structure").result == "n/a" and verdict.gate("output_error").result == "pass", str(verdict)
    broken = onnx.load(out)
    for tensor in broken.graph.initializer:
        if tensor.name == "w1_scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(4 * onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(broken, out)
    verdict = tt.audit(path, out, classes(path, (3, 12, 12), 300, 4), max_error=0.25, latency=False)
    assert not verdict and verdict.gate("output_error").result == "fail"


def command(*words: object, **environment: str) -> tuple[int, dict[str, Any]]:
    """What a command of tinytorch ends with, and the gates of the report that it prints."""
    line = [sys.executable, "-m", "tinytorch", *map(str, words), "--json", "--no-latency"]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "TINYTORCH_PYTHON": sys.executable, **environment})
    assert done.stdout, done.stderr
    return done.returncode, {gate["id"]: gate for gate in json.loads(done.stdout)["models"][0]["gates"]}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A float model, ONNX Runtime's int8 of it, and data to judge by."""
    folder = tmp_path_factory.mktemp("judged")
    path, out, data = residual(folder), folder / "int8.onnx", folder / "data.npz"
    # With 7 bits, since products of 8 saturate on some processors.
    quantization.quantize_static(path, out, Batches((3, 12, 12)), per_channel=True, reduce_range=True)
    x, labels = classes(path, (3, 12, 12), 300, 4)
    np.savez(data, x=x, labels=labels)
    return path, out, data


def test_the_command_judges_what_an_engine_answers(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, out, data = judged
    # Weights of 7 bits move the outputs of this random model by 27 %.
    _, gates = command("audit", path, out, "--data", data, "--engine", "onnxruntime", "--max-error", "35%", "--out", tmp_path)
    for gate in ("output_error", "exactness", "determinism", "batches"):
        assert gates[gate]["result"] == "pass", gates[gate]
    assert gates["structure"]["result"] == "n/a"
    assert "of 4 int8 weights" in gates["exactness"]["reason"]


def damaged(model: Path, out: Path, name: str, change: Callable[[Any], Any]) -> Path:
    graph = onnx.load(model)
    [tensor] = [one for one in graph.graph.initializer if one.name == name]
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor)), name))
    onnx.save(graph, out)
    return out


FAULTS = {
    "scales beside other channels": ("w1_scale", lambda scale: np.roll(scale, 1), "the scales of `w1_quantized` stand beside other channels"),
    "a zero point left out": ("r0_zero_point", lambda zero: np.zeros_like(zero), "the zero point of what `w1` multiplies is left out"),
    "scales that are doubled": ("w1_scale", lambda scale: 2 * scale, "2.00 times what its levels need"),
    "a bias that is not scaled": ("b0_quantized", lambda bias: bias // 64, None),
}


def judged_in_engine(path: Path, int8: Path, data: Path, folder: Path, engine: str = "onnxruntime") -> tuple[int, dict[str, Any]]:
    return command("audit", path, int8, "--data", data, "--engine", engine, "--max-error", "25%", "--out", folder)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_file_are_found_and_named_through_an_engine(judged: tuple[Path, Path, Path], fault: str, engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    path, out, data = judged
    name, change, told = FAULTS[fault]
    wrong = damaged(out, tmp_path / "wrong.onnx", name, change)
    code, gates = judged_in_engine(path, wrong, data, tmp_path, engine)
    assert code == 1 and gates["output_error"]["result"] == "fail", gates["output_error"]
    if told is not None:
        assert gates["parameters"]["result"] == "fail" and told in gates["parameters"]["reason"], gates["parameters"]
    # The engine is not to blame.
    assert gates["exactness"]["result"] == "pass", gates["exactness"]


def test_scales_along_the_wrong_axis_are_named_through_an_engine(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, out, data = judged
    graph = onnx.load(out)
    [read] = [one for one in graph.graph.node if one.op_type == "DequantizeLinear" and one.input[0] == "w1_quantized"]
    [axis] = [one for one in read.attribute if one.name == "axis"]
    axis.i = 1
    onnx.save(graph, tmp_path / "wrong.onnx")
    code, gates = judged_in_engine(path, tmp_path / "wrong.onnx", data, tmp_path)
    told = "the scales of `w1_quantized` are read along axis 1, and are those of axis 0"
    assert code == 1 and told in gates["parameters"]["reason"], gates["parameters"]


def test_an_asymmetric_weight_that_is_read_as_symmetric_is_named_through_an_engine(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, _, data = judged
    float_model = onnx.load(path)
    for tensor in float_model.graph.initializer:
        if tensor.name == "w1":
            # More of it lies above zero than below.
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + np.float32(0.1), "w1"))
    skewed, out = tmp_path / "skewed.onnx", tmp_path / "int8.onnx"
    onnx.save(float_model, skewed)
    kind = quantization.QuantType.QUInt8
    quantization.quantize_static(skewed, out, Batches((3, 12, 12)), weight_type=kind, activation_type=kind)
    _, gates = judged_in_engine(skewed, out, data, tmp_path)
    assert gates["parameters"]["result"] == "pass", gates["parameters"]
    wrong = damaged(out, tmp_path / "wrong.onnx", "w1_zero_point", lambda zero: np.full_like(zero, 128))
    code, gates = judged_in_engine(skewed, wrong, data, tmp_path)
    told = "`w1_quantized` is asymmetric and read as symmetric"
    assert code == 1 and told in gates["parameters"]["reason"], gates["parameters"]


@pytest.mark.skipif(not multiplies_in_16_bits(), reason="ONNX Runtime's products do not saturate on this processor")
def test_onnxruntime_saturates_where_it_multiplies_in_16_bits_and_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    weights = Weights()
    weights.add("w", 64, 10)
    # Large neighbours of one sign.
    large = np.repeat(rng.choice([-1.0, 1.0], (32, 10)), 2, axis=0) * rng.uniform(0.8, 1.0, (64, 10))
    weights.made[0].CopyFrom(onnx.numpy_helper.from_array(large.astype(np.float32), "w"))
    path, out, data = saved(tmp_path, "bright", [node("MatMul", ["x", "w"], "y")], weights, [64], [10]), tmp_path / "int8.onnx", tmp_path / "data.npz"

    class Bright(Batches):
        def __init__(self) -> None:
            self.batches = iter([{"x": rng.uniform(0.5, 1.0, (64, 64)).astype(np.float32)} for _ in range(4)])

    quantization.quantize_static(path, out, Bright(), activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    x = rng.uniform(0.5, 1.0, (300, 64)).astype(np.float32)
    np.savez(data, x=x, labels=as_written(path, x).argmax(axis=1))
    code, gates = judged_in_engine(path, out, data, tmp_path)
    assert code == 1 and gates["exactness"]["result"] == "fail", gates["exactness"]
    reason = gates["exactness"]["reason"]
    assert reason.startswith("its products saturate: with the same weights in 7 bits"), reason
    assert "1 of 1 int8 weights have neighbours of which two products do not fit 16 bits" in reason
    # What is in the file is right.
    assert gates["parameters"]["result"] == "pass", gates["parameters"]


SATURATING = """
import numpy
import tinytorch

__version__ = "0.0 that saturates"


class SessionOptions:
    intra_op_num_threads = 0
    graph_optimization_level = None


class GraphOptimizationLevel:
    ORT_DISABLE_ALL = 0


class InferenceSession:
    \"\"\"Cuts off what a sum of 16 bits would.\"\"\"

    def __init__(self, file, *_, **__):
        self.plan = tinytorch.Plan(file)
        # Weights of 7 bits do not saturate.
        self.is_int8 = "int8" in file

    def get_inputs(self):
        return [type("Value", (), {"name": name, "shape": ["n"]}) for name, _ in self.plan.inputs]

    def get_outputs(self):
        return [type("Value", (), {"name": name}) for name in self.plan.outputs]

    def run(self, _, inputs):
        outputs = list(self.plan.run_all(inputs).values())
        top = 0.4 * max(abs(output).max() for output in outputs)
        return [numpy.clip(output, -top, top) if self.is_int8 else output for output in outputs]
"""


def test_an_engine_that_saturates_is_named(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, out, data = judged
    package = tmp_path / "packages" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SATURATING)
    code, gates = command(
        "audit", path, out, "--data", data, "--engine", "onnxruntime", "--max-error", "25%", "--out", tmp_path, PYTHONPATH=str(package.parent)
    )
    assert code == 1 and gates["exactness"]["result"] == "fail", gates["exactness"]
    assert "do not fit 16 bits" in gates["exactness"]["reason"]
    assert gates["exactness"]["reason"].startswith("its products saturate"), gates["exactness"]


def test_an_engine_that_is_not_there_is_one_sentence(judged: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, out, data = judged
    line = [sys.executable, "-m", "tinytorch", "audit", str(path), str(out), "--data", str(data), "--out", str(tmp_path), "--engine"]
    for engine, environment, expected in (
        ("onnxruntime", {"TINYTORCH_PYTHON": str(tmp_path / "python")}, "TINYTORCH_PYTHON"),
        ("openvino", {"TINYTORCH_PYTHON": sys.executable, "PYTHONPATH": ""}, "openvino"),
    ):
        if engine == "openvino" and importlib.util.find_spec("openvino"):
            continue
        done = subprocess.run([*line, engine], capture_output=True, text=True, env={**os.environ, **environment})
        told = done.stderr.strip().splitlines()
        assert done.returncode == 2 and len(told) == 1 and expected in told[0], done
