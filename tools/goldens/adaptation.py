"""Writes test/goldens/adaptation: test-time adaptation of a small network by PyTorch, five steps of each method.

`network.onnx` is a random wide ResNet of three pre-activation blocks whose norms are kept. TENT, EATA, SAR and CoTTA
follow their papers' rules (runtime/adapt/methods names the sources) in float64 on images and random numbers that the
tests draw again; the same in float32 says how far rounding alone moves the result. Stored are the logits that each step
predicts, whether it updated the model, and of every tensor that trains the change after the last step, in the form of
the networks' goldens.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import io
import json
import math
import pathlib
import sys
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / "bench" / "torch"), str(ROOT / "tools" / "goldens" / "networks")]

from interpreter import need  # noqa: E402

need("torch", "onnx", "numpy")

import numpy  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.onnx import TrainingMode  # noqa: E402

from adaptation_draws import restored, stream_images  # noqa: E402
from adaptation_views import view_of  # noqa: E402
from gradients import record, short  # noqa: E402

GOLDENS = ROOT / "test" / "goldens" / "adaptation"
SIZE, CLASSES, BATCH, STEPS = 16, 6, 8, 5
# What float32 does to PyTorch's own result must stay well below the tolerance of the test.
ENOUGH = 3e-4
# No entropy and no cosine may lie so near to its threshold that rounding could take it across.
CLEAR = 1e-4
KEEP = 0.9
# Widens the logits, so that predictions are certain, uncertain, alike and different.
HEAD = 24


class Block(nn.Module):
    """norm, ReLU, conv, norm, ReLU, conv, and a shortcut that is a convolution where the shape changes."""

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


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2), Block(12, 16, 2))
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.blocks(self.stem(x)))).mean((2, 3)))


def make_network(images: torch.Tensor) -> Net:
    torch.manual_seed(3)
    net = Net()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if tensor.dim() == 1 and name.endswith("weight"):
                tensor.uniform_(0.7, 1.3)
            elif tensor.dim() == 1:
                tensor.uniform_(-0.2, 0.2)
        net.head.weight.mul_(HEAD)
        net.train()
        for _ in range(20):
            net(images)
        net.head.bias.sub_(net(images).mean(0))
    return net.eval()


def write_network(net: Net) -> None:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            torch.zeros(1, 3, SIZE, SIZE),
            file,
            opset_version=13,
            training=TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    (GOLDENS / "network.onnx").write_bytes(model.SerializeToString())


def as_input(frames: numpy.ndarray) -> torch.Tensor:
    """[N, 3, H, W] from 0 to 1 of u8 [N, H, W, 3]."""
    pixels = frames.astype(numpy.float32) / numpy.float32(255)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def norms_of(net: Net, without: tuple[str, ...] = ()) -> dict[str, nn.Parameter]:
    return {name: x for name, x in net.named_parameters() if "norm" in name and not name.startswith(without)}


def entropy(logits: torch.Tensor) -> torch.Tensor:
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def below(values: torch.Tensor, limit: float) -> torch.Tensor:
    """Which values are below a limit that none may be too close to."""
    nearest = float((values - limit).abs().min())
    if nearest < CLEAR:
        raise SystemExit(f"a value is only {nearest:.1e} from its threshold {limit}: draw others")
    return values < limit


@dataclasses.dataclass
class Step:
    logits: torch.Tensor
    updated: bool
    #: frames that were learnt from
    frames: int
    reason: str = "entropy"


class Tent:
    def __init__(self, net: Net, numbers: dict[str, float], clean: torch.Tensor) -> None:
        self.net, self.numbers = net, numbers
        self.changing = norms_of(net)
        self.optimizer = torch.optim.Adam(self.changing.values(), numbers["learningRate"])

    def observe(self, x: torch.Tensor) -> Step:
        logits = self.net(x)
        self.optimizer.zero_grad()
        entropy(logits).mean().backward()
        self.optimizer.step()
        return Step(logits, True, len(x))


class Eata:
    def __init__(self, net: Net, numbers: dict[str, float], clean: torch.Tensor) -> None:
        self.net, self.numbers = net, numbers
        self.changing = norms_of(net)
        self.optimizer = torch.optim.Adam(self.changing.values(), numbers["learningRate"])
        self.average = None
        self.before = {name: tensor.detach().clone() for name, tensor in self.changing.items()}
        self.fisher = {name: torch.zeros_like(tensor) for name, tensor in self.before.items()}
        batches = clean.split(BATCH)
        for x in batches:
            net.zero_grad()
            logits = net(x)
            F.cross_entropy(logits, logits.argmax(1)).backward()
            for name, tensor in self.changing.items():
                self.fisher[name] += tensor.grad**2 / len(batches)

    def observe(self, x: torch.Tensor) -> Step:
        logits = self.net(x)
        p = logits.detach().softmax(1)
        limit = self.numbers["margin"] * math.log(CLASSES)
        chosen = certain = below(entropy(logits.detach()), limit)
        if self.average is not None:
            chosen = certain & below(F.cosine_similarity(self.average[None], p).abs(), self.numbers["redundancy"])
        frames = int(chosen.sum())
        if not certain.any():
            return Step(logits, False, 0, "uncertain")
        if frames == 0:
            return Step(logits, False, 0, "redundant")
        mean = p[chosen].mean(0)
        self.average = mean if self.average is None else KEEP * self.average + (1 - KEEP) * mean
        h = entropy(logits[chosen])
        loss = (h * (limit - h.detach()).exp()).mean()
        for name, tensor in self.changing.items():
            anchor = (self.fisher[name] * (tensor - self.before[name]) ** 2).sum()
            loss = loss + self.numbers["fisherAlpha"] * anchor
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return Step(logits, True, frames)


class Sar:
    def __init__(self, net: Net, numbers: dict[str, float], clean: torch.Tensor) -> None:
        self.net, self.numbers = net, numbers
        self.changing = norms_of(net, ("blocks.2", "norm"))
        self.optimizer = torch.optim.SGD(self.changing.values(), numbers["learningRate"], momentum=0.9)

    def observe(self, x: torch.Tensor) -> Step:
        limit = self.numbers["margin"] * math.log(CLASSES)
        logits = self.net(x)
        h = entropy(logits)
        certain = below(h.detach(), limit)
        if not certain.any():
            return Step(logits, False, 0, "uncertain")
        self.optimizer.zero_grad()
        h[certain].mean().backward()
        tensors = list(self.changing.values())
        norm = torch.stack([tensor.grad.norm() for tensor in tensors]).norm()
        ascents = [self.numbers["rho"] * tensor.grad / (norm + 1e-12) for tensor in tensors]
        with torch.no_grad():
            for tensor, ascent in zip(tensors, ascents):
                tensor += ascent
        self.optimizer.zero_grad()
        h = entropy(self.net(x))
        still = certain & below(h.detach(), limit)
        h[still].mean().backward()
        with torch.no_grad():
            for tensor, ascent in zip(tensors, ascents):
                tensor -= ascent
        self.optimizer.step()
        return Step(logits, True, int(still.sum()))


class Cotta:
    def __init__(self, net: Net, numbers: dict[str, float], clean: torch.Tensor) -> None:
        self.numbers = numbers
        self.student, self.teacher, self.source = net, copy.deepcopy(net), copy.deepcopy(net)
        self.changing = dict(self.teacher.named_parameters())
        self.optimizer = torch.optim.Adam(net.parameters(), numbers["learningRate"])
        self.step = 0

    def observe(self, x: torch.Tensor) -> Step:
        with torch.no_grad():
            target = self.teacher(x)
            unsure = bool(below(self.source(x).softmax(1).max(1).values.mean(), self.numbers["confidence"]))
            if unsure:
                target = torch.stack([self.teacher(view) for view in self.views(x)]).mean(0)
        loss = -(target.softmax(1) * self.student(x).log_softmax(1)).sum(1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        decay = self.numbers["decay"]
        with torch.no_grad():
            for mine, other in zip(self.teacher.parameters(), self.student.parameters()):
                mine.mul_(decay).add_((1 - decay) * other)
            for (name, mine), source in zip(self.student.named_parameters(), self.source.parameters()):
                key = (int(self.numbers["seed"]), self.step)
                mask = torch.from_numpy(restored(key, name, tuple(mine.shape), self.numbers["restore"]))
                mine[mask] = source[mask]
        self.step += 1
        return Step(target, True, len(x), "average of views" if unsure else "teacher")

    def views(self, x: torch.Tensor) -> list[torch.Tensor]:
        frames = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
        count, seed = int(self.numbers["augmentations"]), int(self.numbers["seed"])
        return [as_input(view_of(frames, (seed, self.step, number))).to(x.dtype) for number in range(count)]


METHODS = {
    "tent": (Tent, {"learningRate": 1e-3}),
    "eata": (Eata, {"learningRate": 1e-3, "margin": 0.4, "redundancy": 0.5, "fisherAlpha": 50.0}),
    "sar": (Sar, {"learningRate": 1e-2, "rho": 0.05, "margin": 0.4, "recovery": 0.0}),
    "cotta": (
        Cotta,
        {"learningRate": 1e-3, "augmentations": 4, "confidence": 0.748, "decay": 0.6, "restore": 0.01, "seed": 7},
    ),
}


def run(name: str, net: Net, batches: list[torch.Tensor], clean: torch.Tensor, dtype: torch.dtype):
    make, numbers = METHODS[name]
    # Norms normalize with the statistics of the batch in training mode.
    method = make(copy.deepcopy(net).to(dtype).train(), numbers, clean.to(dtype))
    before = {key: tensor.detach().double().clone() for key, tensor in method.changing.items()}
    steps = [method.observe(x.to(dtype)) for x in batches]
    changes = {key: (tensor.detach().double() - before[key]).numpy() for key, tensor in method.changing.items()}
    return method, steps, changes


def write(name: str, net: Net, batches: list[torch.Tensor], clean: torch.Tensor) -> None:
    method, steps, changes = run(name, net, batches, clean, torch.float64)
    rough = run(name, net, batches, clean, torch.float32)[2]
    norm = numpy.linalg.norm
    moved = {key: float(norm(rough[key] - exact) / norm(exact)) for key, exact in changes.items()}
    worst = max(moved, key=lambda key: moved[key])
    print(f"{name}: {[(step.frames, step.reason) for step in steps]}, float32 moves {worst} by {moved[worst]:.1e}")
    if not moved[worst] <= ENOUGH:
        raise SystemExit(f"{name}: float32 does not determine {worst}")
    fisher = getattr(method, "fisher", {})
    fields = {
        "about": "Five steps by PyTorch in float64; `tensors` holds changes after the last one.",
        "regenerate": "python3 tools/goldens/adaptation.py",
        "date": datetime.date.today().isoformat(),
        "versions": {"torch": torch.__version__, "onnx": onnx.__version__},
        "images": (STEPS + 2) * BATCH,
        "imageSize": SIZE,
        "batch": BATCH,
        "numbers": {key: value for key, value in method.numbers.items() if key != "seed"},
        "seed": method.numbers.get("seed", 1),
        "f32": {"worstRelativeL2": short(moved[worst]), "worstTensor": worst},
        "steps": [
            {
                "updated": step.updated,
                "reason": step.reason,
                "frames": step.frames,
                "logits": [[short(value) for value in row] for row in step.logits.tolist()],
            }
            for step in steps
        ],
        "tensors": [record(index, key, change) for index, (key, change) in enumerate(changes.items())],
        "fisher": [record(index, key, values.double().numpy()) for index, (key, values) in enumerate(fisher.items())],
    }
    (GOLDENS / f"{name}.json").write_text(json.dumps(fields, separators=(",", ":")) + "\n")


def main() -> None:
    images = as_input(stream_images(SIZE, (STEPS + 2) * BATCH))
    clean = images[STEPS * BATCH :]
    GOLDENS.mkdir(parents=True, exist_ok=True)
    net = make_network(clean)
    write_network(net)
    for name in METHODS:
        write(name, net, list(images[: STEPS * BATCH].split(BATCH)), clean)


if __name__ == "__main__":
    main()
