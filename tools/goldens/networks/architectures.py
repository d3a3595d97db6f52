"""Networks that torchvision lacks, and changes to torchvision's that make torch.onnx.export write other ops.

Nothing here has weights: the exporter draws them.
"""

from __future__ import annotations

from typing import Callable, Optional

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class _ConvNorm(nn.Sequential):
    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU6()] if relu else []))


class _MobileBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _ConvNorm(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depth = _ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _ConvNorm(hidden, outputs, 1, relu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.depth(self.expand(x)))
        return x + y if self.residual else y


# Outputs of each stage, then (kernel, expansion) of its blocks; the first one has the stage's stride. The choices are
# those of ProxylessNAS's mobile network (Cai et al. 2019, figure 4): kernels of 3, 5 and 7, expansions of 3 and 6.
_PROXYLESS_MOBILE = (
    (32, 2, ((5, 3), (3, 3))),
    (40, 2, ((7, 3), (3, 3), (5, 3), (5, 3))),
    (80, 2, ((7, 6), (5, 3), (5, 3), (5, 3))),
    (96, 1, ((5, 6), (5, 3), (5, 3), (5, 3))),
    (192, 2, ((7, 6), (7, 6), (7, 3), (7, 3))),
    (320, 1, ((7, 6),)),
)


class ProxylessMobile(nn.Module):
    """Inverted residuals with depthwise kernels of 3, 5 and 7, as ProxylessNAS found them for mobile phones."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_ConvNorm(3, 32, 3, 2), _MobileBlock(32, 16, 3, 1, 1)]
        channels = 16
        for outputs, stride, choices in _PROXYLESS_MOBILE:
            for index, (kernel, expansion) in enumerate(choices):
                blocks.append(_MobileBlock(channels, outputs, kernel, expansion, stride if index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.feature_mix = _ConvNorm(channels, 1280, 1)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.feature_mix(self.blocks(x)).mean((2, 3)))


class _WideBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(outputs), nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut: Optional[nn.Conv2d] = None
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, 0, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.bn1(x))
        # where the width changes, the shortcut too starts from the normed input
        skip = x if self.shortcut is None else self.shortcut(y)
        return skip + self.conv2(self.relu2(self.bn2(self.conv1(y))))


class WideResNet(nn.Module):
    """Pre-activation wide residual network for 32x32 images (Zagoruyko and Komodakis 2016)."""

    def __init__(self, depth: int, width: int, classes: int, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.conv1 = nn.Conv2d(3, channels[0], 3, 1, 1, bias=False)
        stages = []
        for index in range(3):
            blocks = [_WideBlock(channels[index], channels[index + 1], 1 if index == 0 else 2)]
            blocks += [_WideBlock(channels[index + 1], channels[index + 1], 1) for _ in range((depth - 4) // 6 - 1)]
            stages.append(nn.Sequential(*blocks))
        self.block1, self.block2, self.block3 = stages
        self.bn1, self.relu = nn.BatchNorm2d(channels[3]), nn.ReLU()
        self.fc = nn.Linear(channels[3], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the normalization may be in the graph, as an exporter leaves it there: Sub and Div by constants
        image = (x - 0.5) / 0.25 if self.normalize else x
        y = self.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(image))))))
        return self.fc(y.mean((2, 3)) if self.normalize else torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


class _StepwiseHardswish(nn.Module):
    """Hard-swish as older exporters wrote it: Add, Clip, Mul, Div."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.relu6(x + 3.0) / 6.0


def _stepwise_hard_swish(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.Hardswish):
            setattr(module, name, _StepwiseHardswish())
        else:
            _stepwise_hard_swish(child)
    return module


class _SplitUnit(nn.Module):
    """A ShuffleNetV2 unit whose halves come from split, which exports as one Split; chunk exports as two Slices."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.branch1, self.branch2, self.stride = unit.branch1, unit.branch2, unit.stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.branch2[0].in_channels
        if self.stride == 1:
            kept, y = x.split([channels, channels], 1)
            joined = torch.cat((kept, self.branch2(y)), 1)
        else:
            joined = torch.cat((self.branch1(x), self.branch2(x)), 1)
        return torchvision.models.shufflenetv2.channel_shuffle(joined, 2)


def _split_units(network: nn.Module) -> nn.Module:
    for stage in (network.stage2, network.stage3, network.stage4):
        for index, unit in enumerate(stage):
            stage[index] = _SplitUnit(unit)
    return network


def _torchvision(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(weights=None, **options)


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    **{
        name: _torchvision(name)
        for name in (
            "mobilenet_v2",
            "mobilenet_v3_small",
            "mobilenet_v3_large",
            "mnasnet1_0",
            "efficientnet_b0",
            "resnet18",
            "resnet50",
            "wide_resnet50_2",
            "resnext50_32x4d",
            "regnet_x_400mf",
            "regnet_y_400mf",
            "shufflenet_v2_x1_0",
            "squeezenet1_1",
            "densenet121",
            "convnext_tiny",
        )
    },
    "googlenet": _torchvision("googlenet", aux_logits=False, transform_input=False, init_weights=False),
    "mobilenet_v3_small-stepwise": lambda: _stepwise_hard_swish(_torchvision("mobilenet_v3_small")()),
    "mobilenet_v3_large-stepwise": lambda: _stepwise_hard_swish(_torchvision("mobilenet_v3_large")()),
    "shufflenet_v2_x1_0-split": lambda: _split_units(_torchvision("shufflenet_v2_x1_0")()),
    "proxyless_mobile": ProxylessMobile,
    # 100 classes: the parameters are then the 9,020,624 bytes that EcoTTA's authors print
    "wrn_40_2": lambda: WideResNet(40, 2, 100),
    "wrn_16_2-normalize": lambda: WideResNet(16, 2, 10, normalize=True),
}
