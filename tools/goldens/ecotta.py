"""Writes test/goldens/ecotta.json and ecotta.onnx: five steps of EcoTTA by PyTorch on a small residual network.

The network has three pre-activation blocks, each a part with a meta network. The rule is runtime/adapt/methods/ecotta.ts's: one
step of SGD along the mean entropy of the sure images plus lambda times the parts' mean absolute distances, each part's input
detached for the latter. Everything runs in float64 (what is stored) and in float32 (whose distance is stored beside it).
"""

from __future__ import annotations

import io
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "bench" / "torch"))

from interpreter import need  # noqa: E402

need("torch", "onnx", "numpy")

import numpy  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

GOLDENS = ROOT / "test" / "goldens"
SIZE, CLASSES, BATCH, STEPS = 12, 5, 8, 5
PARTS = [(6, 6, 1), (6, 8, 2), (8, 10, 1)]
RATE, MOMENTUM, LAMBDA, MARGIN = 0.02, 0.9, 0.5, 0.4
PIXEL_SEED, META_SEED = 5, 77
MULTIPLIER, INCREMENT = 1664525, 1013904223
# float32's own error, and the distance of every entropy from the margin in nats.
ENOUGH, CLEAR = 2e-5, 1e-3
REGENERATE = "python3 tools/goldens/ecotta.py (needs torch and onnx)"
DRAWS = {
    "generator": "state = (state * 1664525 + 1013904223) mod 2^32, from state = seed; a draw is the state AFTER a step",
    "images": "one stream over all steps; pixel u8 = draw >>> 24 in the order image, row, column, channel",
    "meta": "one stream over the tensors in the order of `names`, each in its ONNX layout, row-major; value = "
    "fround(centre + ((draw >>> 8) / 2^24 - 0.5) * 0.4), centre 1 for scale and variance, else 0",
}


class Stream:
    def __init__(self, seed: int) -> None:
        self.state = seed

    def draws(self, count: int) -> numpy.ndarray:
        found = numpy.empty(count, numpy.uint32)
        for index in range(count):
            self.state = (self.state * MULTIPLIER + INCREMENT) % 2**32
            found[index] = self.state
        return found


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(x))
        z = self.conv2(F.relu(self.norm2(self.conv1(y))))
        return z + (x if self.shortcut is None else self.shortcut(y))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, PARTS[0][0], 3, 1, 1, bias=False)
        self.blocks = nn.ModuleList(Block(*part) for part in PARTS)
        self.norm = nn.BatchNorm2d(PARTS[-1][1])
        self.head = nn.Linear(PARTS[-1][1], CLASSES)

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(x)).mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classify(x)


def make_network() -> Network:
    torch.manual_seed(3)
    network = Network()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.7, 1.3),
                    (module.bias, -0.3, 0.3),
                    (module.running_mean, -0.3, 0.3),
                    (module.running_var, 0.7, 1.3),
                ):
                    tensor.uniform_(low, high)
        # Wide logits, so that some predictions are sure and some are not.
        network.head.weight.mul_(5)
    return network.eval().requires_grad_(False)


def meta_tensors() -> dict[str, torch.Tensor]:
    """Start values by the names of runtime/scheme/meta-networks.ts, float32."""
    stream = Stream(META_SEED)
    tensors = {}
    for number, (inputs, outputs, _) in enumerate(PARTS, 1):
        shapes = {"conv.weight": (outputs, inputs, 3, 3)}
        for norm in ("conv_norm", "norm"):
            shapes.update({f"{norm}.{role}": (outputs,) for role in ("scale", "shift", "mean", "variance")})
        for name, shape in shapes.items():
            centre = 1.0 if name.endswith(("scale", "variance")) else 0.0
            units = (stream.draws(math.prod(shape)) >> 8) / 2**24
            values = (centre + (units - 0.5) * 0.4).astype(numpy.float32)
            tensors[f"edgeshift_meta.{number}.{name}"] = torch.from_numpy(values.reshape(shape))
    return tensors


def branch(meta, number: int, stride: int, x, y, moves: bool):
    """norm(y) + relu(norm(conv(x))) with the statistics of the batch; `moves`: the running ones follow."""
    of = lambda name: meta[f"edgeshift_meta.{number}.{name}"]  # noqa: E731

    def norm(name: str, value: torch.Tensor) -> torch.Tensor:
        running = [of(f"{name}.{role}") for role in ("mean", "variance")]
        running = running if moves else [each.clone() for each in running]
        return F.batch_norm(value, *running, of(f"{name}.scale"), of(f"{name}.shift"), training=True, momentum=0.1)

    convolved = F.conv2d(x, of("conv.weight"), stride=stride, padding=1)
    return norm("norm", y) + F.relu(norm("conv_norm", convolved))


