"""Makes the JPEG files in this folder, and pixels.json: the values that Pillow reads back from them, row by row.

    pip install pillow==13.0.0 && python make.py
"""

import json
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 19, 13


def picture():
    """Slopes of every color with an edge, of no size that blocks of 8 or 16 divide."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            image.putpixel((x, y), (12 * x, 250 - 15 * y, 40 + 9 * ((x + y) % 20) if x < 9 else 200))
    return image


def main():
    kinds = dict(
        full=dict(quality=92, subsampling=0), halved=dict(quality=85, subsampling=2),
        progressive=dict(quality=90, subsampling=0, progressive=True), gray=dict(quality=90),
    )
    pixels = {}
    for name, settings in kinds.items():
        path = HERE / f"{name}.jpg"
        (picture().convert("L") if name == "gray" else picture()).save(path, **settings)
        pixels[name] = list(Image.open(path).tobytes())
    (HERE / "pixels.json").write_text(json.dumps(pixels, separators=(",", ":")) + "\n")


main()
