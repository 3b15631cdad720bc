"""Digits written from scratch with the pad's own pen, in the ways that `allographs.txt` lists, varied as hands vary."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from digits import ink

UNSURE = (0.3, 0.7)  # of the way from one digit to another: the border, where a label is split between them
SHARES = np.array([1, 1.3, 1.1, 1, 1.1, 1, 1, 1.1, 1, 1])  # of the digits: the more ways of writing one, the larger
BORDER = 0.35  # the same, of the cases between two digits
WOBBLE = 2.2  # of 100, the digit's height, standard deviation: how far control points stray in a usual hand
ARC = np.array([1, 1, 1, 1, 5, 4])  # times that: an arc's centre, radii, start and sweep


class Stroke(NamedTuple):
    """T tokens in each of F forms: a point's `numbers` are x and y, an arc's are all six."""

    numbers: np.ndarray  # (F, T, 6)
    arcs: np.ndarray  # (T,) bool
    corners: np.ndarray  # (T,) bool


class Allograph(NamedTuple):
    name: str
    share: float
    digits: list[int]  # of each form
    strokes: list[Stroke]


class Hand(NamedTuple):
    """How somebody writes today. Lengths are in hundredths of the digit's height."""

    wobble: float
    angular: bool  # no curves at all
    rounding: float  # standard deviation of the smoothing along a stroke
    taper: float  # how much wider the bottom is than the top
    waist: float  # how much lower the middle is
    matrix: np.ndarray  # (2, 2): proportions, slant and rotation
    spacing: float  # between two points that the tablet reports
    tremor: float
    ease: float  # 0: even speed, 1: as long for each piece of the way, so slower where it bends


def written(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 28, 28) uint8, 0 = paper, and their labels' probabilities (count, 10); fixed by the seed."""
    random = np.random.default_rng(seed)
    allographs = list(read(Path(__file__).with_suffix(".txt").read_text("utf-8")))
    images, targets = [], []
    for chosen in random.choice(len(allographs), count, p=_chances(allographs)):
        strokes, target = write(allographs[chosen], random)
        images.append(ink.from_strokes(strokes))
        targets.append(target)
    return torch.from_numpy(np.stack(images) * 255).byte()[:, None], torch.from_numpy(np.stack(targets)).float()


def read(table: str) -> Iterator[Allograph]:
    """Raises `ValueError` where an allograph's forms do not match, token by token."""
    lines = [line for line in table.splitlines() if line and not line.startswith("#")]
    titles = [i for i, line in enumerate(lines) if not line.startswith(" ")]
    for start, end in zip(titles, [*titles[1:], len(lines)], strict=True):
        name, share = lines[start].split(":")
        digits, forms = zip(*(_form(line, name[0]) for line in lines[start + 1 : end]), strict=True)
        yield Allograph(name, float(share), list(digits), [_stroke(s) for s in zip(*forms, strict=True)])


def _form(line: str, digit: str) -> tuple[int, list[str]]:
    """A line -> its digit and its strokes."""
    *other, strokes = line.split(":")
    return int(other[0] if other else digit), strokes.split("/")


def _stroke(forms: tuple[str, ...]) -> Stroke:
    """One stroke in every form."""
    tokens = [form.split() for form in forms]
    arcs, corners = (np.array([mark in token for token in tokens[0]]) for mark in "@!")
    numbers = np.zeros((len(forms), len(arcs), 6))
    for f, form in enumerate(tokens):
        for t, (token, arc) in enumerate(zip(form, arcs, strict=True)):
            numbers[f, t, : 6 if arc else 2] = token.strip("@!").split(",")
    return Stroke(numbers, arcs, corners)


def _chances(allographs: list[Allograph]) -> np.ndarray:
    """(len(allographs),), sum 1: its share among those of its digit, times its digit's share."""
    shares = np.array([allograph.share for allograph in allographs])
    kinds = np.array([a.digits[0] if len(set(a.digits)) == 1 else 10 for a in allographs])
    chances = shares / np.bincount(kinds, shares, 11)[kinds] * np.append(SHARES, BORDER)[kinds]
    return chances / chances.sum()


