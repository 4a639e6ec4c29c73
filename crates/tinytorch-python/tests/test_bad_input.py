"""What every function says to arrays that do not fit: an exception with one sentence, and to those that do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import numpy as np
import pytest

import tinytorch as tt

WIDTH = 6
X = np.random.default_rng(0).standard_normal((96, WIDTH)).astype(np.float32)


class Mine(Exception):
    """What a generator raises."""


@dataclass
class Functions:
    """Each function that takes arrays, given nothing but these."""

    float: Path
    int8: Path

    def run(self, x: Any) -> Any:
        return tt.Plan(self.int8).run(x)

    def quantize(self, x: Any) -> Any:
        return tt.Plan(tt.quantize(self.float, x).model).run(X)

    def calibrate(self, x: Any) -> Any:
        return tt.Plan(tt.apply(self.float, tt.calibrate(self.float, x)).model).run(X)

    def audit(self, x: Any) -> Any:
        verdict = tt.audit(self.float, self.int8, x, latency=False, memory=False)
        return verdict.gate("output_error").value

    def audit_black_box(self, x: Any) -> Any:
        plans = tt.Plan(self.float), tt.Plan(self.int8)
        verdict = tt.audit(plans[0].run, plans[1].run, x, latency=False, memory=False)
        return verdict.gate("output_error").value


NAMES = ["run", "quantize", "calibrate", "audit", "audit_black_box"]


@pytest.fixture
def functions(make_mlp: Callable[..., Any]) -> Functions:
    path = make_mlp(WIDTH, 8, 3).path
    int8 = path.with_name("int8.safetensors")
    tt.quantize(path, np.random.default_rng(1).standard_normal((64, WIDTH)).astype(np.float32), out=int8)
    return Functions(path, int8)


def with_one(value: float) -> Any:
    x = X.copy()
    x[7, 3] = value
    return x


def ending() -> Iterator[Any]:
    yield from ()


def raising() -> Iterator[Any]:
    yield X[:8]
    raise Mine("as itself")


# What is given, what each function raises, and a word that the sentence has.
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "objects": (X.astype(object), TypeError, "object"),
    "strings": (X.astype("U4"), TypeError, "<U4"),
    "bytes": (X.astype("S4"), TypeError, "S4"),
    "dates": (np.zeros((96, WIDTH), "datetime64[s]"), TypeError, "datetime64"),
    "complex": (X.astype(np.complex64), TypeError, "complex64"),
    "records": (np.zeros((96, WIDTH), "f4,i4"), TypeError, "f4"),
    "another byte order": (X.astype(">f4"), ValueError, "byte order"),
    "doubles in another byte order": (X.astype(">f8"), ValueError, "byte order"),
    "integers": (X.astype(np.int32), TypeError, "float32"),
    "truth values": (X > 0, TypeError, "float32"),
    "NaN": (with_one(np.nan), ValueError, "NaN|finite"),
    "infinity": (with_one(np.inf), ValueError, "inf|finite"),
    "too wide": (np.tile(X, 2)[:, : WIDTH + 1], ValueError, "7|shape"),
    "no axis": (np.array(1, np.float32), ValueError, "samples|shape"),
    "no value in a sample": (np.zeros((96, 0), np.float32), ValueError, "0"),
    "too many axes": (np.ones((1,) * 12, np.float32), ValueError, "12"),
    "a wrong name": ({"nope": X}, ValueError, "nope"),
    "a number as a name": ({1: X}, TypeError, "string"),
    "no name": ({}, ValueError, "input"),
    "a number": (3, TypeError, "iterated|float32"),
}
# Where a function takes what others refuse, or refuses it otherwise.
EXCEPT: dict[tuple[str, str], Optional[type[Exception]]] = {
    ("audit_black_box", "a number as a name"): None,
    ("audit_black_box", "a wrong name"): None,
    ("audit", "a number"): ValueError,
    ("audit_black_box", "a number"): ValueError,
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("function", NAMES)
def test_what_does_not_fit_is_refused_in_one_sentence(functions: Functions, function: str, kind: str) -> None:
    given, raised, told = REFUSED[kind]
    wanted = EXCEPT.get((function, kind), raised)
    if wanted is None:
        # The arrays are a callable's, in the order in which they are given.
        getattr(functions, function)(given)
        return
    with pytest.raises(wanted) as refused:
        getattr(functions, function)(given)
    sentence = str(refused.value)
    assert isinstance(refused.value, tt.Error)
    assert "\n" not in sentence and "panicked" not in sentence and len(sentence) < 300, sentence
    if wanted is raised:
        assert any(word in sentence for word in told.split("|")), sentence


@pytest.mark.parametrize("function", NAMES)
def test_no_samples(functions: Functions, function: str) -> None:
    for given in (np.zeros((0, WIDTH), np.float32), [], ending()):
        is_empty_array = isinstance(given, np.ndarray)
        if function == "run" and is_empty_array:
            assert functions.run(given).shape == (0, 3)
            continue
        with pytest.raises((ValueError, TypeError)) as refused:
            getattr(functions, function)(given)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("function", [name for name in NAMES if name != "run"])
def test_what_a_generator_raises_comes_out_as_itself(functions: Functions, function: str) -> None:
    with pytest.raises(Mine, match="as itself"):
        getattr(functions, function)(raising())


@pytest.mark.parametrize("function", NAMES)
def test_the_same_values_in_other_arrays_are_the_same(functions: Functions, function: str) -> None:
    read_only = X.copy()
    read_only.flags.writeable = False
    wide = np.zeros((96, 2 * WIDTH), np.float32)
    wide[:, ::2] = X
    unaligned = np.zeros(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
    unaligned[:] = X
    same = {
        "float64": X.astype(np.float64),
        "read-only": read_only,
        "strided": wide[:, ::2],
        "Fortran's order": np.asfortranarray(X),
        "reversed": np.ascontiguousarray(X[::-1])[::-1],
        "not aligned": unaligned,
        "by name": {"input": X},
    }
    work = getattr(functions, function)
    want = work(X)
    for what, given in same.items():
        np.testing.assert_array_equal(work(given), want, err_msg=what)
    assert not read_only.flags.writeable


@pytest.mark.parametrize("function", [name for name in NAMES if name != "run"])
def test_a_generator_may_fill_the_array_that_it_gave_again(functions: Functions, function: str) -> None:
    def refilled() -> Iterator[Any]:
        buffer = np.empty((12, WIDTH), np.float32)
        for part in np.split(X, 8):
            buffer[:] = part
            yield buffer
        buffer[:] = 1000

    work = getattr(functions, function)
    np.testing.assert_array_equal(work(refilled()), work(np.split(X, 8)))
