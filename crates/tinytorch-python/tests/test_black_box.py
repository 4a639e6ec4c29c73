"""Verdicts on black boxes: the gates that judge answers are the same, those about the inside read n/a."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytorch as tt

INSIDE = ["structure", "coverage", "weight_bytes", "no_f32_copy", "round_trip", "overflow", "calibration"]

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((16, 10)).astype(np.float32)
X = RNG.standard_normal((512, 16)).astype(np.float32)
# As far apart as needs be for rounding to change no answer.
Y = (X @ WEIGHT).argmax(axis=1)


def exact(x: Any) -> Any:
    return x @ WEIGHT


def rounded(x: Any) -> Any:
    return np.round(exact(x) * 64) / 64


def judged(int8: Any, float: Any = exact, data: Any = (X, Y), **options: Any) -> tt.AuditReport:
    return tt.audit(float, int8, data, latency=False, **options)


def test_a_callable_is_judged_by_its_answers() -> None:
    verdict = judged(rounded)
    assert [gate.id for gate in verdict.gates if gate.result == "n/a"] == [
        "unseen", "file_bytes", "process_memory", "exactness", "parameters", *INSIDE,
    ]  # fmt: skip
    assert verdict.gate("structure").reason == "only the answers of this model are known, not the parameters"
    want, got = exact(X), rounded(X)
    off = np.linalg.norm(got - want) / np.linalg.norm(want - want.mean(axis=0)) * 100
    assert verdict.gate("output_error").value == pytest.approx(off, rel=1e-4)
    same = (got.argmax(axis=1) == Y).mean() * 100
    assert verdict.gate("agreement").value == pytest.approx(same)
    assert verdict.gate("accuracy").value == pytest.approx(same)
    share, n, z = same / 100, len(X), 1.959964
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    interval = verdict.gate("agreement").interval
    assert interval is not None
    # Wilson's.
    assert interval[0] == pytest.approx((middle - half) / (1 + z * z / n) * 100, rel=1e-4)
    assert verdict.gate("batches").result == "pass" and verdict.gate("determinism").result == "pass"
    assert verdict.model["name"] == "rounded" and verdict.model["layers"] == []
    assert "<html" in verdict.to_html()


def test_outputs_in_any_form_and_inputs_by_name() -> None:
    def two(x: Any, scale: Any) -> Any:
        return {"first": exact(x), "second": x.sum(axis=1) * scale[:, 0]}

    def two_in_a_tuple(x: Any, scale: Any) -> Any:
        return tuple(two(x, scale).values())

    def two_in_double(x: Any, scale: Any) -> Any:
        return [output.astype(np.float64) for output in two_in_a_tuple(x, scale)]

    scale = np.full((512, 1), 2, np.float32)
    for form in (two, two_in_a_tuple, two_in_double):
        for inputs in ([X, scale], {"x": X, "scale": scale}):
            assert judged(form, two, (inputs, Y)).gate("output_error").value == 0


@pytest.mark.parametrize("gate", ["output_error", "accuracy", "agreement", "classes", "batches", "determinism"])
def test_planted_faults_are_found(gate: str) -> None:
    calls = [0]

    def faulty(x: Any) -> Any:
        calls[0] += 1
        y = exact(x)
        if gate == "output_error":
            return np.clip(y, -3, 3)
        if gate == "accuracy":
            return np.where(np.arange(10) < 5, y, -y)
        if gate == "agreement":
            return y + 2 * np.sin(100 * y)
        if gate == "classes":
            return y - 1000 * (np.arange(10) == 7)
        if gate == "batches":
            return y * (1 + 0.5 * (len(x) == 7))
        return y + 1e-3 * calls[0]

    verdict = judged(faulty)
    assert not verdict and verdict.gate(gate).result == "fail", verdict.gate(gate)


def test_what_a_callable_raises_comes_out_as_itself() -> None:
    class Mine(Exception):
        pass

    def raising(x: Any) -> Any:
        raise Mine("as itself")

    def stopped(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(Mine, match="as itself"):
        judged(raising)
    with pytest.raises(Mine):
        judged(exact, raising)
    with pytest.raises(KeyboardInterrupt):
        judged(stopped)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (lambda x: None, TypeError, "NoneType"),
        (lambda x: "scores", TypeError, "str"),
        (lambda x: [], ValueError, "no output"),
        (lambda x: exact(x)[:3], ValueError, "first axis"),
        (lambda x: np.float32(1), TypeError, "float32"),
        (lambda x: exact(x)[:, :9], ValueError, "same outputs"),
        (lambda x: [exact(x), exact(x)], ValueError, "same outputs"),
        (lambda x: exact(x).astype(object), TypeError, "object"),
        (lambda x: exact(x).astype("U8"), TypeError, "U8"),
    ],
)
def test_what_is_no_answer_is_refused(answer: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told) as refused:
        judged(answer)
    assert "\n" not in str(refused.value)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="is no model"):
        judged(3)
    with pytest.raises(ValueError, match="black box"):
        judged(exact, data="digits")
    with pytest.raises(ValueError, match="fine-tuned"):
        judged(exact, before="x.safetensors")
    with pytest.raises(ValueError, match="engine cannot be"):
        judged("x.onnx", engine="tensorrt")
    with pytest.raises(ValueError, match="some batches"):
        judged(exact, data=[(X, Y), X])


def test_answers_without_labels_and_numbers_as_labels() -> None:
    without = judged(rounded, data=X)
    assert without.gate("accuracy").result == "n/a" and without.gate("output_error").result == "pass"
    numbers = judged(rounded, data=(X, exact(X)))
    assert numbers.model["task"] == "regression" and numbers.gate("accuracy").result == "pass"
    named = judged(rounded, data=(X, (exact(X) > 0).astype(np.int64)), task="multi-label")
    assert named.model["task"] == "multi-label"


def test_samples_that_change_while_they_judge_are_refused() -> None:
    x = X.copy()

    def changing(given: Any) -> Any:
        x[-1, 0] += 1
        return exact(given)

    with pytest.raises(ValueError, match="the samples were changed while they judged"):
        judged(changing, data=(x, Y))


def test_a_plan_is_a_black_box_too(digits: Any) -> None:
    x = np.random.default_rng(3).random((64, 64)).astype(np.float32)
    plan = tt.Plan(digits)

    def other(image: Any) -> Any:
        return plan.run(image)

    verdict = tt.audit(other, plan, x, latency=True)
    assert verdict.gate("output_error").value == 0 and verdict.gate("latency").value is not None
    of_files = tt.audit(other, digits, x, latency=False)
    assert of_files.model["name"].startswith("digits.safetensors")