def write(allograph: Allograph, random: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """One digit in a hand of its own: strokes (n, 2), and the label's probabilities (10,)."""
    hand = _hand(random)
    mix, target = np.ones(1), np.zeros(10)
    first, last = allograph.digits[0], allograph.digits[-1]
    if first == last:
        mix = random.dirichlet(np.full(len(allograph.digits), 0.8))  # often near to one form
        target[first] = 1
    else:
        way = random.uniform()
        mix = np.array([1 - way, way])
        target[last] = np.interp(way, UNSURE, (0, 1))
        target[first] = 1 - target[last]
    strokes = []
    for number, stroke in enumerate(allograph.strokes):
        path = _path(stroke, mix, hand, random)
        apart = random.normal(0, 2.5, 2) if number else 0  # strokes meet too early, too late, or beside
        strokes.append(_drawn(path + apart, hand, random))
    return strokes, target


def _hand(random: np.random.Generator) -> Hand:
    angular = random.uniform() < 0.08
    wide, slant, turn = np.exp(random.normal(0, 0.15)), random.normal(0.1, 0.18), np.radians(random.normal(0, 5))
    cos, sin, slant = np.cos(turn), np.sin(turn), np.clip(slant, -0.3, 0.55)
    sparse = random.uniform() < 0.4 and not angular  # a quick hand on a tablet that reports ten points a second
    return Hand(
        wobble=WOBBLE * random.uniform(0.3, 1.6),
        angular=angular,
        rounding=0 if angular or random.uniform() < 0.4 else random.uniform(0.5, 4),
        taper=random.normal(0, 0.15),
        waist=random.normal(0, 4),
        matrix=np.array([[wide, 0], [-slant, 1]]) @ np.array([[cos, sin], [-sin, cos]]),
        spacing=random.uniform(8, 26) if sparse else random.uniform(2, 6),
        tremor=abs(random.normal(0, 0.7)) if random.uniform() < 0.85 else random.uniform(0.5, 2),
        ease=random.uniform(0, 0.6),
    )


def _path(stroke: Stroke, mix: np.ndarray, hand: Hand, random: np.random.Generator) -> np.ndarray:
    """The pen's way in fine steps, (n, 2)."""
    numbers = np.tensordot(mix, stroke.numbers, 1)
    numbers += random.normal(0, hand.wobble, numbers.shape) * np.where(stroke.arcs[:, None], ARC, 1)
    points: list[np.ndarray] = []
    corners: list[bool] = []
    for place, arc, corner in zip(numbers, stroke.arcs, stroke.corners, strict=True):
        points += _arc(place, 8 if hand.angular else 13) if arc else [place[:2]]
        corners += [hand.angular or corner] * (len(points) - len(corners))
    for end in (0, len(points)):
        if random.uniform() < 0.15:  # a hook where the pen lands or leaves
            angle, length = random.uniform(0, 2 * np.pi), random.uniform(2, 8)
            points.insert(end, points[min(end, len(points) - 1)] + length * np.array([np.cos(angle), np.sin(angle)]))
            corners[min(end, len(corners) - 1)] = True
            corners.insert(end, True)
    cuts = [0, *(i for i in range(1, len(points) - 1) if corners[i]), len(points) - 1]
    pieces = [_curve(np.array(points[a : b + 1])) for a, b in pairwise(cuts)]
    return np.concatenate([piece[:-1] for piece in pieces] + [pieces[-1][-1:]])


def _arc(numbers: np.ndarray, steps: int) -> list[np.ndarray]:
    x, y, wide, high, start, sweep = numbers
    angles = np.radians(start + np.linspace(0, sweep, steps + 1))
    return list(np.stack([x + wide * np.cos(angles), y + high * np.sin(angles)], 1))


def _curve(points: np.ndarray) -> np.ndarray:
    """Ten steps from each point to the next, along a natural cubic spline (centripetal, as `ink` draws them)."""
    at = np.append(0, np.sqrt(np.hypot(*np.diff(points, axis=0).T)).clip(0.01).cumsum())
    places = np.interp(np.arange(10 * len(points) - 9) / 10, np.arange(len(at)), at)
    return CubicSpline(at, points, bc_type="natural")(places) if len(points) > 2 else _at(points, at, places)


def _drawn(path: np.ndarray, hand: Hand, random: np.random.Generator) -> np.ndarray:
    """A path -> the points that a tablet reports when that hand follows it."""
    x, y = path.T
    wide = 1 + hand.taper * (y / 100 - 0.5)
    path = np.stack([50 + (x - 50) * wide, y + hand.waist * np.sin(np.pi * (y / 100).clip(0, 1))], 1)
    length = _length(path)
    if hand.rounding:
        path = _rounded(_at(path, length, np.linspace(0, length[-1], max(8, int(length[-1])))), hand.rounding)
        length = _length(path)
    time = (1 - hand.ease) * length / length[-1] + hand.ease * np.linspace(0, 1, len(path))
    count = max(2, round(length[-1] / hand.spacing)) + 1
    points = _at(path, time, np.linspace(0, 1, count) + random.uniform(-0.3, 0.3, count) / count)
    every = max(1, round(6 / hand.spacing))  # points that are close together tremble together
    shakes = random.normal(0, hand.tremor, (count // every + 2, 2))
    return (points + _at(shakes, np.arange(len(shakes)) * every, np.arange(count))) @ hand.matrix


def _rounded(path: np.ndarray, deviation: float) -> np.ndarray:
    """Smoothed along the way; its ends stay, for it goes on, turned by half, beyond them."""
    pad = min(len(path) - 1, 4 * int(deviation) + 4)
    before, after = 2 * path[0] - path[pad:0:-1], 2 * path[-1] - path[-2 : -pad - 2 : -1]
    return gaussian_filter1d(np.concatenate([before, path, after]), deviation, axis=0)[pad : pad + len(path)]


def _length(path: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n,): of the way to each point."""
    return np.append(0, np.hypot(*np.diff(path, axis=0).T).cumsum())


def _at(points: np.ndarray, along: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points (n, 2) at increasing numbers (n,) -> those at other numbers (m,), (m, 2), on the lines between."""
    return np.stack([np.interp(places, along, axis) for axis in points.T], 1)
