"""Pictures to ink: from paper of any shade, in uneven light, showing one digit."""

from itertools import combinations
from typing import Any

import numpy as np
from scipy import ndimage

MAX_PIXELS = 50_000_000  # per picture: more than most phone cameras take
SHRUNK = 1024  # pixels a side; larger pictures are reduced to less than twice this, which bounds time and memory
SEVERAL = "This picture shows more than one digit. Crop it to one."

# Thresholds, chosen on the pictures of tests/test_pictures.py. None of 510 of these reads worse if one is 20 % lower or
# higher, except that a FAINT_DRAWING of 0.7 loses two scans. Twice FAINTEST_PHOTO loses faint pencil, half of SHADOW
# takes shadows for ink.
MAX_CLEAN_NOISE = 2 / 255  # of the border, in shades; a drawing program leaves less, a camera more
FAINTEST_DRAWING = 0.05  # contrast below which a clean picture is blank
FAINT_DRAWING = 0.9  # contrast below which a clean picture's ink is scaled to 1
FAINTEST_PHOTO = 0.12  # contrast, above 3 times the grain, below which a photo is blank
LIGHTER = 0.15  # a photo shows chalk if something is lighter than the border by this, and by more than it is darker
SHADOW = 1 / 3  # of the picture: what is wider than this is a shadow, not a line
SPECK = 1 / 8  # of the largest piece of ink; smaller pieces are dirt
TALL = 0.4  # of the ink's height; two pieces this tall that share no rows or no columns are two digits


def lift(image: Any) -> np.ndarray:
    """A picture, as `digits.ink.from_image` takes it -> its ink (H, W) float32 in [0, 1], cropped: (0, 0) if blank.

    Raises `ValueError` if it is not such a picture, or shows several digits.
    """
    grey = _grey(_checked(image))
    paper, noise = _plane(grey)
    ink = crop(_of_clean(grey - paper, paper, noise) if noise < MAX_CLEAN_NOISE else _of_photo(grey, paper))
    if ink.size and _shows_several(ink):
        raise ValueError(SEVERAL)
    return ink


def _of_clean(ink: np.ndarray, paper: np.ndarray, noise: float) -> np.ndarray:
    """From a drawing program: each trace of ink counts, as in MNIST."""
    room = 1 - paper if ink.sum() > 0 else -paper  # up to white for light ink, down to black for dark ink
    room[np.abs(room) < 1 / 255] = 1
    ink = np.where(np.abs(ink) > 4 * noise, ink / room, 0)
    strongest = ink.max()
    if strongest <= FAINTEST_DRAWING:
        return np.zeros_like(ink)
    return np.where(ink > 1 / 510, ink / (strongest if strongest < FAINT_DRAWING else 1), 0).clip(0, 1)


