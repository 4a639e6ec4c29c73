"""What holding a model takes: measured in a fresh process that holds nothing else.

Run as a program, it is that process: ``python -m tinytorch._memory onnxruntime model.onnx 8``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any, Callable

from tinytorch.errors import Error

__all__ = ["measured"]

LIMIT_SECONDS = 120

#: What is measured, for the report.
HOW = {"tinytorch": "tinytorch", "onnxruntime": "ONNX Runtime, one thread", "openvino": "OpenVINO"}


def measured(engine: str, file: str, copies: int) -> tuple[int, str]:
    """Bytes by which a fresh process grows that holds so many more copies of the model in ``file``."""
    command = [sys.executable, "-m", "tinytorch._memory", engine, file, str(copies)]
    if not sys.executable:
        raise Error("this interpreter does not say where it is, so that it cannot be started again")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Error(f"a fresh process did not load {copies} copies of {file} within {LIMIT_SECONDS} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        told = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Error(f"a fresh process could not hold {copies} copies of {file}: {told[-1]}")
    return int(json.loads(lines[-1])["bytes"]), f"{HOW[engine]} in a process of its own"


def _resident() -> int:
    """Bytes of this process in memory, by the operating system."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
    except OSError:
        raise Error("this system does not tell what a process holds") from None
    return int(line.split()[1]) * 1024


def _loader(engine: str) -> Callable[[str], Any]:
    if engine == "onnxruntime":
        onnxruntime = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        # Each session would start threads of its own, whose stacks are no model's.
        options.intra_op_num_threads = 1
        return lambda file: onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    if engine == "openvino":
        openvino = import_module("openvino")
        return lambda file: openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    from tinytorch import Plan

    return Plan


def _main(engine: str, file: str, copies: str) -> None:
    load = _loader(engine)
    # What a process has once, however many models it holds, is there with the first.
    held = [load(file)]
    before = _resident()
    held += [load(file) for _ in range(int(copies))]
    print(json.dumps({"bytes": max(_resident() - before, 0), "copies": len(held) - 1}))


if __name__ == "__main__":
    _main(*sys.argv[1:4])
