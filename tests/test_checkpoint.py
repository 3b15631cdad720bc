"""A checkpoint comes back as it was written, and what is none is refused with a sentence."""

import copy
import io
import os
import pickle
import subprocess
import sys
import time
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from conftest import ROOT

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
        "confusion": [[1] * 10 for _ in range(10)],
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

    def half(file):
        os.ftruncate(file, os.fstat(file).st_size // 2)
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", half)
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


def tensor(key, size):
    """The pickle of one number, in a record of so many bytes."""
    storage = b"(X\x07\0\0\0storagectorch\nByteStorage\n" + key + b"X\3\0\0\0cpuJ" + size.to_bytes(4, "little") + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0K\1\x85K\1\x85\x89)tR"


def archive_of(pickle, records=()):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, record in {"data.pkl": pickle, "version": b"3\n", **dict(records)}.items():
            archive.writestr(f"archive/{name}", record)
    return content.getvalue()


def packed():
    """400 MB of zeros in less than 1 MB."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(400 * 2**20))
    return content.getvalue()


def two_in_one():
    """For who reads from the front an old pickle that takes 400 MB, for who reads from the end an archive."""
    return (
        b"\x80\x02cbuiltins\nbytearray\nJ" + (400 * 2**20).to_bytes(4, "little") + b"\x85R." + archive_of(b"\x80\x02}.")
    )


def lists_of_lists():
    """A list of 10,000 pairs, made a dictionary 300 times."""
    pairs = b"](" + b"".join(b"M" + i.to_bytes(2, "little") + b"K\0\x86" for i in range(10_000)) + b"eq\1\x85q\2"
    return archive_of(b"\x80\x02](ccollections\nOrderedDict\nq\0" + pairs + b"h\0h\2R" * 300 + b"e.")


def one_record_by_many_names():
    spellings = [bytes(letter - 32 * (i >> n & 1) for n, letter in enumerate(b"abcdefgh")) for i in range(256)]
    pickle = b"".join(tensor(b"X\x08\0\0\0" + spelling, 2**20) for spelling in spellings)
    return archive_of(b"\x80\x02](" + pickle + b"e.", {"data/abcdefgh": bytes(2**20)})


def records_in_records():
    """150 of them, each of which holds the next, header and all."""
    inner, entries, content = bytes(2**20), [], io.BytesIO()
    for i in reversed(range(150)):
        entry = zipfile.ZipInfo(f"archive/data/{100 + i}")
        entry.CRC, entry.file_size, entry.compress_size = zlib.crc32(inner), len(inner), len(inner)
        inner = entry.FileHeader() + inner
        entries.insert(0, entry)
    with zipfile.ZipFile(content, "w") as archive:
        pickle = b"".join(tensor(b"M%c\0" % (100 + i), entry.file_size) for i, entry in enumerate(entries))
        archive.writestr("archive/data.pkl", b"\x80\x02](" + pickle + b"e.")
        archive.writestr("archive/version", b"3\n")
        for entry in entries:
            entry.header_offset = archive.start_dir + entries[0].file_size - entry.file_size
        archive.filelist += entries
        archive.start_dir += content.write(inner)
    return content.getvalue()


@pytest.mark.parametrize("content", [packed, two_in_one, lists_of_lists, one_record_by_many_names, records_in_records])
def test_a_small_file_takes_little_memory(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content())
    assert (tmp_path / "a.pt").stat().st_size < 1_200_000
    assert megabytes_to_refuse(tmp_path / "a.pt") < 50


def test_a_small_file_of_a_large_network_takes_little_memory(trained, tmp_path):
    trained.architecture = "resnet152"  # 233 MB
    checkpoint.save(trained, tmp_path / "a.pt")
    assert megabytes_to_refuse(tmp_path / "a.pt") < 50


def megabytes_to_refuse(path):
    """More than before, at the most, in a process of its own."""
    code = "import resource, sys; from resnet import checkpoint\n"
    code += "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
    code += "checkpoint.load(checkpoint.SHIPPED / 'small.pt')\n"  # imports what loading needs
    code += "before = peak()\n"
    code += "try: checkpoint.load(sys.argv[1])\n"
    code += "except checkpoint.CheckpointError: print(peak() - before)\n"
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


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
        (["epochs"], [dict(epoch) for epoch in HISTORY["epochs"] * 10_001]),
        (["epochs", 0, "train_loss"], float("nan")),
        (["epochs", 0, "held_out_accuracy"], 99.7),
        (["temperature"], 0),
        (["temperature"], 2**1100),
        (["test"], True),
        (["test", "confusion"], [[1] * 10 for _ in range(9)]),
        (["test", "confusion"], [["1"] * 10 for _ in range(10)]),
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


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta", "hpu", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match="no device"):
        choose_device(device)
