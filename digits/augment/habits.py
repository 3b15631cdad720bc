"""Habits of writing that MNIST's writers hardly have: a slash through the zero, a one's flag and foot, a seven's bar.

Each is one more stroke, drawn onto some of the digits with as wide a pen as they are written with. Places are x, y in
pixels from the left and the top.
"""

import torch
from torch import Tensor

SLASHED, FLAGGED, FOOTED, BARRED = 0.25, 0.3, 0.2, 0.25  # shares of the zeros, the ones, the ones, the sevens


def add(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 1, 28, 28) in [0, 1] and (N,) -> the images, some with a stroke more.

    The draws are from `generator`, a CPU one, on every device.
    """
    images = images.clone()
    for digit, share, habit in ((0, SLASHED, _slash), (1, FLAGGED, _flag), (1, FOOTED, _foot), (7, BARRED, _bar)):
        chance = torch.rand(len(images), generator=generator).to(images.device)
        chosen = ((labels == digit) & (chance < share) & (_open(images) | (digit != 0))).nonzero()[:, 0]
        if len(chosen):
            ink = images[chosen, 0]
            images[chosen, 0] = torch.maximum(ink, _draw(habit(ink, generator), _pen_width(ink), ink.shape[-1]))
    return images


def _slash(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Through the middle, rising to the right, and often far beyond the ring."""
    middle = torch.stack([_mean(ink.sum(1)), _mean(ink.sum(2))], 1)
    return _line(middle, _uniform(len(ink), -75, -25, generator), (5, 16), (5, 16), generator)


def _open(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N,): is there room in the middle? A slash makes a narrow, bold zero a bold one."""
    return images[:, 0, 11:18, 11:18].mean((1, 2)) < 0.25


def _flag(ink: Tensor, generator: torch.Generator) -> Tensor:
    """From the stem's top, down to its left: never as level as a seven's, and the more level the shorter.

    A steep one may be as long as the stem, and a third of them bow upwards, for a quick hand rounds the corner.
    """
    (top, bottom), angle = _ends(ink), 20 + 45 * torch.rand(len(ink), generator=generator).sqrt()
    stem = torch.atan2(*(bottom - top).T.flip(0)).rad2deg()
    direction = (stem + angle.to(stem)).clamp(max=155)  # degrees: 90 is down, 180 is to the left
    longest = 7 + 10 * ((155 - direction) / 20).clamp(0, 1)
    start, end = _line(top, direction, (0, 0), (3, longest[:, None].cpu()), generator).unbind(1)
    run = end - start
    outwards = torch.stack([-run[:, 1], run[:, 0]], 1)  # as long as the flag
    bow = _uniform((len(ink), 1), -0.4, 0.2, generator).to(run).clamp(min=0)
    bow = bow.minimum(1.5 / run.norm(dim=1, keepdim=True))  # pixels at the most
    return torch.stack([start, start + 0.4 * run + bow * outwards, end], 1)


def _foot(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Level, below the stem."""
    return _line(_ends(ink)[1], _uniform(len(ink), -15, 15, generator), (2, 7), (2, 7), generator)


def _bar(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Level, across the stem, at about half its height."""
    y = torch.randint(12, 17, (len(ink),), generator=generator).to(ink.device)
    middle = torch.stack([_mean(ink[torch.arange(len(ink), device=ink.device), y]), y + 0.5], 1)
    return _line(middle, _uniform(len(ink), -15, 15, generator), (3, 8), (3, 8), generator)


def _line(
    through: Tensor,
    angle: Tensor,
    back: tuple[float, float | Tensor],
    on: tuple[float, float | Tensor],
    generator: torch.Generator,
) -> Tensor:
    """(N, 2) places, (N,) degrees clockwise from the right -> (N, 2, 2), so far back and on (uniform, pixels)."""
    angle = angle.deg2rad().to(through)
    along = torch.stack([angle.cos(), angle.sin()], 1)
    back, on = (_uniform((len(angle), 1), *limits, generator).to(through) for limits in (back, on))
    return torch.stack([through - along * back, through + along * on], 1)


def _draw(path: Tensor, width: Tensor, size: int) -> Tensor:
    """(N, P, 2) corners, (N,) -> (N, size, size): the part of each pixel that a round pen covers."""
    middles = torch.arange(size, device=path.device) + 0.5
    pixels = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)
    starts, runs = path[:, :-1, None, None], path.diff(dim=1)[:, :, None, None]
    away = pixels - starts
    along = ((away * runs).sum(-1, keepdim=True) / runs.square().sum(-1, keepdim=True).clamp(min=1e-6)).clamp(0, 1)
    distance = (away - along * runs).norm(dim=-1).amin(1)
    return (width[:, None, None] / 2 + 0.5 - distance).clamp(0, 1)


def _pen_width(ink: Tensor) -> Tensor:
    """(N, 28, 28) -> (N,) pixels: twice the ink over its outline's length."""
    across, down = ink[:, :-1].diff(dim=2), ink[:, :, :-1].diff(dim=1)
    return 2 * ink.sum((1, 2)) / torch.hypot(across, down).sum((1, 2)).clamp(min=1)


def _ends(ink: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 28, 28) -> (N, 2) twice: the top and the bottom of what is clearly ink."""
    dark = (ink.amax(2) > 0.5).int()
    top, bottom = dark.argmax(1), ink.shape[1] - 1 - dark.flip(1).argmax(1)
    rows = torch.arange(len(ink), device=ink.device)
    return tuple(torch.stack([_mean(ink[rows, y]), y + 0.5], 1) for y in (top, bottom))


def _mean(profile: Tensor) -> Tensor:
    """(N, 28) ink by place -> (N,) the mean place."""
    middles = torch.arange(profile.shape[1], device=profile.device) + 0.5
    return profile @ middles / profile.sum(1).clamp(min=1e-6)


def _uniform(shape: int | tuple[int, ...], low: float, high: float | Tensor, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
