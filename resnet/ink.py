"""Ink becomes pixels: the one place that says what a pixel means, for training and for drawing alike.

A digit is a (28, 28) float32 array in [0, 1], 0 = paper, 1 = ink, laid out as MNIST is (LeCun et al. 1998): the ink
fits a 20x20 box, its aspect ratio kept, and its centre of mass lies on pixel (14, 14), where all of MNIST has it. No
ink at all is the blank, a normal value: all zeros.
"""

from collections.abc import Sequence

import numpy as np

SIZE = 28  # pixels a side
BOX = 20  # pixels, the longer side of the ink
CENTRE = 14.5  # pixels from the left and from the top: the middle of pixel 14
PEN = 2.2  # pixels, the pen's width; strokes then look as wide as MNIST's (2 * ink / total variation, both 2.3)
MAX_POINTS = 20_000  # of one drawing: minutes of the fastest pen
MAX_PIXELS = 50_000_000  # of one picture: more than a phone's camera gives


def blank() -> np.ndarray:
    """An empty pad: (28, 28) float32, all zeros."""
    return np.zeros((SIZE, SIZE), np.float32)


def from_strokes(strokes: Sequence) -> np.ndarray:
    """Pen strokes -> (28, 28) float32 in [0, 1].

    `strokes` is a sequence of strokes, each (n, 2): points x, y in any unit, x to the right, y down. The pen has a
    constant width in the result, so neither the place nor the size of the drawing matters; a tap is a dot.
    Raises `ValueError` where a stroke is no such array, a number is not finite, or there are over `MAX_POINTS` points.
    """
    strokes = _checked_strokes(strokes)
    if not strokes:
        return blank()
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = (high - low).max()
    scale = (BOX - PEN) / extent if extent > 1e-9 * np.abs(points).max() else 0  # less is one point, but for rounding
    strokes = [(stroke - (low + high) / 2) * scale + SIZE / 2 for stroke in strokes]
    margin = (SIZE - BOX) / 2  # of the ink's box; so far it may move, and no ink is lost
    shift = (CENTRE - _centre_of_mass(_rasterize(strokes))).clip(-margin, margin)
    return _rasterize([stroke + shift for stroke in strokes])


def from_image(image) -> np.ndarray:
    """A picture of one digit -> (28, 28) float32 in [0, 1].

    `image` is a PIL image, or an array (H, W) or (H, W, 1 to 4) (grey, grey and alpha, RGB, RGBA) of integers from 0 to
    255 or 65,535, of booleans, or of floats in [0, 1]. The border is taken for paper, whatever its shade; what departs
    from it is ink. Raises `ValueError` where the array is none of these or has over `MAX_PIXELS` pixels.
    """
    ink = _lift_ink(_grey(_checked_image(image)))
    rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
    if len(rows) == 0:
        return blank()
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(BOX * side / max(ink.shape))) for side in ink.shape)
    ink = _resampling(ink.shape[0], height) @ ink @ _resampling(ink.shape[1], width).T
    left, top = np.floor(CENTRE - _centre_of_mass(ink) + 0.5).astype(int)  # whole pixels keep MNIST's own as they are
    left, top = left.clip(0, SIZE - width), top.clip(0, SIZE - height)
    digit = blank()
    digit[top : top + height, left : left + width] = ink
    return digit


def _checked_strokes(strokes: Sequence) -> list[np.ndarray]:
    """The strokes that have any points, each (n, 2) float64."""
    if not isinstance(strokes, list | tuple | np.ndarray):
        raise ValueError(f"strokes must be a list of strokes, each a list of x, y points; got {_kind(strokes)}")
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


def _rasterize(strokes: list[np.ndarray]) -> np.ndarray:
    """Strokes in pixels -> (28, 28): the part of each pixel that a round pen covers, by its distance from the line."""
    starts = np.concatenate([stroke[: max(1, len(stroke) - 1)] for stroke in strokes]).astype(np.float32)
    ends = np.concatenate([stroke[min(1, len(stroke) - 1) :] for stroke in strokes]).astype(np.float32)
    y, x = np.mgrid[:SIZE, :SIZE].reshape(2, 1, -1).astype(np.float32) + 0.5  # the pixels' middles, (1, 784) each
    nearest = np.full(SIZE * SIZE, np.inf, np.float32)
    for chunk in range(0, len(starts), 512):  # 512 x 784 floats stay in the cache
        (ax, ay), (bx, by) = (p[chunk : chunk + 512].T[..., None] for p in (starts, ends))  # (512, 1) each
        dx, dy = bx - ax, by - ay
        along = ((x - ax) * dx + (y - ay) * dy) / np.maximum(dx * dx + dy * dy, 1e-12)
        along = along.clip(0, 1)
        squared = (ax + along * dx - x) ** 2 + (ay + along * dy - y) ** 2
        nearest = np.minimum(nearest, squared.min(axis=0))
    return (PEN / 2 + 0.5 - np.sqrt(nearest)).clip(0, 1).reshape(SIZE, SIZE)


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


