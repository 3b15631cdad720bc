"""What is no digit, made and not collected: digits turned or mirrored, two side by side, and scrawls.

A network that learns to give these ten equal probabilities is unsure of other things that it does not know, too
("outlier exposure", Hendrycks et al. 2019, arXiv:1812.04606).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# (quarter turns, then mirrored or not): the digits that are none afterwards. A 0 and an 8 always are, a 6 may be a 9.
MOTIONS = {
    (1, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (3, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (2, False): (3, 4, 7),
    (0, True): (3, 4, 6, 7, 9),
    (2, True): (4, 7, 9),
}


def draw(images: Tensor, labels: Tensor, scrawls: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Of a batch of digits and of `scrawls` -> at most `count` images (M, 1, 28, 28) in [0, 1].

    Each is a turned digit by a chance of 1/4, a pair by 1/4, else a scrawl. The draws
    are from `generator`, a CPU one, on every device.
    """
    turns, pairs, *others = torch.randint(4, (count,), generator=generator).bincount(minlength=4).tolist()
    chosen = torch.randint(len(scrawls), (sum(others),), generator=generator)
    scrawled = scrawls[chosen].to(images.device).float() / 255
    return torch.cat([turned(images, labels, turns, generator), paired(images, pairs, generator), scrawled])


def turned(images: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Digits turned or mirrored so that they are none, (M, 1, 28, 28): `count`, or as many as there are."""
    order = torch.randperm(len(images), generator=generator).tolist()
    motions = [list(MOTIONS)[m] for m in torch.randint(len(MOTIONS), (len(images),), generator=generator)]
    usable = [(i, motion) for i, motion in zip(order, motions, strict=True) if int(labels[i]) in MOTIONS[motion]]
    moved = [images[i].rot90(turns, (1, 2)) for i, (turns, _) in usable[:count]]
    moved = [image.flip(2) if mirrored else image for image, (_, (_, mirrored)) in zip(moved, usable, strict=False)]
    return torch.stack(moved) if moved else images[:0]


def paired(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Two digits side by side in the box of one, (count, 1, 28, 28): touching or apart, level or not."""
    left, right = (images[torch.randperm(len(images), generator=generator)[:count].to(images.device)] for _ in range(2))
    cut, gap, step = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((4, 9), (0, 21), (-6, 7))
    )
    left, right = (digit[..., 4:24, cut:-cut] for digit in (left, right))
    left, right = F.pad(left, (0, gap, max(0, step), max(0, -step))), F.pad(right, (0, 0, max(0, -step), max(0, step)))
    both = torch.cat([left, right], 3)
    height = 20 * both.shape[2] // both.shape[3]
    both = F.adaptive_max_pool2d(both, (height, 20))  # the largest, not the mean: lines stay as wide
    return F.pad(both, (4, 4, 4, 24 - height))