def _of_photo(grey: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """From a photo: what is clearly darker (on a blackboard, lighter) than the paper around it, despite shadows.

    The paper is what remains when everything narrower than `SHADOW` is filled in (a morphological closing); shadows
    are wider, and keep their edges.
    """
    grey = ndimage.gaussian_filter(grey, 1)
    (darkest, lightest), border = np.quantile(grey, (0.002, 0.998)), np.quantile(_border(grey), (0.02, 0.98))
    if lightest - border[1] > LIGHTER + 2 * max(0, border[0] - darkest):
        grey, paper = 1 - grey, 1 - paper  # chalk
    grey = grey / paper.clip(0.1)  # level the light, or the closing cuts off its slope at the edges
    reach = 1 + int(max(grey.shape) * SHADOW / 2)
    framed = np.pad(grey, 2 * reach, "edge")  # as if shadows went on beyond the picture
    paper = ndimage.grey_closing(framed, size=2 * reach + 1)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    ink = 1 - grey / paper.clip(1 / 255)  # in light and shadow, ink reflects the same part of what paper does
    strongest, grain = np.quantile(ink, 0.998), np.median(_border(ink))
    if strongest <= 3 * grain + FAINTEST_PHOTO:
        return np.zeros_like(ink)
    near = ndimage.binary_dilation(_digit_pieces(ink > strongest / 2), iterations=2)  # with its soft edges
    return np.where(near, ((ink / strongest - 0.25) * 2).clip(0, 1), 0)


def _digit_pieces(dark: np.ndarray) -> np.ndarray:
    """(H, W) of booleans -> without the pieces that touch the border, such as the table's edge, and without specks."""
    pieces, _ = ndimage.label(dark, np.ones((3, 3)))
    sizes = [
        max(side.stop - side.start for side in box)
        * all(side.start > 0 and side.stop < length for side, length in zip(box, dark.shape, strict=True))
        for box in ndimage.find_objects(pieces)
    ]
    kept = [number for number, size in enumerate(sizes, start=1) if size >= max(1, SPECK * max(sizes))]
    return np.isin(pieces, kept)


def _shows_several(ink: np.ndarray) -> bool:
    """Whether two tall pieces stand side by side or one above the other.

    The pieces of one digit overlap in rows and columns, or one of them is low, as the roof of a five.
    """
    pieces, _ = ndimage.label(ink > 0.25, np.ones((3, 3)))
    tall = [box for box in ndimage.find_objects(pieces) if box[0].stop - box[0].start >= TALL * ink.shape[0]]
    return any(
        a.stop <= b.start or b.stop <= a.start
        for one, other in combinations(tall, 2)
        for a, b in zip(one, other, strict=True)
    )


def crop(ink: np.ndarray) -> np.ndarray:
    """The part within the ink's bounding box: (0, 0) if there is no ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if len(rows) == 0:
        return np.zeros((0, 0), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _plane(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) shades -> the paper's (H, W) and their noise: a plane fitted to the border, for light falls unevenly."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij", sparse=True)
    terms = np.stack([_border(np.broadcast_to(term, grey.shape)) for term in (1.0, x, y)], axis=1)
    shades = _border(grey).astype(np.float64)
    plane = np.array([np.median(shades), 0, 0])
    for _ in range(3):  # each time without outlying pixels: ink that runs over the border
        error = np.abs(shades - terms @ plane)
        near = error <= 3 * np.median(error) + 1 / 255
        plane = np.linalg.lstsq(terms[near], shades[near], rcond=None)[0]
    noise = np.quantile(np.abs(shades - terms @ plane), 0.85)
    return plane[0] + plane[1] * x + plane[2] * y, noise


def _checked(image: Any) -> np.ndarray:
    """Any picture -> (H, W, 1 to 4) float32 in [0, 1], reduced by a whole factor if it is large."""
    if hasattr(image, "mode"):  # a PIL image, whose size is known before it is decoded
        _check_size(image.height, image.width)
        if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F"):  # palettes, CMYK, ...
            image = image.convert("RGBA")
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ValueError(f"A picture must have the shape (H, W) or (H, W, 1 to 4), not {np.shape(image)}.")
    height, width, channels = array.shape
    _check_size(height, width)
    if array.dtype.kind not in "buif":
        raise ValueError(f"A picture must hold numbers, not {array.dtype}.")
    white = 1
    if array.dtype.kind in "ui":
        white = 255 if array.dtype.itemsize == 1 or array.max() <= 255 else 65_535
    if not (array.min() >= 0 and array.max() <= white):  # also if NaN
        raise ValueError("A picture's values must be floats in [0, 1], or integers up to 255 or 65,535.")
    factor = max(1, min(height, width, max(height, width) // SHRUNK))
    array = array[: height // factor * factor, : width // factor * factor]
    blocks = array.reshape(height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(1, 3), dtype=np.float32) / np.float32(white)


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ValueError(f"This picture has more than {MAX_PIXELS:,} pixels. Choose a smaller one.")


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


def _border(image: np.ndarray) -> np.ndarray:
    """(H, W) -> the values of the outermost pixels."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
