"""The experiment on depth: it runs every stage, and stopped anywhere it gives the same curves."""

import json

import pytest
import torch

from benchmarks import depth


@pytest.fixture
def run(monkeypatch):
    """`python -m benchmarks.depth` in this process."""
    yield lambda *arguments: (
        monkeypatch.setattr("sys.argv", ["depth", "--smoke", "--seeds", "1", "--device", "cpu", *map(str, arguments)]),
        depth.main(),
    )
    torch.set_flush_denormal(False)


def test_stopped_and_started_again_it_gives_the_same_curves(run, monkeypatch, tmp_path, capsys):
    whole, stopped = tmp_path / "whole.json", tmp_path / "stopped.json"
    run("--epochs", 2, "--output", whole)
    saves, save = [], depth.resume.save

    def save_thrice(path, *state):  # two epochs of plain20 and one of plain56
        save(path, *state)
        saves.append(path.stem)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="The same command continues"):
        patch.setattr(depth.resume, "save", save_thrice)
        run("--epochs", 2, "--output", stopped)
    assert saves == ["plain20-0", "plain20-0", "plain56-0"] and not stopped.exists()
    capsys.readouterr()
    run("--epochs", 2, "--output", stopped)
    out = capsys.readouterr().out
    assert "plain20" not in out and "plain56 seed 0 epoch 1/2" not in out and "plain56 seed 0 epoch 2/2" in out
    first, second = (json.loads(path.read_text()) for path in (whole, stopped))
    assert first == second
    assert whole.with_suffix(".png").exists()
    assert [run["network"] for run in first["runs"]] == ["plain20", "plain56", "resnet20", "resnet56"]
    for curves in first["runs"]:
        assert len(curves["train_error"]) == len(curves["held_out_error"]) == 2
        assert all(0 <= error <= 1 for error in curves["train_error"] + curves["held_out_error"])
    for network in first["gradients"]:
        assert len(network["at_first"]) == len(network["afterwards"]) == 55
        assert min(network["at_first"]) > 0
    with pytest.raises(SystemExit, match="a run with other settings"):
        run("--epochs", 3, "--output", stopped)
