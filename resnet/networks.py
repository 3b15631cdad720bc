"""Residual networks in one file: a tutorial's, and those of He et al. 2015 (arXiv:1512.03385), Table 1, 4.2, Fig. 5.

Every network maps (N, in_channels, 28, 28) float in [0, 1] -> (N, num_classes) logits.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn

IMAGE_SIZE = 28  # pixels a side
Stem = Literal["small", "standard"]
Norm = Callable[[int], nn.Module]  # takes the number of channels


class ResBlock(nn.Module):
    """The tutorial's block: (N, c, H, W) -> (N, c, H, W), `ReLU(conv2(conv1(x)) + x)`, nothing between the two."""

    residual = "conv2"  # the layer that F(x) comes from

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 30, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(30, channels, kernel_size=3, padding=1)
        self.relu = nn.ReLU()
        self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.conv1(x)) + self.downsample(x))  # F(x) + x


class TutorialNet(nn.Module):
    """A tutorial's small network, 42,790 parameters, under its own parameter names, so that its weights load here."""

    def __init__(self, in_channels: int = 1, num_classes: int = 10, stem: Stem = "small") -> None:
        if stem != "small":
            raise ValueError(f"The tutorial's network reads 28x28 images only and has no {stem!r} stem.")
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 20, kernel_size=5)
        self.conv2 = nn.Conv2d(20, 15, kernel_size=3)
        self.maxpool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.resblock1 = ResBlock(20)
        self.resblock2 = ResBlock(15)
        self.full_c = nn.Linear(375, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.resblock1(self.relu(self.maxpool(self.conv1(x))))  # (N, 20, 12, 12)
        x = self.resblock2(self.relu(self.maxpool(self.conv2(x))))  # (N, 15, 5, 5)
        return self.full_c(x.flatten(1))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and no shortcut (4.1): (N, in, H, W) -> (N, channels, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn1 = norm(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = norm(channels)
        self.relu = nn.ReLU()

    def convolve(self, x: Tensor) -> Tensor:
        """F(x)."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.convolve(x))


class BasicBlock(PlainBlock):
    """The same with a shortcut beside them (Fig. 5 left)."""

    residual = "bn2"  # the layer that F(x) comes from

    def __init__(self, in_channels: int, channels: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__(in_channels, channels, stride, norm)
        self.downsample = shortcut(in_channels, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.convolve(x) + self.downsample(x))  # F(x) + x, eq. (1) and (2)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 (Fig. 5 right): (N, in, H, W) -> (N, 4 * channels, H / stride, W / stride).

    The stride is on the 3x3 convolution, as in torchvision ("ResNet v1.5"); the paper has it on the first 1x1.
    """

    expansion = 4
    residual = "bn3"  # the layer that F(x) comes from

    def __init__(self, in_channels: int, channels: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = norm(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.bn2 = norm(channels)
        self.conv3 = conv(channels, channels * self.expansion, 1)
        self.bn3 = norm(channels * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = shortcut(in_channels, channels * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))  # F(x) + x, eq. (1) and (2)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average, one linear layer; torchvision's parameter names.

    `blocks[i]` blocks make stage i; a stage has twice the channels and half the height and width of the one before.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[PlainBlock] | type[Bottleneck],
        blocks: tuple[int, ...],
        width: int = 64,  # channels of the first stage
        in_channels: int = 1,
        num_classes: int = 10,
        stem: Stem = "small",
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if stem == "standard":  # for 224x224: a quarter of the height and width is left
            self.conv1 = conv(in_channels, width, 7, stride=2)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:  # for 28x28: half is left, so the stages see 14, 7, 4 and 2 pixels a side, and no stroke is lost
            self.conv1 = conv(in_channels, width, 3, stride=2)
            self.maxpool = nn.Identity()
        self.bn1 = norm(width)
        self.relu = nn.ReLU()
        self.stages = []
        channels = width
        for stage, count in enumerate(blocks):
            layers = []
            for i in range(count):
                layers.append(block(channels, width * 2**stage, 2 if stage and i == 0 else 1, norm))
                channels = width * 2**stage * block.expansion
            self.stages.append(f"layer{stage + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(self.avgpool(x).flatten(1))


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1; no bias, for BatchNorm follows."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)


def shortcut(in_channels: int, out_channels: int, stride: int, norm: Norm) -> nn.Module:
    """The identity where it fits, else a projection by 1x1 convolution (the paper's option B)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(conv(in_channels, out_channels, 1, stride), norm(out_channels))


def initialize(model: nn.Module) -> None:
    """He et al. 2015 (arXiv:1502.01852) for convolutions; N(0, 0.01) for the classifier (Goyal et al. 2017, 5.1)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "small": partial(ResNet, BasicBlock, (2, 2), width=32),  # ours: the first two stages of resnet18, half as wide
    "tutorial": TutorialNet,
    # Table 1: blocks per stage
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    # Section 4.2: three stages of n blocks make 6n + 2 layers. Here with projections (option B, where the paper has A)
    # and another stem, which halves 28x28 at once.
    "resnet20": partial(ResNet, BasicBlock, (3, 3, 3), width=16),
    "resnet32": partial(ResNet, BasicBlock, (5, 5, 5), width=16),
    "resnet44": partial(ResNet, BasicBlock, (7, 7, 7), width=16),
    "resnet56": partial(ResNet, BasicBlock, (9, 9, 9), width=16),
    "plain20": partial(ResNet, PlainBlock, (3, 3, 3), width=16),
    "plain32": partial(ResNet, PlainBlock, (5, 5, 5), width=16),
    "plain44": partial(ResNet, PlainBlock, (7, 7, 7), width=16),
    "plain56": partial(ResNet, PlainBlock, (9, 9, 9), width=16),
    "plain20-nobn": partial(ResNet, PlainBlock, (3, 3, 3), width=16, norm=nn.Identity),
    "plain56-nobn": partial(ResNet, PlainBlock, (9, 9, 9), width=16, norm=nn.Identity),
}


def create(name: str, in_channels: int = 1, num_classes: int = 10, *, stem: Stem = "small") -> nn.Module:
    """A freshly initialised network of `ARCHITECTURES`, drawn from torch's global random generator.

    `stem="standard"` gives the paper's 7x7 convolution and max-pooling for large pictures; torchvision's weights then
    load. Raises `ValueError` for a name or stem that is not known.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"There is no architecture {name!r}. Choose one of: {', '.join(ARCHITECTURES)}.")
    if stem not in ("small", "standard"):
        raise ValueError(f"There is no stem {stem!r}. Choose small or standard.")
    return ARCHITECTURES[name](in_channels=in_channels, num_classes=num_classes, stem=stem)
