"""Runs PyTorch training steps on demand, so that another process can interleave its own with them.

Prints one JSON line when the step is built. Then reads lines from stdin: `step` or `steps 5` run that many steps and
print `{"millis": [...], "loss": ...}`; `end` (or the end of the input) prints `{"maxRssBytes": ...}` and leaves.
There is no hidden warm-up: the first steps are slow, and leaving them out is the reader's business.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time

from interpreter import need

need("torch", "onnx", "numpy")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from onnx_torch import HEAD_BIAS, HEAD_WEIGHT, OnnxModule  # noqa: E402


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def _max_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _steps_asked(words: list[str]) -> int:
    """How many steps a line asks for; 0 if it is not understood."""
    if words == ["step"]:
        return 1
    return int(words[1]) if len(words) == 2 and words[0] == "steps" and words[1].isdigit() else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="PyTorch training steps, one command line at a time.")
    parser.add_argument("--model", required=True, help="ONNX file")
    parser.add_argument("--drop", default="", help="node names the fresh head replaces, with commas between")
    parser.add_argument("--learn", help="JSON list of the tensors that learn besides the head; default: all of them")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="image height and width in pixels")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true", help="keep images and conv weights in NHWC order")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    imported_rss_bytes = _max_rss_bytes()
    module = OnnxModule(arguments.model)
    module.replace_head(arguments.classes, filter(None, arguments.drop.split(",")), size=arguments.size)
    named = module.named()
    chosen = set(named) if arguments.learn is None else {HEAD_WEIGHT, HEAD_BIAS, *json.loads(arguments.learn)}
    if chosen - named.keys():
        raise ValueError(f"--learn: the model has no such parameters: {', '.join(sorted(chosen - named.keys()))}")
    module.train_only(chosen)
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size)
    labels = torch.randint(arguments.classes, (arguments.batch,))
    if arguments.channels_last:
        module = module.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    trained = [parameter for name, parameter in module.named().items() if name in chosen]
    optimizer = torch.optim.SGD(trained, lr=arguments.lr, momentum=arguments.momentum)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(module(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    _say(
        ready=True,
        trainableParameters=sum(parameter.numel() for parameter in trained),
        trainableTensors=len(trained),
        batch=arguments.batch,
        size=arguments.size,
        threads=torch.get_num_threads(),
        prefixNodes=module.prefix_length,
        suffixNodes=len(module.nodes) - module.prefix_length,
        channelsLast=arguments.channels_last,
        torch=torch.__version__,
        python=sys.version.split()[0],
        importedRssBytes=imported_rss_bytes,
    )
    for line in sys.stdin:
        words = line.split()
        if words == ["end"]:
            break
        if not words:
            continue
        count = _steps_asked(words)
        if count == 0:
            _say(error=f"expected 'step', 'steps <count>' or 'end' but got {line.strip()!r}")
            sys.exit(2)
        millis = []
        for _ in range(count):
            start = time.perf_counter()
            loss = step()
            millis.append(round((time.perf_counter() - start) * 1e3, 3))
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {float(loss)}: a step from here on says nothing about time")
        _say(millis=millis, loss=float(loss))
    _say(maxRssBytes=_max_rss_bytes())


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        print(f"step_server: {problem}", file=sys.stderr)
        sys.exit(1)
