"""The benchmark of the large networks: its figures are those of the networks they name; nothing is done twice."""

import json

import pytest
import torch

from benchmarks import family


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`python -m benchmarks.family` in this process, which trains in another one."""
    threads = torch.get_num_threads()
    flags = ["--smoke", "--checkpoints", tmp_path, "--output", tmp_path / "family.json"]
    yield lambda network: (
        monkeypatch.setattr("sys.argv", ["family", *map(str, flags), "--networks", network]),
        family.main(),
    )
    torch.set_num_threads(threads)


def test_each_network_is_trained_measured_and_kept(run, tmp_path, capsys):
    run("tutorial")
    first = capsys.readouterr().out
    (measured,) = json.loads((tmp_path / "family.json").read_text())
    assert measured["network"] == "tutorial" and measured["parameters"] == 42_790
    assert 0 < measured["seconds_a_drawing"] < 10 and measured["examples_read"] > 5
    assert (tmp_path / "tutorial-seed0.safetensors").exists() and "epoch  1/1" in first
    run("tutorial")
    assert capsys.readouterr().out.strip() == family.row(measured) == first.strip().splitlines()[-1]


def test_multiply_adds_are_those_of_a_count_by_hand():
    stem, blocks = 9 * 32 * 14 * 14, 4 * 9 * 32 * 32 * 14 * 14
    second = (9 * 32 * 64 + 3 * 9 * 64 * 64 + 32 * 64) * 7 * 7
    assert family.multiply_adds("small") == stem + blocks + second + 64 * 10


def test_training_that_fails_is_one_sentence(run):
    with pytest.raises(
        SystemExit, match=r"^family: training resnet1 failed with exit code 2\. Its messages are above\."
    ):
        run("resnet1")
