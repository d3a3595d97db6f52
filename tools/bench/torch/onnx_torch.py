"""Builds a PyTorch module that runs an ONNX graph node by node.

The parameters keep the names of the ONNX initializers, so a gradient can be compared with another runtime's tensor by
tensor. Only what the benchmark models need is read; every other operator is listed in one error.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from typing import Any, Callable, Iterable, Optional

import numpy
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from onnx_ops import OPS

HEAD_WEIGHT = "head.weight"
HEAD_BIAS = "head.bias"
# which inputs of an operator can learn
_PARAMETERS = {"BatchNormalization": slice(1, 3), "Conv": slice(1, 3), "Gemm": slice(1, 3), "MatMul": slice(0, 2)}
_ACTIVATIONS = {"Relu", "Clip"}


@dataclasses.dataclass(frozen=True)
class Node:
    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    # a Split has further outputs
    more_outputs: tuple[str, ...] = ()


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def _read_constants(graph: onnx.GraphProto) -> dict[str, numpy.ndarray]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            key, value = node.attribute[0].name, _attribute(node.attribute[0])
            constants[node.output[0]] = numpy_helper.to_array(value) if key == "value" else numpy.asarray(value)
        elif node.op_type == "Identity" and node.input[0] in constants:
            # exporters share one initializer between nodes in this way
            constants[node.output[0]] = constants[node.input[0]]
    return constants


class OnnxModule(nn.Module):
    """An ONNX graph with one image input and one output, as a trainable PyTorch module.

    Conv, Gemm and MatMul weights and biases, and norm scales and shifts, are parameters; stored norm statistics and
    all other constants are buffers. Values are let go after their last use, so that nothing but what autograd keeps
    stays in memory.

    Raises ValueError with every operator that cannot be read.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        model = onnx.load(path)
        graph = model.graph
        constants = _read_constants(graph)
        unread = collections.defaultdict(list)
        for node in graph.node:
            if node.op_type not in OPS and node.op_type != "Constant":
                unread[node.op_type].append(node.name or node.output[0])
        if unread:
            kinds = "; ".join(f"{op} x {len(names)} ({', '.join(names[:3])})" for op, names in unread.items())
            raise ValueError(f"{path}: operators this benchmark cannot run: {kinds}")
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self.input_name = next(value.name for value in graph.input if value.name not in constants)
        self.output_name = graph.output[0].name
        self.nodes = [
            Node(
                node.name or node.output[0],
                node.op_type,
                tuple(node.input),
                node.output[0],
                {attribute.name: _attribute(attribute) for attribute in node.attribute},
                tuple(node.output[1:]),
            )
            for node in graph.node
            if node.output[0] not in constants
        ]
        self._constants = constants
        self._prefix_length = 0
        # called with every node and its inputs, before the node runs
        self.observer: Optional[Callable[[Node, list[Optional[torch.Tensor]]], None]] = None
        self._refresh()

    def parameter_names(self, node: Node) -> list[str]:
        """Names of the node's trainable tensors: weight then bias, or norm scale then shift."""
        wanted = node.inputs[_PARAMETERS[node.op]] if node.op in _PARAMETERS else ()
        return [name for name in wanted if self._registered(name) in self._parameters or name in self._constants]

    @staticmethod
    def _registered(name: str) -> str:
        # torch refuses dots in the name of a parameter
        return name.replace(".", "/")

    def _refresh(self) -> None:
        """Registers what the present nodes read, forgets the rest and finds where each value is last used."""
        trainable = {name for node in self.nodes for name in self.parameter_names(node)}
        read = {name for node in self.nodes for name in node.inputs if name}
        for name in sorted(read & self._constants.keys()):
            # a copy, because arrays that share the file's memory cannot be written
            tensor = torch.from_numpy(numpy.array(self._constants.pop(name)))
            if name in trainable:
                self.register_parameter(self._registered(name), nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(self._registered(name), tensor)
        self._constants = {}
        for held in (self._parameters, self._buffers):
            for key in held.keys() - {self._registered(name) for name in read}:
                del held[key]
        self._known = {name for name in read if self._registered(name) in {**self._parameters, **self._buffers}}
        last_use = {name: index for index, node in enumerate(self.nodes) for name in node.inputs}
        last_use.pop(self.output_name, None)
        self._dies_at = collections.defaultdict(list)
        for name, index in last_use.items():
            if name and name not in self._known:
                self._dies_at[index].append(name)

    def tensor(self, name: str) -> torch.Tensor:
        """The parameter or buffer that bears this ONNX name."""
        return getattr(self, self._registered(name))

    def named(self) -> dict[str, nn.Parameter]:
        """Every parameter by its ONNX name, in the order of the graph."""
        return {name: self.tensor(name) for node in self.nodes for name in self.parameter_names(node)}

    def parameters_sha256(self) -> str:
        """Checksum of all stored float tensors, in the order of their names, as little-endian float32."""
        digest = hashlib.sha256()
        for name in sorted(self._known):
            tensor = self.tensor(name)
            if tensor.is_floating_point():
                digest.update(tensor.detach().numpy().astype("<f4").tobytes())
        return digest.hexdigest()

    def is_followed_by_activation(self, node: Node) -> bool:
        readers = [reader for reader in self.nodes if node.output in reader.inputs]
        return bool(readers) and all(reader.op in _ACTIVATIONS for reader in readers)

    def replace_head(
        self,
        classes: int,
        drop: Iterable[str] = (),
        weight: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
        seed: int = 0,
        size: int = 96,
    ) -> None:
        """Cuts the graph before the first dropped node and puts a fresh fully connected layer there.

        Without names to drop, the last fully connected node is the first one dropped. Without a weight [classes,
        features], one is drawn uniformly from +-1/sqrt(features) by the seed; without a bias it is zero.
        """
        names = list(drop)
        if not names:
            names = [next(node.name for node in reversed(self.nodes) if node.op in ("Gemm", "MatMul"))]
        absent = [name for name in names if all(node.name != name for node in self.nodes)]
        if absent:
            last = ", ".join(node.name for node in self.nodes[-8:])
            raise ValueError(f"no node is named {', '.join(absent)}; the last ones are {last}")
        first = next(node for node in self.nodes if node.name in names)
        self.output_name = next(name for name in first.inputs if name not in self._known)
        alive, kept = {self.output_name}, []
        for node in reversed(self.nodes):
            if alive & {node.output, *node.more_outputs}:
                alive.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self._refresh()
        with torch.no_grad():
            features = self(torch.zeros(1, 3, size, size)).shape[1]
        if weight is None:
            generator = torch.Generator().manual_seed(seed)
            weight = (torch.rand(classes, features, generator=generator) * 2 - 1) / features**0.5
        head = Node("head", "Gemm", (self.output_name, HEAD_WEIGHT, HEAD_BIAS), "head", {"transB": 1})
        self._constants = {
            HEAD_WEIGHT: weight.numpy(),
            HEAD_BIAS: numpy.zeros(classes, numpy.float32) if bias is None else bias.numpy(),
        }
        self.nodes.append(head)
        self.output_name = head.output
        self._refresh()

    def train_only(self, names: Iterable[str]) -> None:
        """Lets only these parameters learn; all nodes before the first that reads one run without autograd."""
        chosen = set(names)
        for name, parameter in self.named().items():
            parameter.requires_grad_(name in chosen)
        self._prefix_length = next(
            (index for index, node in enumerate(self.nodes) if chosen & set(node.inputs)), len(self.nodes)
        )

    @property
    def prefix_length(self) -> int:
        return self._prefix_length

    def _run(self, values: dict[str, torch.Tensor], start: int, end: int) -> None:
        for index in range(start, end):
            node = self.nodes[index]
            inputs = [
                None if name == "" else self.tensor(name) if name in self._known else values[name]
                for name in node.inputs
            ]
            if self.observer:
                self.observer(node, inputs)
            result = OPS[node.op](node.attributes, self.opset, *inputs)
            if isinstance(result, tuple):
                values.update(zip((node.output, *node.more_outputs), result, strict=True))
            else:
                values[node.output] = result
            del inputs
            for name in self._dies_at[index]:
                del values[name]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to the graph's output; to logits [N, classes] once the head is replaced."""
        values = {self.input_name: x}
        with torch.no_grad():
            self._run(values, 0, self._prefix_length)
        self._run(values, self._prefix_length, len(self.nodes))
        return values[self.output_name]
