"""Exports models of well-known architectures with torch, and holds `tinytorch run` and plans against ONNX Runtime.

    cargo build --release --examples --bins
    python scripts/onnx_models.py target/release/tinytorch [--only mobilenet] [--folder models] [--public shared/models]

The weights are random, but for batch norms whose statistics are drawn as well, so that nothing is trivial. Each model is
exported at an opset from 11 to 18, with a free batch where the exporter can and a free length where texts have one, and run
at the batch of its example, at 1 and at 3, and at another length. A model passes if every output is within 1e-4 of ONNX
Runtime's, relative to the output's largest value: op by op, as `tinytorch run` computes, and as a plan, by the example
`plan_outputs`, which compiles once and goes on to the other sizes. The exit code is 1 if one does not. With --public every
.onnx file below that folder is tried too, on random inputs.

Needs `torch`, `torchvision`, `onnx`, `onnxruntime` and `numpy`. With --folder the files are kept, and used again if they
are there already.
"""

import argparse
import inspect
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnxruntime
import torch
from torch import nn

TOLERANCE = 1e-4


class Tagger(nn.Module):
    """A tag for each token, by a recurrent layer."""

    def __init__(self, kind):
        super().__init__()
        self.tokens = nn.Embedding(50, 24)
        self.rnn = kind(24, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 7)

    def forward(self, ids):
        return self.head(self.rnn(self.tokens(ids))[0])


