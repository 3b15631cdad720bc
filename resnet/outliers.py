"""What is no digit, made and not collected: digits turned or mirrored, two side by side, and walks of a pen.

A network that learns to give these ten equal probabilities is unsure of other things that it does not know, too
("outlier exposure", Hendrycks et al. 2019, arXiv:1812.04606).
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import make_interp_spline
from torch import Tensor

from resnet import ink

# (quarter turns, then mirrored or not): the digits that are none afterwards. A 0 and an 8 always are, a 6 may be a 9.
MOTIONS = {
    (1, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (3, False): (1, 2, 3, 4, 5, 6, 7, 9),
    (2, False): (3, 4, 7),
    (0, True): (3, 4, 6, 7, 9),
    (2, True): (4, 7, 9),
}


def draw(images: Tensor, labels: Tensor, walks: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Of a batch of digits and of `walks` -> at most `count` images (M, 1, 28, 28) in [0, 1], a third of each kind.

    The draws are from `generator`, a CPU one, on every device.
    """
    third = count // 3
    chosen = torch.randint(len(walks), (count - 2 * third,), generator=generator)
    walked = walks[chosen].to(images.device).float() / 255
    return torch.cat([turned(images, labels, third, generator), paired(images, third, generator), walked])


def turned(images: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Digits turned or mirrored so that they are none: `count`, or as many as there are."""
    order = torch.randperm(len(images), generator=generator).tolist()
    motions = [list(MOTIONS)[m] for m in torch.randint(len(MOTIONS), (len(images),), generator=generator)]
    usable = [(i, motion) for i, motion in zip(order, motions, strict=True) if int(labels[i]) in MOTIONS[motion]]
    moved = [images[i].rot90(turns, (1, 2)) for i, (turns, _) in usable[:count]]
    moved = [image.flip(2) if mirrored else image for image, (_, (_, mirrored)) in zip(moved, usable, strict=False)]
    return torch.stack(moved) if moved else images[:0]


def paired(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Two digits side by side in the box of one: apart, close to each other, or touching."""
    left, right = (images[torch.randperm(len(images), generator=generator)[:count].to(images.device)] for _ in range(2))
    cut, gap = (int(torch.randint(low, 9, (), generator=generator)) for low in (4, 0))
    left, right = (digit[..., 4:24, cut:-cut] for digit in (left, right))
    both = torch.cat([left, torch.zeros_like(left[..., :gap]), right], 3)
    both = F.adaptive_max_pool2d(both, (400 // both.shape[3], 20))  # the largest, not the mean: lines stay as wide
    return F.pad(both, (4, 4, 4, 24 - both.shape[2]))


def walks(count: int, seed: int) -> Tensor:
    """(count, 1, 28, 28) uint8: closed outlines, and one to four strokes of lines, arcs and corners, joined or not."""
    random = np.random.default_rng(seed)
    drawn = [[_outline(random)] if random.random() < 0.2 else _walk(random) for _ in range(count)]
    images = [ink.from_strokes(strokes) for strokes in drawn]
    return torch.from_numpy(np.stack(images) * 255).byte()[:, None]


def _outline(random: np.random.Generator) -> np.ndarray:
    """(n, 2): back to its start, but no 0: a triangle, a quadrangle, a star, or something round with a notch."""
    count = random.choice([3, 4, 5, 6, 8, 10])
    angles = 2 * np.pi * (np.arange(count + 1) + random.uniform()) / count
    radii = random.uniform(0.6, 1, count)
    if count % 2 == 0 and count > 4:
        radii[::2] *= random.uniform(0.3, 0.6)  # a star
    elif count > 3:
        radii[0] *= random.uniform(0, 0.3)
    corners = np.append(radii, radii[0])[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    sharp = count in (3, 4) or random.random() < 0.3
    path = make_interp_spline(np.arange(count + 1), corners, k=1 if sharp else 3, bc_type=None if sharp else "periodic")
    return path(np.linspace(0, count, 20 * count + 1))


def _walk(random: np.random.Generator) -> list[np.ndarray]:
    strokes = []
    count = random.choice([1, 2, 3, 4], p=[0.3, 0.3, 0.25, 0.15])
    for _ in range(count):
        if strokes and random.random() < 0.7:
            start = random.choice(np.concatenate(strokes)) + random.normal(0, 0.05, 2)
        else:
            start = random.uniform(0, 1, 2)
        pieces = random.integers(3, 10) if count == 1 else random.integers(1, 4)  # one or two lines are a 1 or a 7
        strokes.append(_stroke(start, pieces, random))
    return strokes


def _stroke(start: np.ndarray, pieces: int, random: np.random.Generator) -> np.ndarray:
    """(n, 2): half of the pieces are straight, half are arcs, and most are followed by a corner."""
    upright = random.integers(8) * np.pi / 4 + random.normal(0, 0.1)
    heading = upright if random.random() < 0.5 else random.uniform(0, 2 * np.pi)
    moves = []
    for _ in range(pieces):
        length = random.uniform(0.15, 0.9)
        bend = 0 if random.random() < 0.5 else random.uniform(-2, 2) * np.pi * min(1, 2 * length)
        headings = heading + bend * (np.arange(12) + 0.5) / 12
        moves.append(length / 12 * np.stack([np.cos(headings), np.sin(headings)], 1))
        heading += bend + (random.uniform(-np.pi, np.pi) if random.random() < 0.7 else 0)
    return np.concatenate([start[None], start + np.concatenate(moves).cumsum(0)])
