"""A weightless network in PyTorch: the role of every tensor, the ranges of their values, and calibration."""

from __future__ import annotations

import dataclasses
import tempfile
from typing import Optional

import numpy
import onnx
import torch
from onnx import TensorProto

from onnx_ops import OPS
from onnx_torch import Node, OnnxModule
from weightless import Uniform, weight_tensors

TRAINABLE = ("weight", "bias", "scale", "shift", "layer-scale")
_NORM_ROLES = {1: "scale", 2: "shift", 3: "mean", 4: "variance"}
_RANGES = {
    "weight": (-1.0, 1.0),
    "bias": (-0.1, 0.1),
    "scale": (0.5, 1.5),
    "shift": (-0.3, 0.3),
    "mean": (-0.3, 0.3),
    "variance": (0.5, 1.5),
    "layer-scale": (0.1, 1.0),
}
# Root mean square that a layer's product has after calibration; less at the end of a residual branch, so that sums
# over many blocks stay of order 1, and more before activations with limits at 3 or 6, so that these are reached.
_ORDINARY, _RESIDUAL, _BEFORE_HARD_SWISH, _BEFORE_RELU6 = 1.0, 0.5, 2.0, 3.0
# of one network's seed and the next
SEEDS_PER_NETWORK = 4096


def find_roles(model: onnx.ModelProto) -> dict[str, str]:
    """The role of every float tensor that is a parameter, by the node that reads it."""
    tensors = weight_tensors(model)
    made_by = {output: node for node in model.graph.node for output in node.output}
    roles: dict[str, str] = {}

    def source(name: str) -> Optional[str]:
        """The initializer behind a name, through the transpose of a fully connected weight."""
        while name not in tensors and name in made_by and made_by[name].op_type in ("Identity", "Transpose"):
            name = made_by[name].input[0]
        tensor = tensors.get(name)
        return name if tensor is not None and tensor.data_type == TensorProto.FLOAT else None

    for node in model.graph.node:
        for index, name in enumerate(node.input):
            tensor = source(name)
            if tensor is None:
                continue
            if node.op_type in ("Conv", "Gemm", "MatMul"):
                roles[tensor] = "bias" if index == 2 else "weight"
            elif node.op_type in ("BatchNormalization", "LayerNormalization"):
                roles[tensor] = _NORM_ROLES[index]
            elif node.op_type in ("Add", "Mul") and numpy.prod(tensors[tensor].dims, dtype=int) > 1:
                before = made_by.get(node.input[1 - index])
                maker = before.op_type if before else ""
                if node.op_type == "Mul":
                    # a layer normalization in steps divides by the deviation, then scales, then shifts
                    roles[tensor] = "scale" if maker == "Div" else "layer-scale"
                else:
                    roles[tensor] = "shift" if maker == "Mul" else "bias"
    return roles


def first_ranges(roles: dict[str, str], seed: int) -> dict[str, Uniform]:
    base = seed * SEEDS_PER_NETWORK
    return {name: Uniform(*_RANGES[role], base + index) for index, (name, role) in enumerate(roles.items())}


