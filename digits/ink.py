"""Ink becomes pixels: the one place that says what a pixel means, for training and for drawing alike.

A digit is a (28, 28) float32 array in [0, 1], 0 = paper, 1 = ink, laid out as MNIST is (LeCun et al. 1998): the ink
fits a 20x20 box, its aspect ratio kept, and its centre of mass lies on pixel (14, 14), where all of MNIST has it. No
ink at all is the blank, a normal value: all zeros.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline

from digits import picture

SIZE = 28  # pixels a side
BOX = 20  # pixels, the longer side of the ink
CENTRE = 14.5  # pixels from the left and from the top: the middle of pixel 14
PEN = 2.2  # pixels, the pen's width; strokes then look as wide as MNIST's (2 * ink / total variation, both 2.3)
REACH = PEN / 2 + 0.5  # pixels, from the pen's path to the middle of the last pixel that it touches
THINNEST, THICKEST = 1.1, 5.0  # pixels: of pens that need no mending
SPARSE = 3.0  # pixels between two points, too far for a hand that is followed closely
MAX_POINTS = 6_000  # of one drawing: a minute of a fast pen
MAX_STROKES = 200  # of one drawing
FEW_STROKES = 20  # more are no digit, and not worth a curve each


def blank() -> np.ndarray:
    """An empty pad: (28, 28) float32, all zeros."""
    return np.zeros((SIZE, SIZE), np.float32)


def from_strokes(strokes: Sequence) -> np.ndarray:
    """Pen strokes -> (28, 28) float32 in [0, 1].

    `strokes` is a sequence of strokes, each (n, 2): points x, y in any unit, x to the right, y down. The pen has a
    constant width in the result, so neither the place nor the size of the drawing matters; a tap is a dot. Five
    and more points of a stroke that are far apart, as a fast mouse leaves them, are joined by a curve, not by lines.
    Raises `ValueError` where a stroke is no such array, a number is not finite, or there are over `MAX_POINTS` points
    or `MAX_STROKES` strokes.
    """
    strokes = _checked_strokes(strokes)
    if not strokes:
        return blank()
    if len(strokes) <= FEW_STROKES:
        strokes = [_curve(stroke) for stroke in _fit(strokes)]
    strokes = _fit(strokes)
    margin = (SIZE - BOX) / 2  # of the ink's box; so far it may move, and no ink is lost
    shift = (CENTRE - _centre_of_mass(_rasterize(strokes))).clip(-margin, margin)
    return _rasterize([stroke + shift for stroke in strokes])


def from_image(image) -> np.ndarray:
    """A picture of one digit -> (28, 28) float32 in [0, 1].

    `image` is a PIL image, or an array (H, W) or (H, W, 1 to 4) (grey, grey and alpha, RGB, RGBA) of integers from 0 to
    255 or 65,535, of booleans, or of floats in [0, 1]. The border is taken for paper, whatever its shade; what departs
    from it is ink. Raises `ValueError` where the array is none of these, has over `picture.MAX_PIXELS` pixels, or shows
    several digits.
    """
    ink = picture.lift(image)
    if ink.size == 0:
        return blank()
    ink = _with_usual_pen(ink)
    height, width = (max(1, round(BOX * side / max(ink.shape))) for side in ink.shape)
    ink = _resampling(ink.shape[0], height) @ ink @ _resampling(ink.shape[1], width).T
    left, top = np.floor(CENTRE - _centre_of_mass(ink) + 0.5).astype(int)  # whole pixels keep MNIST's own as they are
    left, top = left.clip(0, SIZE - width), top.clip(0, SIZE - height)
    digit = blank()
    digit[top : top + height, left : left + width] = ink
    return digit


def _with_usual_pen(ink: np.ndarray) -> np.ndarray:
    """Lines far thinner or thicker than MNIST's become as wide as the pad's: their outline is moved."""
    framed = np.pad(ink, 1)
    across, down = np.diff(framed[:-1], axis=1), np.diff(framed[:, :-1], axis=0)
    width = 2 * ink.sum() / max(1, np.hypot(across, down).sum())  # pixels: twice the area over the outline's length
    scale = (BOX - PEN) / max(1, max(ink.shape) - width)  # as from_strokes scales the pen's path
    if THINNEST < width * scale < THICKEST:
        return ink
    pen = PEN / scale
    solid = np.pad(ink > 0.5, int(pen) + 1)
    depth = ndimage.distance_transform_edt(solid) - ndimage.distance_transform_edt(~solid)
    redrawn = (depth - np.sign(depth) / 2 + (pen - width) / 2 + 0.5).clip(0, 1).astype(np.float32)
    return picture.crop(redrawn) if redrawn.any() else ink


def _checked_strokes(strokes: Sequence) -> list[np.ndarray]:
    """The strokes that have any points, each (n, 2) float64."""
    if not isinstance(strokes, list | tuple | np.ndarray):
        raise ValueError(f"strokes must be a list of strokes, each a list of x, y points; got {_kind(strokes)}")
    if len(strokes) > MAX_STROKES:
        raise ValueError(f"a drawing may have at most {MAX_STROKES} strokes; this one has more")
    checked, points = [], 0
    for number, stroke in enumerate(strokes, start=1):
        if not isinstance(stroke, list | tuple) and not (isinstance(stroke, np.ndarray) and stroke.ndim):
            raise ValueError(f"stroke {number} must be a list of x, y points; got {_kind(stroke)}")
        points += max(1, len(stroke))
        if points > MAX_POINTS:
            raise ValueError(f"a drawing may have at most {MAX_POINTS:,} points; this one has more")
        if len(stroke) == 0:
            continue
        try:
            array = np.asarray(stroke, np.float64)
        except (TypeError, ValueError, OverflowError):
            array = None
        if array is None or array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"every point of stroke {number} must be two numbers, x and y")
        if not (np.abs(array) < 1e100).all():  # NaN too; larger numbers have no finite distance
            raise ValueError(f"stroke {number} has a coordinate that is not a finite number below 1e100")
        checked.append(array)
    return checked


def _fit(strokes: list[np.ndarray]) -> list[np.ndarray]:
    """Strokes in any unit -> in pixels, so that the pen fills the box in the frame's middle."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = (high - low).max()
    scale = (BOX - PEN) / extent if extent > 1e-9 * np.abs(points).max() else 0  # less is one point, but for rounding
    return [(stroke - (low + high) / 2) * scale + SIZE / 2 for stroke in strokes]


