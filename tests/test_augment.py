"""What digits go through to be learnt from: still digits, in other hands, and some that are none."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from digits import drawings
from digits.augment import batch as augment
from digits.augment import habits, outliers
from digits.augment.scrawls import scrawls

LIMITS = {"TURN": 45.0, "STRETCH": 0.3, "SLANT": 0.5, "ZOOM": 0.3, "SHIFT": 6.0, "BEND": 2.0}


@pytest.fixture
def batch():
    digits = drawings.splits(copies=4).train
    return digits.images.float() / 255, digits.labels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_batch_comes_back_with_a_sixty_fourth_more_and_with_probabilities_for_labels(batch):
    images, labels = batch
    many = (part.repeat(4, *[1] * (part.dim() - 1)) for part in batch)
    assert len(augment.Augmentation(seed=0, count=50)(*many, generator())[0]) == 162
    learn = augment.Augmentation(seed=0, count=50)
    new, targets = learn(images, labels, generator())
    assert new.shape == (41, 1, 28, 28) and targets.shape == (41, 10)
    assert new.min() >= 0 and new.max() <= 1
    assert torch.equal(targets[:40].argmax(dim=1), labels) and torch.equal(targets[:40].sum(dim=1), torch.ones(40))
    torch.testing.assert_close(targets[40:], torch.full((1, 10), 0.1))
    again, other = learn(images, labels, generator())[0], learn(images, labels, generator(1))[0]
    assert torch.equal(new, again) and not torch.equal(new, other)


def still(monkeypatch, but=None):
    for name, most in LIMITS.items():
        monkeypatch.setattr(augment, name, most if name == but else 0.0)


def test_a_warp_of_no_size_fits_the_ink_into_the_box_about_its_centre_of_mass(batch, monkeypatch):
    still(monkeypatch)
    small = torch.nn.functional.pad(torch.nn.functional.avg_pool2d(batch[0], 2), (3, 11, 12, 2))
    y, x = np.mgrid[:28, :28]
    for image in augment.warp(small, generator())[:, 0].numpy():
        rows, columns = np.nonzero(image > 0.25)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
        assert (image * x).sum() / image.sum() == pytest.approx(14, abs=0.3)
        assert (image * y).sum() / image.sum() == pytest.approx(14, abs=0.3)


@pytest.mark.parametrize("limit", LIMITS)
def test_each_way_of_warping_does_something_by_itself(batch, monkeypatch, limit):
    still(monkeypatch)
    unchanged = augment.warp(batch[0], generator())
    still(monkeypatch, but=limit)
    assert (augment.warp(batch[0], generator()) - unchanged).abs().mean() > 0.01


def test_at_no_strength_images_are_only_fitted_into_the_box(batch, monkeypatch):
    calm = augment.repen(augment.warp(batch[0], generator(), 0), generator(), 0)
    half = augment.repen(augment.warp(batch[0], generator(), 0.5), generator(), 0.5)
    full = augment.repen(augment.warp(batch[0], generator()), generator())
    assert 0 < (half - calm).abs().mean() < (full - calm).abs().mean()
    still(monkeypatch)
    assert torch.equal(calm, augment.warp(batch[0], generator()))


def test_the_last_sixth_of_the_epochs_is_half_as_strong():
    assert [augment.strength_in(epoch, 12) for epoch in range(12)] == [1.0] * 10 + [0.5] * 2


def test_an_empty_image_stays_empty():
    assert not augment.warp(augment.repen(torch.zeros(3, 1, 28, 28), generator()), generator()).any()


def test_other_pens_are_wider_or_thinner(batch):
    ink = augment.repen(batch[0], generator()).sum((1, 2, 3)) / batch[0].sum((1, 2, 3))
    assert ink.min() < 0.9 and ink.max() > 1.1


def test_habits_add_a_stroke_to_some_zeros_ones_and_sevens_and_to_no_other(batch):
    images, labels = (part.repeat(20, *[1] * (part.dim() - 1)) for part in batch)
    new = habits.add(images, labels, generator())
    added = (new - images).sum((1, 2, 3))
    assert (new >= images).all() and new.max() <= 1
    for digit in range(10):
        share = (added[labels == digit] > 1).float().mean()
        assert 0.15 < share < 0.6 if digit in (0, 1, 7) else share == 0


def test_a_slash_crosses_the_middle_of_a_zero_and_a_flag_is_left_of_a_ones_top(batch):
    zeros = batch[0][batch[1] == 0].repeat(100, 1, 1, 1)
    slashed = habits.add(zeros, torch.zeros(len(zeros), dtype=torch.long), generator())
    crossed = slashed[:, 0, 13:16, 13:16].amax((1, 2)) > 0.9
    assert 0.15 < crossed.float().mean() < 0.35 and not (zeros[:, 0, 13:16, 13:16].amax((1, 2)) > 0.9).any()
    stem = torch.zeros(400, 1, 28, 28)
    stem[:, :, 4:24, 13:15] = 1
    flagged = habits.add(stem, torch.ones(400, dtype=torch.long), generator()) - stem
    assert flagged[:, 0, :14, :12].sum() > 10 * flagged[:, 0, :14, 17:].sum()


def test_a_flag_is_never_as_level_as_a_sevens_bar_and_the_more_level_the_shorter():
    stem = torch.zeros(2000, 28, 28)
    stem[:, 4:24, 13:15] = 1
    top, middle, end = habits._flag(stem, generator()).unbind(1)
    left, down = (top - end)[:, 0], (end - top)[:, 1]
    level, length = torch.atan2(left, down).rad2deg(), torch.hypot(left, down)  # 90 degrees is a seven's bar
    assert 15 < level.min() < 25 and 60 < level.max() < 66
    assert length[level > 64].max() < 7.6 < 15 < length[level < 45].max() < 17.1
    bowed = torch.hypot(*(middle - top).T) + torch.hypot(*(end - middle).T) - length
    assert 0.25 < (bowed > 1e-4).float().mean() < 0.4 and bowed.max() < 1


def test_outliers_are_of_three_kinds_and_none_is_a_digit_as_it_was(batch):
    images, labels = batch
    others = outliers.draw(images, labels, scrawls(30, seed=0), 12, generator())
    assert others.shape == (12, 1, 28, 28) and others.min() >= 0 and others.max() <= 1
    assert (others[:, None] - images[None]).abs().sum((2, 3, 4)).min() > 1


def test_where_a_batch_has_room_for_a_single_outlier_each_kind_comes_in_its_turn(batch, monkeypatch):
    images, labels = batch
    counts = []
    monkeypatch.setattr(outliers, "turned", lambda images, labels, count, _: counts.append((0, count)) or images[:0])
    monkeypatch.setattr(outliers, "paired", lambda images, count, _: counts.append((1, count)) or images[:0])
    draws, some = generator(), scrawls(3, seed=0)
    scrawled = sum(len(outliers.draw(images, labels, some, 1, draws)) for _ in range(400))
    turned, paired = (sum(count for kind, count in counts if kind == which) for which in (0, 1))
    assert turned + paired + scrawled == 400 and 60 < turned < 140 and 60 < paired < 140


def test_only_digits_that_are_none_afterwards_are_turned(batch):
    images, labels = batch
    for digit in (0, 8):
        assert len(outliers.turned(images[labels == digit], labels[labels == digit], 5, generator())) == 0
    assert len(outliers.turned(images, labels, 5, generator())) == 5


def test_pairs_show_two_pieces_side_by_side(batch):
    images, labels = batch
    ones = images[labels == 1].repeat(4, 1, 1, 1)
    for pair in outliers.paired(ones, 8, generator())[:, 0]:
        dark = (pair.amax(dim=0) > 0.5).int().tolist()
        assert sum(b > a for a, b in pairwise(dark)) == 2
