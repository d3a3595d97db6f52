"""Says which parameters of a MobileNetV2 with Keras layer names learn under a scheme.

This is for benchmarks and goldens only: blocks are read from the node names here (`block_13_expand` lies in block 13,
`expanded_conv_*` in block 0), while edgeshift finds them from the graph.
"""

from __future__ import annotations

import dataclasses
import re

from onnx_torch import Node, OnnxModule

SCHEMES = ("head", "shifts", "mobiletl", "full")
STEM = "stem"
NECK = "neck"
HEAD = "head"
_BLOCK = re.compile(r"^(block_\d+|expanded_conv)_")


@dataclasses.dataclass(frozen=True)
class Learner:
    """A tensor that learns: its ONNX name, node, part, and role: weight, scale, shift or bias."""

    name: str
    node: str
    part: str
    role: str


def _parts(nodes: list[Node]) -> list[str]:
    """The part of every node: stem, a block's name, neck (all after the last block) or head."""
    found = [match.group(1) if (match := _BLOCK.match(node.name)) else None for node in nodes]
    if not any(found):
        raise ValueError("no node name begins with block_<i>_ : this benchmark reads Keras layer names only")
    last = max(index for index, part in enumerate(found) if part)
    current, parts = STEM, []
    for index, (node, part) in enumerate(zip(nodes, found)):
        current = part or (NECK if index > last else current)
        parts.append(HEAD if node.name == "head" else current)
    return parts


def learners(module: OnnxModule, scheme: str, blocks: int) -> list[Learner]:
    """The parameters that learn, in graph order.

    `blocks` counts from the top; when it reaches the number of blocks, the stem learns too. The neck and the head
    always learn with them. `full` ignores `blocks`, and `head` trains the head alone.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: expected one of {', '.join(SCHEMES)} but got {scheme}")
    parts = _parts(module.nodes)
    order = list(dict.fromkeys(part for part in parts if part not in (STEM, NECK, HEAD)))
    if scheme == "full" or blocks >= len(order):
        chosen = {STEM, NECK, HEAD, *order}
    else:
        chosen = {NECK, HEAD, *order[len(order) - blocks :]}
    if scheme == "head":
        chosen = {HEAD}
    result = []
    for node, part in zip(module.nodes, parts):
        if part not in chosen:
            continue
        names = module.parameter_names(node)
        if node.op == "BatchNormalization":
            with_scale = scheme == "full" or (scheme == "mobiletl" and not module.is_followed_by_activation(node))
            roles = ("scale" if with_scale else None, "shift")
        else:
            # the bias of a convolution is the shift of the norm that was folded into it
            roles = ("weight", "bias") if part == HEAD else (None if scheme == "shifts" else "weight", "shift")
        result += [Learner(name, node.name, part, role) for name, role in zip(names, roles) if role]
    return result
