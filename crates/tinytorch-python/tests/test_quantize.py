"""Quantizing: within what rounding explains, from arrays of any kind, and stopped without a trace."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

import tinytorch as tt


def rows(count: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (count, width)).astype(np.float32)


def test_the_error_is_no_more_than_rounding(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    model = make_mlp(48, 16)
    x = rows(200, 48)
    report = tt.quantize(model.path, x, out=tmp_path / "int8.safetensors")
    assert report and report.within and report.error is None
    assert report.float_bytes == 48 * 16 * 4 and report.float_bytes / report.int8_bytes > 3.5
    assert [weight["name"] for weight in report.weights] == ["layers.0.weight"]
    weight, _ = model.layers[0]
    # Half a step of each weight and of each activation, and the product of both.
    of_weights = np.abs(weight).max(axis=1, keepdims=True) / 127 / 2
    of_inputs = (x.max() - min(x.min(), 0)) / 255
    bound = np.abs(x) @ np.broadcast_to(of_weights, weight.shape).T + of_inputs * np.abs(weight).sum(axis=1)
    bound += 48 * of_inputs * of_weights[:, 0] + 1e-5
    for int8 in (report.model, tmp_path / "int8.safetensors"):
        error = np.abs(tt.Plan(int8).run(x) - model(x))
        assert (error <= bound).all() and error.max() > 0
    assert report.model.is_int8 and not tt.open(model.path).is_int8


def test_the_same_samples_in_any_form_give_the_same_file(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    model = make_mlp(12, 8, 4)
    x, labels = rows(60, 12), np.zeros(60, np.int64)
    parts = np.split(x, 6)
    forms: dict[str, Any] = {
        "an array": x,
        "float64": x.astype(np.float64),
        "a dictionary": {"input": x},
        "inputs and labels": (x, labels),
        "batches": parts,
        "a generator": (part for part in parts),
        "batches with labels": [(part, labels[:10]) for part in parts],
        "batches by name": ({"input": part} for part in parts),
    }
    files = []
    for what, given in forms.items():
        out = tmp_path / f"{what}.safetensors"
        assert tt.quantize(model.path, given, out=out)
        files.append(out.read_bytes())
    assert all(file == files[0] for file in files)


def test_an_endless_loader_is_asked_for_no_more_than_is_used(make_mlp: Callable[..., Any]) -> None:
    asked = []

    def endless() -> Iterator[Any]:
        while True:
            asked.append(1)
            yield rows(10, 12)

    report = tt.quantize(make_mlp(12, 4).path, endless(), samples=35)
    assert report.data["calibration_samples"] == 35 and len(asked) == 4


def test_a_budget_is_kept_or_the_report_is_false(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(32, 32, 10)
    x = rows(256, 32)
    steps: list[tuple[str, int, int]] = []
    kept = tt.quantize(model.path, x, max_error=0.02, progress=lambda *step: steps.append(step))
    assert kept and kept.error is not None and kept.error <= 0.02
    held = rows(256, 32, 1)
    want, got = model(held), tt.Plan(kept.model).run(held)
    assert np.linalg.norm(got - want) / np.linalg.norm(want - want.mean(axis=0)) < 0.03
    impossible = tt.quantize(model.path, x, max_error=1e-9, progress=lambda *step: steps.append(step))
    assert not impossible and impossible.error is not None and impossible.error > 1e-9
    assert steps and all(0 <= done <= of for _, done, of in steps)


def test_a_perceptron_is_written_for_other_engines(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "int8.onnx"
    x = rows(64, 12)
    int8 = tt.quantize(make_mlp(12, 4).path, calibration=x, out=out).model
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: x})[0]
    ours = tt.Plan(int8).run(x)
    # A bias is a multiple of the products' steps in the file.
    assert np.abs(theirs - ours).max() <= 2e-2 * np.abs(ours).max()


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"granularity": "rows"}, ValueError, "per-channel"),
        ({"activations": "int4"}, ValueError, "static"),
        ({"bits": 9}, ValueError, "bits"),
        ({"range": "max"}, ValueError, "min-max"),
        ({"max_error": -1.0}, ValueError, "positive"),
        ({"max_error": float("nan")}, ValueError, "positive"),
        ({"calibration": None}, ValueError, "calibration="),
        ({"calibration": []}, ValueError, "not one batch"),
        ({"calibration": np.zeros((0, 12), np.float32)}, ValueError, "one at least"),
        ({"calibration": np.zeros((9, 12), np.float32)}, ValueError, "every value"),
        ({"calibration": np.full((9, 12), np.nan, np.float32)}, ValueError, "NaN|finite"),
        ({"calibration": np.zeros((9, 12), "U3")}, TypeError, "<U3"),
        ({"calibration": np.ones((9, 13), np.float32)}, ValueError, "13|every value"),
        ({"calibration": [rows(4, 12), rows(4, 11)]}, ValueError, "alike"),
        ({"calibration": [(rows(4, 12), 1), (np.zeros((4, 12), object), 1)]}, TypeError, "object"),
        ({"calibration": 3}, TypeError, "iter"),
        ({"calibration": {"x": rows(4, 12)}}, ValueError, "`x`"),
        ({"out": "/nowhere/at/all.safetensors"}, OSError, "nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(
    make_mlp: Callable[..., Any], tmp_path: Path, options: dict[str, Any], kind: type[Exception], told: str
) -> None:
    model = make_mlp(12, 4)
    options = {"calibration": rows(64, 12), "out": tmp_path / "int8.safetensors", **options}
    with pytest.raises(kind, match=told) as refused:
        tt.quantize(model.path, **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "int8.safetensors").exists()


def test_a_file_is_not_written_over_unless_told(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(12, 4)
    before = model.path.read_bytes()
    with pytest.raises(ValueError, match="replaced"):
        tt.quantize(model.path, rows(64, 12), out=model.path)
    assert model.path.read_bytes() == before
    assert tt.quantize(model.path, rows(64, 12), out=model.path, force=True)
    with pytest.raises(ValueError, match="int8"):
        tt.quantize(model.path, rows(64, 12))


def test_what_a_generator_or_a_progress_raises_comes_out_as_itself(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    class Mine(Exception):
        pass

    def raising(*_: Any) -> Any:
        raise Mine("as itself")

    def batches() -> Iterator[Any]:
        yield rows(8, 12)
        raising()

    model, out = make_mlp(12, 4), tmp_path / "int8.safetensors"
    for options in ({"calibration": batches()}, {"calibration": rows(64, 12), "progress": raising}):
        with pytest.raises(Mine, match="as itself"):
            tt.quantize(model.path, out=out, **options)
    with pytest.raises(Mine):
        tt.calibrate(model.path, batches())
    assert not out.exists()


def calibrated(job: tuple[str, Any]) -> tt.Prepared:
    """What another process does."""
    path, batches = job
    return tt.calibrate(path, batches)


def test_two_processes_calibrate_as_one_does(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    model = make_mlp(12, 8, 4)
    batches = np.split(rows(96, 12), 8)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(calibrated, [(str(model.path), batches[:5]), (str(model.path), batches[5:])])
    alone = tt.calibrate(model.path, batches)
    merged = first.merge(second)
    assert merged == alone and merged != first and merged.samples == 96 and merged.batches == 8
    assert tt.calibrate(model.path, rows(96, 12)).range("layers.1.weight") == alone.range("layers.1.weight"), "an array"
    assert merged.range("layers.0.weight") == (rows(96, 12).min(), rows(96, 12).max())
    assert pickle.loads(pickle.dumps(merged)) == merged
    files = [tmp_path / "merged.safetensors", tmp_path / "alone.safetensors"]
    for file, prepared in zip(files, (merged, alone)):
        assert tt.apply(model.path, prepared, out=file)
    assert files[0].read_bytes() == files[1].read_bytes()
    other = make_mlp(12, 8, 8, 4, name="other.safetensors")
    with pytest.raises(ValueError):
        tt.apply(other.path, merged)
    with pytest.raises(ValueError, match="no calibration"):
        tt.Prepared.from_json("{}")
    with pytest.raises(ValueError, match="configurations|different"):
        first.merge(tt.calibrate(model.path, batches, granularity="per-tensor"))
