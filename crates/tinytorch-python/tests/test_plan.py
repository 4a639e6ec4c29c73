"""Runs: the right numbers, in arrays of every kind, and refusals of one sentence."""

from __future__ import annotations

import threading
from typing import Any, Callable

import numpy as np
import pytest

import tinytorch as tt


def batch(rows: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def test_a_plan_gives_what_numpy_gives(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(20, 32, 5)
    plan = tt.Plan(model.path)
    assert plan.inputs == [("input", "float32")] and plan.outputs == ["output_0"]
    for rows in (1, 2, 7, 64):
        x = batch(rows, 20, rows)
        y = plan.run(x)
        assert y.dtype == np.float32 and y.flags.c_contiguous and y.flags.owndata
        np.testing.assert_allclose(y, model(x), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(y, plan.run({"input": x}))
        np.testing.assert_array_equal(y, plan.run_all([x])["output_0"])


def test_a_run_may_be_timed_without_python(make_mlp: Callable[..., Any]) -> None:
    plan = tt.Plan(make_mlp(20, 32, 5).path)
    assert 0 < plan.seconds(batch(4, 20), runs=3) < 60
    with pytest.raises(ValueError, match="one run"):
        plan.seconds(batch(4, 20), runs=0)
    with pytest.raises(ValueError, match="shape"):
        plan.seconds(batch(4, 21))


def test_arrays_of_every_kind_that_hold_the_same_give_the_same(make_mlp: Callable[..., Any]) -> None:
    plan = tt.Plan(make_mlp(6, 4, 3).path)
    x = batch(5, 6)
    y = plan.run(x)
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((5, 12), np.float32)
    wide[:, ::2] = x
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = buffer[1:].view(np.float32).reshape(x.shape)
    unaligned[:] = x
    same = {
        "float64": x.astype(np.float64),
        "read-only": read_only,
        "strided": wide[:, ::2],
        "Fortran's order": np.asfortranarray(x),
        "reversed": np.ascontiguousarray(x[::-1])[::-1],
        "not aligned": unaligned,
        "a list": x.tolist(),
    }
    for what, given in same.items():
        np.testing.assert_array_equal(plan.run(given), y, err_msg=what)
    assert not read_only.flags.writeable
    np.testing.assert_allclose(plan.run(x.astype(np.float16)), y, atol=1e-2)


def test_what_speaks_dlpack_is_taken_and_given(make_mlp: Callable[..., Any]) -> None:
    class Foreign:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __dlpack__(self, **options: Any) -> Any:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    plan = tt.Plan(make_mlp(6, 4, 3).path)
    x = batch(5, 6)
    y = plan.run(x)
    np.testing.assert_array_equal(plan.run(Foreign(x)), y)
    np.testing.assert_array_equal(np.from_dlpack(y), y)


NO_DLPACK = pytest.mark.skipif(not hasattr(np, "from_dlpack"), reason="NumPy older than 1.23 has no from_dlpack")
test_what_speaks_dlpack_is_taken_and_given = NO_DLPACK(test_what_speaks_dlpack_is_taken_and_given)


@pytest.mark.parametrize(
    ("what", "given", "kind", "told"),
    [
        ("objects", np.array([[1.0] * 6], dtype=object), TypeError, "object"),
        ("strings", np.array([["a"] * 6]), TypeError, "<U1"),
        ("a string", "x", TypeError, "no number"),
        ("complex", np.ones((1, 6), np.complex64), TypeError, "complex64"),
        ("dates", np.zeros((1, 6), "datetime64[s]"), TypeError, "datetime64"),
        ("integers", np.ones((1, 6), np.int32), TypeError, "float32"),
        ("truth values", np.ones((1, 6), bool), TypeError, "float32"),
        ("another byte order", np.ones((1, 6), np.float32).astype(">f4"), ValueError, "byte order"),
        ("too wide", np.ones((1, 7), np.float32), ValueError, "[1, 7]"),
        ("no axis", np.float32(1), ValueError, "shape"),
        ("too many axes", np.ones((1,) * 12, np.float32), ValueError, "12"),
        ("nothing", None, TypeError, "no number"),
        ("ragged lists", [[1.0], [1.0, 2.0]], ValueError, "no array"),
        ("a wrong name", {"nope": np.ones((1, 6), np.float32)}, ValueError, "`nope`"),
        ("a number as a name", {1: np.ones((1, 6), np.float32)}, TypeError, "strings"),
        ("no name", {}, ValueError, "`input` is missing"),
        ("two arrays", [np.ones((1, 6), np.float32)] * 2, ValueError, "got 2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    make_mlp: Callable[..., Any], what: str, given: Any, kind: type[Exception], told: str
) -> None:
    plan = tt.Plan(make_mlp(6, 4, 3).path)
    with pytest.raises(kind) as refused:
        plan.run(given)
    sentence = str(refused.value)
    assert isinstance(refused.value, tt.Error), what
    assert told in sentence and "\n" not in sentence and "panicked" not in sentence, sentence
    assert plan.run(batch(2, 6)).shape == (2, 3), "the plan still runs"


def test_an_empty_batch_and_what_is_not_finite(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(6, 4, 3)
    assert tt.Plan(model.path).run(np.zeros((0, 6), np.float32)).shape == (0, 3)
    int8 = tt.Plan(tt.quantize(model.path, batch(64, 6)).model)
    wrong = batch(2, 6)
    wrong[1, 3] = np.nan
    with pytest.raises(ValueError, match="finite|NaN"):
        int8.run(wrong)


def test_threads_share_a_plan(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(256, 512, 10)
    plan = tt.Plan(model.path)
    batches = [batch(rows, 256, rows) for rows in (1, 3, 64, 200)]
    expected = [plan.run(x) for x in batches]
    wrong: list[int] = []

    def work(first: int) -> None:
        for i in range(40):
            place = (first + i) % len(batches)
            if not np.array_equal(plan.run(batches[place]), expected[place]):
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_that_is_not_there(tmp_path: Any) -> None:
    for path in (tmp_path / "none.safetensors", str(tmp_path / "none.onnx")):
        with pytest.raises(FileNotFoundError) as missing:
            tt.Plan(path)
        assert isinstance(missing.value, tt.Error)
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(ValueError):
        tt.open(tmp_path / "bad.onnx")
    with pytest.raises(TypeError, match="path"):
        tt.Plan(3)  # type: ignore[arg-type]
