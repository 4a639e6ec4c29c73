"""Prints the table of the package's README: what the way through Python costs on this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

import tinytorch as tt


def best_microseconds(work: Callable[[], Any], times: int) -> float:
    """The least mean of ten rounds, which other work on the machine disturbs least."""
    means = []
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(times):
            work()
        means.append((time.perf_counter() - started) / times * 1e6)
    return min(means)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = Path(folder) / "float.safetensors", Path(folder) / "int8.safetensors"
        train = ["train", "--model", "digits-mlp", "--data", "digits", "--epochs", "5", "--out", str(float_file)]
        subprocess.run([sys.executable, "-m", "tinytorch", *train], check=True, capture_output=True)
        started = time.perf_counter()
        tt.quantize(float_file, "digits", out=int8_file)
        quantizing = time.perf_counter() - started
        print("| `digits-mlp` | batch 1 | batch 32 |\n|---|---|---|")
        rng = np.random.default_rng(0)
        for name, file in (("float", float_file), ("int8", int8_file)):
            plan = tt.Plan(file)
            times = []
            for rows in (1, 32):
                x = rng.random((rows, 64), np.float32)
                times.append(best_microseconds(lambda plan=plan, x=x: plan.run(x), 2000))
            print(f"| {name}, `Plan.run` | {times[0]:.1f} us | {times[1]:.1f} us |")
        print(f"\nQuantized and saved in {quantizing * 1e3:.0f} ms.")


if __name__ == "__main__":
    main()
