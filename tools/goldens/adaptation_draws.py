"""Random numbers that the tests draw again: the images of a stream, and the runtime's own generator."""

from __future__ import annotations

import numpy

from gradients import COARSE_SEED, FINE_SEED, PATCH, TINT_SEED
from weightless import hash_stream

RESTORE_STREAM = 0x5253


def stream_images(size: int, count: int) -> numpy.ndarray:
    """u8 [count, size, size, 3], as `goldenImages` of tools/networks/golden.ts draws them."""
    patches = -(-size // PATCH)
    coarse = hash_stream(COARSE_SEED, count * patches * patches * 3).reshape(count, patches, patches, 3) >> 24
    fine = hash_stream(FINE_SEED, count * size * size * 3).reshape(count, size, size, 3) >> 24
    tint = hash_stream(TINT_SEED, count * 3).reshape(count, 1, 1, 3) >> 24
    large = coarse.repeat(PATCH, 1).repeat(PATCH, 2)[:, :size, :size]
    return ((2 * large + fine + tint) >> 2).astype(numpy.uint8)


def _mix(h: numpy.ndarray) -> numpy.ndarray:
    """The finalizer of MurmurHash3 (Appleby, public domain), as runtime/train/random.ts has it."""
    h = (h ^ (h >> numpy.uint32(16))) * numpy.uint32(0x85EBCA6B)
    h = (h ^ (h >> numpy.uint32(13))) * numpy.uint32(0xC2B2AE35)
    return h ^ (h >> numpy.uint32(16))


def _hash32(*numbers: int) -> int:
    """`hash32` of runtime/train/random.ts for numbers from 0 to 2^32 - 1."""
    h = numpy.array([0x9E3779B9], numpy.uint32)
    for number in numbers:
        h = _mix(h ^ numpy.uint32(number))
        h = _mix(h + numpy.uint32(0x85EBCA6B))
    return int(_mix(h ^ numpy.uint32(len(numbers)))[0])


def uniform(count: int, *key: int) -> numpy.ndarray:
    """The first numbers of `Random(...key).uniform()`."""
    first, second = _hash32(0x5BD1E995, *key), _hash32(0x1B873593, *key)
    counts = numpy.arange(1, 2 * count + 1, dtype=numpy.uint32)
    bits = _mix(_mix((counts * numpy.uint32(0x9E3779B9)) ^ numpy.uint32(first)) + numpy.uint32(second))
    high, low = bits[0::2] >> 5, bits[1::2] >> 6
    return (high.astype(numpy.float64) * 2**26 + low.astype(numpy.float64)) / 2**53


def restored(key: tuple[int, int], name: str, shape: tuple[int, ...], probability: float) -> numpy.ndarray:
    """Which elements CoTTA takes back; drawn in the runtime's layout, a kernel's input channels last."""
    drawn = uniform(int(numpy.prod(shape)), *key, _hash32(*name.encode()), RESTORE_STREAM) < probability
    if len(shape) != 4:
        return drawn.reshape(shape)
    outputs, inputs, height, width = shape
    return drawn.reshape(outputs, height, width, inputs).transpose(0, 3, 1, 2).copy()
