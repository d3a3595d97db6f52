"""Exports an architecture by torch.onnx.export and converts the file to opset 18, which torch 1.13 does not write."""

from __future__ import annotations

import io
import warnings

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.onnx import TrainingMode

from architectures import ARCHITECTURES
from variants import Variant

NEWEST_EXPORT = 17


def _draw_parameters(network: nn.Module) -> None:
    """Gives every tensor different values: the exporter would merge the equal ones of an untrained network."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 4
                tensor.uniform_(0.5, 1.5, generator=generator).div_(fan_in**0.5)
                if tensor.dim() > 1:
                    tensor.mul_(torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1)


def _to_opset_18(model: onnx.ModelProto) -> None:
    """From opset 17: the axes of ReduceMean become an input. Split needs num_outputs only where it has no sizes."""
    for node in model.graph.node:
        if node.op_type == "Split" and len(node.input) < 2:
            node.attribute.append(helper.make_attribute("num_outputs", len(node.output)))
        if node.op_type != "ReduceMean":
            continue
        axes = next((attribute for attribute in node.attribute if attribute.name == "axes"), None)
        if axes is None:
            continue
        name = f"{node.output[0]}_axes"
        values = torch.tensor(list(axes.ints), dtype=torch.int64).numpy()
        model.graph.initializer.append(numpy_helper.from_array(values, name))
        node.input.append(name)
        node.attribute.remove(axes)
    model.opset_import[0].version = 18


def _to_constants(model: onnx.ModelProto) -> None:
    graph = model.graph
    nodes = [
        helper.make_node("Constant", [], [tensor.name], name=f"Constant_{tensor.name}", value=tensor)
        for tensor in graph.initializer
    ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.node.extend(nodes)


def export(variant: Variant) -> tuple[nn.Module, onnx.ModelProto]:
    """The network in evaluation mode, and the ONNX model written from it."""
    torch.manual_seed(0)
    network = ARCHITECTURES[variant.architecture]().eval()
    _draw_parameters(network)
    kept = variant.norms == "kept"
    names = {"N": 0, "H": 2, "W": 3}
    dynamic = {"input": {names[axis]: axis for axis in variant.axes}, "logits": {0: "N"}} if variant.axes else None
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            torch.zeros(1, 3, variant.image_size, variant.image_size),
            file,
            opset_version=min(variant.opset, NEWEST_EXPORT),
            # PRESERVE keeps the exporter from folding norms; the network itself is in evaluation mode either way
            training=TrainingMode.PRESERVE if kept else TrainingMode.EVAL,
            do_constant_folding=not (kept or variant.unfolded),
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes=dynamic,
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    if variant.constants:
        _to_constants(model)
    if variant.opset > NEWEST_EXPORT:
        _to_opset_18(model)
    model.graph.name = variant.architecture
    return network, model