def adapt(network: Network, batches: list[torch.Tensor], dtype: torch.dtype):
    """Logits of every step's prediction, the number of sure images, and the meta networks afterwards."""
    network = network.to(dtype)
    meta = {name: tensor.to(dtype).clone() for name, tensor in meta_tensors().items()}
    trained = [tensor for name, tensor in meta.items() if not name.endswith((".mean", ".variance"))]
    for tensor in trained:
        tensor.requires_grad_()
    optimizer = torch.optim.SGD(trained, RATE, MOMENTUM)
    steps = []
    for images in batches:
        x = network.stem(images.to(dtype))
        distances = 0
        for number, (block, (_, _, stride)) in enumerate(zip(network.blocks, PARTS), 1):
            y = block(x)
            fixed = y.detach()
            local = branch(meta, number, stride, x.detach(), fixed, False)
            distances = distances + (local - fixed).abs().mean()
            x = branch(meta, number, stride, x, y, True)
        logits = network.classify(x)
        logs = logits.log_softmax(1)
        entropy = -(logs.exp() * logs).sum(1)
        margin = MARGIN * math.log(CLASSES)
        assert float((entropy - margin).abs().min()) > CLEAR, "an entropy lies on the margin"
        sure = entropy < margin
        assert 0 < int(sure.sum()) < BATCH, f"{int(sure.sum())} of {BATCH} images are sure"
        optimizer.zero_grad()
        (entropy[sure].mean() + LAMBDA * distances).backward()
        optimizer.step()
        steps.append({"logits": logits.detach().flatten().double(), "sure": int(sure.sum())})
    return steps, {name: tensor.detach().double() for name, tensor in meta.items()}


def distance(rough: torch.Tensor, exact: torch.Tensor) -> float:
    return float((rough - exact).norm() / exact.norm())


def short(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.8g}") for value in values.flatten().tolist()]


def main() -> None:
    network = make_network()
    file = io.BytesIO()
    torch.onnx.export(
        network,
        torch.zeros(1, 3, SIZE, SIZE),
        file,
        opset_version=13,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )
    model = onnx.load_from_string(file.getvalue())
    for node in model.graph.node:
        node.ClearField("doc_string")
    onnx.save(model, str(GOLDENS / "ecotta.onnx"))
    stream = Stream(PIXEL_SEED)
    pixels = [stream.draws(BATCH * SIZE * SIZE * 3) >> 24 for _ in range(STEPS)]
    batches = [
        torch.from_numpy((each / 255).astype(numpy.float32).reshape(BATCH, SIZE, SIZE, 3).transpose(0, 3, 1, 2).copy())
        for each in pixels
    ]
    exact_steps, exact = adapt(network, batches, torch.float64)
    rough_steps, rough = adapt(network, batches, torch.float32)
    start = meta_tensors()
    worst = max(distance(rough[name] - start[name].double(), exact[name] - start[name].double()) for name in exact)
    worst = max(worst, *(distance(a["logits"], b["logits"]) for a, b in zip(rough_steps, exact_steps)))
    assert worst < ENOUGH, f"float32 alone is off by {worst}"
    golden = {
        "regenerate": REGENERATE,
        "torch": torch.__version__,
        "draws": DRAWS,
        "pixelSeed": PIXEL_SEED,
        "metaSeed": META_SEED,
        "size": SIZE,
        "batch": BATCH,
        "parts": [1] * len(PARTS),
        "learningRate": RATE,
        "momentum": MOMENTUM,
        "lambda": LAMBDA,
        "margin": MARGIN,
        "float32Error": float(f"{worst:.2g}"),
        "names": list(start),
        "steps": [{"logits": short(step["logits"]), "sure": step["sure"]} for step in exact_steps],
        "changes": {name: short(exact[name] - start[name].double()) for name in exact},
    }
    (GOLDENS / "ecotta.json").write_text(json.dumps(golden) + "\n")
    print(f"float32 error {worst:.1e}, sure {[step['sure'] for step in exact_steps]}", file=sys.stderr)


if __name__ == "__main__":
    main()
