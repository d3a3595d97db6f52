"""Which networks are written, and how each is exported.

The choices spread opsets 11 to 18, folded and kept norms, and static and dynamic batches over the architectures.
"""

from __future__ import annotations

import dataclasses

# the text direction classifier of PP-OCR, which is not exported here but read from a file
PPOCR = "ppocr_classifier"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One exported file.

    `norms` is "folded" (as torch.onnx.export does by default), "kept" (BatchNormalization nodes stay) or, for networks
    without them, "none". `sizes` are the dynamic input axes: "" (static), "N", or "NHW". `unfolded` keeps constant
    arithmetic in the graph, such as the transpose of a fully connected weight. `constants` moves all initializers into
    Constant nodes, as old exporters of PaddlePaddle do.
    """

    architecture: str
    norms: str
    opset: int
    axes: str = "N"
    unfolded: bool = False
    constants: bool = False
    suffix: str = ""
    image_size: int = 224
    golden_size: int = 64

    @property
    def name(self) -> str:
        norms = "" if self.norms == "none" else self.norms
        return "-".join(part for part in (self.architecture, norms, self.suffix, f"opset{self.opset}") if part)


VARIANTS = (
    Variant("resnet18", "folded", 11, ""),
    Variant("resnet18", "kept", 13),
    Variant("mobilenet_v3_small", "folded", 14),
    Variant("mobilenet_v3_small", "kept", 13, ""),
    Variant("mobilenet_v3_small-stepwise", "folded", 11),
    Variant("mobilenet_v3_small", "kept", 18),
    Variant("shufflenet_v2_x1_0", "folded", 11, "", image_size=64),
    Variant("shufflenet_v2_x1_0", "kept", 15, "NHW"),
    Variant("shufflenet_v2_x1_0-split", "folded", 18),
    Variant("convnext_tiny", "none", 17),
    Variant("convnext_tiny", "none", 12, ""),
    Variant("convnext_tiny", "none", 18, unfolded=True, suffix="unfolded"),
    Variant("mobilenet_v2", "folded", 12, ""),
    Variant("mobilenet_v2", "kept", 16),
    Variant("wrn_40_2", "folded", 14, image_size=32, golden_size=32),
    Variant("wrn_40_2", "kept", 12, image_size=32, golden_size=32),
    Variant("wrn_16_2-normalize", "kept", 13, image_size=32, golden_size=32),
    Variant("mobilenet_v3_small-stepwise", "kept", 9, constants=True, suffix="constants"),
    Variant(PPOCR, "kept", 9, "NHW", constants=True),
    Variant("resnet50", "folded", 18),
    Variant("resnet50", "kept", 11),
    Variant("mobilenet_v3_large", "folded", 17, ""),
    Variant("mobilenet_v3_large-stepwise", "kept", 12),
    Variant("mnasnet1_0", "folded", 18),
    Variant("mnasnet1_0", "kept", 11, ""),
    Variant("efficientnet_b0", "folded", 16),
    Variant("efficientnet_b0", "kept", 12),
    Variant("proxyless_mobile", "folded", 13, ""),
    Variant("proxyless_mobile", "kept", 17),
    Variant("densenet121", "folded", 16),
    Variant("densenet121", "kept", 11),
    Variant("squeezenet1_1", "none", 11, ""),
    Variant("squeezenet1_1", "none", 18),
    Variant("googlenet", "folded", 13),
    Variant("googlenet", "kept", 17, "", image_size=224),
    Variant("regnet_y_400mf", "folded", 15, ""),
    Variant("regnet_y_400mf", "kept", 18),
    Variant("regnet_x_400mf", "folded", 12),
    Variant("regnet_x_400mf", "kept", 16, ""),
    Variant("resnext50_32x4d", "folded", 15),
    Variant("resnext50_32x4d", "kept", 14, ""),
    Variant("wide_resnet50_2", "folded", 17, ""),
    Variant("wide_resnet50_2", "kept", 15),
)
