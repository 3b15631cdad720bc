"""What training adds to a batch of MNIST: other habits, proportions and pens, written digits, and a few outliers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digits.augment import habits, outliers
from digits.augment.allographs import written
from digits.augment.scrawls import scrawls
from digits.ink import BOX, CENTRE, SIZE

TURN = 10.0  # degrees, either way
STRETCH = 0.1  # of the width and of the height, independently
SLANT = 0.2  # pixels sideways per pixel up
ZOOM = 0.12  # of the box that the ink is fitted into
SHIFT = 1.5  # pixels, either way, of the centre of mass
BEND = 0.6  # pixels, standard deviation, of each of 5 x 5 places: an elastic distortion
THICKEN = 0.6  # of the way to ink one pixel wider, or thinner, on each side
DRAWN = 20_000  # written digits, and as many scrawls, drawn once per run
WRITTEN = 1 / 3  # of a batch of MNIST, in addition to it
OUTLIERS = 1 / 64  # the same
GENTLE = 1 / 6  # of the epochs, the last ones: warp and repen are half as strong


class Augmentation:
    """(N, 1, 28, 28) in [0, 1] and (N,) labels -> (N + M, 1, 28, 28) in [0, 1] and (N + M, 10) probabilities.

    First the batch, then N * WRITTEN written digits, then max(1, N * OUTLIERS) outliers (fewer if the batch has none to
    turn). The targets are one-hot for digits, split between two for border cases, and uniform for outliers. Random
    by a CPU `generator` on every device; the scrawls and the written digits by `seed`. `strength` scales the limits
    above: at 0, images are only fitted into the box. It changes neither habits nor outliers.
    """

    def __init__(self, seed: int, count: int = DRAWN) -> None:
        self.scrawls, self.written = scrawls(count, seed), written(count, seed)

    def __call__(
        self, images: Tensor, labels: Tensor, generator: torch.Generator, strength: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        added = outliers.draw(images, labels, self.scrawls, max(1, int(len(images) * OUTLIERS)), generator)
        chosen = torch.randint(len(self.scrawls), (int(len(images) * WRITTEN),), generator=generator)
        digits, probabilities = (part[chosen].to(images.device) for part in self.written)
        images = torch.cat([habits.add(images, labels, generator), digits.float() / 255, added])
        targets = torch.cat([F.one_hot(labels, 10).float(), probabilities, added.new_full((len(added), 10), 0.1)])
        return repen(warp(images, generator, strength), generator, strength), targets


def strength_in(epoch: int, epochs: int) -> float:
    """Of the augmentation, in an epoch counted from 0: training ends on images that look more like real ones."""
    return 1.0 if epoch < (1 - GENTLE) * epochs else 0.5


def warp(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Turn, stretch and slant each image at random, fit it into the box as `digits.ink` does, and bend it.

    Resampled once, in the coordinates of `affine_grid`: the frame is 2 wide, its middle is 0.
    """
    n, device = len(images), images.device
    turn, slant, wide, high, zoom = (
        _uniform(n, strength * limit, generator) for limit in (math.radians(TURN), SLANT, STRETCH, STRETCH, ZOOM)
    )
    wide, high, zoom = 1 + wide, 1 + high, 1 + zoom
    shift = _uniform((n, 2), strength * 2 * SHIFT / SIZE, generator)
    cos, sin = turn.cos(), turn.sin()
    back = torch.stack([cos * wide, (slant * cos - sin) * high, sin * wide, (slant * sin + cos) * high], 1)
    back = back.view(n, 2, 2).to(device)  # takes a place in the result to its place in the image

    ink = images.flatten(1)
    places = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 1, SIZE, SIZE], align_corners=False).view(-1, 2)
    places = places @ torch.linalg.inv(back).mT  # (n, 784, 2): where each pixel of the image goes
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
    """Blend each image with its dilation or its erosion, as if drawn by a wider or a thinner pen."""
    wider = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    amount = _uniform((len(images), 1, 1, 1), strength * THICKEN, generator).to(images.device)
    return torch.lerp(images, torch.where(amount > 0, wider, thinner), amount.abs())


def _uniform(shape: int | tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit
