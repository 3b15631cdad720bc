"""A checkpoint loads as it was saved; weights from elsewhere load, too; every bad file gets one sentence."""

import json
import os
import pickle
import struct
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import ROOT
from pydantic import ValidationError
from torch import nn

from resnet import ARCHITECTURES, CheckpointError, Recognizer, checkpoint, create, statedict
from resnet.history import Epoch, Evaluation, History, Images, Mistake, Settings, Versions, first_error

HISTORY = History(
    data="MNIST",
    images=Images(train=55_000, held_out=5_000, test=10_000),
    settings=Settings(arch="tutorial", epochs=2, lr=1e-3),
    versions=(Versions(python="3.11", torch="2"),),
    parameters=42_790,
    epochs=(Epoch(train_loss=0.5, held_out_loss=0.25, held_out_accuracy=0.75),),
    temperature=0.9,
    test=Evaluation(
        loss=0.1,
        accuracy=0.9,
        confusion=((1,) * 10,) * 10,
        mistakes=(Mistake(label=1, read=7, probability=0.9, image=(0,) * 784),),
    ),
)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return create("tutorial").state_dict()


@pytest.fixture
def trained(weights):
    return checkpoint.Checkpoint("tutorial", {name: value.clone() for name, value in weights.items()}, HISTORY)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refused(path, sentence):
    with pytest.raises(CheckpointError, match=sentence) as error:
        checkpoint.load(path)
    assert path.name in str(error.value) and "\n" not in str(error.value)
    assert str(error.value)[0].isupper() or str(error.value).startswith(str(path))


def write_json(path, record, tensors):
    safetensors.torch.save_file(tensors, path, {checkpoint.KEY: json.dumps(record)})


def test_a_checkpoint_rebuilds_its_network_and_keeps_its_history(trained, tmp_path):
    path = tmp_path / "new" / "a.safetensors"
    checkpoint.save(trained, path)
    loaded = checkpoint.load(path)
    assert loaded.history == HISTORY and loaded.architecture == "tutorial"
    assert equal(loaded.build().state_dict(), trained.weights)
    assert os.listdir(path.parent) == ["a.safetensors"]


