"""The random views of runtime/adapt/augmentations.ts, value for value: colours by colorsys, geometry by numpy."""

from __future__ import annotations

import colorsys
import math

import numpy

from adaptation_draws import uniform

VIEW_STREAM = 0x5657
NOISE, RADIUS = 0.005, 2
DRAWS = 15


def _luma(rgb: numpy.ndarray) -> numpy.ndarray:
    return (0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2])[..., None]


def _turn_hue(rgb: numpy.ndarray, hue: float) -> numpy.ndarray:
    def turn(pixel: numpy.ndarray) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((h + hue + 1) % 1, s, v)

    return numpy.apply_along_axis(turn, -1, rgb)


def _move(rgb: numpy.ndarray, angle: float, scale: float, shift: tuple[int, int]) -> numpy.ndarray:
    """[N, size + 4, size + 4, 3]: where each pixel comes from, between four neighbours, borders repeated."""
    size = rgb.shape[1]
    centre = (size - 1) / 2
    axis = numpy.arange(-RADIUS, size + RADIUS) - centre
    dx, dy = numpy.meshgrid(axis - shift[0], axis - shift[1])
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    x = numpy.clip(centre + cos * dx + sin * dy, 0, size - 1)
    y = numpy.clip(centre - sin * dx + cos * dy, 0, size - 1)
    left, top = numpy.floor(x).astype(int), numpy.floor(y).astype(int)
    right, bottom = numpy.minimum(left + 1, size - 1), numpy.minimum(top + 1, size - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    upper = rgb[:, top, left] + across * (rgb[:, top, right] - rgb[:, top, left])
    lower = rgb[:, bottom, left] + across * (rgb[:, bottom, right] - rgb[:, bottom, left])
    return upper + down * (lower - upper)


def _blur(rgb: numpy.ndarray, sigma: float) -> numpy.ndarray:
    taps = numpy.exp(-((numpy.arange(5) - RADIUS) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    size = rgb.shape[1] - 2 * RADIUS
    rows = sum(tap * rgb[:, :, i : i + size] for i, tap in enumerate(taps))
    return sum(tap * rows[:, i : i + size] for i, tap in enumerate(taps))


def view_of(frames: numpy.ndarray, key: tuple[int, int, int]) -> numpy.ndarray:
    """One random view of u8 frames [N, size, size, 3]."""
    drawn = uniform(DRAWS + 2 * frames.size, *key, VIEW_STREAM)
    size = frames.shape[1]

    def between(at: int, low: float, high: float) -> float:
        return low + (high - low) * float(drawn[at])

    brightness, contrast, saturation = between(0, 0.6, 1.4), between(1, 0.7, 1.3), between(2, 0.5, 1.5)
    hue, gamma = between(3, -0.06, 0.06), between(4, 0.7, 1.3)
    colours = [
        lambda rgb: brightness * rgb,
        lambda rgb: contrast * rgb + (1 - contrast) * _luma(rgb).mean((1, 2, 3), keepdims=True),
        lambda rgb: saturation * rgb + (1 - saturation) * _luma(rgb),
        lambda rgb: _turn_hue(rgb, hue),
        lambda rgb: rgb**gamma,
    ]
    for at, last in zip(range(5, 9), range(4, 0, -1)):
        colours.append(colours.pop(math.floor(drawn[at] * (last + 1))))
    angle, scale = math.radians(between(9, -15, 15)), between(10, 0.9, 1.1)
    shift = tuple(math.floor(between(at, -size / 8, size / 8) + 0.5) for at in (11, 12))
    rgb = frames / 255
    for change in colours:
        rgb = numpy.clip(change(rgb), 0, 1)
    rgb = _blur(_move(rgb, angle, scale, shift), between(13, 0.001, 0.5))
    if drawn[14] < 0.5:
        rgb = rgb[:, :, ::-1]
    first, second = drawn[DRAWS::2].reshape(frames.shape), drawn[DRAWS + 1 :: 2].reshape(frames.shape)
    noise = NOISE * numpy.sqrt(-2 * numpy.log(1 - first)) * numpy.cos(2 * numpy.pi * second)
    return numpy.floor(255 * numpy.clip(rgb + noise, 0, 1) + 0.5).astype(numpy.uint8)
