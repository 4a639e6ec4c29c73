"""Quantizes the same models within the same budget by tinytorch, onnxsim and ONNX Runtime, and prints docs/onnx.md's table of who is
nearer to the float model in which time.

    cargo build --release
    python scripts/onnx_quantizers.py target/release/tinytorch --models MODELS --cifar10 train.bin.gz

MODELS and the images are those of `onnx_verdicts.py`, which says where they come from: a part of them calibrates everybody, another judges.
The error is that of the outputs, relative and with their mean taken off. Times are of one thread, medians of turns that all
models take one after the other, tinytorch's by `tinytorch bench`, the others' in ONNX Runtime. onnxsim searches in two ways: over whole schemes
(`recommend_quantization`), and block by block over the precision of activations (`search_activation_precision_for_budget`). ONNX Runtime's quantizer
knows no budget. Needs what `onnx_verdicts.py` needs, and `onnx`, `onnxruntime` and `onnxsim`.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnx_verdicts

BUDGETS = {"resnet20": 0.01, "mobilenet_v2": 0.10}
BATCHES = (1, 32)


def error(got, want):
    """The largest relative error of an output, its mean over rows taken off."""
    each = []
    for got, want in zip(got, want):
        rows = want.reshape(-1, want.shape[-1])
        each.append(np.linalg.norm(got - want) / np.linalg.norm(rows - rows.mean(0)))
    return max(each)


def session(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def outputs(model, feed):
    """What ONNX Runtime makes of a file, 32 samples at a time."""
    ready, (name, samples) = session(model), next(iter(feed.items()))
    parts = [ready.run(None, {name: samples[at : at + 32]}) for at in range(0, len(samples), 32)]
    return [np.concatenate(part) for part in zip(*parts)]


class Theirs:
    """A file in ONNX Runtime."""

    def __init__(self, file, feed):
        self.file, (self.name, samples) = file, next(iter(feed.items()))
        self.ready, self.error = session(file), None
        self.feeds = {batch: {self.name: samples[:batch]} for batch in BATCHES}

    def turn(self, batch, seconds):
        end, each = time.perf_counter() + seconds, []
        while not each or time.perf_counter() < end:
            began = time.perf_counter()
            self.ready.run(None, self.feeds[batch])
            each.append(time.perf_counter() - began)
        return 1e3 * statistics.median(each)


class Ours:
    """A file of tinytorch's."""

    def __init__(self, tinytorch, file):
        self.tinytorch, self.file = tinytorch, file

    def turn(self, batch, seconds):
        words = [self.tinytorch, "bench", self.file, "--batch", batch, "--threads", 1, "--seconds", seconds, "--json"]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["median_ms"]


class Feed:
    """Calibration data as ONNX Runtime's quantizer asks for them."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def get_next(self):
        return next(self.batches, None)


def by_tinytorch(args, folder, model, calibrate, judge, budget):
    """The file, one for other engines, and our outputs."""
    int8, onnx_file, out = folder / "ours.safetensors", folder / "ours.onnx", folder / "ours.npz"
    for words in (
        ["quantize", model, "--calibrate", calibrate, "--max-error", budget, "--search-seconds", args.search_seconds, "--best", "--out", int8],
        ["export", int8, "--out", onnx_file],
        ["run", int8, "--input", judge, "--out", out],
    ):
        done = subprocess.run([str(word) for word in [args.tinytorch, *words]], capture_output=True, text=True)
        if done.returncode > 1:
            raise SystemExit(done.stderr)
    return int8, onnx_file, list(np.load(out).values())


def by_onnxsim(folder, model, batches, budget):
    """The files of both searches, which judge by a part of the data as ours does."""
    import onnx
    import onnxsim

    float_model, found = onnx.load(model), {}
    chosen = onnxsim.recommend_quantization(float_model, accuracy_budget=budget, calibration_data=batches)
    found[f"onnxsim over schemes ({chosen.config.scheme})"] = chosen.quantized_model

    def score(got, want):
        joined = lambda runs: [np.concatenate([one[name] for one in runs]) for name in want[0]]
        return -error(joined(got), joined(want))

    cut = 3 * len(batches) // 4
    search = onnxsim.search_activation_precision_for_budget(
        float_model, batches[:cut], batches[cut:], budget=-budget, metric=score
    )
    found[f"onnxsim block by block ({search.promoted_nodes} nodes raised)"] = search.model
    files = {name: folder / f"onnxsim-{place}.onnx" for place, name in enumerate(found)}
    for name, path in files.items():
        onnx.save(found[name], path)
    return files


def by_onnxruntime(folder, model, batches):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = folder / "ready.onnx"
    quant_pre_process(str(model), str(ready))
    static, dynamic = folder / "static.onnx", folder / "dynamic.onnx"
    quantize_static(
        str(ready), str(static), Feed(batches), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    quantize_dynamic(str(ready), str(dynamic), per_channel=True, weight_type=QuantType.QUInt8)
    return {"ONNX Runtime, static": static, "ONNX Runtime, dynamic": dynamic}


def rows(args, folder, name):
    """The rows of a model's table."""
    args.made, budget = folder, BUDGETS[name]
    file, data = onnx_verdicts.MODELS[name][:2]
    parts = [inputs for inputs, _ in data(args)]
    model = next(iter([*folder.glob(file), *pathlib.Path(args.models).rglob(file)]))
    [one] = onnx_verdicts.input_names(args, model)
    feeds = [{one: next(iter(part.values()))[:512]} for part in parts]
    paths = [folder / f"{name}-{part}.npz" for part in ("calibrate", "judge")]
    for path, feed in zip(paths, feeds):
        np.savez(path, **feed)
    samples = feeds[0][one]
    batches = [{one: samples[at : at + 16]} for at in range(0, len(samples), 16)]
    want = outputs(model, feeds[1])
    int8, onnx_file, got = by_tinytorch(args, folder, model, *paths, budget)
    entries = {"float, tinytorch": (Ours(args.tinytorch, model), 0.0), "float, ONNX Runtime": (Theirs(model, feeds[1]), 0.0)}
    entries["tinytorch"] = (Ours(args.tinytorch, int8), error(got, want))
    others = {"tinytorch's file in ONNX Runtime": onnx_file, **by_onnxruntime(folder, model, batches), **by_onnxsim(folder, model, batches, budget)}
    for who, path in others.items():
        entries[who] = (Theirs(path, feeds[1]), error(outputs(path, feeds[1]), want))
    times = {who: {batch: [] for batch in BATCHES} for who in entries}
    for _ in range(args.rounds):
        for batch in BATCHES:
            for who, (runs, _) in entries.items():
                times[who][batch].append(runs.turn(batch, args.seconds))
    for who, (runs, off) in entries.items():
        milliseconds = [f"{statistics.median(times[who][batch]):.3f}" for batch in BATCHES]
        size = pathlib.Path(runs.file).stat().st_size
        yield f"| {name} | {100 * budget:g} % | {who} | {100 * off:.2f} % | {' | '.join(milliseconds)} | {size / 1e6:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--models", required=True)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--only", choices=BUDGETS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--search-seconds", type=float, default=60, help="what tinytorch's search may take")
    parser.add_argument("--folder")
    args = parser.parse_args()
    print("| model | budget | quantizer | error | ms, batch 1 | batch 32 | file, MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for name in [args.only] if args.only else BUDGETS:
            folder = pathlib.Path(args.folder or temporary) / name
            folder.mkdir(parents=True, exist_ok=True)
            for row in rows(args, folder, name):
                print(row, flush=True)


if __name__ == "__main__":
    main()
