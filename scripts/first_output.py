"""How long the first output of an int8 model takes from its file, beside ONNX Runtime.

    python scripts/first_output.py target/release/tinytorch minilm.onnx minilm.int8.safetensors inputs.npz [--rounds 15]

inputs.npz holds arrays by the names of the inputs, of which the first sample is run. ONNX Runtime reads what its own dynamic quantizer makes of the
model; its time is that of a session and a run in a fresh process that has imported it, on one thread. Ours is that of the whole command `run`, with the
start of the process, on one thread (`RAYON_NUM_THREADS`). They take turns, and medians count. Needs `numpy`, `onnx` and `onnxruntime`.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

THEIRS = """
import sys, time
import numpy as np, onnxruntime
inputs = dict(np.load(sys.argv[2]))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
begun = time.perf_counter()
onnxruntime.InferenceSession(sys.argv[1], options).run(None, inputs)
print(time.perf_counter() - begun)
"""


def main():
    from onnxruntime.quantization import quantize_dynamic

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tinytorch", "model", "int8", "inputs"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        one, quantized = folder / "one.npz", folder / "model.onnx"
        with np.load(args.inputs) as arrays:
            np.savez(one, **{name: arrays[name][:1] for name in arrays})
        quantize_dynamic(args.model, quantized)
        command = [args.tinytorch.resolve(), "run", args.int8, "--input", one, "--out", folder / "out.npz"]
        one_thread = {**os.environ, "RAYON_NUM_THREADS": "1"}
        for _ in range(args.rounds):
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=one_thread)
            ours.append(time.perf_counter() - begun)
            told = subprocess.run([sys.executable, "-c", THEIRS, quantized, one], check=True, capture_output=True, text=True)
            theirs.append(float(told.stdout))
    ours, theirs = (1e3 * statistics.median(times) for times in (ours, theirs))
    print(f"first output of {args.int8.name}: {ours:.1f} ms, of ONNX Runtime's int8 {theirs:.1f} ms: {ours / theirs:.2f}x")


if __name__ == "__main__":
    main()
