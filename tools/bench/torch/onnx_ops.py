"""One PyTorch function per ONNX operator that the benchmark models use.

Each takes (attributes, opset, *inputs) and returns the node's single output; a missing optional input is None.
Norms use their stored statistics, and ReLU6 is PyTorch's hardtanh, whose derivative is exactly 1[0 < a < 6].
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
import torch.nn.functional as F

Attributes = dict[str, Any]
Tensor = torch.Tensor


def _spatial_pads(a: Attributes, x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """Pads in ONNX order: top, left, bottom, right."""
    mode = a.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return [0, 0, 0, 0]
    if mode == "NOTSET":
        return list(a.get("pads", [0, 0, 0, 0]))
    begins, ends = [], []
    for axis in (0, 1):
        size = x.shape[2 + axis]
        outputs = -(-size // strides[axis])
        total = max(0, (outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - size)
        small, large = total // 2, total - total // 2
        begins.append(large if mode == "SAME_LOWER" else small)
        ends.append(small if mode == "SAME_LOWER" else large)
    return begins + ends


def conv(a: Attributes, opset: int, x: Tensor, w: Tensor, b: Optional[Tensor] = None) -> Tensor:
    if w.dim() != 4:
        raise ValueError(f"Conv: expected a 4-dimensional weight but got {w.dim()} dimensions")
    strides, dilations = list(a.get("strides", [1, 1])), list(a.get("dilations", [1, 1]))
    top, left, bottom, right = _spatial_pads(a, x, list(w.shape[2:]), strides, dilations)
    padding = [top, left]
    if top != bottom or left != right:
        x, padding = F.pad(x, [left, right, top, bottom]), [0, 0]
    return F.conv2d(x, w, b, strides, padding, dilations, a.get("group", 1))


def batch_normalization(
    a: Attributes, opset: int, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, shift, training=False, eps=a.get("epsilon", 1e-5))


def clip(a: Attributes, opset: int, x: Tensor, low: Optional[Tensor] = None, high: Optional[Tensor] = None) -> Tensor:
    least = a.get("min") if low is None else float(low)
    most = a.get("max") if high is None else float(high)
    if least is None and most is None:
        return x
    if least is None or most is None:
        return x.clamp(least, most)
    # clamp would pass the gradient at the limits themselves; hardtanh does not
    return F.hardtanh(x, least, most)


def flatten(a: Attributes, opset: int, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)
    if axis < 0:
        axis += x.dim()
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1)


def reshape(a: Attributes, opset: int, x: Tensor, shape: Tensor) -> Tensor:
    wanted = [int(size) for size in shape]
    if not a.get("allowzero", 0):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def gemm(a: Attributes, opset: int, x: Tensor, w: Tensor, b: Optional[Tensor] = None) -> Tensor:
    left = x.t() if a.get("transA", 0) else x
    right = w.t() if a.get("transB", 0) else w
    product = left @ right
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    if alpha != 1.0:
        product = product * alpha
    if b is None:
        return product
    return product + (b if beta == 1.0 else b * beta)


def softmax(a: Attributes, opset: int, x: Tensor) -> Tensor:
    if opset >= 13:
        return x.softmax(a.get("axis", -1))
    # before opset 13 the axes from `axis` on are one
    return flatten({"axis": a.get("axis", 1)}, opset, x).softmax(1).reshape(x.shape)


OPS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda a, opset, x, y: x + y,
    "BatchNormalization": batch_normalization,
    "Clip": clip,
    "Conv": conv,
    "Dropout": lambda a, opset, x, *rest: x,
    "Flatten": flatten,
    "Gemm": gemm,
    "GlobalAveragePool": lambda a, opset, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda a, opset, x: x,
    "MatMul": lambda a, opset, x, y: x @ y,
    "Relu": lambda a, opset, x: F.relu(x),
    "Reshape": reshape,
    "Softmax": softmax,
}
