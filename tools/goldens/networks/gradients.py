"""PyTorch's gradients of a network, and how far rounding to float32 moves them."""

from __future__ import annotations

import dataclasses

import numpy
import torch
import torch.nn.functional as F

from network import Network
from weightless import hash_stream

IMAGES = 2
COARSE_SEED, FINE_SEED, TINT_SEED = 3_000_000_001, 3_000_000_002, 3_000_000_003
POSITION_SEED, SIGN_SEED, NUDGE_SEED = 1_000_000, 2_000_000, 5_000_000
SAMPLES, SIGN_VECTORS = 8, 4
PATCH = 8
# two further float32 passes start from parameters moved by at most one unit in the last place
NUDGED_PASSES = 2

DRAWS = {
    "hash": "hash(s, i) = mix(mix(i) ^ mix(s ^ 0x9E3779B9)); mix is the 32-bit finalizer of MurmurHash3",
    "images": f"pixel u8 = (2 * (hash({COARSE_SEED}, p) >>> 24) + (hash({FINE_SEED}, i) >>> 24) + "
    f"(hash({TINT_SEED}, t) >>> 24)) >>> 2 with the flat index i in NHWC order, p that of the {PATCH}x{PATCH} patch "
    "it lies in, channels included, and t = 3 * image + channel; input = fround(pixel / 255)",
    "values": f"of tensor t, at the flat positions hash({POSITION_SEED} + t, k) mod n for k from 0 to {SAMPLES - 1}",
    "dots": f"products with {SIGN_VECTORS} vectors of n signs; element i of vector v is "
    f"hash({SIGN_SEED} + t, v * n + i) >>> 31 ? -1 : +1",
}


def images(size: int) -> torch.Tensor:
    """Two images [2, 3, size, size] with patches and a tint; images of pure noise look alike to a network."""
    patches = -(-size // PATCH)
    coarse = hash_stream(COARSE_SEED, IMAGES * patches * patches * 3).reshape(IMAGES, patches, patches, 3) >> 24
    fine = hash_stream(FINE_SEED, IMAGES * size * size * 3).reshape(IMAGES, size, size, 3) >> 24
    large = coarse.repeat(PATCH, 1).repeat(PATCH, 2)[:, :size, :size]
    tint = hash_stream(TINT_SEED, IMAGES * 3).reshape(IMAGES, 1, 1, 3) >> 24
    pixels = ((2 * large + fine + tint) >> 2).astype(numpy.float64) / 255
    return torch.from_numpy(numpy.ascontiguousarray(pixels.astype(numpy.float32).transpose(0, 3, 1, 2)))


@dataclasses.dataclass(frozen=True)
class Pass:
    loss: float
    logits: numpy.ndarray
    gradients: dict[str, numpy.ndarray]


def backward(network: Network, x: torch.Tensor) -> Pass:
    """One pass in the precision the network has now, image i with label i; all results widened to float64."""
    names = list(network.named())
    network.train_only(names)
    network.zero_grad(set_to_none=True)
    logits = network(x.to(network.tensor(names[0]).dtype))
    loss = F.cross_entropy(logits, torch.arange(len(x)))
    loss.backward()
    gradients = {name: network.tensor(name).grad.double().numpy() for name in names}
    return Pass(float(loss), logits.detach().double().numpy(), gradients)


def distance(found: Pass, exact: Pass) -> tuple[float, str]:
    """The largest distance of a tensor's gradient, relative to its norm, and the tensor."""
    worst = (0.0, "")
    for name, gradient in exact.gradients.items():
        norm = float(numpy.linalg.norm(gradient))
        error = float(numpy.linalg.norm(found.gradients[name] - gradient))
        worst = max(worst, (error / norm if norm > 0 else float("inf"), name))
    return worst


def nudge(values: numpy.ndarray, seed: int) -> numpy.ndarray:
    """Each value moved by one unit in the last place, up, down, or not at all."""
    way = (hash_stream(seed, values.size) % 3).reshape(values.shape)
    up, down = (numpy.nextafter(values, numpy.float32(limit)) for limit in (numpy.inf, -numpy.inf))
    return numpy.choose(way, [values, up, down]).astype(numpy.float32)


def conditioning(network: Network, x: torch.Tensor, exact: Pass, enough: float) -> tuple[float, str]:
    """The largest distance of any float32 pass from the exact one; stops at the first beyond `enough`."""
    network.float()
    worst = distance(backward(network, x), exact)
    stored = {name: network.tensor(name).detach().numpy().copy() for name in network.named()}
    for index in range(NUDGED_PASSES):
        if worst[0] > enough:
            break
        for number, (name, values) in enumerate(stored.items()):
            network.put(name, nudge(values, NUDGE_SEED + index * 4096 + number))
        worst = max(worst, distance(backward(network, x), exact))
    for name, values in stored.items():
        network.put(name, values)
    return worst


def short(value: float) -> float:
    return float(f"{value:.7g}")


def record(index: int, name: str, gradient: numpy.ndarray) -> dict[str, object]:
    flat = gradient.ravel()
    positions = hash_stream(POSITION_SEED + index, SAMPLES) % numpy.uint32(flat.size)
    signs = hash_stream(SIGN_SEED + index, SIGN_VECTORS * flat.size).reshape(SIGN_VECTORS, -1) >> 31
    total = flat.sum()
    return {
        "name": name,
        "l2": short(float(numpy.linalg.norm(flat))),
        "dots": [short(float(total - 2 * flat[row.astype(bool)].sum())) for row in signs],
        "values": [short(float(flat[position])) for position in positions],
    }
