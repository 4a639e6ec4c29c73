"""Writes the handwritten digits that tinytorch embeds: two gzipped IDX files.

    pip install scikit-learn
    python scripts/embed_digits.py [crates/tinytorch/data/digits]

The images are those of scikit-learn's `load_digits`, in its order: 1,797 images of 8x8 pixels with
values 0..16 and one label byte each. The output depends on nothing but them: the gzip header holds no
time and no file name, so running the script again gives the same bytes with the same zlib.
"""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

UNSIGNED_BYTE = 0x08


def idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes: magic, dimensions as big-endian u32, then the values."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim])
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "crates/tinytorch/data/digits")
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    assert images.shape == (1797, 8, 8) and images.max() == 16
    assert (images == digits.images).all(), "a pixel is not a whole number"
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in [("images-idx3-ubyte.gz", images), ("labels-idx1-ubyte.gz", labels)]:
        packed = gzip.compress(idx(array), compresslevel=9, mtime=0)
        (folder / name).write_bytes(packed)
        print(f"{name}: {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
