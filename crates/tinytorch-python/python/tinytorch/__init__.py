"""Quantize models to int8, and get a verdict that they are intact.

>>> import tinytorch as tt
>>> report = tt.quantize("model.onnx", calibration=batches, max_error=0.01, out="model.int8.safetensors")
>>> verdict = tt.audit("model.onnx", "model.int8.safetensors", data=(x, y))
>>> assert verdict, verdict
>>> y = tt.Plan("model.int8.safetensors").run({"input": x})

Threads: as many as the machine has processors, or ``TINYTORCH_NUM_THREADS``, which is read at import. Work above some
50 us runs without the interpreter's lock. After ``os.fork`` a process has threads of its own.
"""

from __future__ import annotations

from tinytorch._audit import AuditReport, Gate, audit
from tinytorch._info import Profile, inspect, profile
from tinytorch._quantize import QuantizeReport, apply, calibrate, quantize
from tinytorch._text import Generated, embed, generate
from tinytorch._tinytorch import Encoder, Model, Plan, Prepared, __version__
from tinytorch._torch import from_torch
from tinytorch.errors import Error, FileNotFound, FileProblem, InvalidType, InvalidValue

__all__ = [
    "AuditReport",
    "Encoder",
    "Error",
    "FileNotFound",
    "FileProblem",
    "Gate",
    "Generated",
    "InvalidType",
    "InvalidValue",
    "Model",
    "Plan",
    "Prepared",
    "Profile",
    "QuantizeReport",
    "__version__",
    "apply",
    "audit",
    "calibrate",
    "embed",
    "from_torch",
    "generate",
    "inspect",
    "profile",
    "quantize",
]

open = Model.open
