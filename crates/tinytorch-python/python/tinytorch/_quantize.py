"""From float models to int8 ones."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Optional, Union

from tinytorch import _tinytorch
from tinytorch._progress import shown
from tinytorch._tinytorch import Model, Prepared
from tinytorch._types import Batches, Path, Progress

__all__ = ["QuantizeReport", "apply", "calibrate", "quantize"]


class QuantizeReport:
    """What quantizing has done. It is true if the error that was allowed has been kept."""

    def __init__(self, answer: tuple[Model, str, bool]) -> None:
        #: The int8 model.
        self.model: Model = answer[0]
        self._json = answer[1]
        #: All of it, as ``tinytorch quantize --json`` prints it.
        self.data: dict[str, Any] = json.loads(answer[1])
        #: Whether the error that was allowed has been kept; true if none was stated.
        self.within: bool = answer[2]

    @property
    def weights(self) -> list[dict[str, Any]]:
        """Each weight that became int8: its name, shape, bytes before and after, and its own error as a fraction."""
        weights: list[dict[str, Any]] = self.data["weights"]
        return weights

    @property
    def skipped(self) -> dict[str, str]:
        """Weights that stayed floats, and why."""
        return {entry["name"]: entry["reason"] for entry in self.data["skipped"]}

    @property
    def error(self) -> Optional[float]:
        """The error of the output as a fraction, measured on a fourth of the calibration samples; only if
        ``max_error`` was given."""
        ladder = self.data.get("ladder")
        return None if ladder is None else float(ladder["error"])

    @property
    def float_bytes(self) -> int:
        """Bytes of the weights before."""
        return int(self.data["float_bytes"])

    @property
    def int8_bytes(self) -> int:
        """Bytes of the weights after."""
        return int(self.data["int8_bytes"])

    def to_json(self) -> str:
        """All of it as JSON."""
        return self._json

    def __bool__(self) -> bool:
        return self.within

    def __str__(self) -> str:
        ratio = self.float_bytes / max(self.int8_bytes, 1)
        text = f"{len(self.weights)} weights in int8: {self.float_bytes} bytes became {self.int8_bytes}, {ratio:.2f}x smaller"
        if self.error is not None:
            text += f"; error {self.error:.2%}, {'within' if self.within else 'over'} what is allowed"
        return text

    def __repr__(self) -> str:
        return f"<tinytorch.QuantizeReport: {self}>"


def _settings(
    granularity: Optional[str],
    bits: int,
    activations: Optional[str],
    range: str,
    skip: Union[str, Sequence[str]],
    wide: Optional[Sequence[str]],
    max_error: Optional[float],
) -> dict[str, Any]:
    return {
        "granularity": granularity,
        "bits": bits,
        "activations": activations,
        "range": range,
        "skip": [skip] if isinstance(skip, str) else list(skip),
        "wide": None if wide is None else list(wide),
        "max_error": max_error,
    }


def quantize(
    model: Union[Path, Model],
    calibration: Union[Path, Batches, None] = None,
    *,
    max_error: Optional[float] = None,
    out: Optional[Path] = None,
    granularity: Optional[str] = None,
    bits: int = 8,
    activations: Optional[str] = None,
    range: str = "min-max",
    skip: Union[str, Sequence[str]] = (),
    wide: Optional[Sequence[str]] = None,
    samples: int = 512,
    seed: int = 0,
    force: bool = False,
    progress: Progress = None,
) -> QuantizeReport:
    """Turns the weights of a float model into int8.

    Args:
        model: A file (tinytorch's, ONNX, llama2.c), a folder, or a model in memory, which is left as it is.
        calibration: What the ranges of activations are measured on. An array, a tuple or a dictionary of arrays is one
            batch; anything else that can be iterated over gives batches, which are asked for until ``samples`` are
            there. Arrays are read where they lie; what an iteration yields is copied, so that it may be filled again. Of
            a tuple longer than the model's inputs the rest, such as labels, is left out. A path names a data set,
            ``"digits"`` and ``"tinytalks"`` are built in. The first axis of an array counts the samples.
        max_error: Largest relative error of the output, as a fraction. The fastest way within it is searched for, layer
            by layer, and judged on a fourth of the samples.
        out: File for the int8 model; it appears whole or not at all.
        granularity: ``"per-channel"``, ``"per-tensor"`` or ``"blocks"``; what suits the model if ``None``.
        bits: Bits that the values of weights use, 2 to 8, of the 8 in which each is stored.
        activations: ``"static"``, ``"dynamic"`` or ``"float"``; what suits the model if ``None``.
        range: ``"min-max"``, ``"percentile"``, ``"percentile=SHARE"`` or ``"mse"``.
        skip: Names of weights to leave as floats, in which ``*`` stands for anything.
        wide: Ends of the names of weights whose dynamic activations take 16 bits.
        samples: Most samples to calibrate with; of more, some spread over all of them are taken.
        seed: Of the choice of samples of a data set.
        force: Whether ``out`` may be the float model itself.
        progress: A bar for ``True``; for ``None`` a bar where somebody looks; a callable is called with what is done,
            the steps done and the steps there are.

    Returns:
        What has been done, with the int8 model. It is false if ``max_error`` could not be kept.

    Raises:
        ValueError: What does not fit: shapes, names, settings, NaN, a model that is int8 already.
        TypeError: Arrays of other types than the model takes.
        FileNotFoundError: A path with nothing there.
        OSError: A file that cannot be read or written.

    Whatever the iteration or ``progress`` raises comes out as itself. Ctrl-C stops the work at the next operation; nothing
    is then left at ``out``.
    """
    settings = _settings(granularity, bits, activations, range, skip, wide, max_error)
    target = None if out is None else os.fspath(out)
    job = {"samples": samples, "seed": seed, "out": target, "force": force}
    return QuantizeReport(_tinytorch.quantize(model, calibration, settings, job, shown(progress)))


def calibrate(
    model: Union[Path, Model],
    batches: Batches,
    *,
    granularity: Optional[str] = None,
    bits: int = 8,
    activations: Optional[str] = None,
    range: str = "min-max",
    skip: Union[str, Sequence[str]] = (),
    wide: Optional[Sequence[str]] = None,
    progress: Progress = None,
) -> Prepared:
    """Runs batches through a float model and takes down what quantizing it needs to know.

    What it returns can be pickled and merged with what other processes have found on other batches, in any number:
    the result is, to the bit, that of one process on all of them. :func:`apply` then makes the int8 model.

    The arguments are those of :func:`quantize`; all batches are used.
    """
    settings = _settings(granularity, bits, activations, range, skip, wide, None)
    return _tinytorch.calibrate(model, batches, settings, shown(progress))


def apply(
    model: Union[Path, Model],
    prepared: Prepared,
    *,
    out: Optional[Path] = None,
    force: bool = False,
) -> QuantizeReport:
    """Turns the weights of a float model into int8 by what calibrations have found.

    Args:
        model: The model that was calibrated.
        prepared: What :func:`calibrate` has found, merged if it was called on parts of the data.
        out: File for the int8 model; it appears whole or not at all.
        force: Whether ``out`` may be the float model itself.

    Raises:
        ValueError: Findings of another model, or a model that is int8 already.
        OSError: A file that cannot be read or written.
    """
    target = None if out is None else os.fspath(out)
    return QuantizeReport(_tinytorch.apply(model, prepared, target, force))
