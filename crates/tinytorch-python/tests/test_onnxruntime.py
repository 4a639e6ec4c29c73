"""Black boxes of ONNX Runtime, and our numbers against its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

WIDTHS = [64, 1024, 1024, 10]


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A perceptron, large enough to show in a process."""
    rng = np.random.default_rng(0)
    nodes, values, last = [], [], "x"
    for i, (into, out) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        weight = (rng.standard_normal((into, out)) / np.sqrt(into)).astype(np.float32)
        values.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        values.append(onnx.numpy_helper.from_array(np.zeros(out, np.float32), f"b{i}"))
        is_last = i + 2 == len(WIDTHS)
        nodes.append(onnx.helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["y" if is_last else f"g{i}"]))
        if not is_last:
            nodes.append(onnx.helper.make_node("Relu", [f"g{i}"], [f"r{i}"]))
            last = f"r{i}"
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width]) for name, width in (("x", 64), ("y", 10))]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], values)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path_factory.mktemp("onnx") / "mlp.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def int8_model(float_model: Path) -> Path:
    """The same, quantized by ONNX Runtime."""
    quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime has no quantizer here")
    path = float_model.with_name("mlp.int8.onnx")
    quantization.quantize_dynamic(float_model, path, per_channel=True, reduce_range=True)
    return path