def test_equal_checkpoints_are_equal_bytes(trained, tmp_path):
    for name in ("a", "b"):
        checkpoint.save(trained, tmp_path / name)
    code = "import sys; from resnet import checkpoint; checkpoint.save(checkpoint.load(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", code, tmp_path / "a", tmp_path / "c"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_a_failed_write_leaves_the_old_file_whole(trained, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    checkpoint.save(trained, path)
    before = path.read_bytes()

    def fail_half_way(file):
        os.ftruncate(file, os.fstat(file).st_size // 2)
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(trained, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.safetensors"]


def test_loaded_weights_do_not_change_with_the_file(trained, tmp_path):
    for path, content in (("a.safetensors", None), ("a.pth", trained.weights)):
        path = tmp_path / path
        torch.save(content, path) if content else checkpoint.save(trained, path)
        loaded = checkpoint.load(path)
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
        assert equal(loaded.weights, trained.weights)


# Weights from elsewhere


def wrapped(style, weights):
    """A state dict as scripts save it."""
    if style == "plain":
        return weights
    if style in statedict.WRAPPERS:
        return {"epoch": 3, "optimizer": {"state": {}}, style: weights}
    return {style + name: value for name, value in weights.items()}


@pytest.mark.parametrize("style", ["plain", "module.", "_orig_mod.", "module._orig_mod.", *statedict.WRAPPERS])
def test_a_state_dict_of_the_tutorials_script_loads_however_it_was_saved(weights, tmp_path, style):
    torch.save(wrapped(style, weights), tmp_path / "mine.pth")
    loaded = checkpoint.load(tmp_path / "mine.pth")
    assert loaded.architecture == "tutorial" and loaded.history is None and equal(loaded.weights, weights)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_state_dict_of_every_architecture_is_recognized(name, tmp_path):
    torch.manual_seed(0)
    model = create(name)
    torch.save({"module." + key: value for key, value in model.state_dict().items()}, tmp_path / "mine.pth")
    loaded = checkpoint.load(tmp_path / "mine.pth")
    assert loaded.architecture == name and equal(loaded.weights, model.state_dict())


def test_no_two_architectures_have_tensors_of_the_same_names_and_shapes():
    for a, b in combinations(ARCHITECTURES, 2):
        assert statedict.shapes_of(a) != statedict.shapes_of(b), f"{a} and {b}"


@pytest.mark.parametrize("name", ["plain20", "plain20-nobn", "resnet20"])
def test_a_safetensors_file_without_our_metadata_loads_without_a_history(name, tmp_path):
    safetensors.torch.save_file(create(name).state_dict(), tmp_path / "theirs.safetensors", {"format": "pt"})
    loaded = checkpoint.load(tmp_path / "theirs.safetensors")
    assert loaded.architecture == name and loaded.history is None


def test_a_state_dict_in_the_old_format_in_half_precision_and_without_counters_loads(tmp_path):
    model = create("small")
    weights = {name: value.half() for name, value in model.state_dict().items() if "num_batches" not in name}
    torch.save(weights, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    loaded = checkpoint.load(tmp_path / "old.pt")
    assert {value.dtype for value in loaded.build().state_dict().values()} == {torch.float32, torch.int64}
    for name, value in weights.items():
        assert torch.equal(loaded.weights[name], value.float())


def test_weights_of_a_changed_network_are_refused_with_the_closest_one_and_the_difference(weights, tmp_path):
    torch.save({**weights, "full_c.weight": torch.zeros(10, 500)}, tmp_path / "mine.pth")
    refused(
        tmp_path / "mine.pth", r"closest is tutorial, where full_c.weight is \(10, 375\), but here it is \(10, 500\)"
    )
    torch.save({**weights, "extra": torch.zeros(1)}, tmp_path / "mine.pth")
    refused(tmp_path / "mine.pth", r"closest is tutorial, where extra is missing, but here it is \(1,\)")
    torch.save(nn.Linear(784, 10).state_dict(), tmp_path / "mine.pth")
    refused(tmp_path / "mine.pth", "does not fit a known network")


# Bad files


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_carries_code_is_refused_and_nothing_runs(weights, tmp_path, zipped):
    content = {**weights, "conv1.weight": Bomb(tmp_path / "ran")}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "evil.pt", r"could run code.*torch\.save\(model\.state_dict\(\)")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    refused(tmp_path / "evil.pt", "not opened|neither|damaged")
    assert not (tmp_path / "ran").exists()


def test_missing_truncated_damaged_and_foreign_files_each_get_a_sentence(trained, tmp_path):
    refused(tmp_path / "none.pt", "There is no checkpoint .*train.py --output")
    refused(tmp_path, "There is no checkpoint")
    path = tmp_path / "a"
    checkpoint.save(trained, path)
    whole = path.read_bytes()
    for length in (0, 8):
        path.write_bytes(whole[:length])
        refused(path, "neither a safetensors file nor a PyTorch file")
    for length in (9, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "damaged or incomplete")
    torch.save(trained.weights, path)
    path.write_bytes(path.read_bytes()[:100_000])
    refused(path, "damaged or incomplete")
    for content in ([1, 2], {}, {"model": 5}, {1: torch.zeros(1)}):
        torch.save(content, path)
        refused(path, "holds no state dict")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(trained, tmp_path, value):
    trained.weights["conv2.bias"][3] = value
    with pytest.raises(ValueError, match=r"conv2\.bias has values that are not finite"):
        checkpoint.save(trained, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    torch.save(trained.weights, tmp_path / "a")
    refused(tmp_path / "a", r"conv2\.bias has values that are not finite")


def test_weights_that_are_no_floating_point_numbers_are_refused(weights, tmp_path):
    torch.save({**weights, "conv1.bias": weights["conv1.bias"].int()}, tmp_path / "a")
    refused(tmp_path / "a", r"conv1\.bias is torch\.int32, not a floating-point type")


def test_a_few_numbers_that_claim_to_be_many_are_refused(tmp_path):
    weights = {name: torch.zeros(()).expand(shape) for name, shape in statedict.shapes_of("resnet18").items()}
    torch.save(weights, tmp_path / "a")
    refused(tmp_path / "a", "larger than the file")


def test_a_history_of_another_network_is_neither_saved_nor_loaded(weights, tmp_path):
    wrong = HISTORY.model_copy(update={"parameters": 5})
    others = HISTORY.model_copy(update={"settings": Settings(arch="small")})
    for history, sentence in ((wrong, "its history counts 5"), (others, "the history is of small")):
        with pytest.raises(ValueError, match=sentence):
            checkpoint.save(checkpoint.Checkpoint("tutorial", weights, history), tmp_path / "a")
        record = {"format": 2, "architecture": "tutorial", "history": history.model_dump(mode="json")}
        write_json(tmp_path / "a", record, weights)
        refused(tmp_path / "a", sentence)


def test_what_a_history_may_not_say_is_not_saved_even_if_it_was_never_checked(trained, tmp_path):
    unchecked = HISTORY.model_copy(update={"temperature": float("nan")})
    with pytest.raises(ValueError, match="temperature"):
        checkpoint.save(checkpoint.Checkpoint("tutorial", trained.weights, unchecked), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["data"], 5),
        (["data"], "M" * 201),
        (["images"], {"train": 1}),
        (["images", "test"], -1),
        (["settings", "arch"], "resnet1"),
        (["settings", "lr"], [1]),
        (["settings", "lr"], 1.0),
        (["settings", "epochs"], 10_001),
        (["settings", "epochs"], True),
        (["settings", "seed"], 2**32),
        (["settings", "speed"], 3),
        (["versions"], [{"python": "3", "torch": "2" * 1000}]),
        (["parameters"], 10**10),
        (["epochs"], "many"),
        (["epochs"], [{"train_loss": 1.0, "held_out_loss": 1.0, "held_out_accuracy": 1.0}] * 10_001),
        (["epochs", 0, "train_loss"], float("nan")),
        (["epochs", 0, "held_out_loss"], -0.1),
        (["epochs", 0, "held_out_accuracy"], 99.7),
        (["temperature"], 0),
        (["temperature"], 1e30),
        (["test"], True),
        (["test", "confusion"], [[1] * 10 for _ in range(9)]),
        (["test", "confusion"], [["1"] * 10 for _ in range(10)]),
        (["test", "mistakes"], {}),
        (["test", "mistakes", 0, "image"], [256] * 784),
        (["test", "mistakes", 0, "image"], [0] * 783),
        (["test", "mistakes", 0, "read"], 10),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_history_out_of_bounds_is_refused_with_the_place(weights, tmp_path, place, value):
    record = {"format": 2, "architecture": "tutorial", "history": HISTORY.model_dump(mode="json")}
    at = record["history"]
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    write_json(tmp_path / "a", record, weights)
    refused(tmp_path / "a", rf"training history that is not valid \((Invalid JSON|history\.{place[0]})")


@pytest.mark.parametrize("record", [{"format": 1}, {}, [], {"format": 2, "architecture": "resnet1", "history": None}])
def test_metadata_of_another_format_is_refused(weights, tmp_path, record):
    write_json(tmp_path / "a", record, weights)
    refused(tmp_path / "a", "not valid")


def test_the_first_error_of_a_record_is_one_line():
    with pytest.raises(ValidationError) as error:
        Settings(epochs=20_000, seed=-1)
    assert first_error(error.value) == "epochs: Input should be less than or equal to 10000"


# Memory


def many_tensors(record=None):
    header = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)}
    if record:
        header["__metadata__"] = {checkpoint.KEY: json.dumps(record)}
    content = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(content)) + content


def large_header():
    return struct.pack("<Q", 99 * 10**6) + b"{" + b" " * 99 * 10**6


def shape_without_data():
    content = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [2**34], "data_offsets": [0, 2**36]}}).encode()
    return struct.pack("<Q", len(content)) + content


