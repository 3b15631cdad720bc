"""The experiment on depth: it walks its whole way, and stopped anywhere it gives the same curves."""

import json
import subprocess
import sys

from conftest import ROOT

COMMAND = [sys.executable, "-m", "benchmarks.depth", "--smoke", "--epochs", "2", "--seeds", "1", "--device", "cpu"]
COMMAND += ["--output"]


def test_killed_and_started_again_it_gives_the_same_curves(tmp_path):
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    subprocess.run([*COMMAND, whole], cwd=ROOT, check=True, capture_output=True)
    with subprocess.Popen([*COMMAND, broken], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("plain56 seed 0 epoch 1/2"):
                process.kill()
    assert not broken.exists()
    again = subprocess.run([*COMMAND, broken], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "plain20" not in again.stdout and "plain56 seed 0 epoch 1/2" not in again.stdout
    first, second = (json.loads(path.read_text()) for path in (whole, broken))
    assert first == second
    assert whole.with_suffix(".png").exists()
    assert [run["network"] for run in first["runs"]] == ["plain20", "plain56", "resnet20", "resnet56"]
    for run in first["runs"]:
        assert len(run["train_error"]) == len(run["held_out_error"]) == 2
        assert all(0 <= error <= 1 for error in run["train_error"] + run["held_out_error"])
    for network in first["gradients"]:
        assert len(network["at_first"]) == len(network["afterwards"]) == 55
        assert min(network["at_first"]) > 0
    other = subprocess.run([*COMMAND, broken, "--epochs", "3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode and "other settings" in other.stderr
