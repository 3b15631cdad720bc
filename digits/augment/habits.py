"""Habits that few of MNIST's writers have: a slash through the zero, a one's flag and foot, a seven's bar.

Each is one stroke more, drawn onto some of the digits with a pen as wide as their own. Coordinates are x, y in pixels
from the left and the top.
"""

import torch
from torch import Tensor

from digits import ink

SLASHED, FLAGGED, FOOTED, BARRED = 0.25, 0.3, 0.2, 0.25  # shares of the zeros, the ones, the ones, the sevens


def add(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 1, 28, 28) in [0, 1] and (N,) -> the images, some with one stroke more, at random by a CPU `generator`."""
    images = images.clone()
    for digit, share, habit in ((0, SLASHED, _slash), (1, FLAGGED, _flag), (1, FOOTED, _foot), (7, BARRED, _bar)):
        chance = torch.rand(len(images), generator=generator).to(images.device)
        chosen = ((labels == digit) & (chance < share) & (_is_open(images) | (digit != 0))).nonzero()[:, 0]
        if len(chosen):
            digits = images[chosen, 0]
            images[chosen, 0] = digits.maximum(_rasterize(habit(digits, generator), _pen_width(digits)))
    return images


def _slash(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Through the middle, rising to the right, and often far beyond the ring."""
    middle = torch.stack([_mean(digits.sum(1)), _mean(digits.sum(2))], 1)
    return _line(middle, _uniform(len(digits), -75, -25, generator), (5, 16), (5, 16), generator)


def _is_open(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N,): whether the middle has room for a slash, which would fill a narrow, bold zero."""
    return images[:, 0, 11:18, 11:18].mean((1, 2)) < 0.25


def _flag(digits: Tensor, generator: torch.Generator) -> Tensor:
    """From the top of the stem down to its left: never as level as the bar of a seven, and the more level the shorter.

    A steep flag may be as long as the stem. A third of the flags bow upwards, as a quick hand rounds the corner.
    """
    (top, bottom), angle = _ends(digits), 20 + 45 * torch.rand(len(digits), generator=generator).sqrt()
    stem = torch.atan2(*(bottom - top).T.flip(0)).rad2deg()
    direction = (stem + angle.to(stem)).clamp(max=155)  # degrees: 90 is down, 180 is to the left
    longest = 7 + 10 * ((155 - direction) / 20).clamp(0, 1)
    start, end = _line(top, direction, (0, 0), (3, longest[:, None].cpu()), generator).unbind(1)
    run = end - start
    outwards = torch.stack([-run[:, 1], run[:, 0]], 1)  # as long as the flag
    bow = _uniform((len(digits), 1), -0.4, 0.2, generator).to(run).clamp(min=0)
    bow = bow.minimum(1.5 / run.norm(dim=1, keepdim=True))  # at most 1.5 pixels
    return torch.stack([start, start + 0.4 * run + bow * outwards, end], 1)


def _foot(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Level, below the stem."""
    return _line(_ends(digits)[1], _uniform(len(digits), -15, 15, generator), (2, 7), (2, 7), generator)


def _bar(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Level, across the stem, about halfway up."""
    y = torch.randint(12, 17, (len(digits),), generator=generator).to(digits.device)
    middle = torch.stack([_mean(digits[torch.arange(len(digits), device=digits.device), y]), y + 0.5], 1)
    return _line(middle, _uniform(len(digits), -15, 15, generator), (3, 8), (3, 8), generator)


def _line(
    through: Tensor,
    angle: Tensor,
    back: tuple[float, float],
    forth: tuple[float, float | Tensor],
    generator: torch.Generator,
) -> Tensor:
    """(N, 2) points and (N,) degrees clockwise from the right -> (N, 2, 2) start and end of each line.

    It reaches `back` and `forth` from its point, uniform between two lengths in pixels.
    """
    angle = angle.deg2rad().to(through)
    along = torch.stack([angle.cos(), angle.sin()], 1)
    before, after = (_uniform((len(angle), 1), *limits, generator).to(through) for limits in (back, forth))
    return torch.stack([through - along * before, through + along * after], 1)


def _rasterize(paths: Tensor, widths: Tensor) -> Tensor:
    """(N, P, 2) corners and (N,) pen widths -> (N, 28, 28)."""
    centres = torch.arange(ink.SIZE, device=paths.device) + 0.5
    x, y = paths[..., None, None].unbind(2)  # (N, P, 1, 1) each
    squared = ink.squared_distance(centres, centres[:, None], (x[:, :-1], y[:, :-1]), (x[:, 1:], y[:, 1:]))
    return ink.covered(squared.amin(1), widths[:, None, None])


def _pen_width(digits: Tensor) -> Tensor:
    """(N, 28, 28) -> (N,) pixels: twice the area of the ink over the length of its outline."""
    across, down = digits[:, :-1].diff(dim=2), digits[:, :, :-1].diff(dim=1)
    return 2 * digits.sum((1, 2)) / torch.hypot(across, down).sum((1, 2)).clamp(min=1)


def _ends(digits: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 28, 28) -> the top and the bottom of the ink, (N, 2) each."""
    dark = (digits.amax(2) > 0.5).int()
    rows = torch.arange(len(digits), device=digits.device)

    def middle(y: Tensor) -> Tensor:
        return torch.stack([_mean(digits[rows, y]), y + 0.5], 1)

    return middle(dark.argmax(1)), middle(ink.SIZE - 1 - dark.flip(1).argmax(1))


def _mean(profile: Tensor) -> Tensor:
    """(N, 28) ink by coordinate -> (N,) its mean coordinate."""
    centres = torch.arange(profile.shape[1], device=profile.device) + 0.5
    return profile @ centres / profile.sum(1).clamp(min=1e-6)


def _uniform(shape: int | tuple[int, ...], low: float, high: float | Tensor, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
