import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional, Union, final

from tinytorch._types import Array, ArrayLike, Batches, Inputs, Path

__all__ = [
    "__version__",
    "Model",
    "Plan",
    "Prepared",
    "inspect",
    "profile",
    "main",
    "calibrate",
    "quantize",
    "apply",
    "audit",
    "audit_outside",
    "Encoder",
    "generate",
]

__version__: str

_Progress = Optional[Callable[[str, int, int], object]]

@final
class Model:
    """A model in memory, float or int8."""

    @staticmethod
    def open(path: Path) -> Model: ...
    @staticmethod
    def from_onnx(name: str, data: bytes) -> Model: ...
    def save(self, path: Path) -> None: ...
    @property
    def kind(self) -> str: ...
    @property
    def file(self) -> Optional[pathlib.Path]: ...
    @property
    def inputs(self) -> list[str]: ...
    @property
    def outputs(self) -> list[str]: ...
    @property
    def is_int8(self) -> bool: ...
    def parameters(self) -> list[tuple[str, list[int]]]: ...

@final
class Plan:
    """A model compiled for deployment."""

    def __new__(cls, model: Union[Path, Model], example: Optional[Inputs] = None) -> Plan: ...
    def run(self, inputs: Inputs) -> Array: ...
    def run_all(self, inputs: Inputs) -> dict[str, Array]: ...
    def seconds(self, inputs: Inputs, runs: int = 1000) -> float: ...
    @property
    def inputs(self) -> list[tuple[str, str]]: ...
    @property
    def outputs(self) -> list[str]: ...
    @property
    def bytes(self) -> tuple[int, int, int]: ...

@final
class Prepared:
    """What a calibration has found."""

    def merge(self, other: Prepared) -> Prepared: ...
    @property
    def batches(self) -> int: ...
    @property
    def samples(self) -> int: ...
    def range(self, weight: str) -> Optional[tuple[float, float]]: ...
    def to_json(self) -> str: ...
    @classmethod
    def from_json(cls, text: str) -> Prepared: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...

@final
class Encoder:
    """A sentence encoder."""

    def __new__(cls, folder: Path, int8: bool = False) -> Encoder: ...
    def embed(self, sentences: Sequence[str], progress: _Progress = None) -> Array: ...

def quantize(
    model: Union[Path, Model],
    calibration: Union[Path, Batches, None],
    settings: dict[str, Any],
    job: dict[str, Any],
    progress: _Progress,
) -> tuple[Model, str, bool]: ...
def calibrate(
    model: Union[Path, Model], batches: Batches, settings: dict[str, Any], progress: _Progress
) -> Prepared: ...
def apply(
    model: Union[Path, Model], prepared: Prepared, out: Optional[Path] = None, force: bool = False
) -> tuple[Model, str, bool]: ...
def audit(
    float: Union[Path, Model],
    int8: Union[Path, Model],
    data: Optional[Path],
    inputs: Optional[Inputs],
    labels: Optional[ArrayLike],
    judging: dict[str, Any],
) -> tuple[str, str, bool]: ...
def audit_outside(
    float: dict[str, Any],
    int8: dict[str, Any],
    inputs: Sequence[ArrayLike],
    labels: Optional[ArrayLike],
    judging: dict[str, Any],
) -> tuple[str, str, bool]: ...
def inspect(path: Path) -> str: ...
def profile(
    model: Union[Path, Model],
    batch: Optional[int] = None,
    shapes: Optional[dict[str, list[int]]] = None,
    length: Optional[int] = None,
) -> tuple[str, str]: ...
def generate(
    file: Path, choices: dict[str, Any], show: Optional[Callable[[str], object]]
) -> tuple[str, list[int], int, str, float]: ...
def main(args: Sequence[str], again: Optional[tuple[Path, Sequence[str]]]) -> int: ...