class Speech(nn.Module):
    """Convolutions of a signal, then a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(1, 8, 9, stride=2, padding=4), nn.BatchNorm1d(8), nn.ReLU(),
            nn.Conv1d(8, 16, 5, stride=2, dilation=2, padding=4), nn.LeakyReLU(0.1),
        )
        self.rnn = nn.GRU(16, 12, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, wave):
        x = self.front(wave).transpose(1, 2)
        return nn.functional.log_softmax(self.head(self.rnn(x)[0]), dim=-1)


class Encoder(nn.Module):
    """A transformer with positions and a mask of what is no padding, pooled as sentence encoders are."""

    def __init__(self, norm_first):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(60, 32), nn.Embedding(40, 32)
        layer = lambda: nn.TransformerEncoderLayer(32, 4, 64, 0.0, nn.functional.gelu, batch_first=True, norm_first=norm_first)
        self.layers = nn.ModuleList([layer(), layer()])

    def forward(self, ids, mask):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.tokens(ids) + self.positions(places)
        away = torch.where(mask.bool(), 0.0, float("-inf"))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=away)
        weights = mask.unsqueeze(-1).to(x.dtype)
        return nn.functional.normalize((x * weights).sum(1) / weights.sum(1).clamp(min=1e-9), dim=-1)


class Decoder(nn.Module):
    """A causal transformer of written-out attention."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(40, 32)
        self.norm, self.qkv, self.out = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.head = nn.Linear(32, 40, bias=False)

    def forward(self, ids):
        x = self.tokens(ids)
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / 8 ** 0.5
        scores = scores.masked_fill(torch.triu(torch.ones(length, length, dtype=torch.bool), 1), float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        return self.head(x + self.out(mixed))


class UNet(nn.Module):
    """Down by pooling, up by a transposed convolution and by resizing."""

    def __init__(self):
        super().__init__()
        block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        self.a, self.b, self.c = block(3, 8), block(8, 16), block(16, 32)
        self.up, self.d = nn.ConvTranspose2d(32, 16, 2, stride=2), block(32, 16)
        self.e, self.head = block(24, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(nn.functional.max_pool2d(a, 2))
        c = self.c(nn.functional.avg_pool2d(b, 2))
        d = self.d(torch.cat([self.up(c), b], 1))
        up = nn.functional.interpolate(d, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.head(self.e(torch.cat([up, a], 1))))


class SuperResolution(nn.Module):
    """Convolutions and a shuffle of pixels."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.PReLU(), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 9, 3, padding=1),
        )

    def forward(self, y):
        return nn.functional.pixel_shuffle(self.body(y), 3)


class Style(nn.Module):
    """Reflected borders and instance norms."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(2), nn.Conv2d(3, 8, 5), nn.InstanceNorm2d(8, affine=True), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3), nn.GroupNorm(4, 8), nn.ELU(),
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(8, 3, 3, padding=1),
        )

    def forward(self, x):
        return self.body(x).clamp(0, 1)


class Detector(nn.Module):
    """Boxes and scores at two scales, as detectors without anchors give them."""

    def __init__(self):
        super().__init__()
        block = lambda a, b, s: nn.Sequential(nn.Conv2d(a, b, 3, s, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU())
        self.stem, self.near, self.far = block(3, 8, 2), block(8, 16, 2), block(16, 32, 2)
        self.heads = nn.ModuleList([nn.Conv2d(16, 9, 1), nn.Conv2d(32, 9, 1)])

    def forward(self, x):
        near = self.near(self.stem(x))
        outputs = []
        for head, y in zip(self.heads, [near, self.far(near)]):
            y = head(y)
            batch, channels, height, width = y.shape
            outputs.append(y.view(batch, channels, height * width).permute(0, 2, 1))
        y = torch.cat(outputs, 1)
        boxes, scores = y.split([4, 5], dim=-1)
        return torch.exp(boxes), torch.sigmoid(scores)


def random(model):
    """The model with statistics of its batch norms that are not 0 and 1."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
        # A head that begins at 0 would hide all before it.
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, 0.0, 0.1)
    return model.eval()


def ids(batch, length, vocab):
    return torch.randint(0, vocab, (batch, length))


def entries():
    """A name, an opset, what makes the model, and inputs of a batch."""
    import torchvision.models as vision
    image = lambda size: lambda batch: (torch.randn(batch, 3, size, size),)
    tv = lambda name, size=64, **more: lambda: getattr(vision, name)(weights=None, num_classes=10, **more)
    picture = lambda name, opset, size=64, **more: (name, opset, tv(name, **more), image(size))
    yield picture("resnet18", 13)
    yield picture("resnext50_32x4d", 14)
    yield picture("squeezenet1_1", 11)
    yield picture("mobilenet_v2", 12)
    yield picture("mobilenet_v3_small", 14)
    yield picture("shufflenet_v2_x0_5", 13)
    yield picture("densenet121", 16, 32)
    yield picture("googlenet", 15, aux_logits=False, init_weights=False)
    yield picture("mnasnet0_5", 17)
    yield picture("efficientnet_b0", 17)
    yield picture("regnet_y_400mf", 18)
    yield picture("convnext_tiny", 17)
    yield ("inception_v3", 13, lambda: vision.inception_v3(weights=None, num_classes=10, aux_logits=False, init_weights=False), image(96))
    yield ("vit", 17, lambda: vision.VisionTransformer(32, 8, 2, 4, 48, 96, num_classes=10), image(32))
    yield ("swin_t", 17, lambda: vision.SwinTransformer([4, 4], 24, [1, 1], [2, 4], [4, 4], num_classes=10), image(64))
    yield ("fcn_resnet50", 14, lambda: Single(vision.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=4)), image(48))
    yield ("lraspp_mobilenet", 16, lambda: Single(vision.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)), image(64))
    yield ("unet", 13, UNet, image(32))
    yield ("super_resolution", 11, SuperResolution, lambda batch: (torch.randn(batch, 1, 24, 24),))
    yield ("style", 12, Style, image(24))
    yield ("detector", 16, Detector, image(64))
    yield ("lstm_tagger", 14, lambda: Tagger(nn.LSTM), lambda batch, length=11: (ids(batch, length, 50),))
    yield ("gru_tagger", 15, lambda: Tagger(nn.GRU), lambda batch, length=11: (ids(batch, length, 50),))
    yield ("speech", 14, Speech, lambda batch: (torch.randn(batch, 1, 160),))
    mask = lambda batch, length: (torch.arange(length)[None, :] < torch.randint(3, length + 1, (batch, 1))).long()
    masked = lambda batch, length=9: (ids(batch, length, 60), mask(batch, length))
    yield ("encoder", 17, lambda: Encoder(False), masked)
    yield ("encoder_norm_first", 14, lambda: Encoder(True), masked)
    yield ("decoder", 16, Decoder, lambda batch, length=12: (ids(batch, length, 40),))


class Single(nn.Module):
    """The segmentation of a model that gives a dictionary."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)["out"]


def export(path, opset, make, example):
    torch.manual_seed(0)
    model = random(make())
    inputs = example(2)
    names = [f"input_{i}" for i in range(len(inputs))]
    outputs = model(*inputs)
    given = [f"output_{i}" for i in range(len(outputs) if isinstance(outputs, (tuple, list)) else 1)]
    free = {name: {0: "batch"} for name in names + given}
    if has_length(example):
        free.update({name: {0: "batch", 1: "length"} for name in names})
    torch.onnx.export(model, inputs, path, input_names=names, output_names=given, opset_version=opset, dynamic_axes=free, dynamo=False)


def has_length(example):
    """Whether inputs of other lengths can be made."""
    return "length" in inspect.signature(example).parameters


def inputs_of(session, example):
    """The inputs to try, of several sizes."""
    sizes = [{"batch": batch} for batch in (2, 1, 3)]
    if has_length(example):
        sizes += [{"batch": 2, "length": length} for length in (5, 16)]
    for size in sizes:
        torch.manual_seed(size["batch"])
        yield {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), example(**size))}