def _curve(stroke: np.ndarray) -> np.ndarray:
    """A stroke in pixels, as smooth as the hand was where a fast mouse left few points of it; four or fewer are meant.

    A natural cubic spline through the points, at the square roots of their distances ("centripetal": it has no loops).
    """
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    apart = steps > 1e-6
    if apart.sum() < 4 or steps.max() < SPARSE:
        return stroke
    at = np.append(0, np.sqrt(steps[apart]).cumsum())
    spline = CubicSpline(at, stroke[np.append(True, apart)], bc_type="natural")
    return spline(np.union1d(at, np.linspace(0, at[-1], 100)))


def _rasterize(strokes: list[np.ndarray]) -> np.ndarray:
    """Strokes in pixels -> (28, 28): the part of each pixel that a round pen covers, by its distance from the line."""
    starts = np.concatenate([stroke[: max(1, len(stroke) - 1)] for stroke in strokes]).astype(np.float32)
    ends = np.concatenate([stroke[min(1, len(stroke) - 1) :] for stroke in strokes]).astype(np.float32)
    middles = np.arange(SIZE, dtype=np.float32) + 0.5
    nearest = np.full((SIZE, SIZE), np.inf, np.float32)  # squared, from each pixel's middle
    for i in range(0, len(starts), 32):  # some lines at a time, and only the pixels that their ink can reach
        lines = np.stack([starts[i : i + 32], ends[i : i + 32]])
        left, top = (np.floor(lines.min((0, 1)) - REACH).astype(int)).clip(0)
        right, bottom = np.ceil(lines.max((0, 1)) + REACH).astype(int)
        x, y = middles[None, None, left:right], middles[None, top:bottom, None]
        (ax, ay), (bx, by) = lines.transpose(0, 2, 1)[..., None, None]  # (lines, 1, 1) each
        dx, dy = bx - ax, by - ay
        along = ((x - ax) * dx + (y - ay) * dy) / np.maximum(dx * dx + dy * dy, 1e-12)
        along = along.clip(0, 1)
        squared = (ax + along * dx - x) ** 2 + (ay + along * dy - y) ** 2
        window = nearest[top:bottom, left:right]
        np.minimum(window, squared.min(axis=0), out=window)
    return (REACH - np.sqrt(nearest)).clip(0, 1)


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


def _kind(value) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
