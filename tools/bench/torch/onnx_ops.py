"""One PyTorch function per ONNX operator that the benchmark models and the networks of the goldens use.

Each takes (attributes, opset, *inputs) and returns the node's output, or a tuple of several; a missing optional input
is None.
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


def hard_sigmoid(a: Attributes, opset: int, x: Tensor) -> Tensor:
    return F.hardtanh(x * a.get("alpha", 0.2) + a.get("beta", 0.5), 0.0, 1.0)


def _pool(a: Attributes, x: Tensor, padding_value: float) -> tuple[Tensor, list[int], list[int], list[int]]:
    """The input padded so that every window the op asks for lies inside; kernel, strides, dilations."""
    kernel = list(a["kernel_shape"])
    strides, dilations = list(a.get("strides", [1, 1])), list(a.get("dilations", [1, 1]))
    pads = _spatial_pads(a, x, kernel, strides, dilations)
    if a.get("ceil_mode", 0):
        for axis in (0, 1):
            size = x.shape[2 + axis] + pads[axis]
            reach = size + pads[2 + axis] - (kernel[axis] - 1) * dilations[axis] - 1
            last = -(-reach // strides[axis]) * strides[axis]
            # as in PyTorch, no window starts in the padding after the end
            if last < size:
                pads[2 + axis] += max(0, last - reach)
    top, left, bottom, right = pads
    padded = F.pad(x, [left, right, top, bottom], value=padding_value) if any(pads) else x
    return padded, kernel, strides, dilations


def max_pool(a: Attributes, opset: int, x: Tensor) -> Tensor:
    padded, kernel, strides, dilations = _pool(a, x, float("-inf"))
    return F.max_pool2d(padded, kernel, strides, 0, dilations)


def average_pool(a: Attributes, opset: int, x: Tensor) -> Tensor:
    padded, kernel, strides, _ = _pool(a, x, 0.0)
    if a.get("count_include_pad", 0):
        if a.get("ceil_mode", 0):
            raise ValueError("AveragePool: count_include_pad together with ceil_mode is not read")
        return F.avg_pool2d(padded, kernel, strides)
    ones, *_ = _pool(a, torch.ones_like(x[:1, :1]), 0.0)
    return F.avg_pool2d(padded, kernel, strides) / F.avg_pool2d(ones, kernel, strides)


def layer_normalization(a: Attributes, opset: int, x: Tensor, scale: Tensor, shift: Optional[Tensor] = None) -> Tensor:
    axis = a.get("axis", -1)
    return F.layer_norm(x, x.shape[axis:], scale, shift, a.get("epsilon", 1e-5))


def _axes(a: Attributes, axes: Optional[Tensor]) -> list[int]:
    return list(a.get("axes", [])) if axes is None else [int(axis) for axis in axes]


def reduce_mean(a: Attributes, opset: int, x: Tensor, axes: Optional[Tensor] = None) -> Tensor:
    over = _axes(a, axes) or list(range(x.dim()))
    return x.mean(over, keepdim=bool(a.get("keepdims", 1)))


def unsqueeze(a: Attributes, opset: int, x: Tensor, axes: Optional[Tensor] = None) -> Tensor:
    wanted = _axes(a, axes)
    rank = x.dim() + len(wanted)
    for axis in sorted(axis % rank for axis in wanted):
        x = x.unsqueeze(axis)
    return x


def squeeze(a: Attributes, opset: int, x: Tensor, axes: Optional[Tensor] = None) -> Tensor:
    wanted = _axes(a, axes) or [axis for axis, size in enumerate(x.shape) if size == 1]
    for axis in sorted((axis % x.dim() for axis in wanted), reverse=True):
        x = x.squeeze(axis)
    return x


def slice_(
    a: Attributes,
    opset: int,
    x: Tensor,
    starts: Optional[Tensor] = None,
    ends: Optional[Tensor] = None,
    axes: Optional[Tensor] = None,
    steps: Optional[Tensor] = None,
) -> Tensor:
    # before opset 10 these are attributes
    begins, stops = (a["starts"], a["ends"]) if starts is None else (starts, ends)
    along = a.get("axes") if axes is None else axes
    wanted = [slice(None)] * x.dim()
    for index, (begin, stop) in enumerate(zip(begins, stops, strict=True)):
        axis = index if along is None else int(along[index])
        step = 1 if steps is None else int(steps[index])
        wanted[axis] = slice(int(begin), int(stop), step)
    return x[tuple(wanted)]


def split(a: Attributes, opset: int, x: Tensor, sizes: Optional[Tensor] = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    lengths = [int(size) for size in sizes] if sizes is not None else list(a.get("split", []))
    if lengths:
        return x.split(lengths, axis)
    if "num_outputs" not in a:
        raise ValueError("Split: neither sizes nor num_outputs are given")
    return x.split(-(-x.shape[axis] // a["num_outputs"]), axis)


def pad(a: Attributes, opset: int, x: Tensor, pads: Tensor, value: Optional[Tensor] = None, *axes: Tensor) -> Tensor:
    if a.get("mode", "constant") != "constant" or axes:
        raise ValueError("Pad: only constant values around all axes are read")
    sizes = [int(size) for size in pads]
    # PyTorch lists the last axis first, both ends of an axis together
    pairs = [sizes[axis + end * x.dim()] for axis in reversed(range(x.dim())) for end in (0, 1)]
    return F.pad(x, pairs, value=0.0 if value is None else float(value))


def gather(a: Attributes, opset: int, x: Tensor, indices: Tensor) -> Tensor:
    axis = a.get("axis", 0)
    return x.select(axis, int(indices)) if indices.dim() == 0 else x.index_select(axis, indices)


def divide(a: Attributes, opset: int, x: Tensor, y: Tensor) -> Tensor:
    # shape arithmetic divides whole numbers
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def cast(a: Attributes, opset: int, x: Tensor) -> Tensor:
    kinds = {6: torch.int32, 7: torch.int64, 9: torch.bool}
    # a cast between float types would undo the module's precision
    return x if a["to"] in (1, 11) and x.is_floating_point() else x.to(kinds.get(a["to"], torch.float32))


OPS: dict[str, Callable[..., Any]] = {
    "Add": lambda a, opset, x, y: x + y,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Clip": clip,
    "Concat": lambda a, opset, *parts: torch.cat(parts, a["axis"]),
    "Conv": conv,
    "Div": divide,
    "Dropout": lambda a, opset, x, *rest: x,
    "Erf": lambda a, opset, x: x.erf(),
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": lambda a, opset, x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": lambda a, opset, x: x * F.hardtanh(x / 6 + 0.5, 0.0, 1.0),
    "Identity": lambda a, opset, x: x,
    "LayerNormalization": layer_normalization,
    "MatMul": lambda a, opset, x, y: x @ y,
    "MaxPool": max_pool,
    "Mul": lambda a, opset, x, y: x * y,
    "Pad": pad,
    "Pow": lambda a, opset, x, y: x**y,
    "ReduceMean": reduce_mean,
    "Relu": lambda a, opset, x: F.relu(x),
    "Reshape": reshape,
    "Shape": lambda a, opset, x: torch.tensor(x.shape),
    "Sigmoid": lambda a, opset, x: x.sigmoid(),
    "Slice": slice_,
    "Softmax": softmax,
    "Split": split,
    "Sqrt": lambda a, opset, x: x.sqrt(),
    "Squeeze": squeeze,
    "Sub": lambda a, opset, x, y: x - y,
    "Transpose": lambda a, opset, x: x.permute(a["perm"]),
    "Unsqueeze": unsqueeze,
}
