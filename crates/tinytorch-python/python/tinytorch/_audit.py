"""Verdicts on int8 models."""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as _Path
from typing import Any, Optional, Union, cast

from tinytorch import _tinytorch
from tinytorch._data import Data, samples_of
from tinytorch._engines import adapt
from tinytorch._tinytorch import Model
from tinytorch._types import Path, is_array
from tinytorch.errors import InvalidValue

__all__ = ["AuditReport", "Gate", "audit"]


@dataclass(frozen=True)
class Gate:
    """One question about an int8 model, with the measurement that answers it."""

    #: Its stable name, such as ``"output_error"``.
    id: str
    #: ``"pass"``, ``"fail"``, ``"n/a"`` where the question does not arise, ``"unknown"`` where it could not be decided.
    result: str
    #: What was measured.
    value: Optional[float]
    #: What it is held against.
    limit: Optional[float]
    #: Where the measured quantity lies with 95 % confidence, where that was judged.
    interval: Optional[tuple[float, float]]
    #: The unit of all three.
    unit: str
    #: What was measured and, on anything but a pass, why.
    reason: str

    def __bool__(self) -> bool:
        return self.result in ("pass", "n/a")


class AuditReport:
    """The verdict on an int8 model, and all that it rests on. It is true if no gate failed or is unknown."""

    def __init__(self, answer: tuple[str, str, bool]) -> None:
        self._json, self._html, self._passed = answer
        #: All of it, as in ``report.json`` of the command ``tinytorch audit``.
        self.data: dict[str, Any] = json.loads(self._json)

    @property
    def passed(self) -> bool:
        """Whether no gate failed or is unknown."""
        return self._passed

    @property
    def model(self) -> dict[str, Any]:
        """What was found about the model: its qualities, bytes, layers, classes, changed samples."""
        model: dict[str, Any] = self.data["models"][0]
        return model

    @property
    def gates(self) -> list[Gate]:
        """Every gate, in the order of the report."""
        return [_gate(gate) for gate in self.model["gates"]]

    def gate(self, id: str) -> Gate:
        """The gate of this name.

        Raises:
            KeyError: If there is none.
        """
        for gate in self.gates:
            if gate.id == id:
                return gate
        raise KeyError(id)

    def to_json(self) -> str:
        """The report in the stable form of ``report.json``."""
        return self._json

    def to_html(self) -> str:
        """The report as a page of its own, with pictures."""
        return self._html

    def save(self, folder: Path) -> None:
        """Writes ``report.json`` and ``report.html`` into a folder, which is made if it is not there."""
        target = _Path(os.fspath(folder))
        target.mkdir(parents=True, exist_ok=True)
        (target / "report.json").write_text(self._json, encoding="utf-8")
        (target / "report.html").write_text(self._html, encoding="utf-8")

    def __bool__(self) -> bool:
        return self._passed

    def __str__(self) -> str:
        lines = [f"{self.model['name']}: {self._words()}"]
        for gate in self.gates:
            lines.append(f"  {gate.id:15} {gate.result:8} {_measured(gate)}".rstrip())
        lines += [f"  {gate.id} {gate.result}: {gate.reason}" for gate in self.gates if not gate]
        return "\n".join(lines)

    def _words(self) -> str:
        verdict = "pass" if self else "fail"
        return f"{verdict}, by its answers alone" if self.model.get("answers_alone") else verdict

    def __repr__(self) -> str:
        wrong = ", ".join(f"{gate.id} {gate.result}" for gate in self.gates if not gate)
        return f"<tinytorch.AuditReport {self.model['name']}: {'pass' if self else f'fail ({wrong})'}>"

    def _repr_html_(self) -> str:
        """The verdict and its gates as a table, for notebooks; :meth:`to_html` is the whole page."""
        return "".join(self._rows())

    def _rows(self) -> Iterator[str]:
        color = {"pass": "#1a7f37", "fail": "#cf222e", "unknown": "#9a6700", "n/a": "#6e7781"}
        verdict = "pass" if self else "fail"
        yield f"<p><b>{html.escape(self.model['name'])}</b>: <b style='color:{color[verdict]}'>{self._words()}</b></p>"
        yield "<table><thead><tr><th>gate</th><th>result</th><th>measured</th><th style='text-align:left'>what</th></tr></thead><tbody>"
        for gate in self.gates:
            yield f"<tr><td>{html.escape(gate.id)}</td><td style='color:{color[gate.result]}'>{gate.result}</td>"
            yield f"<td>{html.escape(_measured(gate))}</td><td style='text-align:left'>{html.escape(gate.reason)}</td></tr>"
        yield "</tbody></table>"


