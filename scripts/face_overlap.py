"""Prints the mean overlap of the faces that two outputs of YuNet tell of, for `tinytorch audit --metric`.

    tinytorch audit yunet.onnx yunet.int8.safetensors --data d.npz --metric "command=python scripts/yunet_overlap.py"

The outputs are offsets and sizes for each place of three grids; a face is where the root of class times object is 0.5 or more, and of
faces that overlap by half the best counts. Faces are paired, those of most overlap first; one without a partner counts as 0.
"""

import sys

import numpy as np

SIDE, SCORE, SAME = 320, 0.5, 0.5


def overlap(a, b):
    """Intersection over union of corners [n, 4] with [m, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), -1)
    area = lambda c: np.prod(c[:, 2:] - c[:, :2], -1)
    return common / (area(a)[:, None] + area(b)[None] - common)


def faces(outputs):
    """Corners of the faces of each picture."""
    corners, scores = [], []
    pictures = outputs["cls_8"].size // (SIDE // 8) ** 2
    for stride in (8, 16, 32):
        side = SIDE // stride
        of = lambda what, width: outputs[f"{what}_{stride}"].reshape(pictures, side * side, width)
        rows, columns = np.divmod(np.arange(side * side), side)
        box = of("bbox", 4)
        middle = (box[..., :2] + np.stack([columns, rows], -1)) * stride
        size = np.exp(box[..., 2:]) * stride
        corners.append(np.concatenate([middle - size / 2, middle + size / 2], -1))
        scores.append(np.sqrt(np.clip(of("cls", 1), 0, 1) * np.clip(of("obj", 1), 0, 1))[..., 0])
    found = []
    for boxes, score in zip(np.concatenate(corners, 1), np.concatenate(scores, 1)):
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
