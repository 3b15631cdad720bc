"""The ten drawings, drawn in many ways: position never changes the answer, slant and jitter hardly ever."""

from itertools import product

import numpy as np
import pytest

from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer
from resnet.recognizer import CONFIDENT

PAD = 280  # pixels a side, as on a laptop


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load(device="cpu")


def drawing(digit):
    """Strokes that fill a square from 0 to 1, the aspect ratio kept."""
    strokes = [np.array(stroke, float) for stroke in DRAWINGS[digit]]
    points = np.concatenate(strokes)
    return [(stroke - points.min(axis=0)) / np.ptp(points, axis=0).max() for stroke in strokes]


def with_points(stroke, count):
    """`count` points at equal steps along the stroke: few from a fast mouse, many from a slow one."""
    travelled = np.concatenate([[0], np.hypot(*np.diff(stroke, axis=0).T).cumsum()])
    at = np.linspace(0, travelled[-1], count)
    return np.stack([np.interp(at, travelled, axis) for axis in stroke.T], axis=1)


def test_position_size_order_and_direction_never_change_the_answer(recognizer):
    for digit in range(10):
        strokes = drawing(digit)
        expected = recognizer.probabilities(ink.from_strokes(strokes)[None])[0]
        assert expected.argmax() == digit and expected[digit] > CONFIDENT
        images = []
        for size, x, y, order, direction in product((20, 60, 140, 280), (0, 0.5, 1), (0, 0.5, 1), (1, -1), (1, -1)):
            corner = np.array([x, y]) * (PAD - size)
            images.append(ink.from_strokes([(s * size + corner)[::direction] for s in strokes[::order]]))
        for probabilities in recognizer.probabilities(np.stack(images)):
            np.testing.assert_allclose(probabilities, expected, atol=1e-3)


def test_slant_stretch_jitter_and_points_keep_the_answer_in_99_of_100_cells(recognizer, random):
    images, cells = [], []
    for digit, slant, (wide, high), jitter, points in product(
        range(10),
        (-20, -10, 0, 10, 20),  # degrees
        ((1, 1), (0.6, 1), (0.8, 1), (1, 0.8), (1, 0.6)),
        (0, 0.01, 0.02),  # of the digit's size, standard deviation: a hand that trembles
        (6, 40, 2000),  # a stroke
    ):
        shape = np.array([[wide, 0], [-np.tan(np.radians(slant)) * high, high]])
        strokes = [with_points(stroke, points) for stroke in drawing(digit)]
        trembling = min(points, 40)  # a slow mouse gives more points, not more tremor
        strokes = [s + with_points(random.normal(0, jitter, (trembling, 2)), points) for s in strokes]
        images.append(ink.from_strokes([stroke @ shape for stroke in strokes]))
        cells.append((digit, slant, wide / high, jitter, points))
    probabilities = recognizer.probabilities(np.stack(images))
    named = np.where(probabilities.max(axis=1) >= CONFIDENT, probabilities.argmax(axis=1), -1)
    wrong = [(cell, int(name)) for cell, name in zip(cells, named, strict=True) if name != cell[0]]
    assert len(wrong) <= 0.01 * len(cells), wrong
