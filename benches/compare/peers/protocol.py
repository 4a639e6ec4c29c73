"""The engine's side of the comparison, for every engine in Python: answers JSON lines on standard input.

`src/protocol.rs` says what the lines are.
"""

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO


@dataclass
class Variant:
    """One way to run a case: a call, and what it gives as an array or as something that NumPy takes for one."""

    call: Callable[[], Any]
    output: Callable[[], Any]
    # What lives as long as the variant, because the engine has only borrowed it.
    held: Any = None


@dataclass
class Case:
    """A case as `src/case.rs` writes it: a description and NPY files beside it."""

    folder: Path
    variants: list[str]
    work: dict[str, Any]

    @staticmethod
    def load(file: str) -> "Case":
        text = json.loads(Path(file).read_text())
        return Case(Path(text["folder"]), text["variants"], text["work"])

    def array(self, name: str) -> Any:
        import numpy

        return numpy.load(self.folder / f"{name}.npy")

    def wants(self, variant: str) -> bool:
        return variant in self.variants


# Each way by its name, made only when its turn comes, so that one which fails leaves the others.
Ways = dict[str, Callable[[], Variant]]


def serve(
    packages: list[str],
    prepare: Callable[[Case, int], Ways],
    detail: Callable[[ModuleType], str] = lambda engine: "",
) -> None:
    """Answers until the input ends. The first of the packages is the engine, on as many threads as the
    program's argument says; `detail` is what its version does not tell."""
    # Libraries print warnings; what they say must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = load(packages, answers)
    version = f"{packages[0]} {engine.__version__.split('-')[0]}{detail(engine)}"
    say(answers, {"ready": {"version": version}})
    threads = int(sys.argv[1])
    ready: dict[str, Variant] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                ready.clear()
                case = Case.load(request["prepare"])
                answer = announce(packages[0], case, prepare(case, threads), ready)
            else:
                run = request["run"]
                answer = {"ran": {"seconds": median(ready[run["variant"]].call, run["seconds"])}}
        # Whatever an engine raises is its answer.
        except Exception as error:
            answer = {"failed": {"why": reason(error)}}
        say(answers, answer)


def load(packages: list[str], answers: TextIO) -> ModuleType:
    """The first package; ends the program if one is missing."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            say(answers, {"missing": {"package": package, "install": f"pip install {package}"}})
            sys.exit(0)
    return sys.modules[packages[0]]


def announce(engine: str, case: Case, ways: Ways, ready: dict[str, Variant]) -> dict[str, Any]:
    """Makes every way, and saves what each gives."""
    import numpy

    variants, refused = [], []
    for name, make in ways.items():
        try:
            variant = make()
            variant.call()
            file = case.folder / f"{engine}-{name}.npy"
            numpy.save(file, numpy.asarray(variant.output(), dtype=numpy.float32))
            ready[name] = variant
            variants.append({"name": name, "output": str(file)})
        except Exception as error:
            refused.append({"name": name, "why": reason(error)})
    return {"prepared": {"variants": variants, "refused": refused}}


def median(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of a call: the median over `seconds`, of which the first third warms up."""
    clock = time.perf_counter
    started, calls = clock(), 0
    while calls == 0 or clock() - started < seconds / 3:
        call()
        calls += 1
    # Calls that are timed together last 20 us, so that reading the clock does not count.
    together = int(20e-6 * calls / (clock() - started)) + 1
    times: list[float] = []
    started = clock()
    while not times or clock() - started < seconds * 2 / 3:
        begun = clock()
        for _ in range(together):
            call()
        times.append((clock() - begun) / together)
    return statistics.median(times)


def reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


def say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