class Network(OnnxModule):
    """An exported network whose parameters are found by role, so that layer norms and layer scales count too."""

    def __init__(self, model: onnx.ModelProto, roles: dict[str, str]) -> None:
        self._trainable = {name for name, role in roles.items() if role in TRAINABLE}
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            onnx.save(model, file.name)
            super().__init__(file.name)
        self.roles = roles
        if self.nodes[-1].op == "Softmax":
            # the loss wants logits
            self.output_name = self.nodes.pop().inputs[0]
            self._refresh()
        # A graph of a static batch says 1 in its reshapes; 0 takes the number of images that came in.
        for index, node in enumerate(self.nodes):
            if node.op == "Reshape" and node.inputs[1] in self._known:
                target = self.tensor(node.inputs[1])
                if target.numel() > 2 and int(target[0]) == 1:
                    target[0] = 0
        self._weight_of = self._find_weights()
        self._branch_ends = self._find_branch_ends()

    def parameter_names(self, node: Node) -> list[str]:
        return [name for name in node.inputs if name in self._trainable]

    def _find_weights(self) -> dict[str, str]:
        """The weight each layer multiplies by, under the layer's output."""
        transposed = {node.output: node.inputs[0] for node in self.nodes if node.op == "Transpose"}
        found = {}
        for node in self.nodes:
            if node.op in ("Conv", "Gemm", "MatMul"):
                names = [transposed.get(name, name) for name in node.inputs[:2]]
                found[node.output] = next(name for name in names if self.roles.get(name) == "weight")
        return found

    def _find_branch_ends(self) -> set[str]:
        """Outputs of the layers whose result, after a norm or not, is one side of a sum."""
        sums = [node for node in self.nodes if node.op == "Add" and not any(name in self.roles for name in node.inputs)]
        summed = {name for node in sums for name in node.inputs}
        passed = ("BatchNormalization", "Mul", "Add", "Transpose")
        through = {node.output: node for node in self.nodes if node.op in passed}
        ends = set()
        for name in summed:
            while name in through and name not in self._weight_of and name not in {node.output for node in sums}:
                name = next((entry for entry in through[name].inputs if entry not in self._known), "")
            ends.add(name)
        return ends

    def _wanted_size(self, node: Node) -> float:
        if node.output in self._branch_ends:
            return _RESIDUAL
        readers = self._readers(node)
        if any(reader.op == "BatchNormalization" for reader in readers):
            readers = [far for reader in readers for far in self._readers(reader)]
        if any(reader.op == "Clip" for reader in readers):
            return _BEFORE_RELU6
        # in steps, hard-swish is an Add of 3 before a Clip
        in_steps = any(far.op == "Clip" for reader in readers if reader.op == "Add" for far in self._readers(reader))
        if in_steps or any(reader.op in ("HardSigmoid", "HardSwish") for reader in readers):
            return _BEFORE_HARD_SWISH
        return _ORDINARY

    def _readers(self, node: Node) -> list[Node]:
        return [reader for reader in self.nodes if node.output in reader.inputs]

    def put(self, name: str, values: numpy.ndarray) -> None:
        with torch.no_grad():
            self.tensor(name).copy_(torch.from_numpy(values))

    def calibrate(self, images: torch.Tensor, ranges: dict[str, Uniform]) -> dict[str, Uniform]:
        """Fills all tensors, and scales each weight's range so that its layer's product has the wanted size.

        Bounds have 4 digits, so that the text of a range is the range.
        """
        ranges = dict(ranges)
        for name, uniform in ranges.items():
            self.put(name, uniform.fill(tuple(self.tensor(name).shape)))
        values: dict[str, torch.Tensor] = {self.input_name: images}

        def value(name: str) -> Optional[torch.Tensor]:
            return None if name == "" else self.tensor(name) if name in self._known else values[name]

        with torch.no_grad():
            for index, node in enumerate(self.nodes):
                if node.output in self._weight_of:
                    product = OPS[node.op](node.attributes, self.opset, *[value(name) for name in node.inputs[:2]])
                    name = self._weight_of[node.output]
                    bound = float(f"{self._wanted_size(node) / float(product.double().square().mean().sqrt()):.4g}")
                    ranges[name] = dataclasses.replace(ranges[name], low=-bound, high=bound)
                    self.put(name, ranges[name].fill(tuple(self.tensor(name).shape)))
                    if node.op == "MatMul":
                        # the transpose that a layer may read was made of the old values
                        for earlier in self.nodes[:index]:
                            if earlier.op == "Transpose" and earlier.inputs[0] == name:
                                values[earlier.output] = self.tensor(name).permute(earlier.attributes["perm"])
                result = OPS[node.op](node.attributes, self.opset, *[value(name) for name in node.inputs])
                results = result if isinstance(result, tuple) else (result,)
                values.update(zip((node.output, *node.more_outputs), results, strict=True))
                for name in self._dies_at[index]:
                    del values[name]
        return ranges
