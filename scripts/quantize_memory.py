#!/usr/bin/env python3
"""How much memory `quantize` takes beside a large file.

Writes a decoder of random weights, as others publish them, of a gigabyte or as much as is asked for, quantizes it, and
compares the largest resident memory of that process with the file:

    cargo build --release && python3 scripts/quantize_memory.py [--gigabytes 1] [--limit 1.3]

Exit code 1 if it is more than the limit. Nothing but Python's own library is needed.
"""

import argparse
import array
import json
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile

WIDTH, HIDDEN, VOCAB = 2048, 5632, 8192
BLOCK = {
    "input_layernorm.weight": [WIDTH],
    "self_attn.q_proj.weight": [WIDTH, WIDTH],
    "self_attn.k_proj.weight": [WIDTH, WIDTH],
    "self_attn.v_proj.weight": [WIDTH, WIDTH],
    "self_attn.o_proj.weight": [WIDTH, WIDTH],
    "post_attention_layernorm.weight": [WIDTH],
    "mlp.gate_proj.weight": [HIDDEN, WIDTH],
    "mlp.up_proj.weight": [HIDDEN, WIDTH],
    "mlp.down_proj.weight": [WIDTH, HIDDEN],
}


def count(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def shapes(layers):
    named = {"model.embed_tokens.weight": [VOCAB, WIDTH], "model.norm.weight": [WIDTH]}
    for layer in range(layers):
        named |= {f"model.layers.{layer}.{name}": shape for name, shape in BLOCK.items()}
    return named


def write(folder, gigabytes):
    block = 4 * sum(map(count, BLOCK.values()))
    layers = max(1, round(gigabytes * 1e9 / block))
    config = {
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": HIDDEN,
        "num_hidden_layers": layers, "num_attention_heads": 16, "num_key_value_heads": 16,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "hidden_act": "silu",
    }
    (folder / "config.json").write_text(json.dumps(config))
    header, at = {}, 0
    for name, shape in shapes(layers).items():
        size = 4 * count(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    # Of a prime length, so that no two rows are equal.
    noise = random.Random(1)
    values = array.array("f", (noise.gauss(0, 0.02) for _ in range(1_000_003))).tobytes()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while at > 0:
            at -= file.write(values[:at])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--gigabytes", type=float, default=1.0)
    arguments.add_argument("--limit", type=float, default=1.3)
    arguments.add_argument("--command", default="target/release/tinytorch")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder, arguments.gigabytes)
        size = (folder / "model.safetensors").stat().st_size
        out = folder / "int8.safetensors"
        subprocess.run([arguments.command, "quantize", folder, "--out", out], check=True)
        peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"{size / 1e9:.3f} GB became {out.stat().st_size / 1e9:.3f} GB; "
              f"{peak / 1e9:.3f} GB of memory at most, {peak / size:.2f} times the file")
        sys.exit(peak > arguments.limit * size)


if __name__ == "__main__":
    main()
