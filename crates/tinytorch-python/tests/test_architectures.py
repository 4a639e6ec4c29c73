"""What ONNX Runtime's quantizer writes for a ResNet, a MobileNet and a BERT as torch exports them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from test_exact_integers import ISAS

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime has no quantizer here")
torch = pytest.importorskip("torch", reason="torch is not installed")

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256, "vocab_size": 500}
# Layers and products with constants that the float model has.
WEIGHTS = {"resnet18": 21, "mobilenet_v2": 53, "bert": 12}


def samples(name: str, count: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 500, (count, 16)) if name == "bert" else rng.standard_normal((count, 3, 64, 64)).astype(np.float32)


def module(name: str) -> Any:
    if name != "bert":
        torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
        made = getattr(torchvision.models, name)(weights=None)
        for one in made.modules():
            if isinstance(one, torch.nn.BatchNorm2d):
                # Values that are alike would be one constant of the file, of which the quantizer loses sight.
                for values in (one.weight, one.bias, one.running_mean, one.running_var):
                    torch.nn.init.uniform_(values, 0.5, 1.5)
        return made
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    bert = transformers.BertModel(transformers.BertConfig(**SIZES, max_position_embeddings=64), add_pooling_layer=False)

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: Any) -> Any:
            return self.bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state

    return States()


@pytest.fixture(scope="module", params=list(WEIGHTS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name, path = request.param, tmp_path_factory.mktemp(request.param) / "float.onnx"
    torch.manual_seed(0)
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}}}
    example = torch.from_numpy(samples(name, 2, 0))
    torch.onnx.export(module(name).eval(), (example,), str(path), opset_version=17, dynamo=False, **names)
    # The quantizer asks for the types of values.
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), path)
    return name, path


class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.batches: Iterator[Any] = iter([{"x": samples(name, 4, seed)} for seed in (1, 2)])

    def get_next(self) -> Optional[Any]:
        return next(self.batches, None)


def command(*words: object, **environment: str) -> str:
    line = [sys.executable, "-m", "tinytorch", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_a_quantized_architecture_runs_in_integers_on_every_instruction_set(exported: tuple[str, Path], form: str, tmp_path: Path) -> None:
    name, path = exported
    out, x = tmp_path / "int8.onnx", samples(name, 3, 3)
    if form == "dynamic":
        quantization.quantize_dynamic(path, out)
    else:
        options: dict[str, Any] = {"quant_format": getattr(quantization.QuantFormat, form), "activation_type": quantization.QuantType.QUInt8}
        quantization.quantize_static(path, out, Batches(name), **options)
    found = json.loads(command("inspect", out, "--json"))
    assert len(found["int8"]) >= WEIGHTS[name] and not found["floats"] and not found["missing"], found
    np.savez(tmp_path / "x.npz", x=x)
    results = []
    for isa in ISAS:
        command("run", out, "--input", tmp_path / "x.npz", "--out", tmp_path / "y.npz", TINYTORCH_ISA=isa)
        results.append(np.load(tmp_path / "y.npz")["y"])
    plainly = onnxruntime.SessionOptions()
    plainly.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    want = onnxruntime.InferenceSession(str(out), plainly, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    for got in results:
        if form != "dynamic":
            # Levels are rounded from floats of the same bits everywhere.
            np.testing.assert_array_equal(got, results[0])
        # A value on the other side of a tie moves what depends on it by a level, here and there in many layers.
        assert np.linalg.norm(got - want) <= 0.03 * np.linalg.norm(want)
