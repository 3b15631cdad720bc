"""Scrawls, outliers drawn by a random pen: outlines, scribbles and walks.

Each is a list of strokes (n, 2), x right, y down, in any unit.
"""

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from digits import ink

Strokes = list[np.ndarray]


def scrawls(count: int, seed: int) -> Tensor:
    """(count, 1, 28, 28) uint8, 0 = paper; the same for the same seed."""
    random = np.random.default_rng(seed)
    kinds, shares = zip(*SHARES.items(), strict=True)
    images: list[np.ndarray] = []
    while len(images) < count:
        strokes = kinds[random.choice(len(kinds), p=shares)](random)
        if not _is_line(strokes):  # which would be a 1
            images.append(ink.from_strokes(strokes))
    return torch.from_numpy(np.stack(images) * 255).byte()[:, None]


def _is_line(strokes: Strokes) -> bool:
    """Whether all points lie close to one line."""
    narrow, long = np.linalg.eigvalsh(np.cov(np.concatenate(strokes).T))
    return narrow < 0.03 * long


def _outline(random: np.random.Generator) -> Strokes:
    """Closed, but not a 0: a triangle, a quadrangle, a star, or a shape with a notch, sharp or round."""
    count = random.choice([3, 4, 4, 5, 6, 8, 10])
    angles = 2 * np.pi * (np.arange(count + 1) + random.uniform()) / count
    radii = random.uniform(0.6, 1, count)
    if count > 5:
        radii[::2] *= random.uniform(0.3, 0.6)
    elif count == 5 or random.random() < 0.5:
        radii[0] *= random.uniform(0, 0.3)
    corners = np.append(radii, radii[0])[:, None] * _directions(angles)
    sharp = count < 5 or random.random() < 0.3
    path = make_interp_spline(np.arange(count + 1), corners, k=1 if sharp else 3, bc_type=None if sharp else "periodic")
    return [path(np.linspace(0, count, 20 * count + 1))]


def _scribble(random: np.random.Generator) -> Strokes:
    """Back and forth at least five times (fewer may be a 3), with sharp or round turns."""
    count = random.integers(6, 12)
    across = random.uniform(0.7, 1.3, count) * (-1) ** np.arange(count)
    down = np.linspace(-1, 1, count) * random.uniform(0.6, 2.5)
    right, up = _directions(random.uniform(0, 2 * np.pi) + np.array([0, np.pi / 2]))
    turns = np.outer(across, right) + np.outer(down, up) + random.normal(0, 0.1, (count, 2))
    path = make_interp_spline(np.arange(count), turns, k=random.choice([1, 3]))
    return [path(np.linspace(0, count - 1, 12 * count))]


def _walk(random: np.random.Generator) -> Strokes:
    """One to four strokes, each starting anywhere or on an earlier one."""
    count = random.choice([1, 2, 3, 4], p=[0.3, 0.3, 0.25, 0.15])
    strokes: Strokes = []
    for _ in range(count):
        if strokes and random.random() < 0.7:
            start = random.choice(np.concatenate(strokes)) + random.normal(0, 0.05, 2)
        else:
            start = random.uniform(0, 1, 2)
        pieces = int(random.integers(3, 10) if count == 1 else random.integers(1, 4))  # fewer may be a 1 or a 7
        strokes.append(_stroke(start, pieces, random))
    return strokes


def _stroke(start: np.ndarray, pieces: int, random: np.random.Generator) -> np.ndarray:
    """(n, 2): lines and arcs, half of each, most of them followed by a corner."""
    upright = random.integers(8) * np.pi / 4 + random.normal(0, 0.1)
    heading = upright if random.random() < 0.5 else random.uniform(0, 2 * np.pi)
    moves = []
    for _ in range(pieces):
        length = random.uniform(0.15, 0.9)
        bend = 0 if random.random() < 0.5 else random.uniform(-2, 2) * np.pi * min(1, 2 * length)
        moves.append(length / 12 * _directions(heading + bend * (np.arange(12) + 0.5) / 12))
        heading += bend + (random.uniform(-np.pi, np.pi) if random.random() < 0.7 else 0)
    return np.concatenate([start[None], start + np.concatenate(moves).cumsum(0)])


def _directions(angles: np.ndarray | float) -> np.ndarray:
    """Radians (...) -> (..., 2) of length 1."""
    return np.stack([np.cos(angles), np.sin(angles)], -1)


SHARES = {_outline: 0.2, _scribble: 0.1, _walk: 0.7}
