"""Trains on Fashion-MNIST in PyTorch with the small-data protocol, as a reference for edgeshift's own runs.

First 3,000 training and first 2,000 test images, enlarged to 96x96 (bicubic), grey repeated to 3 channels, px/255;
6 epochs, batch 32, Adam (head and norms 3e-3, convolution weights 5e-4), horizontal flips and shifts of up to 6 px.
About a minute a scheme on two cores. Prints one JSON line for each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pathlib
import sys
import time

from interpreter import need

need("torch", "onnx", "numpy")

import numpy  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from onnx_torch import OnnxModule  # noqa: E402
from schemes import HEAD, SCHEMES, Learner, learners  # noqa: E402

SIZE, MAX_SHIFT, BATCH = 96, 6, 32
FAST_LR, WEIGHT_LR = 3e-3, 5e-4


def read_idx(path: pathlib.Path, count: int) -> torch.Tensor:
    """The first `count` entries of an idx file of bytes, images [N, H, W] or labels [N]."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    shape = numpy.frombuffer(raw, ">u4", raw[3], 4).astype(int).tolist()
    data = numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    return torch.from_numpy(data[:count].copy())


def enlarge(grey: torch.Tensor) -> torch.Tensor:
    """u8 [N, 28, 28] to f32 [N, 1, 96, 96] in [0, 1]; the three equal channels are made batch by batch."""
    images = grey.unsqueeze(1).float() / 255
    return F.interpolate(images, size=(SIZE, SIZE), mode="bicubic", align_corners=False).clamp(0, 1)


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    flips = torch.rand(len(images), generator=generator) < 0.5
    shifts = torch.randint(0, 2 * MAX_SHIFT + 1, (len(images), 2), generator=generator).tolist()
    padded = F.pad(images, [MAX_SHIFT] * 4)
    moved = [padded[i, :, y : y + SIZE, x : x + SIZE] for i, (y, x) in enumerate(shifts)]
    return torch.stack([image.flip(2) if flip else image for image, flip in zip(moved, flips)])


def accuracy(module: OnnxModule, images: torch.Tensor, labels: torch.Tensor) -> float:
    hits = 0
    with torch.no_grad():
        for start in range(0, len(images), 100):
            logits = module(images[start : start + 100].expand(-1, 3, -1, -1))
            hits += int((logits.argmax(1) == labels[start : start + 100]).sum())
    return hits / len(images)


def rates(module: OnnxModule, chosen: list[Learner]) -> list[dict[str, object]]:
    slow = [learner for learner in chosen if learner.part != HEAD and learner.role == "weight"]
    fast = [learner for learner in chosen if learner not in slow]
    groups = [(fast, FAST_LR), (slow, WEIGHT_LR)]
    return [{"params": [module.tensor(learner.name) for learner in group], "lr": lr} for group, lr in groups if group]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fashion-MNIST, 3,000 images, 6 epochs, in PyTorch.")
    parser.add_argument("--model", required=True, help="ONNX file")
    parser.add_argument("--drop", default="", help="node names the fresh head replaces, with commas between")
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default=pathlib.Path("/usr/share/datasets/fashion-mnist"),
        help="folder of the four idx.gz files",
    )
    parser.add_argument("--schemes", default="head,shifts,mobiletl", help=f"some of {', '.join(SCHEMES)}")
    parser.add_argument("--blocks", type=int, default=4, help="top blocks that learn (4: from block 13 up)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--train", type=int, default=3000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    splits = {}
    for split, count in (("train", arguments.train), ("t10k", arguments.test)):
        images = enlarge(read_idx(arguments.data / f"{split}-images-idx3-ubyte.gz", count))
        splits[split] = (images, read_idx(arguments.data / f"{split}-labels-idx1-ubyte.gz", count).long())
    for scheme in arguments.schemes.split(","):
        generator = torch.Generator().manual_seed(arguments.seed)
        module = OnnxModule(arguments.model)
        module.replace_head(10, filter(None, arguments.drop.split(",")), seed=arguments.seed, size=SIZE)
        chosen = learners(module, scheme, arguments.blocks)
        module.train_only(learner.name for learner in chosen)
        optimizer = torch.optim.Adam(rates(module, chosen))
        images, labels = splits["train"]
        start = time.perf_counter()
        for epoch in range(arguments.epochs):
            total = 0.0
            for batch in torch.randperm(len(images), generator=generator).split(BATCH):
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(module(augment(images[batch], generator).expand(-1, 3, -1, -1)), labels[batch])
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(batch)
            print(f"{scheme}: epoch {epoch + 1}, loss {total / len(images):.4f}", file=sys.stderr)
        seconds = time.perf_counter() - start
        result = {
            "scheme": scheme,
            "blocks": arguments.blocks,
            "seed": arguments.seed,
            "trainableParameters": sum(module.tensor(learner.name).numel() for learner in chosen),
            "trainAccuracy": accuracy(module, *splits["train"]),
            "testAccuracy": accuracy(module, *splits["t10k"]),
            "seconds": round(seconds, 1),
            "torch": torch.__version__,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        print(f"full_protocol: {problem}", file=sys.stderr)
        sys.exit(1)
