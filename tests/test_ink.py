"""Ink as pixels: position, size and shade of a drawing make no difference."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits import ink, picture
from digits.drawings import DRAWINGS
from resnet import Recognizer

DIGITS = list(range(10))


def strokes_of(digit):
    return [np.array(stroke, float) for stroke in DRAWINGS[digit]]


def on_canvas(digit, height=280, width=300, top=31, left=57, enlarge=1):
    """A (28, 28) digit of [0, 255] on a large black canvas."""
    canvas = np.zeros((height, width), np.uint8)
    digit = np.kron(digit, np.ones((enlarge, enlarge), np.uint8))
    canvas[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return canvas


@pytest.mark.parametrize("digit", DIGITS)
@pytest.mark.parametrize(("scale", "shift"), [(0.001, 0), (1, (-500, 9000)), (37.5, 12.25), (1e6, -1e7)])
def test_strokes_anywhere_at_any_size_give_the_same_image(digit, scale, shift):
    moved = [stroke * scale + shift for stroke in strokes_of(digit)]
    np.testing.assert_allclose(ink.from_strokes(moved), ink.from_strokes(strokes_of(digit)), atol=1e-4)


@pytest.mark.parametrize("digit", DIGITS)
def test_order_and_direction_of_strokes_make_no_difference(digit):
    backwards = [stroke[::-1] for stroke in strokes_of(digit)][::-1]
    np.testing.assert_allclose(ink.from_strokes(backwards), ink.from_strokes(strokes_of(digit)), atol=1e-5)


def circle(points):
    angles = np.linspace(0, 2 * np.pi, points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_few_points_far_apart_are_joined_by_a_curve_and_corners_of_up_to_four_points_stay():
    few, many = circle(9), circle(200)
    corners = np.stack([np.interp(np.linspace(0, 8, 201), np.arange(9), axis) for axis in few.T], axis=1)
    octagon = np.abs(ink.from_strokes([corners]) - ink.from_strokes([many])).sum()
    for stroke in (few, np.repeat(few, 2, axis=0)):  # a mouse that rests repeats points
        assert np.abs(ink.from_strokes([stroke]) - ink.from_strokes([many])).sum() < octagon / 3
    taps = [few[:1]] * ink.MAX_SMOOTHED
    np.testing.assert_allclose(ink.from_strokes([few, *taps]), ink.from_strokes([corners]), atol=1e-4)
    z = np.array([(0, 0), (10, 0), (0, 10), (10, 10)])
    dense = np.stack([np.interp(np.linspace(0, 3, 301), np.arange(4), axis) for axis in z.T], axis=1)
    np.testing.assert_allclose(ink.from_strokes([z]), ink.from_strokes([dense]), atol=1e-4)


@pytest.mark.parametrize("digit", DIGITS)
def test_ink_fills_the_20_pixel_box_about_its_centre_of_mass(digit):
    image = ink.from_strokes(strokes_of(digit))
    assert image.shape == (28, 28) and image.dtype == np.float32
    assert image.min() == 0 and image.max() == 1
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (20, 21, 22)  # the pen's soft edge adds part of a pixel
    y, x = np.mgrid[:28, :28]
    assert (image * x).sum() / image.sum() == pytest.approx(14, abs=0.1)
    assert (image * y).sum() / image.sum() == pytest.approx(14, abs=0.1)


def test_aspect_ratio_is_kept():
    rows, columns = np.nonzero(ink.from_strokes([[(0, 0), (0, 100)]]))
    assert np.ptp(columns) + 1 <= 4 and np.ptp(rows) + 1 >= 20


def test_no_stroke_is_blank_and_a_tap_is_a_dot():
    assert not ink.from_strokes([]).any()
    assert not ink.from_strokes([[]]).any()
    dot = ink.from_strokes([[(7, 9)]])
    assert dot.sum() == pytest.approx(np.pi * (ink.PEN_WIDTH / 2) ** 2, rel=0.1)
    assert np.array_equal(dot, ink.from_strokes([[(0.5, 0.5), (0.5, 0.5)]]))


@pytest.mark.parametrize(("axis", "direction"), [(0, 1), (0, -1), (1, 1), (1, -1)])
def test_a_lopsided_drawing_is_not_pushed_off_the_edge(axis, direction):
    flag = [[(0, 0), (0, 100)], [(90 * (i % 2), 2 * i) for i in range(10)]]  # its centre of mass is far up
    flag = [direction * np.array(stroke)[:, :: 1 if axis == 0 else -1] for stroke in flag]
    occupied = np.nonzero(ink.from_strokes(flag))[axis]
    assert (occupied.min(), occupied.max()) == ((8, 27) if direction == 1 else (0, 19))


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        (None, "list of strokes"),
        ("12", "list of strokes"),
        ({"x": 1}, "list of strokes"),
        ([5], "Stroke 1 must"),
        (["5"], "Stroke 1 must"),
        ([[(0, 0)], None], "Stroke 2 must"),
        ([[(0, 0)], {}], "Stroke 2 must"),
        ([[1, 2, 3]], "Stroke 1 must"),
        ([[(1, 2, 3)]], "Stroke 1 must"),
        ([[(1, 2), (3,)]], "Stroke 1 must"),
        ([[("a", "b")]], "Stroke 1 must"),
        ([[(0, 10**400)]], "Stroke 1 must"),
        ([[(0, float("nan"))]], "Stroke 1 must"),
        ([[(0, float("inf"))]], "Stroke 1 must"),
        ([[(0, 1e300), (0, -1e300)]], "Stroke 1 must"),
        ([[(0, 0)] * (ink.MAX_POINTS + 1)], "6,000 points"),
        ([[]] * (ink.MAX_STROKES + 1), "200 strokes"),
    ],
)
def test_malformed_strokes_are_refused(strokes, message):
    with pytest.raises(ValueError, match=message):
        ink.from_strokes(strokes)


@pytest.mark.parametrize("enlarge", [1, 5, 9])
@pytest.mark.parametrize("white_paper", [False, True])
def test_mnist_image_on_a_canvas_comes_back_as_itself(mnist, enlarge, white_paper):
    images = mnist.test.images[:200, 0].numpy()
    same = 0
    for image in images:
        canvas = on_canvas(image, height=320, width=330, enlarge=enlarge)
        read = ink.from_image(255 - canvas if white_paper else canvas)
        same += np.abs(read - image / 255).max() < 0.003
    assert same >= 199  # 13 of the 60,000 training images fill 19 pixels of the box instead of 20, and are enlarged


def picture_of(digit):
    """(280, 300) uint8, light on dark: the drawing by a round pen that is as wide as the pad's."""
    image = Image.new("L", (1200, 1120))
    draw = ImageDraw.Draw(image)
    for stroke in [stroke * 8 + 200 for stroke in strokes_of(digit)]:
        draw.line([tuple(point) for point in stroke], fill=255, width=80, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            draw.ellipse((x - 40, y - 40, x + 40, y + 40), fill=255)
    return np.asarray(image.reduce(4))


@pytest.mark.parametrize("digit", DIGITS)
def test_a_picture_of_a_drawing_comes_back_in_every_form(digit):
    grey = picture_of(digit)
    expected = ink.from_image(grey)
    assert np.abs(expected - ink.from_strokes(strokes_of(digit))).mean() < 0.06
    holes = np.indices(grey.shape).sum(0) % 50 < 5 * (grey == 0)
    black, white = np.zeros_like(grey), np.full_like(grey, 255)
    forms = {
        "white paper": 255 - grey,
        "RGB": np.stack([grey] * 3, axis=2),
        "float": grey / 255,
        "16 bit": grey.astype(np.uint16) * 257,
        "light ink on nothing": np.stack([white] * 3 + [grey], axis=2),
        "dark ink on nothing": np.stack([black] * 3 + [grey], axis=2),
        "grey and alpha": np.stack([black, grey], axis=2),
        "paper with holes": np.stack([255 - grey] * 3 + [np.where(holes, 0, 255).astype(np.uint8)], axis=2),
        "PIL": Image.fromarray(grey),
        "PIL with alpha": Image.fromarray(np.stack([black] * 3 + [grey], axis=2), "RGBA"),
        "PIL CMYK": Image.fromarray(np.stack([grey] * 3, axis=2)).convert("CMYK"),
        "faint pencil": (200 - grey * 0.3).astype(np.uint8),
    }
    for name, form in forms.items():
        assert np.abs(ink.from_image(form) - expected).mean() < 0.01, name


def test_red_green_and_blue_ink_are_as_dark_as_they_look():
    picture = np.full((40, 30, 3), 255, np.uint8)
    for channel, rows in enumerate((slice(10, 17), slice(17, 24), slice(24, 30))):
        picture[rows, 14:17] = np.eye(3)[channel] * 255
    image = ink.from_image(picture).max(axis=1)
    darkness = 1 - np.array([0.299, 0.587, 0.114])  # of each, on white paper; blue, the darkest, becomes 1
    np.testing.assert_allclose(image[[6, 13, 20]], darkness / darkness.max(), atol=0.01)


@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 40])
def test_lines_of_any_width_become_as_wide_as_the_pads(width):
    image = Image.new("L", (400, 400))
    ImageDraw.Draw(image).line([(100, 50), (300, 350)], fill=255, width=width)
    usual = ink.from_strokes([[(100, 50), (300, 350)]])
    assert ink.from_image(image).sum() / usual.sum() == pytest.approx(1, abs=0.5 if 5 <= width <= 20 else 0.2)


