"""Quantizes public ONNX models with ONNX Runtime's quantizer, audits them as engines run them, and prints docs/onnx.md's gallery.

    cargo build --release
    python scripts/onnx_gallery.py target/release/tinytorch --models MODELS --cifar10 train.bin.gz [--only resnet8]

Models and pictures are those of `onnx_verdicts.py`, beside which this file lies. Needs `onnx`, `onnxruntime` and what that script
needs, and `openvino` for --engine openvino; --folder keeps the arrays, the int8 models and the reports, to which the commands below the
table refer.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.quantization import QuantFormat, QuantType

import onnx_verdicts

# What ONNX Runtime's quantizer is asked for; its defaults come first.
FORMS = {
    "static, QDQ": {"quant_format": QuantFormat.QDQ},
    "static, QDQ, per channel": {"quant_format": QuantFormat.QDQ, "per_channel": True},
    "static, QDQ, per channel, 7 bits": {"quant_format": QuantFormat.QDQ, "per_channel": True, "reduce_range": True},
    "static, QOperator": {"quant_format": QuantFormat.QOperator},
    "static, QDQ, unsigned": {"quant_format": QuantFormat.QDQ, "weight_type": QuantType.QUInt8, "activation_type": QuantType.QUInt8},
    "dynamic": None,
}
BUDGET = "5%"

# Those of `onnx_verdicts.py` whose one input is a picture.
MODELS = ["resnet20", "resnet8", "ultraface", "yunet"]


class Batches(quantization.CalibrationDataReader):
    """The calibration samples, as many at a time as the model takes, or 16."""

    def __init__(self, value, samples):
        size = value.type.tensor_type.shape.dim[0].dim_value or 16
        self.batches = iter([{value.name: samples[start : start + size]} for start in range(0, len(samples), size)])

    def get_next(self):
        return next(self.batches, None)


def quantized(model, form, batches, out):
    """ONNX Runtime's int8 model."""
    if FORMS[form] is None:
        return quantization.quantize_dynamic(model, out)
    quantization.quantize_static(model, out, batches, **FORMS[form])


def audit(model, int8, data, engine):
    """The command that judges, with these for the files."""
    return ["audit", model, int8, "--data", data, "--engine", engine, "--max-error", BUDGET]


def audited(tinytorch, words, folder):
    """The report of an audit; what it said if it gave none."""
    command = [tinytorch, *words, "--out", folder]
    print("$", *command, file=sys.stderr)
    environment = {**os.environ, "TINYTORCH_PYTHON": sys.executable}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    print(done.stdout, done.stderr, file=sys.stderr)
    if done.returncode > 1:
        return done.stderr.strip().splitlines()[-1]
    return json.loads((folder / "report.json").read_text())["models"][0]


def row(name, form, engine, model):
    """A row of the table."""
    if isinstance(model, str):
        # Where in the engine's source it was said is nothing that helps.
        told = " ".join(re.sub(r"Exception from \S+|Check '.*' failed at \S+", "", model).split())
        return f"| {name} | {form} | {engine} | | | | | | | {told[:120]} |"
    value, times, verdict = onnx_verdicts.told(model)
    cells = [name, form, engine, value("output_error", " %"), value("exactness", " %"), value("agreement", " %"), value("file_bytes", "x")]
    cells += [value("process_memory", "x"), next(iter(times.values()), ""), verdict]
    return f"| {' | '.join(cells)} |"


def machine():
    """The processor, and the widest products of bytes that it has."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.processor())
    widest = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
    return f"{model}, {next((told for flag, told in widest.items() if flag in text.split()), 'no AVX2')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--models", required=True)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--engine", choices=["onnxruntime", "openvino"], nargs="+", default=["onnxruntime"])
    parser.add_argument("--folder")
    args = parser.parse_args()
    versions = ", ".join(f"{engine} {importlib.metadata.version(engine)}" for engine in args.engine)
    print(f"{versions}; {os.cpu_count()} cores of {machine()}\n")
    print("| model | quantizer | engine | error | from its integers | same answer | file | process | time | verdict |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    commands = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in [args.only] if args.only else MODELS:
            file, data, *_ = onnx_verdicts.MODELS[name]
            model = next(pathlib.Path(args.models).rglob(file))
            value = onnx.load(model).graph.input[0]
            (calibrate, _), (judge, labels) = data(args)
            path = folder / f"{name}-judge.npz"
            np.savez(path, **{value.name: judge["input"]}, **({} if labels is None else {"labels": labels}))
            for i, form in enumerate(FORMS):
                int8 = folder / f"{name}-{i}.onnx"
                try:
                    quantized(model, form, Batches(value, calibrate["input"]), int8)
                except Exception as error:  # What the quantizer cannot do is a row of the table, too.
                    print(row(name, form, "", f"not quantized: {' '.join(str(error).split())[:80]}"), flush=True)
                    continue
                for engine in args.engine:
                    report = audited(args.tinytorch, audit(model, int8, path, engine), folder / f"{name}-{i}-{engine}")
                    print(row(name, form, engine, report), flush=True)
                    commands.append(["tinytorch", *audit(model.name, int8.name, path.name, engine)])
    print("\n```sh", *(" ".join(words) for words in commands), "```", sep="\n")


if __name__ == "__main__":
    main()