def _gate(data: dict[str, Any]) -> Gate:
    interval = data["interval"]
    pair = None if interval is None else (float(interval["low"]), float(interval["high"]))
    return Gate(data["id"], data["result"], data["value"], data["limit"], pair, data["unit"], data["reason"])


def _measured(gate: Gate) -> str:
    if gate.value is None:
        return ""
    limit = "" if gate.limit is None else f", limit {gate.limit:.4g}"
    return f"{gate.value:.4g} {gate.unit}{limit}"


def audit(
    float: Any,
    int8: Any,
    data: Data,
    *,
    max_error: Optional[float] = None,
    float_floor: Optional[float] = None,
    task: Optional[str] = None,
    groups: Optional[Sequence[str]] = None,
    latency: bool = True,
    memory: bool = True,
    before: Optional[Path] = None,
    name: Optional[str] = None,
    engine: Optional[str] = None,
) -> AuditReport:
    """Judges an int8 model against the float model that it was made from, by measurements on samples that neither
    training nor calibration has seen.

    Args:
        float: The float model.
        int8: The int8 model. Where both are paths or models of tinytorch, every gate is asked. Anything else is a black
            box, of which only the answers are judged: a ``torch.nn.Module``, a session of ONNX Runtime, a compiled model
            of OpenVINO, a :class:`Plan`, or any callable that takes an array for each input and returns one, or several
            in a tuple, a list or a dictionary. The gates that ask about the inside then read ``n/a``.
        data: ``(inputs, labels)``, or inputs alone, or batches of either; inputs are an array, a list or a dictionary of
            arrays. The first axis counts the samples, and labels are a class (integer) or numbers for each. For models of
            tinytorch a path may name a data set, ``"digits"`` and ``"tinytalks"`` are built in.
        max_error: Largest relative L2 error of the output, as a fraction; by default 0.01, and 0.045 where a sentence
            encoder is judged by its cosine.
        float_floor: How good the float model must be to be worth the test, in the unit of its task: an accuracy in
            percent, or a perplexity.
        task: ``"classification"``, ``"language-model"``, ``"regression"`` or ``"multi-label"``; by default what the
            labels suggest.
        groups: The name of a group for each sample; no group may be lost.
        latency: Whether to time the models.
        memory: Whether to measure memory in fresh processes, which this interpreter starts as
            ``python -m tinytorch``.
        before: The file of the int8 model as it was before it was fine-tuned.
        name: What the report calls the model.
        engine: Reads paths with another engine: ``"onnxruntime"`` or ``"openvino"``.

    Raises:
        ValueError: What does not fit: models of other architectures, samples of other shapes.
        TypeError: Something that is no model, arrays of other types than the model takes.
        FileNotFoundError: A path with nothing there.

    What a callable raises comes out as itself.
    """
    can_probe = memory and bool(sys.executable)
    judging = {
        "max_error": max_error,
        "float_floor": float_floor,
        "latency": latency,
        "task": task,
        "name": name,
        "groups": None if groups is None else list(groups),
        "before": before,
        "probe": (sys.executable, ["-m", "tinytorch"]) if can_probe else None,
    }
    are_own = engine in (None, "tinytorch") and all(isinstance(model, (str, os.PathLike, Model)) for model in (float, int8))
    if are_own:
        if isinstance(data, (str, os.PathLike)):
            return AuditReport(_tinytorch.audit(float, int8, os.fspath(data), None, None, judging))
        inputs, labels = samples_of(data)
        return AuditReport(_tinytorch.audit(float, int8, None, inputs, labels, judging))
    if before is not None:
        raise InvalidValue("what was fine-tuned can only be told of models of tinytorch; leave before out")
    if isinstance(data, (str, os.PathLike)):
        raise InvalidValue("a black box is judged by arrays; read the data set and give data=(inputs, labels)")
    engines = [adapt(model, engine) for model in (float, int8)]
    if not memory:
        for one in engines:
            one.measure = None
    inputs, labels = samples_of(data)
    ordered = _in_order(inputs, engines[1].inputs or engines[0].inputs)
    both = [one.as_dict() for one in engines]
    return AuditReport(_tinytorch.audit_outside(both[0], both[1], ordered, labels, judging))


def _in_order(inputs: Any, names: list[str]) -> list[Any]:
    """The arrays in the order of the inputs."""
    if is_array(inputs):
        return [inputs]
    if isinstance(inputs, dict):
        if not names:
            return list(inputs.values())
        if set(inputs) != set(names):
            raise InvalidValue(f"the model takes {', '.join(names)}, got {', '.join(map(str, inputs))}")
        return [inputs[name] for name in names]
    return list(cast("Sequence[Any]", inputs))
