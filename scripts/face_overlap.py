"""Prints the mean overlap of the faces that two outputs of YuNet or UltraFace tell of, for `tinytorch audit --metric`.

    tinytorch audit yunet.onnx yunet.int8.safetensors --data d.npz --metric "command=python scripts/face_overlap.py"

The outputs are offsets and sizes relative to what each place of some grids looks at. A face is where the score is 0.5 or more (YuNet's is
the root of class times object), and of faces that overlap by half the best counts. Faces are paired, those of most overlap first; one
without a partner counts as 0.
"""

import sys

import numpy as np

SCORE, SAME = 0.5, 0.5

# UltraFace's picture, and the sides of the squares that each place of its grids looks at.
ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT = 320, 240
ULTRAFACE_SIDES = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}

YUNET_SIDE = 320


def places(width, height, stride):
    """Column and row of each place of a grid, row by row."""
    rows, columns = np.divmod(np.arange(-(-height // stride) * -(-width // stride)), -(-width // stride))
    return np.stack([columns, rows], -1)


def corners(middle, size):
    return np.concatenate([middle - size / 2, middle + size / 2], -1)


def yunet(outputs):
    boxes, scores = [], []
    for stride in (8, 16, 32):
        grid = places(YUNET_SIDE, YUNET_SIDE, stride)
        of = lambda what, width: outputs[f"{what}_{stride}"].reshape(-1, len(grid), width)
        box = of("bbox", 4)
        boxes.append(corners((box[..., :2] + grid) * stride, np.exp(box[..., 2:]) * stride))
        scores.append(np.sqrt(np.clip(of("cls", 1), 0, 1) * np.clip(of("obj", 1), 0, 1))[..., 0])
    return np.concatenate(boxes, 1), np.concatenate(scores, 1)


def ultraface(outputs):
    middles, squares = [], []
    for stride, sides in ULTRAFACE_SIDES.items():
        middle = (places(ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT, stride) + 0.5) * stride
        middles.append(np.repeat(middle, len(sides), 0))
        squares.append(np.tile(sides, len(middle))[:, None])
    middle, square, box = np.concatenate(middles), np.concatenate(squares), outputs["boxes"]
    sizes = np.array([ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT])
    # Offsets are tenths of the square, sizes a fifth of their logarithm; a square ends with the picture.
    shown = np.minimum(square, sizes)
    return corners(middle + 0.1 * box[..., :2] * shown, np.exp(0.2 * box[..., 2:]) * shown), outputs["scores"][..., 1]


def overlap(a, b):
    """Intersection over union of corners [n, 4] with [m, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), -1)
    area = lambda c: np.prod(c[:, 2:] - c[:, :2], -1)
    return common / (area(a)[:, None] + area(b)[None] - common)


def faces(outputs):
    """Corners of the faces of each picture."""
    found = []
    for boxes, score in zip(*(ultraface if "scores" in outputs else yunet)(outputs)):
        kept = []
        for i in np.argsort(-score):
            if score[i] < SCORE:
                break
            if not kept or overlap(boxes[[i]], boxes[kept]).max() <= SAME:
                kept.append(i)
        found.append(boxes[kept])
    return found


def main():
    got, want = (faces(np.load(path)) for path in sys.argv[1:3])
    each = []
    for a, b in zip(got, want):
        if max(len(a), len(b)) == 0:
            continue
        total, pairs = 0.0, overlap(a, b) if len(a) and len(b) else np.zeros((0, 0))
        while pairs.size and pairs.max() > 0:
            i, j = np.unravel_index(pairs.argmax(), pairs.shape)
            total += pairs[i, j]
            pairs = np.delete(np.delete(pairs, i, 0), j, 1)
        each.append(total / max(len(a), len(b)))
    print(np.mean(each))


if __name__ == "__main__":
    main()
