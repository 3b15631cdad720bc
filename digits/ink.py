"""Ink as pixels: the one definition of an image of a digit, for training and drawing alike.

An image is (28, 28) float32 in [0, 1], 0 = paper, 1 = ink, laid out as MNIST is (LeCun et al. 1998): the ink fits a
20x20 box, its aspect ratio kept, and its centre of mass lies on pixel (14, 14). Without ink it is blank: all zeros.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline

from digits import picture

SIZE = 28  # pixels a side
BOX = 20  # pixels, the longer side of the ink
CENTRE = 14.5  # pixels from the left and from the top: the middle of pixel 14
PEN_WIDTH = 2.2  # pixels; strokes then look as wide as MNIST's (2 * ink / total variation, both 2.3)
THINNEST, THICKEST = 1.1, 5.0  # pixels; lines in pictures outside these are redrawn with PEN_WIDTH
SPARSE = 3.0  # pixels between neighbouring points; a stroke with wider steps is smoothed
MAX_POINTS = 6_000  # per drawing: a minute with a fast pen
MAX_STROKES = 200  # per drawing
MAX_SMOOTHED = 20  # strokes per drawing; a spline takes 0.1 ms, and no digit has more


def blank() -> np.ndarray:
    """An empty pad: (28, 28) float32, all zeros."""
    return np.zeros((SIZE, SIZE), np.float32)


def from_strokes(strokes: Sequence) -> np.ndarray:
    """Pen strokes -> (28, 28) float32 in [0, 1].

    `strokes` is a sequence of strokes, each a sequence of points (x, y) in any unit, x right, y down. The pen is
    `PEN_WIDTH` wide in the result, so neither the place nor the size of the drawing matters; a tap is a dot. Where
    five or more points of a stroke lie far apart, as a fast mouse leaves them, a curve joins them instead of lines.
    Raises `ValueError` if a stroke is not (n, 2) finite numbers, or over `MAX_POINTS` points or `MAX_STROKES` strokes.
    """
    strokes = _checked(strokes)
    if not strokes:
        return blank()
    if len(strokes) <= MAX_SMOOTHED:
        strokes = [_smoothed(stroke) for stroke in _fitted(strokes)]
    strokes = _fitted(strokes)
    margin = (SIZE - BOX) / 2  # moved further, ink would leave the frame
    shift = (CENTRE - _centre_of_mass(_rasterize(strokes))).clip(-margin, margin)
    return _rasterize([stroke + shift for stroke in strokes])


def from_image(image: Any) -> np.ndarray:
    """A picture of one digit -> (28, 28) float32 in [0, 1].

    `image` is a PIL image, or an array (H, W) or (H, W, 1 to 4) (grey, grey and alpha, RGB, RGBA) of integers from 0 to
    255 or 65,535, of booleans, or of floats in [0, 1]. The border is taken for paper, whatever its shade; what departs
    from it is ink. Raises `ValueError` if it is none of these, has over `picture.MAX_PIXELS` pixels, or shows several
    digits.
    """
    ink = picture.lift(image)
    if ink.size == 0:
        return blank()
    ink = _with_usual_pen(ink)
    height, width = (max(1, round(BOX * side / max(ink.shape))) for side in ink.shape)
    ink = _resampling(ink.shape[0], height) @ ink @ _resampling(ink.shape[1], width).T
    left, top = np.floor(CENTRE - _centre_of_mass(ink) + 0.5).astype(int)  # whole pixels leave MNIST's own unchanged
    left, top = left.clip(0, SIZE - width), top.clip(0, SIZE - height)
    digit = blank()
    digit[top : top + height, left : left + width] = ink
    return digit


def squared_distance(x: Any, y: Any, start: tuple[Any, Any], end: tuple[Any, Any]) -> Any:
    """From points (x, y) to the line segments between two points: NumPy arrays or torch tensors that broadcast."""
    (ax, ay), (bx, by) = start, end
    dx, dy = bx - ax, by - ay
    along = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy).clip(1e-12)).clip(0, 1)
    return (ax + along * dx - x) ** 2 + (ay + along * dy - y) ** 2


def covered(squared_distance: Any, pen_width: Any) -> Any:
    """The part of a pixel, in [0, 1], that a round pen covers at a squared distance from its path, all in pixels."""
    return (pen_width / 2 + 0.5 - squared_distance**0.5).clip(0, 1)


def _checked(strokes: Sequence) -> list[np.ndarray]:
    """The strokes that have any points, each (n, 2) float64."""
    if not isinstance(strokes, list | tuple | np.ndarray):
        raise ValueError("Strokes must be a list of strokes, each a list of points [x, y].")
    if len(strokes) > MAX_STROKES:
        raise ValueError(f"This drawing has more than {MAX_STROKES} strokes. Clear it and draw one digit.")
    arrays = []
    for number, stroke in enumerate(strokes, start=1):
        try:
            array = np.asarray(stroke, np.float64)
        except (TypeError, ValueError, OverflowError):
            array = np.empty(())
        if array.shape == (0,):
            continue
        if array.ndim != 2 or array.shape[1] != 2 or not (np.abs(array) < 1e100).all():  # so distances are finite
            raise ValueError(f"Stroke {number} must be a list of points [x, y], finite numbers below 1e100.")
        arrays.append(array)
    if sum(map(len, arrays)) > MAX_POINTS:
        raise ValueError(f"This drawing has more than {MAX_POINTS:,} points. Clear it and draw one digit.")
    return arrays


def _fitted(strokes: list[np.ndarray]) -> list[np.ndarray]:
    """Strokes in any unit -> in pixels, centred in the frame, so that the pen just fills the box."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = (high - low).max()
    scale = (BOX - PEN_WIDTH) / extent if extent > 1e-9 * np.abs(points).max() else 0  # less is rounding: one point
    return [(stroke - (low + high) / 2) * scale + SIZE / 2 for stroke in strokes]


