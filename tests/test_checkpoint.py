"""A checkpoint comes back as it was written, and what is none is refused with a sentence."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet import CheckpointError, Recognizer, checkpoint, create
from resnet.devices import choose_device


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return checkpoint.Checkpoint("tutorial", create("tutorial").state_dict(), dict.fromkeys(checkpoint.HISTORY))


def test_a_checkpoint_rebuilds_its_network_and_keeps_its_history(trained, tmp_path):
    path = tmp_path / "new" / "a.pt"
    checkpoint.save(trained, path)
    loaded = checkpoint.load(path)
    assert loaded.history == trained.history and loaded.architecture == "tutorial" and loaded.unfinished is None
    for name, value in loaded.build().state_dict().items():
        assert torch.equal(value, trained.weights[name])
    assert os.listdir(path.parent) == ["a.pt"]


def test_a_failed_write_leaves_the_old_file_whole(trained, tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    checkpoint.save(trained, path)
    before = path.read_bytes()

    def half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(trained, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.pt"]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_file_that_carries_code_is_refused_and_nothing_runs(tmp_path):
    torch.save({"format": checkpoint.FORMAT, "weights": Bomb(tmp_path / "ran")}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil.pt .* more than plain data"):
        checkpoint.load(tmp_path / "evil.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match=r"old.pt is cut short, or is no PyTorch file"):
        checkpoint.load(tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


def test_missing_cut_damaged_and_foreign_files_each_get_a_sentence(trained, tmp_path):
    def refused(path, said):
        with pytest.raises(CheckpointError, match=said) as error:
            checkpoint.load(path)
        assert path.name in str(error.value) and "\n" not in str(error.value)

    refused(tmp_path / "none.pt", "there is no checkpoint .*train.py --output")
    refused(tmp_path, "there is no checkpoint")
    whole, path = tmp_path / "whole.pt", tmp_path / "a.pt"
    checkpoint.save(trained, whole)
    content = whole.read_bytes()
    for length in (0, 10, 1000, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, "cut short")
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])
    refused(path, "damaged")
    torch.save(create("tutorial").state_dict(), path)
    refused(path, "not written by this program")
    torch.save([1, 2], path)
    refused(path, "not written by this program")


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "resnet1"},
        {"architecture": ["tutorial"]},
        {"architecture": "resnet18"},
        {"weights": None},
        {"weights": {}},
        {"weights": {"conv1.weight": torch.zeros(3)}},
        {"surplus": 1},
        {"history": None},
        {"history": {"epochs": []}},
    ],
    ids=str,
)
def test_content_that_fits_no_network_is_refused_with_the_known_ones(trained, tmp_path, change):
    torch.save({"format": checkpoint.FORMAT, **vars(trained), **change}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"does not fit any network here .*tutorial") as error:
        checkpoint.load(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


def test_probabilities_are_rows_that_sum_to_one(trained, tmp_path, random):
    checkpoint.save(trained, tmp_path / "a.pt")
    recognizer = Recognizer.load(tmp_path / "a.pt", "cpu")
    images = random.random((7, 28, 28), np.float32)
    probabilities = recognizer.probabilities(images)
    assert probabilities.shape == (7, 10) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[3:4], recognizer.probabilities(images[3:4]), atol=1e-5)
    assert recognizer.probabilities(images[:0]).shape == (0, 10)
    for wrong in (images[0], images[:, None], images[:, :27]):
        with pytest.raises(ValueError, match="28, 28"):
            recognizer.probabilities(wrong)


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match="no device"):
        choose_device(device)
