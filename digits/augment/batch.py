"""What a batch of MNIST goes through to be learnt from: other hands, other pens, and some of what is no digit."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digits.augment import habits, outliers
from digits.augment.scrawls import scrawls
from digits.ink import BOX, CENTRE, SIZE

TURN = 10.0  # degrees, either way
STRETCH = 0.1  # of the width and of the height, each by itself
SLANT = 0.2  # pixels sideways per pixel up
ZOOM = 0.12  # of the box that the ink is fitted into
SHIFT = 1.5  # pixels, either way, of the centre of mass
BEND = 0.6  # pixels, standard deviation, of each of 5 x 5 places that bend the image like rubber
PEN = 0.6  # how far towards the next wider, or thinner, pen
SCRAWLS = 20_000  # drawn once, to learn as no digits
CALM = 1 / 6  # of the epochs, the last: all of these but habits and non-digits are half as strong


class Augmentation:
    """A batch of digits -> the batch to learn from, with non-digits in it, and with probabilities for labels.

    (N, 1, 28, 28) in [0, 1] and (N,) -> (N + M, 1, 28, 28) in [0, 1] and (N + M, 10): all on the digit that it is, or
    the same for each of ten where it is none. M is a sixty-fourth of N at most, or 1. All draws are from `generator`,
    a CPU one, on every device, and, for the scrawls, from `seed`. At `strength` 1 images change by up to the limits
    above, at 0 they are only fitted into the box; habits and non-digits are the same at any.
    """

    def __init__(self, seed: int, count: int = SCRAWLS) -> None:
        self.scrawls = scrawls(count, seed)

    def __call__(
        self, images: Tensor, labels: Tensor, generator: torch.Generator, strength: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        others = outliers.draw(images, labels, self.scrawls, max(1, len(images) // 64), generator)
        images = torch.cat([habits.add(images, labels, generator), others])
        targets = torch.cat([F.one_hot(labels, 10).float(), labels.new_full((len(others), 10), 0.1, dtype=torch.float)])
        return repen(warp(images, generator, strength), generator, strength), targets


def strength_in(epoch: int, epochs: int) -> float:
    """Of the augmentation, in an epoch counted from 0: what is learnt last is what digits are mostly like."""
    return 1.0 if epoch < (1 - CALM) * epochs else 0.5


def warp(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Turn, stretch and slant each image by its own draw, fit it into the box as `digits.ink` does, and bend it.

    All in one sampling, in `affine_grid`'s coordinates: the frame is 2 wide, its middle is 0.
    """
    n, device = len(images), images.device
    turn, slant, wide, high, zoom = (
        _uniform(n, strength * limit, generator) for limit in (math.radians(TURN), SLANT, STRETCH, STRETCH, ZOOM)
    )
    wide, high, zoom = 1 + wide, 1 + high, 1 + zoom
    shift = _uniform((n, 2), strength * 2 * SHIFT / SIZE, generator)
    cos, sin = turn.cos(), turn.sin()
    back = torch.stack([cos * wide, (slant * cos - sin) * high, sin * wide, (slant * sin + cos) * high], 1)
    back = back.view(n, 2, 2).to(device)  # (n, 2, 2): from places in the result to places in the image

    ink = images.flatten(1)
    places = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 1, SIZE, SIZE], align_corners=False).view(-1, 2)
    places = places @ torch.linalg.inv(back).mT  # (n, 784, 2): where each pixel goes
    dark = ink[..., None] > 0.25
    extent = (torch.where(dark, places, -9).amax(1) - torch.where(dark, places, 9).amin(1)).amax(1) + 2 / SIZE
    scale = (2 * BOX / SIZE * zoom.to(device) / extent.clamp(min=0.1))[:, None]
    centre = scale * (ink[:, None] @ places)[:, 0] / ink.sum(1, keepdim=True).clamp(min=1e-6)
    offset = 2 * CENTRE / SIZE - 1 + shift.to(device) - centre

    back = back / scale[..., None]
    grid = F.affine_grid(torch.cat([back, -back @ offset[..., None]], 2), list(images.shape), align_corners=False)
    bends = torch.randn((n, 2, 5, 5), generator=generator).to(device) * strength * 2 * BEND / SIZE
    bends = F.interpolate(bends, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return F.grid_sample(images, grid + bends.permute(0, 2, 3, 1), align_corners=False)


def repen(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Blend each image with its dilation or its erosion: a wider or a thinner pen."""
    wider = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    amount = _uniform((len(images), 1, 1, 1), strength * PEN, generator).to(images.device)
    return torch.lerp(images, torch.where(amount > 0, wider, thinner), amount.abs())


def _uniform(shape: int | tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit
