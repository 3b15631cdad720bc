"""Scrawls: reproducible by seed, of every kind, and never a mere line."""

import numpy as np
import pytest
import torch

from digits.augment import scrawls as scrawls_module
from digits.augment.scrawls import SHARES, scrawls


def test_scrawls_are_images_with_ink_and_the_same_for_the_same_seed():
    drawn = scrawls(30, seed=0)
    assert drawn.shape == (30, 1, 28, 28) and drawn.dtype == torch.uint8
    assert (drawn.amax((1, 2, 3)) > 200).all()
    assert torch.equal(drawn, scrawls(30, seed=0)) and not torch.equal(drawn, scrawls(30, seed=1))


def test_the_shares_of_all_kinds_are_positive_and_sum_to_one():
    assert sum(SHARES.values()) == pytest.approx(1) and min(SHARES.values()) > 0


@pytest.mark.parametrize("kind", SHARES, ids=lambda kind: kind.__name__)
def test_each_kind_gives_finite_strokes_and_never_the_same_twice(kind, random):
    drawings = [kind(random) for _ in range(50)]
    for strokes in drawings:
        assert all(stroke.ndim == 2 and stroke.shape[1] == 2 and np.isfinite(stroke).all() for stroke in strokes)
    assert len({np.concatenate(strokes).tobytes() for strokes in drawings}) == 50


def test_an_outline_ends_where_it_began_and_a_scribble_turns_back_at_least_four_times(random):
    for _ in range(50):
        (outline,), (scribble,) = scrawls_module._outline(random), scrawls_module._scribble(random)
        assert np.linalg.norm(outline[0] - outline[-1]) < 1e-6 and np.ptp(outline, axis=0).min() > 0.3
        across = scribble @ np.linalg.svd(np.diff(scribble, axis=0), full_matrices=False)[2][0]
        assert (np.diff(np.sign(np.diff(across))) != 0).sum() >= 4


def test_a_line_is_left_out(monkeypatch):
    def line(random):
        return [np.array([[0, 0], [1, 3]]) if random.random() < 0.9 else np.array([[0, 0], [1, 3], [3, 0]])]

    monkeypatch.setattr("digits.augment.scrawls.SHARES", {line: 1.0})
    assert (scrawls(20, seed=0)[:, 0, :, 20:].amax((1, 2)) > 200).all()
