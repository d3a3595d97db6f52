"""Writes test/goldens/corruptions.json: the corruptions that involve no random numbers, made by other libraries.

Pillow resizes and compresses, OpenCV smooths the disk, filters and finds edges, scikit-image converts to HSV and blurs,
SciPy zooms. Two images, 32 and 96 px, come from a small integer generator that the JSON describes; of every result the
bytes at some positions and the sum of all bytes are stored.
"""

from __future__ import annotations

import datetime
import io
import json
import pathlib
import sys
from typing import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "bench" / "torch"))

from interpreter import need  # noqa: E402

need("numpy", "PIL", "scipy", "skimage", "cv2")

import cv2  # noqa: E402
import numpy  # noqa: E402
import PIL  # noqa: E402
import scipy.ndimage  # noqa: E402
import skimage.color  # noqa: E402
import skimage.filters  # noqa: E402
from PIL import Image  # noqa: E402

MULTIPLIER, INCREMENT = 1664525, 1013904223
PIXEL_SEED, POSITION_SEED, DROP_SEED = 11, 12, 13
SAMPLES = 64
REGENERATE = "python3 tools/goldens/corruptions.py (needs numpy, Pillow, scipy, scikit-image and opencv-python)"
DRAWS = {
    "generator": "state = (state * 1664525 + 1013904223) mod 2^32, from state = seed; a draw is the state AFTER a step",
    "image": "one stream of side * side * 3 draws in the order row y, column x, channel c; byte = (5 x + 3 (c + 1) y) mod "
    "200 + (draw >>> 27); then 255 where x, y < side / 4 and 0 where x, y >= side - side / 4",
    "drops": "one stream of side * side draws; byte = (x - y) mod 16 < 5 or draw >>> 29 == 0 ? 160 + (draw >>> 26) : 0",
    "positions": "of bytes in the row-major, channels-last result; drawn as draw mod length, stored",
}

