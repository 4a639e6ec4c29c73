"""Models and data that the tests share: small, made here, and with answers that NumPy computes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

Array = np.ndarray[Any, Any]


def write_safetensors(path: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    """Writes a file of 32-bit floats in the format of safetensors, by its specification."""
    header: dict[str, Any] = {"__metadata__": metadata}
    data = b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@dataclass
class Mlp:
    """A perceptron in a file, and what NumPy says it gives."""

    path: Path
    layers: list[tuple[Array, Array]]

    def __call__(self, x: Array) -> Array:
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x


@pytest.fixture
def make_mlp(tmp_path: Path) -> Callable[..., Mlp]:
    """Makes a perceptron of these widths."""

    def make(*widths: int, name: str = "mlp.safetensors") -> Mlp:
        rng = np.random.default_rng(len(widths) + sum(widths))
        layers = []
        for into, out in zip(widths, widths[1:]):
            weight = (rng.standard_normal((out, into)) / np.sqrt(into)).astype(np.float32)
            layers.append((weight, rng.standard_normal(out).astype(np.float32) / 10))
        tensors = {}
        for i, (weight, bias) in enumerate(layers):
            tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"] = weight, bias
        description = {
            "architecture": "mlp",
            "inputs": widths[0],
            "hidden": list(widths[1:-1]),
            "outputs": widths[-1],
        }
        metadata = {"tinytorch_version": "0.1.0", "architecture": json.dumps(description)}
        write_safetensors(tmp_path / name, tensors, metadata)
        return Mlp(tmp_path / name, layers)

    return make


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A perceptron that the command has trained on its embedded digits."""
    path = tmp_path_factory.mktemp("digits") / "digits.safetensors"
    train = ["train", "--model", "digits-mlp", "--data", "digits", "--epochs", "15", "--out", str(path)]
    subprocess.run([sys.executable, "-m", "tinytorch", *train], check=True, capture_output=True)
    return path
