"""Training digits, written a little differently each time: turned, scaled, slanted, moved, with other pens.

A pad's drawings differ from MNIST's scans in these ways; ways of writing that MNIST lacks, such as a slash through the
zero, are not added. All of a batch is warped at once, each digit by its own draw.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TURN = 12.0  # degrees, either way
SCALE = 0.15  # of the width and of the height, each by itself
SLANT = 0.25  # pixels sideways per pixel up
SHIFT = 1.5  # pixels, either way
PEN = 0.6  # how far towards the next wider, or thinner, pen


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 1, 28, 28) in [0, 1] -> the same, warped. The draws come from `generator`, a CPU one, on every device."""
    return warp(repen(images, generator), generator)


def warp(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale, slant and shift each image by its own uniform draw, about the frame's middle."""
    n = len(images)
    turn, slant = _uniform(n, math.radians(TURN), generator), _uniform(n, SLANT, generator)
    wide, high = 1 + _uniform(n, SCALE, generator), 1 + _uniform(n, SCALE, generator)
    shift = _uniform((n, 2), 2 * SHIFT / images.shape[-1], generator)  # grid_sample's frame is 2 wide
    cos, sin = turn.cos(), turn.sin()
    linear = torch.stack([cos * wide, (slant * cos - sin) * high, sin * wide, (slant * sin + cos) * high], 1)
    theta = torch.cat([linear.view(n, 2, 2), shift[:, :, None]], dim=2).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def repen(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blend each image with its dilation or its erosion: a wider or a thinner pen."""
    wider = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    amount = _uniform((len(images), 1, 1, 1), PEN, generator).to(images.device)
    return torch.lerp(images, torch.where(amount > 0, wider, thinner), amount.abs())


def _uniform(shape: int | tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit
