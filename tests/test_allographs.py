"""Digits written from scratch: each allograph looks like its digit, and no two samples are alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from digits import ink
from digits.augment import allographs

TABLE = Path(allographs.__file__).with_suffix(".txt").read_text("utf-8")
ALLOGRAPHS = {allograph.name: allograph for allograph in allographs.read(TABLE)}
BORDERS = [name for name, allograph in ALLOGRAPHS.items() if len(set(allograph.digits)) > 1]


def samples(name, count, random):
    """Images (count, 28, 28) and targets (count, 10)."""
    strokes, targets = zip(*(allographs.write(ALLOGRAPHS[name], random) for _ in range(count)), strict=True)
    return np.stack([ink.from_strokes(s) for s in strokes]), np.stack(targets)


@pytest.mark.parametrize("name", ALLOGRAPHS)
def test_samples_of_an_allograph_are_different_images_with_its_label(name, random):
    images, targets = samples(name, 4, random)
    assert images.min() >= 0 and images.max() == 1
    assert len({image.tobytes() for image in images}) == 4
    np.testing.assert_allclose(targets.sum(1), 1)
    if name not in BORDERS:
        assert (targets[:, int(name[0])] == 1).all()


@pytest.mark.parametrize("name", BORDERS)
def test_only_samples_between_two_digits_are_labelled_as_both(name, random):
    first, last = ALLOGRAPHS[name].digits
    targets = samples(name, 200, random)[1]
    unsure = (targets > 0).sum(1) > 1
    assert unsure.mean() == pytest.approx(0.4, abs=0.1)
    assert (targets[:, [first, last]].sum(1) == 1).all()
    assert targets[:, first].mean() == pytest.approx(0.5, abs=0.1)


def holes(image):
    """How many pieces of paper, of 3 pixels or more, the ink encloses."""
    pieces, _ = ndimage.label(np.pad(image, 1) < 0.5)
    return (np.bincount(pieces[pieces > 0]) >= 3).sum() - 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0 round", 1),
        ("1 plain", 0),
        ("1 flagged", 0),
        ("2 with a corner", 0),
        ("3 round", 0),
        ("4 closed", 1),
        ("5 in one stroke", 0),
        ("6 with a big bowl", 1),
        ("7 plain", 0),
        ("8 of two rings", 2),
        ("9 of a ring and a stem", 1),
    ],
)
def test_an_allograph_encloses_as_much_paper_as_its_digit(name, expected, random):
    found = [holes(image) for image in samples(name, 40, random)[0]]
    assert found.count(expected) >= 32, found


def test_every_digit_has_at_least_ten_allographs_of_names_of_their_own():
    names = [line.split(":")[0] for line in TABLE.splitlines() if line and line[0].isdigit()]
    assert len(set(names)) == len(names)
    assert all(sum(name[0] == str(digit) for name in names) >= 10 for digit in range(10))


def test_written_digits_are_the_same_for_the_same_seed():
    images, targets = allographs.written(20, seed=0)
    assert images.shape == (20, 1, 28, 28) and images.dtype == torch.uint8 and targets.shape == (20, 10)
    assert (images.amax((1, 2, 3)) == 255).all()
    again, other = allographs.written(20, seed=0), allographs.written(20, seed=1)
    assert torch.equal(images, again[0]) and torch.equal(targets, again[1]) and not torch.equal(images, other[0])


def test_digits_are_written_as_often_as_their_shares_say(monkeypatch):
    monkeypatch.setattr(ink, "from_strokes", lambda strokes: ink.blank())
    _, targets = allographs.written(4000, seed=0)
    expected = allographs.SHARES / allographs.SHARES.sum()
    np.testing.assert_allclose(targets.mean(0), expected, atol=0.025)


def test_a_table_whose_forms_do_not_match_is_refused():
    with pytest.raises(ValueError):
        list(allographs.read("1 plain: 1\n    50,0 50,100\n    50,0 50,50 50,100\n"))
    with pytest.raises(ValueError):
        list(allographs.read("1 plain: 1\n    50,0 50,100\n    50,0 50,100 / 0,0 9,9\n"))


def test_arcs_corners_and_other_digits_are_read():
    (allograph,) = allographs.read("# note\n1 or 7: 2\n    @1,2,3,4,5,-6 7,8!\n    7: @1,2,3,4,5,-6 9,8!\n")
    assert allograph.name == "1 or 7" and allograph.share == 2 and allograph.digits == [1, 7]
    (stroke,) = allograph.strokes
    assert stroke.numbers.tolist()[1] == [[1, 2, 3, 4, 5, -6], [9, 8, 0, 0, 0, 0]]
    assert stroke.arcs.tolist() == [True, False] and stroke.corners.tolist() == [False, True]


def test_rounding_keeps_the_ends_and_cuts_the_corner():
    path = np.concatenate([np.linspace((0, 0), (50, 0), 51), np.linspace((50, 1), (50, 50), 50)])
    rounded = allographs._rounded(path, 3)
    np.testing.assert_allclose(rounded[[0, -1]], path[[0, -1]], atol=1e-9)
    assert len(rounded) == len(path) and np.hypot(*(rounded - (50, 0)).T).min() > 1
