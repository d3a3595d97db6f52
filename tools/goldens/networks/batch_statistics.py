"""Writes PyTorch's gradients and running statistics of networks whose norms use the statistics of the batch.

The networks, weights and images are those of models/networks and of the other goldens; the norms are in training mode
with momentum 0.1 (running variance unbiased). One golden a network in test/goldens/batch-statistics. Tensors that float32
does not determine are left out: a norm's shift below another norm has no gradient but rounding.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "bench" / "torch"))

from interpreter import need  # noqa: E402

need("torch", "onnx", "numpy")

import numpy  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402

from gradients import DRAWS, IMAGES, backward, images, record  # noqa: E402
from network import Network, find_roles  # noqa: E402
from onnx_ops import OPS  # noqa: E402
from weightless import Uniform, weight_tensors  # noqa: E402

MODELS, GOLDENS = ROOT / "models" / "networks", ROOT / "test" / "goldens" / "batch-statistics"
MOMENTUM = 0.1
ENOUGH = 2e-4
NETWORKS = {
    "wrn_16_2-normalize-kept-opset13": 32,
    "resnet18-kept-opset13": 64,
    "mobilenet_v3_small-kept-opset13": 128,
}


def load(name: str) -> onnx.ModelProto:
    """The network with its weights filled in."""
    model = onnx.load(str(MODELS / f"{name}.onnx"))
    for tensor in weight_tensors(model).values():
        found = re.fullmatch(r"uniform (\S+) (\S+) (\d+)", tensor.doc_string)
        if found is None or tensor.data_type != TensorProto.FLOAT:
            continue
        uniform = Uniform(float(found[1]), float(found[2]), int(found[3]))
        tensor.CopyFrom(numpy_helper.from_array(uniform.fill(tuple(tensor.dims)), tensor.name))
    return model


def in_training_mode(a, opset, x, scale, shift, mean, variance):
    return F.batch_norm(x, mean, variance, scale, shift, training=True, momentum=MOMENTUM, eps=a.get("epsilon", 1e-5))


def error_of(rough, exact, name: str) -> float:
    """Distance of a tensor's float32 gradient, relative to its norm."""
    norm = float(numpy.linalg.norm(exact.gradients[name]))
    return float(numpy.linalg.norm(rough.gradients[name] - exact.gradients[name])) / norm if norm > 0 else float("inf")


def write(name: str, size: int) -> None:
    x = images(size)
    model = load(name)
    roles = find_roles(model)
    exact_network = Network(model, roles).double()
    exact = backward(exact_network, x)
    rough = backward(Network(model, roles).float(), x)
    determined = {name: values for name, values in exact.gradients.items() if error_of(rough, exact, name) <= ENOUGH}
    worst = max((error_of(rough, exact, name), name) for name in determined)
    running = [tensor for tensor, role in roles.items() if role in ("mean", "variance")]
    statistics = {tensor: exact_network.tensor(tensor).detach().double().numpy() for tensor in running}
    fields = {
        "about": "Gradients by PyTorch autograd in float64 with the statistics of the batch, and the running ones after.",
        "regenerate": "python3 tools/goldens/networks/batch_statistics.py",
        "versions": {"torch": torch.__version__},
        "images": IMAGES,
        "imageSize": size,
        "momentum": MOMENTUM,
        "draws": DRAWS,
        "labels": list(range(IMAGES)),
        "f32": {"worstRelativeL2": float(f"{worst[0]:.3g}"), "worstTensor": worst[1]},
        "leftOut": len(exact.gradients) - len(determined),
        "loss": exact.loss,
    }
    compact = {"separators": (",", ":"), "allow_nan": False}
    lines = [f"{json.dumps(key)}: {json.dumps(value, **compact)}," for key, value in fields.items()]
    groups = []
    for key, tensors in (("tensors", determined), ("statistics", statistics)):
        records = (record(index, tensor, values) for index, (tensor, values) in enumerate(tensors.items()))
        rows = [json.dumps(entry, **compact) for entry in records]
        groups.append(f'"{key}": [\n' + ",\n".join(rows) + "\n]")
    GOLDENS.mkdir(parents=True, exist_ok=True)
    text = "{\n" + "\n".join(lines) + "\n" + ",\n".join(groups) + "\n}\n"
    (GOLDENS / f"{name}.json").write_text(text, encoding="utf8")
    counts = f"{len(determined)} of {len(exact.gradients)} gradients, {len(running)} statistics"
    print(f"{name}: loss {exact.loss:.4f}, {counts}, float32 {worst[0]:.1e} in {worst[1]}", flush=True)


OPS["BatchNormalization"] = in_training_mode
torch.set_num_threads(2)
for network_name, image_size in NETWORKS.items():
    write(network_name, image_size)
