"""Logits of ResNet-20 on images that a test can make again, computed with NumPy alone.

    python3 reference.py resnet20-12fca82f.safetensors logits.npy

The architecture follows He et al., "Deep Residual Learning for Image Recognition" (2015), section 4.2,
with option A shortcuts. Everything is computed in 64 bits and stored in 32.
"""

import json
import struct
import sys

import numpy as np

IMAGES = 8


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        values = np.frombuffer(data[begin:end], dtype="<f4").astype(np.float64)
        tensors[name] = values.reshape(info["shape"])
    return tensors


def synthetic_images():
    """Bytes from a linear congruential generator (Numerical Recipes), as pixels from 0 to 1."""
    state, pixels = 1, []
    for _ in range(IMAGES * 3 * 32 * 32):
        state = (state * 1664525 + 1013904223) % 2**32
        pixels.append(state >> 24)
    return np.array(pixels, dtype=np.float64).reshape(IMAGES, 3, 32, 32) / 255


def conv3x3(x, weight, stride):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    out = 0
    for dy in range(3):
        for dx in range(3):
            window = padded[:, :, dy : dy + height : stride, dx : dx + width : stride]
            out = out + np.einsum("nchw,oc->nohw", window, weight[:, :, dy, dx])
    return out


def main():
    tensors = read_safetensors(sys.argv[1])

    def norm(x, name):
        def get(field):
            return tensors[f"{name}.{field}"][None, :, None, None]

        standard = (x - get("running_mean")) / np.sqrt(get("running_var") + 1e-5)
        return standard * get("weight") + get("bias")

    def conv_norm(x, layer, number, stride):
        x = conv3x3(x, tensors[f"{layer}conv{number}.weight"], stride)
        return norm(x, f"{layer}bn{number}")

    mean = np.array([0.485, 0.456, 0.406])[None, :, None, None]
    std = np.array([0.229, 0.224, 0.225])[None, :, None, None]
    x = np.maximum(conv_norm((synthetic_images() - mean) / std, "", 1, 1), 0)
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            layer, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            y = np.maximum(conv_norm(x, layer, 1, stride), 0)
            y = conv_norm(y, layer, 2, 1)
            side = (y.shape[1] - x.shape[1]) // 2
            shortcut = np.pad(x[:, :, ::stride, ::stride], ((0, 0), (side, side), (0, 0), (0, 0)))
            x = np.maximum(y + shortcut, 0)
    logits = x.mean(axis=(2, 3)) @ tensors["linear.weight"].T + tensors["linear.bias"]
    np.save(sys.argv[2], logits.astype("<f4"))


if __name__ == "__main__":
    main()
