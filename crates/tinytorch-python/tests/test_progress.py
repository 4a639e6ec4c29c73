"""Bars: drawn where somebody looks, on a terminal or in a notebook."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any, Callable

import numpy as np
import pytest

import tinytorch as tt

X = np.random.default_rng(0).standard_normal((256, 6)).astype(np.float32)


def drawn(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any], terminal: bool = False) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    work()
    return stream.getvalue()


def test_a_bar_is_drawn_where_somebody_looks(make_mlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_mlp(6, 8, 3).path

    def quantize(**options: Any) -> Callable[[], Any]:
        return lambda: tt.quantize(path, X, **options)

    assert drawn(monkeypatch, quantize()) == ""
    on_terminal = drawn(monkeypatch, quantize(), terminal=True)
    # Notebooks show what is written to stderr, which is no terminal there.
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    in_notebook = drawn(monkeypatch, quantize())
    assert on_terminal == in_notebook == drawn(monkeypatch, quantize(progress=True))
    lines = in_notebook.split("\r")
    assert "calibrating [" + "." * 24 + "] 0/4" in lines and "calibrating [" + "#" * 12 + "." * 12 + "] 2/4" in lines
    assert lines[-1] == "" and lines[-2].strip() == "", "it is gone at the end"
    assert drawn(monkeypatch, quantize(progress=False), terminal=True) == ""


def test_a_calibration_of_unknown_length_counts(make_mlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = (part for part in np.split(X, 8))
    text = drawn(monkeypatch, lambda: tt.calibrate(make_mlp(6, 3).path, batches, progress=True))
    assert text.split("\r")[1:] == [f"calibrating {done}" for done in range(1, 9)]


def test_news_come_in_order_and_on_the_callers_thread(make_mlp: Any) -> None:
    import threading

    heard: list[tuple[str, int, int]] = []
    threads = set()

    def progress(*news: Any) -> None:
        heard.append(news)
        threads.add(threading.get_ident())

    tt.quantize(make_mlp(6, 8, 3).path, X, progress=progress)
    assert heard == [("calibrating", done, 4) for done in range(5)]
    assert threads == {threading.get_ident()}
