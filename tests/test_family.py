"""The measures of the family: they are of the networks that they name, and what is done is not done again."""

import json
import subprocess
import sys

from conftest import ROOT

from benchmarks import family


def test_each_network_is_trained_measured_and_kept(tmp_path):
    flags = ["--smoke", "--networks", "tutorial", "--checkpoints", tmp_path, "--output", tmp_path / "family.json"]
    command = [sys.executable, "-m", "benchmarks.family", *map(str, flags)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (measured,) = json.loads((tmp_path / "family.json").read_text())
    assert measured["network"] == "tutorial" and measured["parameters"] == 42_790
    assert 0 < measured["seconds_a_drawing"] < 1 and measured["examples_read"] > 5
    assert (tmp_path / "tutorial-seed0.safetensors").exists() and "epoch  1/1" in first.stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.strip() == family.row(measured) == first.stdout.strip().splitlines()[-1]


def test_multiply_adds_are_those_of_a_count_by_hand():
    stem, blocks = 9 * 32 * 14 * 14, 4 * 9 * 32 * 32 * 14 * 14
    second = (9 * 32 * 64 + 3 * 9 * 64 * 64 + 32 * 64) * 7 * 7
    assert family.multiply_adds("small") == stem + blocks + second + 64 * 10


def test_training_that_fails_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "benchmarks.family", "--networks", "resnet1", "--checkpoints", str(tmp_path)]
    command += ["--output", str(tmp_path / "family.json")]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and failed.stderr.strip().splitlines()[-1].startswith("family.py: training resnet1")