def _smoothed(stroke: np.ndarray) -> np.ndarray:
    """A stroke in pixels -> a curve through its points where they are sparse; four points or fewer keep their corners.

    A natural cubic spline over the square roots of the distances: centripetal, so it has no loops.
    """
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    moved = steps > 1e-6
    if moved.sum() < 4 or steps.max() < SPARSE:
        return stroke
    at = np.append(0, np.sqrt(steps[moved]).cumsum())
    spline = CubicSpline(at, stroke[np.append(True, moved)], bc_type="natural")
    return spline(np.union1d(at, np.linspace(0, at[-1], 100)))


def _rasterize(strokes: list[np.ndarray]) -> np.ndarray:
    """Strokes in pixels -> (28, 28) float32, drawn by a round pen `PEN_WIDTH` wide."""
    starts = np.concatenate([stroke[: max(1, len(stroke) - 1)] for stroke in strokes]).astype(np.float32)
    ends = np.concatenate([stroke[min(1, len(stroke) - 1) :] for stroke in strokes]).astype(np.float32)
    centres = np.arange(SIZE, dtype=np.float32) + 0.5
    reach = PEN_WIDTH / 2 + 0.5
    nearest = np.full((SIZE, SIZE), np.inf, np.float32)
    for i in range(0, len(starts), 32):  # 32 segments at a time, and only the pixels that their ink can reach
        segments = np.stack([starts[i : i + 32], ends[i : i + 32]])
        left, top = np.floor(segments.min((0, 1)) - reach).astype(int).clip(0)
        right, bottom = np.ceil(segments.max((0, 1)) + reach).astype(int)
        start, end = segments.transpose(0, 2, 1)[..., None, None]  # (2, segments, 1, 1) each
        squared = squared_distance(centres[left:right], centres[top:bottom, None], start, end)
        window = nearest[top:bottom, left:right]
        np.minimum(window, squared.min(axis=0), out=window)
    return covered(nearest, PEN_WIDTH)


def _with_usual_pen(ink: np.ndarray) -> np.ndarray:
    """Lines far thinner or thicker than MNIST's become `PEN_WIDTH` wide: their outline is moved."""
    framed = np.pad(ink, 1)
    across, down = np.diff(framed[:-1], axis=1), np.diff(framed[:, :-1], axis=0)
    width = 2 * ink.sum() / max(1, np.hypot(across, down).sum())  # pixels: twice the area over the outline's length
    scale = (BOX - PEN_WIDTH) / max(1, max(ink.shape) - width)  # as from_strokes scales the pen's path
    if THINNEST < width * scale < THICKEST:
        return ink
    pen = PEN_WIDTH / scale
    solid = np.pad(ink > 0.5, int(pen) + 1)
    depth = ndimage.distance_transform_edt(solid) - ndimage.distance_transform_edt(~solid)
    redrawn = (depth - np.sign(depth) / 2 + (pen - width) / 2 + 0.5).clip(0, 1).astype(np.float32)
    return picture.crop(redrawn) if redrawn.any() else ink


def _centre_of_mass(ink: np.ndarray) -> np.ndarray:
    """(H, W) -> (x, y) in pixels from the left and top edge."""
    total = ink.sum(dtype=np.float64)
    return np.array([ink.sum(axis=axis) @ (np.arange(ink.shape[1 - axis]) + 0.5) / total for axis in (0, 1)])


def _resampling(old: int, new: int) -> np.ndarray:
    """(new, old) weights that average over area: exact for whole factors, the identity where `new` equals `old`."""
    edges = np.linspace(0, old, new + 1)
    pixel = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(0) * new / old
