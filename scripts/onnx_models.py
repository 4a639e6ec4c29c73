"""Exports models of well-known architectures with torch, and holds `tinytorch run` against ONNX Runtime.

    cargo build --release
    python scripts/onnx_models.py target/release/tinytorch [--only mobilenet] [--folder models]

The weights are random, but for batch norms whose statistics are drawn as well, so that nothing is trivial. Each model is
exported at an opset from 11 to 18, with a free batch where the exporter can, and run at the batch of its example and at
another. A model passes if every output is within 1e-4 of ONNX Runtime's, relative to the output's largest value, and as a
plan too, which `tinytorch profile` compiles. The exit code is 1 if one does not.

Needs `torch`, `torchvision`, `onnx`, `onnxruntime` and `numpy`. With --folder the files are kept, and used again if they
are there already.
"""

import argparse
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
    yield ("lstm_tagger", 14, lambda: Tagger(nn.LSTM), lambda batch: (ids(batch, 11, 50),))
    yield ("gru_tagger", 15, lambda: Tagger(nn.GRU), lambda batch: (ids(batch, 11, 50),))
    yield ("speech", 14, Speech, lambda batch: (torch.randn(batch, 1, 160),))
    mask = lambda batch: (torch.arange(9)[None, :] < torch.randint(3, 10, (batch, 1))).long()
    yield ("encoder", 17, lambda: Encoder(False), lambda batch: (ids(batch, 9, 60), mask(batch)))
    yield ("encoder_norm_first", 14, lambda: Encoder(True), lambda batch: (ids(batch, 9, 60), mask(batch)))
    yield ("decoder", 16, Decoder, lambda batch: (ids(batch, 12, 40),))


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
    torch.onnx.export(model, inputs, path, input_names=names, output_names=given, opset_version=opset, dynamic_axes=free, dynamo=False)


def compare(program, path, example, folder):
    """The largest difference of any output at any batch, as a share of the output's largest value, and the number of batches."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst, batches = 0.0, 0
    for batch in (2, 3):
        torch.manual_seed(batch)
        inputs = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), example(batch))}
        try:
            expected = session.run(None, inputs)
        except Exception:  # The exporter has fixed the batch, and ONNX Runtime reports that in many ways.
            continue
        batches += 1
        np.savez(folder / "in.npz", **inputs)
        done = subprocess.run([program, "run", path, "--input", folder / "in.npz", "--out", folder / "out.npz"], capture_output=True, text=True)
        if done.returncode != 0:
            return None, 0, done.stderr.strip()
        with np.load(folder / "out.npz") as got:
            for value, want in zip(session.get_outputs(), expected):
                have = got[value.name]
                if have.shape != want.shape or not np.isfinite(have).all():
                    return None, 0, f"{value.name}: {have.shape} for {want.shape}"
                if not want.any():
                    return None, 0, f"{value.name} is 0 everywhere, which says nothing"
                worst = max(worst, float(np.abs(have - want).max() / np.abs(want).max()))
    if batches == 0:
        return None, 0, "ONNX Runtime ran no batch"
    done = subprocess.run([program, "profile", path], capture_output=True, text=True)
    return worst, batches, "" if done.returncode == 0 else f"as a plan: {done.stderr.strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", nargs="*", help="parts of the names of models to try")
    parser.add_argument("--folder", type=pathlib.Path, help="where the exported models are kept")
    parser.add_argument("--export-only", action="store_true", help="write the files and run nothing")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kept = arguments.folder or folder
        kept.mkdir(exist_ok=True, parents=True)
        print("| model | opset | batches | largest difference | |\n|---|---|---|---|---|")
        for name, opset, make, example in entries():
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            path = kept / f"{name}.onnx"
            if not path.exists():
                try:
                    export(path, opset, make, example)
                except Exception as error:  # What torch cannot export is no matter of tinytorch's.
                    print(f"| {name} | {opset} | | | not exported: {str(error).splitlines()[0][:120]} |", flush=True)
                    continue
            if arguments.export_only:
                continue
            worst, batches, problem = compare(arguments.program, path, example, folder)
            good = worst is not None and worst < TOLERANCE and not problem
            failed += not good
            difference = "" if worst is None else f"{worst:.1e}"
            print(f"| {name} | {opset} | {batches or ''} | {difference} | {'' if good else problem or 'too far'} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