def test_a_lopsided_picture_is_not_pushed_off_the_edge():
    picture = np.zeros((40, 40), np.uint8)
    picture[10:30, 20:23] = picture[10:16, 10:30] = 255
    image = ink.from_image(picture)
    rows, columns = np.nonzero(image > 0.5)
    assert image.sum() == pytest.approx((picture / 255).sum(), rel=0.01)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 20) and rows.max() == 27


def test_a_large_picture_reads_like_a_small_one():
    small = picture_of(3)
    large = np.kron(small, np.ones((9, 9), np.uint8))
    assert max(large.shape) > 2 * picture.SHRUNK
    assert np.abs(ink.from_image(large) - ink.from_image(small)).max() < 0.1


def test_50_megapixels_take_little_memory():
    photo = np.full((7071, 7071), 255, np.uint8)
    photo[1000:6000, 3000:3500] = 0
    tracemalloc.start()
    assert ink.from_image(photo).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # bytes; the picture itself is 50e6


@pytest.mark.parametrize("digit", DIGITS)
@pytest.mark.parametrize("blackboard", [False, True])
def test_a_photo_in_uneven_light_is_read(random, digit, blackboard):
    light = np.linspace(0.4, 0.9, 300)[None, :] * np.linspace(0.9, 1, 280)[:, None]
    drawn = picture_of(digit) / 255
    photo = light * (1 - 0.65 * drawn)
    photo = (1 - photo if blackboard else photo) + random.normal(0, 0.012, drawn.shape)
    image = ink.from_image(photo.clip(0, 1))
    assert Recognizer.load(device="cpu").probabilities(image[None]).argmax() == digit


def test_a_photo_of_empty_paper_is_blank(random):
    light = np.linspace(0.4, 0.9, 300)[None, :] * np.linspace(0.9, 1, 280)[:, None]
    assert not ink.from_image(light + random.normal(0, 0.012, light.shape)).any()


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_picture_is_blank(shade):
    assert not ink.from_image(np.full((50, 60), shade, np.uint8)).any()
    assert not ink.from_image(np.full((1, 1), shade, np.uint8)).any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5)), "the shape .* not .0, 5."),
        (np.zeros((4, 5, 6)), "the shape"),
        (np.zeros(7), "the shape"),
        (np.full((5, 5), 2.0), r"\[0, 1\]"),
        (np.full((5, 5), np.nan), r"\[0, 1\]"),
        (np.array([["a", "b"]]), "numbers"),
        (np.full((5, 5), -1), r"\[0, 1\]"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000)), "50,000,000 pixels"),
        (None, "the shape"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        ink.from_image(image)
