"""The weightless form of an ONNX file: large float tensors are ranges and a seed instead of data.

A float initializer or Constant node without data whose doc_string is "uniform LOW HIGH SEED" has, at flat row-major
position i, the value float32(LOW + (HIGH - LOW) * (hash(SEED, i) / 2^32)), in float64 until the last rounding.
hash(s, i) = mix(mix(i) ^ mix(s ^ 0x9E3779B9)), where mix is MurmurHash3's 32-bit finalizer.
models/networks/fill.ts computes the same bits.
"""

from __future__ import annotations

import dataclasses

import numpy
import onnx
from onnx import TensorProto, numpy_helper

# the finalizer of MurmurHash3 (Austin Appleby, public domain)
_FIRST, _SECOND = numpy.uint32(0x85EBCA6B), numpy.uint32(0xC2B2AE35)
# a tensor of up to this many elements keeps its data
SMALL = 16


def _mix(h: numpy.ndarray) -> numpy.ndarray:
    h = (h ^ (h >> numpy.uint32(16))) * _FIRST
    h = (h ^ (h >> numpy.uint32(13))) * _SECOND
    return h ^ (h >> numpy.uint32(16))


def hash_stream(seed: int, count: int) -> numpy.ndarray:
    """hash(seed, i) for i from 0 to count - 1, uint32."""
    start = _mix(numpy.array([seed ^ 0x9E3779B9], numpy.uint32))
    return _mix(_mix(numpy.arange(count, dtype=numpy.uint32)) ^ start)


@dataclasses.dataclass(frozen=True)
class Uniform:
    low: float
    high: float
    seed: int

    def fill(self, dims: tuple[int, ...]) -> numpy.ndarray:
        count = int(numpy.prod(dims, dtype=numpy.int64))
        unit = hash_stream(self.seed, count).astype(numpy.float64) / 2**32
        return (self.low + (self.high - self.low) * unit).astype(numpy.float32).reshape(dims)

    def __str__(self) -> str:
        return f"uniform {self.low!r} {self.high!r} {self.seed}"


def weight_tensors(model: onnx.ModelProto) -> dict[str, TensorProto]:
    """Initializers and the tensors of Constant nodes, by the name under which nodes read them."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    return tensors


def set_values(tensor: TensorProto, values: numpy.ndarray) -> None:
    """Gives an initializer other data of the same shape."""
    tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(values, numpy.float32), tensor.name))


def strip(model: onnx.ModelProto, ranges: dict[str, Uniform]) -> onnx.ModelProto:
    """A copy whose tensors in `ranges` have a range each instead of data, unless they are small."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for name, tensor in weight_tensors(result).items():
        if name not in ranges:
            continue
        dims = tuple(tensor.dims)
        if int(numpy.prod(dims, dtype=numpy.int64)) <= SMALL:
            set_values(tensor, ranges[name].fill(dims))
            continue
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.doc_string = str(ranges[name])
    return result
