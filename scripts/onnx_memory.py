"""How much memory `quantize` and `audit` take beside a large ONNX model.

Torch exports a residual network of random weights, a hundred megabytes or as many as are asked for. Quantizing it, within a budget too, and
judging the int8 model are held to a share of the file by the largest resident memory of the process:

    cargo build --release && python scripts/onnx_memory.py target/release/tinytorch [--megabytes 100]

Exit code 1 if quantizing takes more than 1.5 times the file, or the audit more than 3 times. Needs `torch` and `onnx`.
"""

import argparse
import multiprocessing
import os
import pathlib
import sys
import tempfile

import numpy as np

QUANTIZE, AUDIT = 1.5, 3.0


def network(megabytes):
    """Blocks of two convolutions of 512 channels, behind a first one and before a product."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = torch.nn.ModuleList([torch.nn.Conv2d(512, 512, 3, padding=1) for _ in range(2)])
            for conv in self.convs:
                torch.nn.init.normal_(conv.weight, std=0.01)

        def forward(self, x):
            return torch.relu(x + self.convs[1](torch.relu(self.convs[0](x))))

    blocks = max(1, round(megabytes * 1e6 / (2 * 512 * 512 * 9 * 4)))
    first, last = torch.nn.Conv2d(3, 512, 3, padding=1, stride=4), torch.nn.Linear(512, 100)
    ends = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), last]
    return torch.nn.Sequential(first, torch.nn.ReLU(), *[Block() for _ in range(blocks)], *ends)


def peak(*command):
    """The exit code of a command, and its largest resident memory in bytes."""
    print("$", *command, file=sys.stderr)
    process = os.posix_spawn(command[0], [str(word) for word in command], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), 1024 * usage.ru_maxrss


def export(path, megabytes):
    import torch

    torch.manual_seed(0)
    axes = {"image": {0: "n"}, "scores": {0: "n"}}
    torch.onnx.export(
        network(megabytes).eval(), (torch.zeros(1, 3, 32, 32),), path, input_names=["image"], output_names=["scores"], dynamic_axes=axes, dynamo=False
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tinytorch")
    parser.add_argument("--megabytes", type=float, default=100)
    args = parser.parse_args()
    random = np.random.default_rng(0)
    over = False
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model, int8 = folder / "model.onnx", folder / "model.int8.safetensors"
        # A process counts what the one that started it held, so that this one has to stay small.
        exporting = multiprocessing.get_context("spawn").Process(target=export, args=(model, args.megabytes))
        exporting.start()
        exporting.join()
        for part in ("calibrate", "judge"):
            np.savez(folder / f"{part}.npz", image=random.normal(size=(64, 3, 32, 32)).astype(np.float32))
        size = model.stat().st_size
        quantize = [args.tinytorch, "quantize", model, "--calibrate", folder / "calibrate.npz", "--out", int8, "--force"]
        audit = [args.tinytorch, "audit", model, int8, "--data", folder / "judge.npz", "--max-error", "10%", "--out", folder / "report"]
        print("| command | memory | times the file | limit |\n|---|---|---|---|")
        for name, limit, command in [
            ("quantize", QUANTIZE, quantize),
            ("quantize --max-error", QUANTIZE, [*quantize, "--max-error", "1%", "--best"]),
            ("audit", AUDIT, audit),
        ]:
            code, bytes_taken = peak(*command)
            if code > 1:
                sys.exit(f"{name}: exit code {code}")
            over |= bytes_taken > limit * size
            print(f"| `{name}` of {size / 1e6:.0f} MB | {bytes_taken / 1e6:.0f} MB | {bytes_taken / size:.2f} | {limit} |", flush=True)
    sys.exit(over)


if __name__ == "__main__":
    main()
