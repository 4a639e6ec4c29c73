"""Verdicts on models that tinytorch runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt

ALL = [
    "f32_floor", "unseen", "structure", "coverage", "output_error", "accuracy", "agreement", "classes", "batches",
    "weight_bytes", "file_bytes", "process_memory", "no_f32_copy", "round_trip", "determinism", "overflow", "calibration",
]  # fmt: skip


@pytest.fixture(scope="module")
def int8(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "digits.int8.safetensors"
    assert tt.quantize(digits, "digits", out=out)
    return out


def test_a_good_model_passes_every_gate(digits: Path, int8: Path, tmp_path: Path) -> None:
    verdict = tt.audit(digits, int8, "digits", float_floor=90.0, max_error=0.02, latency=False)
    assert [gate.id for gate in verdict.gates] == ALL
    assert verdict, verdict
    assert verdict.gate("process_memory").value is not None and verdict.gate("process_memory").value > 2  # type: ignore[operator]
    verdict.save(tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["models"][0]["gates"]
    assert "<html" in (tmp_path / "report" / "report.html").read_text()
    table = verdict._repr_html_()
    assert all(f"<td>{gate}</td>" in table for gate in ALL)
    assert "output_error" in str(verdict) and repr(verdict).startswith("<tinytorch.AuditReport")


def test_a_model_by_arrays_and_in_memory(digits: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((400, 64)).astype(np.float32)
    scores = tt.Plan(digits).run(x)
    report = tt.quantize(digits, rng.random((300, 64)).astype(np.float32))
    verdict = tt.audit(tt.open(digits), report.model, (x, scores.argmax(axis=1)), latency=False, memory=False)
    assert verdict.gate("process_memory").result == "n/a" and "latency" not in [gate.id for gate in verdict.gates]
    assert verdict.gate("accuracy").value is not None
    of_int8 = tt.Plan(report.model).run(x)
    same = float((of_int8.argmax(axis=1) == scores.argmax(axis=1)).mean() * 100)
    assert verdict.gate("agreement").value == pytest.approx(same)
    off = np.linalg.norm(of_int8 - scores) / np.linalg.norm(scores - scores.mean(axis=0)) * 100
    assert verdict.gate("output_error").value == pytest.approx(off, rel=1e-4)
    batches = [(part, part_labels) for part, part_labels in zip(np.split(x, 4), np.split(scores.argmax(axis=1), 4))]
    again = tt.audit(digits, report.model, batches, latency=False, memory=False)
    assert again.gate("output_error") == verdict.gate("output_error")


def test_samples_that_were_calibrated_on_do_not_judge(digits: Path) -> None:
    x = np.random.default_rng(1).random((200, 64)).astype(np.float32)
    int8 = tt.quantize(digits, x).model
    verdict = tt.audit(digits, int8, (x, tt.Plan(digits).run(x).argmax(axis=1)), latency=False, memory=False)
    assert not verdict and verdict.gate("unseen").result == "fail" and verdict.gate("unseen").value == 200


def test_another_float_model_is_found_out(digits: Path, int8: Path, make_mlp: Any) -> None:
    other = make_mlp(64, 128, 64, 10)
    verdict = tt.audit(other.path, int8, "digits", latency=False, memory=False)
    assert not verdict and verdict.gate("structure").result == "fail"
    assert verdict.gate("output_error").result == "fail"
    with pytest.raises(KeyError):
        verdict.gate("nothing")


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"float": "int8"}, ValueError, "int8"),
        ({"int8": "float"}, ValueError, "no int8"),
        ({"data": (np.ones((9, 5), np.float32), np.ones(9, np.int64))}, ValueError, "shape|fit"),
        ({"data": (np.ones((9, 1, 8, 8), np.float32), np.ones(8, np.int64))}, ValueError, "8 samples"),
        ({"data": (np.zeros((0, 64), np.float32), np.ones(0, np.int64))}, ValueError, "one at least"),
        ({"data": (np.ones((9, 64), np.float32),) * 3}, ValueError, "tuple of 3"),
        ({"data": []}, ValueError, "not one batch"),
        ({"data": "nowhere.csv"}, FileNotFoundError, "nowhere"),
        ({"max_error": 0.0}, ValueError, "positive"),
        ({"task": "chess"}, ValueError, "regression"),
        ({"groups": ["a"]}, ValueError, "groups"),
        ({"float": "nowhere.safetensors"}, FileNotFoundError, "nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(
    digits: Path, int8: Path, change: dict[str, Any], kind: type[Exception], told: str
) -> None:
    x = np.random.default_rng(2).random((40, 1, 8, 8)).astype(np.float32)
    files = {"float": digits, "int8": int8}
    given: dict[str, Any] = {**files, "data": (x, np.arange(40) % 10), "latency": False, "memory": False}
    given.update({key: files.get(value, value) if isinstance(value, str) else value for key, value in change.items()})
    with pytest.raises(kind, match=told) as refused:
        tt.audit(**given)
    assert "\n" not in str(refused.value)
