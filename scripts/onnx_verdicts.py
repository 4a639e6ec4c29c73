"""Quantizes and audits public ONNX models on public pictures, and prints docs/onnx.md's table of verdicts.

    cargo build --release
    python scripts/onnx_verdicts.py target/release/tinytorch --models MODELS --cifar10 train.bin.gz [--only resnet20]

MODELS is a folder with `resnet20-12fca82f.onnx` (akamaster/pytorch_resnet_cifar10), `resnet8_fp32.onnx` (MLPerf Tiny),
`version-slim-320_simplified.onnx` (UltraFace) and `yunet_n_320_320.onnx` (YuNet), in folders of any name. The first two are
calibrated on 1,000 images of CIFAR-10's binary format and judged on others, the detectors on crops of the photographs that come
with scikit-image and scikit-learn: some photographs calibrate, the others judge. Needs `numpy`, `scikit-image` and
`scikit-learn`; --folder keeps the arrays and the int8 models.
"""

import argparse
import gzip
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)

# Photographs that calibrate; the others judge.
CALIBRATE = ["astronaut", "chelsea", "motorcycle_left", "china"]
JUDGE = ["coffee", "rocket", "motorcycle_right", "flower", "hubble_deep_field", "retina"]


def cifar10(path, per_part=1000):
    """Images 0..255 and labels of CIFAR-10's binary format, in two parts that share no image."""
    opened = gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")
    with opened as file:
        rows = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    if len(rows) < 2 * per_part:
        sys.exit(f"{path} holds {len(rows)} images: {2 * per_part} are needed")
    images, labels = rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32), rows[:, 0].astype(np.int64)
    return [(images[part], labels[part]) for part in (slice(0, per_part), slice(per_part, 3 * per_part))]


def crops(names, height, width, count, seed):
    """Random squares of photographs, resized: pixels 0..255 of [count, 3, height, width], red first."""
    import skimage.io
    import skimage.transform
    import sklearn.datasets

    random = np.random.default_rng(seed)
    folders = [pathlib.Path(skimage.__file__).parent / "data", pathlib.Path(sklearn.datasets.__file__).parent / "images"]
    files = [next(file for folder in folders for file in folder.glob(name + ".*")) for name in names]
    photos = [skimage.io.imread(file)[..., :3] for file in files]
    result = np.empty((count, 3, height, width), np.float32)
    for i in range(count):
        photo = photos[i % len(photos)]
        side = int(random.integers(min(photo.shape[:2]) // 3, min(photo.shape[:2]) + 1))
        top, left = (int(random.integers(0, size - side + 1)) for size in photo.shape[:2])
        square = photo[top : top + side, left : left + side]
        square = skimage.transform.resize(square, (height, width), preserve_range=True, anti_aliasing=True)
        if random.random() < 0.5:
            square = square[:, ::-1]
        result[i] = square.transpose(2, 0, 1)
    return result


def resnet20(args):
    return [(dict(input=(x / 255 - IMAGENET_MEAN) / IMAGENET_STD), y) for x, y in cifar10(args.cifar10)]


def resnet8(args):
    return [(dict(input=x), y) for x, y in cifar10(args.cifar10)]


def ultraface(_):
    parts = [(CALIBRATE, 96, 0), (JUDGE, 96, 1)]
    return [(dict(input=(crops(names, 240, 320, count, seed) - 127) / 128), None) for names, count, seed in parts]


def yunet(_):
    parts = [(CALIBRATE, 64, 0), (JUDGE, 64, 1)]
    return [(dict(input=crops(names, 320, 320, count, seed)[:, ::-1].copy()), None) for names, count, seed in parts]


MODELS = {
    "resnet20": ("resnet20-12fca82f.onnx", resnet20, "1%"),
    "resnet8": ("resnet8_fp32.onnx", resnet8, "2%"),
    "ultraface": ("version-slim-320_simplified.onnx", ultraface, "3%"),
    "yunet": ("yunet_n_320_320.onnx", yunet, "3%"),
}


def input_name(args, model):
    """The name of the model's one input, as `inspect` says it."""
    out = subprocess.run([args.tinytorch, "inspect", model, "--json"], capture_output=True, text=True, check=True)
    [one] = json.loads(out.stdout)["inputs"]
    return one["name"]


def verdict(args, folder, name):
    """Quantizes and audits a model; its report, `None` if no int8 model is within the budget."""
    file, data, budget = MODELS[name]
    model = next(pathlib.Path(args.models).rglob(file))
    arrays = []
    for part, (inputs, labels) in zip(("calibrate", "judge"), data(args)):
        path = folder / f"{name}-{part}.npz"
        named = {input_name(args, model): inputs["input"]}
        np.savez(path, **named, **({} if labels is None else {"labels": labels}))
        arrays.append(path)
    int8 = folder / f"{name}.int8.safetensors"
    quantize = [args.tinytorch, "quantize", model, "--calibrate", arrays[0], "--max-error", budget, "--out", int8]
    audit = [args.tinytorch, "audit", model, int8, "--data", arrays[1], "--max-error", budget]
    audit += ["--out", folder / f"{name}-report"]
    for command in (quantize, audit):
        print("$", *command, file=sys.stderr)
        done = subprocess.run([str(word) for word in command], stdout=sys.stderr)
        if done.returncode > 1:
            sys.exit(f"{name}: exit code {done.returncode}")
        if done.returncode and command is quantize:
            return None
    return json.loads((folder / f"{name}-report" / "report.json").read_text())


def line(name, report):
    """A row of the table."""
    if report is None:
        return f"| {MODELS[name][0]} | {MODELS[name][2]} | | | | | | none within the budget |"
    [model] = report["models"]
    gates = {gate["id"]: gate for gate in model["gates"]}
    value = lambda gate, unit: "" if gates[gate]["value"] is None else f"{gates[gate]['value']:.2f}{unit}"
    ratio = lambda at: statistics.median(i / f for i, f in zip(at["int8_us"], at["float_us"]))
    times = {at["batch"]: f"{ratio(at):.2f}x" for at in model["latency"]}
    failed = [id for id, gate in gates.items() if gate["result"] not in ("pass", "n/a")]
    verdict = model["verdict"] + (f" ({', '.join(failed)})" if failed else "")
    cells = [MODELS[name][0], MODELS[name][2], value("output_error", " %"), value("agreement", " %")]
    cells += [value("weight_bytes", "x smaller"), times.get(32, ""), times.get(1, ""), verdict]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--models", required=True)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--folder")
    args = parser.parse_args()
    print("| model | budget | error | same answer | weights | time, batch 32 | batch 1 | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in [args.only] if args.only else MODELS:
            print(line(name, verdict(args, folder, name)), flush=True)


if __name__ == "__main__":
    main()