def drawn(session, batch):
    """Random inputs of a model of which only its file is known; open sizes but the first are 1."""
    names = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    random = np.random.default_rng(batch)
    inputs = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) else batch if i == 0 else 1 for i, size in enumerate(value.shape)]
        inputs[value.name] = random.random(shape).astype(names[value.type])
    return inputs


def compare(program, path, sized, folder):
    """The largest difference of any output at any size, op by op and of one plan, as a share of the output's largest value, and
    the number of sizes; `sized` gives inputs for a session."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tried = []
    for i, inputs in enumerate(sized(session)):
        try:
            expected = session.run(None, inputs)
        except Exception:  # The exporter has fixed the batch, and ONNX Runtime reports that in many ways.
            continue
        np.savez(folder / f"in{i}.npz", **inputs)
        tried.append((folder / f"in{i}.npz", folder / f"run{i}.npz", folder / f"plan{i}.npz", expected))
    if not tried:
        return None, None, 0, "ONNX Runtime ran no batch"
    commands = [[program, "run", path, "--input", source, "--out", out] for source, out, _, _ in tried]
    plan = pathlib.Path(program).parent / "examples" / "plan_outputs"
    commands.append([plan, path, *(file for source, _, out, _ in tried for file in (source, out))])
    for command in commands:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            return None, None, 0, done.stderr.strip()
    worst = [0.0, 0.0]
    for _, *outs, expected in tried:
        for form, out in enumerate(outs):
            with np.load(out) as got:
                for value, want in zip(session.get_outputs(), expected):
                    have = got[value.name]
                    if have.shape != want.shape or not np.isfinite(have).all():
                        return None, None, 0, f"{value.name}: {have.shape} for {want.shape}"
                    if not want.any():
                        return None, None, 0, f"{value.name} is 0 everywhere, which says nothing"
                    worst[form] = max(worst[form], float(np.abs(have - want).max() / np.abs(want).max()))
    return *worst, len(tried), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", nargs="*", help="parts of the names of models to try")
    parser.add_argument("--folder", type=pathlib.Path, help="where the exported models are kept")
    parser.add_argument("--public", type=pathlib.Path, help="a folder of models to try as they are")
    parser.add_argument("--export-only", action="store_true", help="write the files and run nothing")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kept = arguments.folder or folder
        kept.mkdir(exist_ok=True, parents=True)
        print("| model | opset | sizes | largest difference | of the plan | |\n|---|---|---|---|---|---|")
        found = []
        for name, opset, make, example in entries():
            path = kept / f"{name}.onnx"
            found.append((name, opset, path, make, example))
        for path in sorted(arguments.public.rglob("*.onnx")) if arguments.public else []:
            found.append((path.stem, "", path, None, None))
        for name, opset, path, make, example in found:
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            if not path.exists():
                try:
                    export(path, opset, make, example)
                except Exception as error:  # What torch cannot export is no matter of tinytorch's.
                    print(f"| {name} | {opset} | | | | not exported: {str(error).splitlines()[0][:120]} |", flush=True)
                    continue
            if arguments.export_only:
                continue
            sized = (lambda session: inputs_of(session, example)) if example else (lambda session: [drawn(session, n) for n in (1, 3)])
            worst, planned, sizes, problem = compare(arguments.program, path, sized, folder)
            good = worst is not None and max(worst, planned) < TOLERANCE and not problem
            failed += not good
            differences = " | " if worst is None else f"{worst:.1e} | {planned:.1e}"
            print(f"| {name} | {opset} | {sizes or ''} | {differences} | {'' if good else problem or 'too far'} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