REFUSE = """
import resource, sys
from resnet import checkpoint

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

checkpoint.load(checkpoint.SHIPPED / "small.safetensors")  # imports what loading needs
before = peak()
for path in sys.argv[1:]:
    try:
        checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        print(peak() - before, error)
"""


def test_hostile_files_are_refused_with_less_than_100_megabytes(weights, tmp_path):
    contents = [many_tensors(), many_tensors({"format": 1}), large_header(), shape_without_data()]
    for i, content in enumerate(contents):
        (tmp_path / str(i)).write_bytes(content)
    write_json(tmp_path / "4", {"format": 2, "architecture": "resnet152", "history": None}, weights)  # 233 MB
    command = [sys.executable, "-c", REFUSE, *(tmp_path / str(i) for i in range(5))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 5
    assert all(int(line.split()[0]) < 100 for line in done.stdout.splitlines()), done.stdout
    assert "header of more than 4,194,304 bytes" in done.stdout.splitlines()[2]


def test_the_longest_history_fits_into_the_header(tmp_path):
    epoch = Epoch(
        train_loss=0.12345678901234567, held_out_loss=1.2345678901234567e-10, held_out_accuracy=0.123456789012345678
    )
    mistake = Mistake(label=1, read=7, probability=0.12345678901234567, image=(255,) * 784)
    test = HISTORY.test.model_copy(update={"mistakes": (mistake,) * 100, "confusion": ((10**10 - 1,) * 10,) * 10})
    longest = HISTORY.model_copy(update={"epochs": (epoch,) * 10_000, "test": test})
    torch.manual_seed(0)
    model = create("resnet152")
    history = longest.model_copy(
        update={
            "settings": Settings(arch="resnet152", epochs=10_000),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        }
    )
    checkpoint.save(checkpoint.Checkpoint("resnet152", model.state_dict(), history), tmp_path / "a")
    assert checkpoint.load(tmp_path / "a").history == history


# Recognizer


@pytest.fixture
def recognizer(trained, tmp_path):
    checkpoint.save(trained, tmp_path / "a.safetensors")
    return Recognizer.load(tmp_path / "a.safetensors", "cpu")


def test_probabilities_are_rows_that_sum_to_one(recognizer, random):
    images = random.random((7, 28, 28), np.float32)
    probabilities = recognizer.probabilities(images)
    assert probabilities.shape == (7, 10) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[3:4], recognizer.probabilities(images[3:4]), atol=1e-5)
    assert recognizer.probabilities(images[:0]).shape == (0, 10)
    for wrong in (images[0], images[:, None], images[:, :27]):
        with pytest.raises(ValueError, match="28, 28"):
            recognizer.probabilities(wrong)


@pytest.mark.parametrize("value", [255, 7.0, 1.001, -0.001, float("nan"), float("inf")])
def test_pixels_outside_0_to_1_are_refused(recognizer, value):
    images = np.zeros((2, 28, 28), np.float32)
    images[1, 5, 5] = value
    for call in (lambda: recognizer.probabilities(images), lambda: recognizer.look(images[1])):
        with pytest.raises(ValueError, match=r"Pixels must lie in \[0, 1\]"):
            call()
    images[1, 5, 5] = 1
    assert recognizer.probabilities(images).shape == (2, 10)


def test_weights_from_elsewhere_are_asked_as_ours_are(weights, tmp_path, random):
    torch.save(weights, tmp_path / "mine.pth")
    recognizer = Recognizer.load(tmp_path / "mine.pth", "cpu")
    assert recognizer.history is None and recognizer.architecture == "tutorial"
    images = random.random((3, 28, 28), np.float32)
    with torch.inference_mode():
        expected = recognizer.model(torch.tensor(images)[:, None]).softmax(1)
    np.testing.assert_allclose(recognizer.probabilities(images), expected, atol=1e-6)
