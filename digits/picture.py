"""Ink is lifted from a picture: from paper of any shade, in uneven light, of one digit alone."""

import numpy as np
from scipy import ndimage

MAX_PIXELS = 50_000_000  # of one picture: more than a phone's camera gives
SEVERAL = "This picture shows more than one digit. Crop it to one."


def lift(image) -> np.ndarray:
    """A picture -> its ink (H, W) float32 in [0, 1], cropped to it: (0, 0) where there is none.

    `image` is as `digits.ink.from_image` takes it. Raises `ValueError` where it is no such picture, or shows several
    digits: pieces of ink side by side, or one above the other, and each tall.
    """
    grey = _grey(_checked(image))
    paper, noise = _plane(grey)
    ink = _of_clean(grey - paper, paper) if noise < 2 / 255 else _of_photo(grey, paper)
    ink = crop(ink)
    if ink.size:
        _refuse_several(ink)
    return ink


def _of_clean(ink: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """A drawing program's picture: each trace of ink counts, as in MNIST."""
    room = 1 - paper if ink.sum() > 0 else -paper  # light ink or dark: all the way is 1
    room[np.abs(room) < 1 / 255] = 1
    ink = ink / room
    strongest = ink.max()
    if strongest <= 0.05:
        return np.zeros_like(ink)
    return np.where(ink > 1 / 510, ink / (strongest if strongest < 0.9 else 1), 0).clip(0, 1)


def _of_photo(grey: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """A photo: what is clearly darker (on a blackboard, lighter) than the paper around it, wherever shadows fall.

    The paper is what is left when all that is narrower than a third of the picture is filled in (a morphological
    closing); shadows are wider, and keep their edges.
    """
    grey = ndimage.gaussian_filter(grey, 1)
    (darkest, lightest), border = np.quantile(grey, (0.002, 0.998)), np.quantile(_border(grey), (0.02, 0.98))
    if lightest - border[1] > 0.15 + 2 * (border[0] - darkest).clip(0):  # than all that is surely paper
        grey, paper = 1 - grey, 1 - paper  # chalk
    grey = grey / paper.clip(0.1)  # without the slope of the light, which a closing cuts at the picture's edge
    reach = 1 + max(grey.shape) // 6
    framed = np.pad(grey, 2 * reach, "edge")  # a shadow goes on beyond the picture
    paper = ndimage.grey_closing(framed, size=2 * reach + 1)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    ink = 1 - grey / paper.clip(1 / 255)  # light falls on ink and paper alike
    strongest, grain = np.quantile(ink, 0.998), np.median(_border(ink))
    if strongest <= 3 * grain + 0.12:
        return np.zeros_like(ink)
    pieces, _ = ndimage.label(ink > strongest / 2, np.ones((3, 3)))
    boxes = ndimage.find_objects(pieces)
    inside = np.array([all(s.start > 0 and s.stop < n for s, n in zip(box, grey.shape, strict=True)) for box in boxes])
    sizes = np.array([max(side.stop - side.start for side in box) for box in boxes]) * inside  # no edge of the table
    largest = sizes.max(initial=1)
    near = ndimage.binary_dilation(np.isin(pieces, 1 + (sizes >= largest / 8).nonzero()[0]), iterations=2)  # no specks
    return np.where(near, ((ink / strongest - 0.25) * 2).clip(0, 1), 0)


def _refuse_several(ink: np.ndarray) -> None:
    """One digit's pieces stand over each other, or one is low, as a five's roof; two digits' do neither."""
    pieces, _ = ndimage.label(ink > 0.25, np.ones((3, 3)))
    tall = [(y, x) for y, x in ndimage.find_objects(pieces) if y.stop - y.start >= 0.4 * ink.shape[0]]
    for i, a in enumerate(tall):
        for b in tall[:i]:
            if any(one.stop <= other.start or other.stop <= one.start for one, other in zip(a, b, strict=True)):
                raise ValueError(SEVERAL)


def crop(ink: np.ndarray) -> np.ndarray:
    """What lies within the ink's box: (0, 0) where there is no ink."""
    rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
    if len(rows) == 0:
        return np.zeros((0, 0), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _plane(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) shades -> the paper's (H, W) and their noise: a plane fitted to the border, for light falls unevenly."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij", sparse=True)
    terms = np.stack([_border(np.broadcast_to(term, grey.shape)) for term in (1.0, x, y)], axis=1)
    shades = _border(grey).astype(np.float64)
    plane = np.array([np.median(shades), 0, 0])
    for _ in range(3):  # refitted without what is far off: ink that runs over the border is not paper
        error = np.abs(shades - terms @ plane)
        near = error <= 3 * np.median(error) + 1 / 255
        plane = np.linalg.lstsq(terms[near], shades[near], rcond=None)[0]
    noise = np.quantile(np.abs(shades - terms @ plane), 0.85)
    return plane[0] + plane[1] * x + plane[2] * y, noise


def _checked(image) -> np.ndarray:
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


def _border(image: np.ndarray) -> np.ndarray:
    """(H, W) -> the values of the outermost pixels."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
