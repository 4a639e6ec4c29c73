"""Prints the table of the package's README: what the way through Python costs on this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinytorch as tt

RUNS, ROUNDS = 2000, 10


def microseconds(plan: tt.Plan, x: Any) -> tuple[float, float]:
    """The least means of a run by Python and of the same run without Python, which other work on the machine disturbs
    least. Rounds of both take turns."""

    def by_python() -> float:
        started = time.perf_counter()
        for _ in range(RUNS):
            plan.run(x)
        return (time.perf_counter() - started) / RUNS

    rounds = [(by_python(), plan.seconds(x, RUNS)) for _ in range(ROUNDS)]
    return min(python for python, _ in rounds) * 1e6, min(rust for _, rust in rounds) * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = Path(folder) / "float.safetensors", Path(folder) / "int8.safetensors"
        train = ["train", "--model", "digits-mlp", "--data", "digits", "--epochs", "5", "--out", str(float_file)]
        subprocess.run([sys.executable, "-m", "tinytorch", *train], check=True, capture_output=True)
        started = time.perf_counter()
        tt.quantize(float_file, "digits", out=int8_file)
        quantizing = time.perf_counter() - started
        print("| `digits-mlp` | `Plan.run` | the plan in Rust | Python |\n|---|---|---|---|")
        rng = np.random.default_rng(0)
        for name, file in (("float", float_file), ("int8", int8_file)):
            plan = tt.Plan(file)
            for rows in (1, 32):
                python, rust = microseconds(plan, rng.random((rows, 64), np.float32))
                print(f"| {name}, batch {rows} | {python:.1f} us | {rust:.1f} us | {python - rust:.1f} us |")
        print(f"\nQuantized and saved in {quantizing * 1e3:.0f} ms.")


if __name__ == "__main__":
    main()