# Severity 1 to 5, for 32 px and for 96 px, as published with CIFAR-C and ImageNet-C.
TABLES = {
    32: {
        "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        "zoom_blur": [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
        "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
        "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
        "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
        "jpeg_compression": [80, 65, 58, 50, 40],
        "gaussian_blur": [0.4, 0.6, 0.7, 0.8, 1],
        "saturate": [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
    },
    96: {
        "defocus_blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
        "zoom_blur": [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
        "jpeg_compression": [25, 18, 15, 10, 7],
        "gaussian_blur": [1, 2, 3, 4, 6],
        "saturate": [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],
    },
}


def draws(seed: int, count: int) -> numpy.ndarray:
    """The first `count` states after the seed."""
    states, state = numpy.empty(count, numpy.int64), seed
    for i in range(count):
        state = (state * MULTIPLIER + INCREMENT) % 2**32
        states[i] = state
    return states


def test_image(side: int) -> numpy.ndarray:
    y, x, c = numpy.meshgrid(numpy.arange(side), numpy.arange(side), numpy.arange(3), indexing="ij")
    image = (5 * x + 3 * (c + 1) * y) % 200 + (draws(PIXEL_SEED, side * side * 3) >> 27).reshape(side, side, 3)
    quarter = side // 4
    image[:quarter, :quarter] = 255
    image[side - quarter :, side - quarter :] = 0
    return image.astype(numpy.uint8)


def test_drops(side: int) -> numpy.ndarray:
    y, x = numpy.mgrid[:side, :side]
    drawn = draws(DROP_SEED, side * side).reshape(side, side)
    return numpy.where(((x - y) % 16 < 5) | (drawn >> 29 == 0), 160 + (drawn >> 26), 0).astype(numpy.uint8)


def as_bytes(values: numpy.ndarray) -> numpy.ndarray:
    return (numpy.clip(values, 0, 1) * 255).astype(numpy.uint8)


def defocus_blur(image: numpy.ndarray, parameters: tuple[float, float]) -> numpy.ndarray:
    radius, alias = parameters
    reach = 8 if radius <= 8 else radius
    grid = numpy.arange(-reach, reach + 1)
    inside = grid[:, None] ** 2 + grid[None, :] ** 2 <= radius**2
    kernel = inside.astype(numpy.float32) / numpy.float32(inside.sum())
    size = 3 if radius <= 8 else 5
    kernel = cv2.GaussianBlur(kernel, ksize=(size, size), sigmaX=alias)
    return as_bytes(cv2.filter2D(image / 255.0, -1, kernel))


def zoom_blur(image: numpy.ndarray, parameters: tuple[float, float]) -> numpy.ndarray:
    values = (image / 255.0).astype(numpy.float32)
    side, total, factors = image.shape[0], numpy.zeros_like(values), numpy.arange(1, *parameters)
    for factor in factors:
        cut = int(numpy.ceil(side / factor))
        start = (side - cut) // 2
        middle = values[start : start + cut, start : start + cut]
        larger = scipy.ndimage.zoom(middle, (factor, factor, 1), order=1)
        trim = (larger.shape[0] - side) // 2
        total += larger[trim : trim + side, trim : trim + side]
    return as_bytes((values + total) / (len(factors) + 1))


def hsv(image: numpy.ndarray, channel: int, factor: float, summand: float) -> numpy.ndarray:
    values = skimage.color.rgb2hsv(image / 255.0)
    values[..., channel] = numpy.clip(values[..., channel] * factor + summand, 0, 1)
    return as_bytes(skimage.color.hsv2rgb(values))


def contrast(image: numpy.ndarray, factor: float) -> numpy.ndarray:
    values = image / 255.0
    means = values.mean(axis=(0, 1), keepdims=True)
    return as_bytes((values - means) * factor + means)


def pixelate(image: numpy.ndarray, share: float) -> numpy.ndarray:
    side = image.shape[0]
    fewer = int(side * share)
    small = Image.fromarray(image).resize((fewer, fewer), Image.Resampling.BOX)
    return numpy.asarray(small.resize((side, side), Image.Resampling.BOX))


def jpeg_compression(image: numpy.ndarray, quality: int) -> numpy.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return numpy.asarray(Image.open(file))


def gaussian_blur(image: numpy.ndarray, sigma: float) -> numpy.ndarray:
    return as_bytes(skimage.filters.gaussian(image / 255.0, sigma=sigma, mode="nearest", channel_axis=-1))


OPERATIONS: dict[str, Callable[[numpy.ndarray, object], numpy.ndarray]] = {
    "defocus_blur": defocus_blur,
    "zoom_blur": zoom_blur,
    "brightness": lambda image, summand: hsv(image, 2, 1, summand),
    "contrast": contrast,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
    "gaussian_blur": gaussian_blur,
    "saturate": lambda image, parameters: hsv(image, 1, *parameters),
}


def water_light(drops: numpy.ndarray) -> numpy.ndarray:
    """Brightness of water drops by OpenCV's edges, distances, equalisation and a relief kernel, 0 to 1."""
    distances = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    flat = cv2.equalizeHist(cv2.blur(numpy.minimum(distances, 20), (3, 3)).astype(numpy.uint8))
    relief = numpy.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    light = drops * cv2.blur(cv2.filter2D(flat, cv2.CV_8U, relief), (3, 3)).astype(numpy.float32)
    return light / light.max()


def main() -> None:
    cases = []
    for side, table in TABLES.items():
        image = test_image(side)
        positions = draws(POSITION_SEED, SAMPLES) % image.size
        for name, parameters in table.items():
            for severity, parameter in enumerate(parameters, 1):
                result = OPERATIONS[name](image, parameter).reshape(-1)
                cases.append(
                    {
                        "side": side,
                        "corruption": name,
                        "severity": severity,
                        "bytes": result[positions].tolist(),
                        "sum": int(result.astype(numpy.int64).sum()),
                    }
                )
    golden = {
        "regenerate": REGENERATE,
        "date": datetime.date.today().isoformat(),
        "versions": {
            "numpy": numpy.__version__,
            "Pillow": PIL.__version__,
            "scipy": scipy.__version__,
            "scikit-image": skimage.__version__,
            "opencv": cv2.__version__,
        },
        "draws": DRAWS,
        "seeds": {"pixels": PIXEL_SEED, "positions": POSITION_SEED, "drops": DROP_SEED},
        "positions": {side: (draws(POSITION_SEED, SAMPLES) % (3 * side * side)).tolist() for side in TABLES},
        "cases": cases,
        "waterLight": {side: [round(float(v), 6) for v in water_light(test_drops(side)).flat] for side in [32]},
    }
    path = ROOT / "test" / "goldens" / "corruptions.json"
    lines = json.dumps(golden, separators=(",", ":")).replace('{"side"', '\n{"side"')
    path.write_text(lines.replace(',"draws"', ',\n"draws"').replace(',"waterLight"', ',\n"waterLight"') + "\n")
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
