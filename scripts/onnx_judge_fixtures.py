"""Writes the models and the outputs that tests of `quantize`, `run` and `audit` on what is no classifier go by.

    python scripts/onnx_judge_fixtures.py crates/tinytorch-cli/tests/data

`vad_lstm.onnx` and `vad_gru.onnx` have the shape of a voice activity detector: a frame of 40 bins and the state go in, whether
there is speech and the next state come out. `vad.npz` has two sequences of 640 frames, and what ONNX Runtime makes of the second
one when each step finds the state that the one before gave. `boxes.onnx` has the shape of a detector with depthwise
convolutions and channels of very different ranges, and what `nan.onnx` gives are no numbers. Needs `numpy`, `onnx`, `onnxruntime` and `torch`; weights are random.
"""

import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch

FRAMES, BINS, HIDDEN = 640, 40, 24


class Detector(torch.nn.Module):
    """Whether there is speech."""

    def __init__(self, kind, layers):
        super().__init__()
        self.bands = torch.nn.Linear(BINS, 48)
        self.rnn = getattr(torch.nn, kind)(48, HIDDEN, layers)
        self.head = torch.nn.Linear(HIDDEN, 1)

    def forward(self, frame, *state):
        x = torch.relu(self.bands(frame))[None]
        x, state = self.rnn(x, state if len(state) > 1 else state[0])
        speech = torch.sigmoid(4 * self.head(torch.relu(x[0])))
        return (speech, *(state if isinstance(state, tuple) else (state,)))


class Separable(torch.nn.Module):
    """Boxes and scores for 16 places of a picture; 1x1 and depthwise convolutions with nothing between them."""

    def __init__(self):
        super().__init__()
        conv = torch.nn.Conv2d
        self.stem = conv(3, 16, 3, 2, 1)
        self.blocks = torch.nn.ModuleList(
            torch.nn.Sequential(conv(16, 16, 1), conv(16, 16, 3, stride, 1, groups=16), torch.nn.ReLU()) for stride in (1, 2, 2)
        )
        self.boxes, self.scores = conv(16, 4, 1), conv(16, 3, 1)
        with torch.no_grad():
            # What training does to such nets: channels whose ranges lie far apart, which their readers make up for.
            for block in self.blocks:
                factors = 2.0 ** torch.linspace(-6, 2, 16)
                block[0].weight.mul_(factors[:, None, None, None] * 3)
                block[0].bias.mul_(factors)
                block[1].weight.div_(factors[:, None, None, None])
            self.scores.weight.mul_(8)

    def forward(self, image):
        x = torch.relu(self.stem(image))
        for block in self.blocks:
            x = block(x)
        flat = lambda y: y.flatten(2).transpose(1, 2)
        corners = flat(self.boxes(x))
        low = torch.sigmoid(corners[..., :2])
        return torch.cat([low, low + torch.sigmoid(corners[..., 2:])], -1), torch.softmax(flat(self.scores(x)), -1)


class NotANumber(torch.nn.Module):
    """The logarithm of what is below 0."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 4)

    def forward(self, x):
        return torch.log(self.linear(x) - 100)


def sequence(random):
    """Frames like those of a filter bank: slow changes, and a loudness that comes and goes."""
    steps = random.normal(size=(FRAMES, BINS))
    frames = np.zeros((FRAMES, BINS))
    for i in range(FRAMES):
        frames[i] = 0.9 * frames[i - 1] + 0.4 * steps[i]
    loudness = np.repeat(random.random(FRAMES // 20), 20)[:, None]
    return (frames * loudness).astype(np.float32)


def export(model, inputs, path, names, outputs, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), inputs, path, input_names=names, output_names=outputs, opset_version=17, dynamo=False, **options
        )


def stepwise(path, frames, states):
    """What ONNX Runtime gives for each frame, the state fed back."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    state, speech = dict(states), []
    for frame in frames:
        outputs = session.run(None, {"frame": frame[None], **state})
        speech.append(outputs[0])
        state = dict(zip(states, outputs[1:]))
    return np.concatenate(speech)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    arrays = {"calibrate": sequence(random), "judge": sequence(random)}
    for kind, layers, names in (("LSTM", 1, ["h", "c"]), ("GRU", 2, ["h"])):
        path = folder / f"vad_{kind.lower()}.onnx"
        states = {name: np.zeros((layers, 1, HIDDEN), np.float32) for name in names}
        inputs = (torch.zeros(1, BINS), *(torch.from_numpy(state) for state in states.values()))
        export(Detector(kind, layers), inputs, path, ["frame", *names], ["speech", *(name + "n" for name in names)])
        arrays[kind.lower()] = stepwise(path, arrays["judge"], states)
    np.savez_compressed(folder / "vad.npz", **arrays)
    export(NotANumber(), (torch.zeros(1, 8),), folder / "nan.onnx", ["x"], ["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    axes = {name: {0: "n"} for name in ("image", "boxes", "scores")}
    export(Separable(), (torch.zeros(1, 3, 32, 32),), folder / "boxes.onnx", ["image"], ["boxes", "scores"], dynamic_axes=axes)


if __name__ == "__main__":
    main()