def _checked_image(image) -> np.ndarray:
    """Any picture -> (H, W, 1 to 4) float32 in [0, 1]."""
    if hasattr(image, "mode"):  # PIL's; its size is known before it is decoded
        _check_size(image.height, image.width)
        if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F"):  # palettes, CMYK, ...
            image = image.convert("RGBA")
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ValueError(f"a picture must be (H, W) or (H, W, 1 to 4); this array is {array.shape}")
    _check_size(*array.shape[:2])
    if array.dtype.kind not in "buif":
        raise ValueError(f"a picture must hold numbers; this array holds {array.dtype}")
    white = 1
    if array.dtype.kind in "ui":
        white = 255 if array.dtype.itemsize == 1 or array.max() <= 255 else 65_535
    array = array.astype(np.float32) / np.float32(white)
    if not (array.min() >= 0 and array.max() <= 1):  # NaN too
        raise ValueError("a picture's values must lie in [0, 1] as floats, or in 0 to 255 or 65,535 as integers")
    return array


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ValueError(f"a picture may have at most {MAX_PIXELS:,} pixels; this one is {width} by {height}")


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 1 to 4) -> (H, W): luma (ITU-R BT.601), over a backdrop that shows what is opaque."""
    has_alpha = image.shape[2] in (2, 4)
    colour = image[:, :, :-1] if has_alpha else image
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32) if colour.shape[2] == 3 else colour[:, :, 0]
    if not has_alpha:
        return grey
    alpha = image[:, :, -1]
    border = _border(alpha)
    if border.mean() > 0.5:  # opaque paper with holes: fill them with its shade
        backdrop = np.median(_border(grey)[border > 0.5])
    else:  # ink on nothing: dark ink on white, light ink on black
        backdrop = float((grey * alpha).sum() <= 0.5 * alpha.sum())
    return grey * alpha + backdrop * (1 - alpha)


def _lift_ink(grey: np.ndarray) -> np.ndarray:
    """(H, W) shades -> (H, W) ink in [0, 1]: how far each pixel is from the paper to black, or to white."""
    paper, noise = _paper(grey)
    ink = grey - paper
    room = 1 - paper if ink.sum() > 0 else -paper  # light ink or dark: all the way is 1
    room[np.abs(room) < 1 / 255] = 1
    ink /= room
    noise /= np.median(np.abs(room))
    strongest = ink.max()
    if strongest <= max(3 * noise, 0.05):
        return np.zeros_like(grey)
    if noise < 2 / 255:  # a clean picture: each trace of ink counts, as in MNIST
        faintest, full = 1 / 510, strongest if strongest < 0.9 else 1
    else:  # a photo: only what is clearly ink, and that as black as MNIST's
        faintest = strongest / 4
        full = np.percentile(ink[ink > faintest], 75)
    return np.where(ink > faintest, ink / full, 0).clip(0, 1).astype(np.float32)


def _paper(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) shades -> the paper's (H, W) and their noise: a plane fitted to the border, for light falls unevenly."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij", sparse=True)
    terms = np.stack([_border(np.broadcast_to(term, grey.shape)) for term in (1.0, x, y)], axis=1)
    shades = _border(grey).astype(np.float64)
    plane = np.array([np.median(shades), 0, 0])
    for _ in range(3):  # refitted without what is far off: ink that runs over the border is not paper
        error = np.abs(shades - terms @ plane)
        near = error <= 3 * np.median(error) + 1 / 255
        plane = np.linalg.lstsq(terms[near], shades[near], rcond=None)[0]
    noise = 4 * np.median(np.abs(shades - terms @ plane))
    return plane[0] + plane[1] * x + plane[2] * y, noise


def _border(image: np.ndarray) -> np.ndarray:
    """(H, W) -> the values of the outermost pixels."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


def _kind(value) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
