"""What files hold and what models cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from tinytorch import _tinytorch
from tinytorch._tinytorch import Model
from tinytorch._types import Path

__all__ = ["Profile", "inspect", "profile"]


def inspect(path: Path) -> dict[str, Any]:
    """What a safetensors file or an ONNX model holds, as ``tinytorch inspect --json`` prints it.

    Of a safetensors file: ``tensors`` (name, dtype, shape, bytes), ``metadata`` and ``totals``. Of an ONNX model:
    ``inputs``, ``outputs``, ``params``, ``operators``, and in ``missing`` the nodes that cannot run, each with its
    reason.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: For a file that is neither, or not consistent.
    """
    found: dict[str, Any] = json.loads(_tinytorch.inspect(path))
    return found


class Profile:
    """What a pass of a model costs on this machine."""

    def __init__(self, answer: tuple[str, str]) -> None:
        #: All of it, as ``tinytorch profile --json`` prints it.
        self.data: dict[str, Any] = json.loads(answer[0])
        self._text = answer[1]

    @property
    def seconds(self) -> float:
        """The median time of a pass."""
        return float(self.data["seconds"]["median"])

    @property
    def flops(self) -> int:
        """Operations of a pass; a multiply-add counts as two."""
        return int(self.data["flops"])

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Each operation of a pass: its name, kernel, flops, bytes and time."""
        layers: list[dict[str, Any]] = self.data["layers"]
        return layers

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(self.data)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<tinytorch.Profile: {self.flops} flops, {self.seconds * 1e6:.1f} us a pass>"


def profile(
    model: Union[Path, Model],
    *,
    batch: Optional[int] = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    length: Optional[int] = None,
) -> Profile:
    """What a model costs on this machine: parameters, operations, bytes and time, layer by layer.

    Args:
        model: A file, a folder or a model in memory.
        batch: Samples in a pass; 1 unless the model takes another number.
        shapes: Sizes of inputs by name, the batch among them, where the model leaves them open.
        length: Tokens of a sequence, of a model that takes ids; by default its context, at most 512.

    Raises:
        ValueError: Sizes that the model does not take.
        FileNotFoundError: If nothing is there.
    """
    sizes = None if shapes is None else {name: list(shape) for name, shape in shapes.items()}
    return Profile(_tinytorch.profile(model, batch, sizes, length))
