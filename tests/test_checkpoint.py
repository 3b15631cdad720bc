"""A checkpoint comes back as it was written, and what is none is refused with a sentence."""

import copy
import os
import pickle
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet import CheckpointError, Recognizer, checkpoint, create
from resnet.devices import choose_device

HISTORY = {
    "data": "MNIST",
    "images": {"train": 55_000, "held_out": 5_000, "test": 10_000},
    "settings": {"arch": "tutorial", "lr": 3e-3, "plain": False},
    "versions": {"torch": "2"},
    "parameters": 42_790,
    "epochs": [{"train_loss": 0.5, "held_out_loss": 0.25, "held_out_accuracy": 0.75}],
    "temperature": 0.9,
    "test": {
        "loss": 0.1,
        "accuracy": 0.9,
        "confusion": [[1] * 10] * 10,
        "mistakes": [{"label": 1, "read": 7, "probability": 0.9, "image": [0] * 784}],
    },
}


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return checkpoint.Checkpoint("tutorial", create("tutorial").state_dict(), copy.deepcopy(HISTORY))


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
    ids=lambda value: str(value)[:40],
)
def test_content_that_fits_no_network_is_refused_with_the_known_ones(trained, tmp_path, change):
    torch.save({"format": checkpoint.FORMAT, **vars(trained), **change}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"does not fit any network here .*tutorial") as error:
        checkpoint.load(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(trained, tmp_path, value):
    name = next(iter(trained.weights))
    trained.weights[name].view(-1)[3] = value
    checkpoint.save(trained, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"{name} is not finite"):
        checkpoint.load(tmp_path / "a.pt")


def test_weights_without_numbers_are_refused(trained, tmp_path):
    trained.weights = {name: value.to("meta") for name, value in trained.weights.items()}
    checkpoint.save(trained, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="more than plain data"):
        checkpoint.load(tmp_path / "a.pt")


TEN_BILLION = b"\x8a\x05" + (10**10).to_bytes(5, "little") + b"\x85R."  # what was named before is called with that


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x80\x02cbuiltins\nbytearray\n" + TEN_BILLION, "more than plain data"),
        (b"\x80\x02ctorch\nTensor\n" + TEN_BILLION, "more than plain data"),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "damaged"),
        (b"\x80\x02}K\x01b.", "damaged|more than plain data"),
        (b"\x80\x02" + b"(" * 10**6, "damaged"),
        (b"no pickle", "damaged"),
    ],
    ids=["10 GB of bytes", "10 GB of numbers", "of nothing", "of one", "on one", "endless", "none"],
)
def test_a_pickle_that_no_train_py_wrote_is_refused_before_it_takes_memory(tmp_path, content, said):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load(tmp_path / "a.pt")
    assert time.monotonic() - begin < 2


def test_weights_that_say_they_are_none_are_refused(trained, tmp_path):
    trained.weights = OrderedDict(trained.weights)
    trained.weights.values = OrderedDict
    checkpoint.save(trained, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="methods of their own"):
        checkpoint.load(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["archive/data/0", "ARCHIVE/DATA/0"])
def test_two_entries_of_one_name_are_refused(trained, tmp_path, name):
    checkpoint.save(trained, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt", "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path / "a.pt")


def stretched(value):
    return value[:1].clone().expand(value.shape) if value.dim() else value


@pytest.mark.parametrize(
    ("change", "said"),
    [(torch.Tensor.double, "float64"), (torch.Tensor.half, "float16"), (stretched, "larger than the file")],
)
def test_weights_of_another_type_or_of_more_than_the_file_holds_are_refused(trained, tmp_path, change, said):
    trained.weights = {name: change(value) for name, value in trained.weights.items()}
    checkpoint.save(trained, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load(tmp_path / "a.pt")


def test_a_small_file_of_a_large_network_takes_little_memory(trained, tmp_path):
    """Nor does one that is packed: 400 MB of zeros in less than 1 MB."""
    import resource

    trained.architecture = "resnet152"
    checkpoint.save(trained, tmp_path / "claims.pt")
    with (
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("archive/data.pkl", "w") as entry,
    ):
        for _ in range(400):
            entry.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, said in (("claims.pt", "does not fit"), ("packed.pt", "damaged")):
        with pytest.raises(CheckpointError, match=said):
            checkpoint.load(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; resnet152 is 233 MB


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["data"], 5),
        (["data"], "MNIST\ud800"),
        (["images"], {"train": 1}),
        (["images", "test"], -1),
        (["settings"], {"arch": "small"}),
        (["settings", "lr"], [1]),
        (["settings", "arch"], "tutorial\ud800"),
        (["settings", "seed"], 10**40),
        (["versions", "torch"], "2" * 1000),
        (["parameters"], 5),
        (["epochs"], "many"),
        (["epochs"], HISTORY["epochs"] * 10_001),
        (["epochs", 0, "train_loss"], float("nan")),
        (["epochs", 0, "held_out_accuracy"], 99.7),
        (["temperature"], 0),
        (["temperature"], 2**1100),
        (["test"], True),
        (["test", "confusion"], [[1] * 10] * 9),
        (["test", "confusion"], [["1"] * 10] * 10),
        (["test", "mistakes"], {}),
        (["test", "mistakes", 0, "image"], [256] * 784),
        (["test", "mistakes", 0, "read"], 10),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_lying_history_is_refused_with_a_sentence(trained, tmp_path, place, value):
    at = trained.history
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    checkpoint.save(trained, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"does not fit any network here \(its ") as error:
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