@pytest.fixture(scope="module")
def data(float_model: Path) -> tuple[Any, Any]:
    x = np.random.default_rng(1).standard_normal((512, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(float_model))
    return x, session.run(None, {"x": x})[0].argmax(axis=1)


def test_a_plan_gives_what_onnxruntime_gives(float_model: Path, data: tuple[Any, Any]) -> None:
    x = data[0][:50]
    want = onnxruntime.InferenceSession(str(float_model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(tt.Plan(float_model).run({"x": x}), want, rtol=1e-3, atol=1e-4)
    found = tt.inspect(float_model)
    assert found["operators"] == {"Gemm": 3, "Relu": 2} and not found["missing"]


@pytest.fixture(scope="module")
def off_center_model(float_model: Path) -> Path:
    """The same with static levels, unsigned weights and zero points off their middle."""
    quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime has no quantizer here")

    class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = [{"x": np.random.default_rng(3).standard_normal((256, 64)).astype(np.float32)}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    path = float_model.with_name("mlp.off_center.onnx")
    kind = quantization.QuantType.QUInt8
    quantization.quantize_static(float_model, path, Batches(), weight_type=kind, activation_type=kind, extra_options={"WeightSymmetric": False})
    return path


def without_zero_points(file: str) -> bytes:
    """The same file with weights as an engine reads them that takes them for symmetric ones."""
    model = onnx.load(file)
    for one in model.graph.initializer:
        if one.name.startswith("w") and one.name.endswith("zero_point"):
            one.CopyFrom(onnx.numpy_helper.from_array(np.full_like(onnx.numpy_helper.to_array(one), 128), one.name))
    return bytes(model.SerializeToString())


def test_an_engine_that_misreads_is_told_what_it_misreads(
    float_model: Path, off_center_model: Path, data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged() -> Any:
        return tt.audit(float_model, off_center_model, data, engine="onnxruntime", latency=False, memory=False, max_error=0.5)

    exact = judged().gate("exactness")
    assert exact.result == "pass" or "its products saturate" in exact.reason, exact
    session = onnxruntime.InferenceSession

    def misreading(file: str, *options: Any, **others: Any) -> Any:
        if "mlp.onnx" in str(file):
            return session(file, *options, **others)
        made = session(without_zero_points(file), *options, **others)
        made._model_path = str(file)
        return made

    monkeypatch.setattr(onnxruntime, "InferenceSession", misreading)
    found = judged().gate("exactness")
    assert found.result == "fail" and "it reads asymmetric weights as symmetric ones" in found.reason, found


def test_sessions_are_judged_with_file_and_process(float_model: Path, int8_model: Path, data: tuple[Any, Any]) -> None:
    sessions = [onnxruntime.InferenceSession(str(path)) for path in (float_model, int8_model)]
    verdict = tt.audit(sessions[0], sessions[1], data, latency=False, max_error=0.05)
    by_path = tt.audit(float_model, int8_model, data, engine="onnxruntime", latency=False, max_error=0.05)
    of_files = float_model.stat().st_size / int8_model.stat().st_size
    assert verdict.gate("file_bytes").value == pytest.approx(of_files)
    assert by_path.gate("output_error") == verdict.gate("output_error")
    if Path("/proc/self/status").exists():
        memory = verdict.gate("process_memory")
        assert memory.value is not None and "ONNX Runtime" in memory.reason, memory
    assert verdict.gate("file_bytes").result == "pass"
    assert verdict.model["origins"]["int8"]["file_bytes"] == int8_model.stat().st_size


def test_a_float_model_that_says_it_is_int8_is_found_out(float_model: Path, data: tuple[Any, Any]) -> None:
    verdict = tt.audit(float_model, float_model, data, engine="onnxruntime", latency=False)
    assert not verdict and verdict.gate("file_bytes").result == "fail"


def test_our_int8_model_against_a_float_session(float_model: Path, data: tuple[Any, Any], tmp_path: Path) -> None:
    calibration = np.random.default_rng(2).standard_normal((256, 64)).astype(np.float32)
    int8 = tt.quantize(float_model, calibration, out=tmp_path / "int8.safetensors").model
    session = onnxruntime.InferenceSession(str(float_model))
    verdict = tt.audit(session, int8, data, latency=False, memory=False, max_error=0.05)
    assert verdict.gate("output_error").result == "pass", verdict.gate("output_error")


def test_an_exported_int8_model_answers_in_onnxruntime_as_in_its_plan(
    float_model: Path, data: tuple[Any, Any], tmp_path: Path
) -> None:
    int8, exported = tmp_path / "int8.safetensors", tmp_path / "int8.onnx"
    calibration = np.random.default_rng(2).standard_normal((256, 64)).astype(np.float32)
    tt.quantize(float_model, calibration, out=int8)
    command = [sys.executable, "-m", "tinytorch", "export", str(int8), "--out", str(exported), "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["int8"] == ["w0", "w1", "w2"] and not told["weights_only"] and not told["floats"]
    onnx.checker.check_model(onnx.load(exported))
    x = data[0]
    got = onnxruntime.InferenceSession(str(exported)).run(None, {"x": x})[0]
    want = tt.Plan(int8).run(x)
    assert np.linalg.norm(got - want) < 0.01 * np.linalg.norm(want)
    verdict = tt.audit(float_model, exported, data, engine="onnxruntime", latency=False, memory=False, max_error=0.05)
    assert verdict.gate("output_error").result == "pass", verdict.gate("output_error")
    assert verdict.gate("file_bytes").result == "pass", verdict.gate("file_bytes")


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT that the command has trained for a moment."""
    path = tmp_path_factory.mktemp("gpt") / "gpt.safetensors"
    run("train", "--model", "talks-gpt", "--data", "tinytalks", "--epochs", "1", "--out", path)
    return path


def run(*words: object) -> str:
    return subprocess.run([sys.executable, "-m", "tinytorch", *map(str, words)], check=True, capture_output=True, text=True).stdout


def answered(path: Path, ids: Any, plainly: bool = False) -> Any:
    """What ONNX Runtime makes of ids, if so asked without rewriting the graph."""
    options = onnxruntime.SessionOptions()
    if plainly:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": ids})[0]


def off(got: Any, want: Any) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def test_a_gpt_that_was_trained_here_runs_in_onnxruntime(gpt: Path, tmp_path: Path) -> None:
    exported = tmp_path / "gpt.onnx"
    run("export", gpt, "--out", exported)
    onnx.checker.check_model(onnx.load(exported))
    rng = np.random.default_rng(0)
    for shape in ((1, 64), (3, 17), (5, 1)):
        ids = rng.integers(0, 69, shape)
        assert off(answered(exported, ids), tt.Plan(gpt).run(ids)) < 1e-4, shape


def test_an_int8_gpt_runs_in_onnxruntime(gpt: Path, tmp_path: Path) -> None:
    int8, exported = tmp_path / "int8.safetensors", tmp_path / "int8.onnx"
    run("quantize", gpt, "--calibrate", "tinytalks", "--granularity", "per-channel", "--activations", "static", "--out", int8)
    told = json.loads(run("export", int8, "--out", exported, "--json"))
    # Tables of positions are looked up only, and multiply nothing.
    assert len(told["int8"]) >= 13 and not told["floats"], told
    ids = np.random.default_rng(0).integers(0, 69, (4, 32))
    want = tt.Plan(int8).run(ids)
    assert off(answered(exported, ids, plainly=True), want) < 0.02
    assert exported.stat().st_size < 0.4 * gpt.stat().st_size


def test_operators_of_integers_run_in_onnxruntime(float_model: Path, data: tuple[Any, Any], tmp_path: Path) -> None:
    int8, exported = tmp_path / "int8.safetensors", tmp_path / "int8.onnx"
    calibration = np.random.default_rng(2).standard_normal((256, 64)).astype(np.float32)
    tt.quantize(float_model, calibration, out=int8)
    run("export", int8, "--out", exported, "--form", "qoperator")
    operators = {node.op_type for node in onnx.load(exported).graph.node}
    assert operators == {"QuantizeLinear", "QGemm"}, operators
    x = data[0]
    got = onnxruntime.InferenceSession(str(exported)).run(None, {"x": x})[0]
    want = tt.Plan(int8).run(x)
    # Unsigned weights do not saturate: what differs are sums of floats that fall on the other side of a tie.
    assert (np.abs(got - want) < 1e-4 * np.abs(want).max()).mean() > 0.98
    assert off(got, want) < 0.02
