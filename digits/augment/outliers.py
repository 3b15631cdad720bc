"""Outliers, images that are no digit, made from digits: turned or mirrored ones, pairs, and random scrawls.

A network that learns to give them ten equal probabilities is unsure of other outliers too ("outlier exposure",
Hendrycks et al. 2019, arXiv:1812.04606).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# (quarter turns to the left, then mirrored or not): the digits that this makes outliers. A turned 0 or 8 may still be
# read as itself, an upside-down 6 as a 9.
MOTIONS = {
    (1, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (3, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (2, False): (3, 4, 7),
    (0, True): (3, 4, 6, 7, 9),
    (2, True): (4, 7, 9),
}
USABLE = torch.tensor([[digit in digits for digit in range(10)] for digits in MOTIONS.values()])  # (motions, 10)


def draw(images: Tensor, labels: Tensor, scrawls: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """A batch of digits, and scrawls (S, 1, 28, 28) uint8 -> at most `count` outliers (M, 1, 28, 28) in [0, 1].

    One in four is a turned digit, one in four a pair, the others are scrawls, at random by `generator`, a CPU one.
    """
    turns, pairs, *others = torch.randint(4, (count,), generator=generator).bincount(minlength=4).tolist()
    chosen = torch.randint(len(scrawls), (sum(others),), generator=generator)
    scrawled = scrawls[chosen].to(images.device).float() / 255
    return torch.cat([turned(images, labels, turns, generator), paired(images, pairs, generator), scrawled])


def turned(images: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Digits turned or mirrored into outliers, (M, 1, 28, 28): `count`, or as many as the batch allows."""
    order = torch.randperm(len(images), generator=generator)
    motion = torch.randint(len(MOTIONS), (len(images),), generator=generator)
    usable = USABLE[motion, labels.cpu()[order]].nonzero()[:count, 0]
    images, motion = images[order[usable].to(images.device)], motion[usable].to(images.device)
    moved = [images.rot90(turns, (2, 3)) for turns, _ in MOTIONS]
    moved = [image.flip(3) if mirrored else image for image, (_, mirrored) in zip(moved, MOTIONS, strict=True)]
    return torch.stack(moved)[motion, torch.arange(len(motion), device=images.device)]


def paired(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Two digits side by side in the box of one, (count, 1, 28, 28): touching or apart, level or not."""
    left, right = (images[torch.randperm(len(images), generator=generator)[:count].to(images.device)] for _ in range(2))
    trim, gap, step = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((4, 9), (0, 21), (-6, 7))
    )  # pixels, the same for all pairs of a batch
    left, right = (digit[..., 4:24, trim:-trim] for digit in (left, right))
    left, right = F.pad(left, (0, gap, max(0, step), max(0, -step))), F.pad(right, (0, 0, max(0, -step), max(0, step)))
    both = torch.cat([left, right], 3)
    height = 20 * both.shape[2] // both.shape[3]
    both = F.adaptive_max_pool2d(both, (height, 20))  # the maximum, not the mean: lines keep their width
    return F.pad(both, (4, 4, 4, 24 - height))
