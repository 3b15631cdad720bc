"""Augmented digits are still digits; outliers are not."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from digits import drawings
from digits.augment import batch as augment
from digits.augment import habits, outliers
from digits.augment.scrawls import scrawls

MOTIONS = {
    "to the left": lambda image: image.rot90(1, (1, 2)),
    "to the right": lambda image: image.rot90(-1, (1, 2)),
    "upside down": lambda image: image.rot90(2, (1, 2)),
    "mirrored": lambda image: image.flip(2),
    "top to bottom": lambda image: image.flip(1),
}
STILL_DIGITS = {  # by motion: those that may be read as themselves or as another
    "to the left": (0, 8),
    "to the right": (0, 8),
    "upside down": (0, 1, 2, 5, 6, 8, 9),
    "mirrored": (0, 1, 2, 5, 8),
    "top to bottom": (0, 1, 2, 3, 5, 6, 8),
}
LIMITS = {"TURN": 45.0, "STRETCH": 0.3, "SLANT": 0.5, "ZOOM": 0.3, "SHIFT": 6.0, "BEND": 2.0}


@pytest.fixture
def batch():
    digits = drawings.splits(copies=4).train
    return digits.images.float() / 255, digits.labels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_batch_gains_a_third_of_written_digits_a_64th_of_outliers_and_probabilities_for_labels(batch):
    images, labels = batch
    many = (part.repeat(4, *[1] * (part.dim() - 1)) for part in batch)
    assert len(augment.Augmentation(seed=0, count=50)(*many, generator())[0]) == 160 + 53 + 2
    augmentation = augment.Augmentation(seed=0, count=50)
    new, targets = augmentation(images, labels, generator())
    assert new.shape == (40 + 13 + 1, 1, 28, 28) and targets.shape == (54, 10)
    assert new.min() >= 0 and new.max() <= 1
    assert torch.equal(targets[:40].argmax(dim=1), labels) and torch.equal(targets[:40].sum(dim=1), torch.ones(40))
    assert ((targets[40:53] > 0).sum(dim=1) <= 2).all() and torch.equal(targets[40:53].sum(dim=1), torch.ones(13))
    torch.testing.assert_close(targets[53:], torch.full((1, 10), 0.1))
    again, other = (augmentation(images, labels, generator(seed))[0] for seed in (0, 1))
    assert torch.equal(new, again) and not torch.equal(new, other)


def test_written_digits_keep_their_labels_in_a_batch(batch, monkeypatch):
    augmentation = augment.Augmentation(seed=0, count=50)
    shades = torch.arange(50).mul(5)[:, None, None, None].expand(50, 1, 28, 28).to(torch.uint8)  # so that each is known
    monkeypatch.setattr(augmentation, "written", (shades, augmentation.written[1]))
    monkeypatch.setattr(augment, "warp", lambda images, *_: images)
    monkeypatch.setattr(augment, "repen", lambda images, *_: images)
    images, targets = augmentation(*batch, generator())
    chosen = (images[40:53, 0, 0, 0] * 51).round().long()
    assert len(set(chosen.tolist())) > 5
    assert torch.equal(targets[40:53], augmentation.written[1][chosen])


def set_limits(monkeypatch, only=None):
    for name, limit in LIMITS.items():
        monkeypatch.setattr(augment, name, limit if name == only else 0.0)


def test_without_limits_warp_only_fits_the_ink_into_the_box_about_its_centre_of_mass(batch, monkeypatch):
    set_limits(monkeypatch)
    small = torch.nn.functional.pad(torch.nn.functional.avg_pool2d(batch[0], 2), (3, 11, 12, 2))
    y, x = np.mgrid[:28, :28]
    for image in augment.warp(small, generator())[:, 0].numpy():
        rows, columns = np.nonzero(image > 0.25)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
        assert (image * x).sum() / image.sum() == pytest.approx(14, abs=0.3)
        assert (image * y).sum() / image.sum() == pytest.approx(14, abs=0.3)


@pytest.mark.parametrize("limit", LIMITS)
def test_each_limit_of_warp_has_an_effect_by_itself(batch, monkeypatch, limit):
    set_limits(monkeypatch)
    unchanged = augment.warp(batch[0], generator())
    set_limits(monkeypatch, only=limit)
    assert (augment.warp(batch[0], generator()) - unchanged).abs().mean() > 0.01


def measured(image):
    """Of an upright stem: x and y of its centre, its height in pixels, and its lean, sideways per pixel up."""
    y, x = np.mgrid[:28, :28]
    x_mean, y_mean = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
    lean = -(image * (x - x_mean) * (y - y_mean)).sum() / (image * (y - y_mean) ** 2).sum()
    return x_mean, y_mean, np.sqrt(12 * (image * (y - y_mean) ** 2).sum() / image.sum()), lean


@pytest.mark.parametrize(
    ("limit", "index", "low", "high"),
    [
        ("TURN", 3, -np.tan(np.radians(45)), np.tan(np.radians(45))),
        ("SLANT", 3, -0.5, 0.5),
        ("SHIFT", 0, 8, 20),
        ("ZOOM", 2, 14, 26),
    ],
)
def test_a_stem_is_turned_slanted_shifted_and_zoomed_evenly_up_to_the_limits(monkeypatch, limit, index, low, high):
    set_limits(monkeypatch, only=limit)
    stems = torch.zeros(400, 1, 28, 28)
    stems[:, :, 4:24, 13:16] = 1
    values = np.array([measured(image)[index] for image in augment.warp(stems, generator())[:, 0].numpy()])
    margin = 0.1 * (high - low)
    assert abs(values.min() - low) < margin and abs(values.max() - high) < margin
    assert np.mean(values) == pytest.approx((low + high) / 2, abs=margin)


def test_at_no_strength_images_are_only_fitted_into_the_box(batch, monkeypatch):
    calm = augment.repen(augment.warp(batch[0], generator(), 0), generator(), 0)
    half = augment.repen(augment.warp(batch[0], generator(), 0.5), generator(), 0.5)
    full = augment.repen(augment.warp(batch[0], generator()), generator())
    assert 0 < (half - calm).abs().mean() < (full - calm).abs().mean()
    set_limits(monkeypatch)
    assert torch.equal(calm, augment.warp(batch[0], generator()))


def test_the_last_sixth_of_the_epochs_is_half_as_strong():
    assert [augment.strength_in(epoch, 12) for epoch in range(12)] == [1.0] * 10 + [0.5] * 2


def test_an_empty_image_stays_empty():
    assert not augment.warp(augment.repen(torch.zeros(3, 1, 28, 28), generator()), generator()).any()


def test_other_pens_are_wider_or_thinner(batch):
    ink = augment.repen(batch[0], generator()).sum((1, 2, 3)) / batch[0].sum((1, 2, 3))
    assert ink.min() < 0.9 and ink.max() > 1.1


def test_habits_add_a_stroke_to_some_zeros_ones_and_sevens_only(batch):
    images, labels = (part.repeat(20, *[1] * (part.dim() - 1)) for part in batch)
    new = habits.add(images, labels, generator())
    added = (new - images).sum((1, 2, 3))
    assert (new >= images).all() and new.max() <= 1
    for digit in range(10):
        share = (added[labels == digit] > 1).float().mean()
        assert 0.15 < share < 0.6 if digit in (0, 1, 7) else share == 0


def test_a_slash_rises_through_the_middle_of_a_zero_and_a_flag_is_left_of_a_ones_top(batch):
    zeros = batch[0][batch[1] == 0].repeat(100, 1, 1, 1)
    slashed = habits.add(zeros, torch.zeros(len(zeros), dtype=torch.long), generator())
    crossed = slashed[:, 0, 13:16, 13:16].amax((1, 2)) > 0.9
    assert 0.15 < crossed.float().mean() < 0.35 and not (zeros[:, 0, 13:16, 13:16].amax((1, 2)) > 0.9).any()
    added = (slashed - zeros)[:, 0].mean(0)
    rising, falling = added[:14, 15:].sum() + added[15:, :14].sum(), added[:14, :14].sum() + added[15:, 15:].sum()
    assert rising > 5 * falling
    stem = torch.zeros(400, 1, 28, 28)
    stem[:, :, 4:24, 13:15] = 1
    flagged = habits.add(stem, torch.ones(400, dtype=torch.long), generator()) - stem
    assert flagged[:, 0, :14, :12].sum() > 10 * flagged[:, 0, :14, 17:].sum()


def test_a_foot_stands_below_a_one_and_a_bar_crosses_the_middle_of_a_seven():
    stem = torch.zeros(400, 1, 28, 28)
    stem[:, :, 4:24, 13:15] = 1
    for draw, rows in ((habits._foot, (22.5, 23.5, 24.5)), (habits._bar, (11, 14.5, 18))):
        left, right = draw(stem[:, 0], generator()).unbind(1)
        middle = (left[:, 1] + right[:, 1]) / 2
        assert (left[:, 0] < 13).all() and (right[:, 0] > 15).all()
        assert (right - left)[:, 1].abs().le(0.27 * (right - left)[:, 0]).all()  # 15 degrees
        assert rows[0] < middle.min() and middle.max() < rows[2] and middle.mean() == pytest.approx(rows[1], abs=0.3)


def test_a_habit_is_drawn_with_the_pen_of_its_digit():
    for width in (2, 4):
        stem = torch.zeros(200, 1, 28, 28)
        stem[:, :, 4:24, 12 : 12 + width] = 1
        pen = 20 * width / (20 + width)  # twice the stem's area over its outline's length
        torch.testing.assert_close(habits._pen_width(stem[:, 0]), torch.full((200,), pen), rtol=0.05, atol=0)
        added = habits.add(stem, torch.full((200,), 7), generator()) - stem
        barred = added[added.sum((1, 2, 3)) > 0, 0, :, 12 + width]
        assert barred.sum(1).mean() == pytest.approx(pen, rel=0.05)


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
    straight = top + 0.4 * (end - top)
    assert (middle - straight)[:, 1].max() < 1e-4 and (middle - straight)[:, 0].max() < 1e-4  # up and to the left


def test_no_outlier_is_an_unchanged_digit(batch):
    images, labels = batch
    drawn = outliers.draw(images, labels, scrawls(30, seed=0), 12, generator())
    assert drawn.shape == (12, 1, 28, 28) and drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn[:, None] - images[None]).abs().sum((2, 3, 4)).min() > 1


def test_single_outliers_are_of_all_three_kinds_in_their_shares(batch, monkeypatch):
    images, labels = batch
    counts = []
    monkeypatch.setattr(outliers, "turned", lambda images, labels, count, _: counts.append((0, count)) or images[:0])
    monkeypatch.setattr(outliers, "paired", lambda images, count, _: counts.append((1, count)) or images[:0])
    draws, some = generator(), scrawls(3, seed=0)
    scrawled = sum(len(outliers.draw(images, labels, some, 1, draws)) for _ in range(400))
    turned, paired = (sum(count for kind, count in counts if kind == which) for which in (0, 1))
    assert turned + paired + scrawled == 400 and 60 < turned < 140 and 60 < paired < 140


@pytest.mark.parametrize("digit", range(10))
def test_a_turned_digit_is_no_longer_a_digit(batch, digit):
    images, labels = (part[batch[1] == digit] for part in batch)
    turned = [outliers.turned(images, labels, 4, generator(seed)) for seed in range(40)]
    found = {
        motion
        for image in torch.cat(turned)
        for motion, moved in MOTIONS.items()
        if any(torch.equal(image, moved(original)) for original in images)
    }
    assert found == {motion for motion in MOTIONS if digit not in STILL_DIGITS[motion]}


def test_as_many_digits_are_turned_as_asked_for(batch):
    assert [len(outliers.turned(*batch, count, generator())) for count in (0, 1, 5)] == [0, 1, 5]


def test_pairs_show_two_pieces_side_by_side(batch):
    images, labels = batch
    ones = images[labels == 1].repeat(4, 1, 1, 1)
    for pair in outliers.paired(ones, 8, generator())[:, 0]:
        dark = (pair.amax(dim=0) > 0.5).int().tolist()
        assert sum(b > a for a, b in pairwise(dark)) == 2


def test_pairs_fill_the_box_and_either_one_may_stand_lower(batch):
    pairs = torch.cat([outliers.paired(batch[0], 4, generator(seed))[:, 0] for seed in range(60)])
    assert not pairs[:, :, :4].any() and not pairs[:, :, 24:].any() and not pairs[:, :4].any()
    tops = [(half.amax(2) > 0.5).int().argmax(1).float() for half in (pairs[:, :, :13], pairs[:, :, 15:])]
    lower = (tops[0] - tops[1]).view(60, 4).mean(1)
    assert (lower > 1).sum() > 10 and (lower < -1).sum() > 10
