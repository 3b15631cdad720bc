"""Two processes train together what one trains alone."""

import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, free_port

import train
from digits import dataset, drawings
from resnet import checkpoint, create, parallel
from resnet.training import train_one_epoch

A_FEW_STEPS = """
import sys
import torch
from test_parallel import a_few_steps
from resnet import parallel

parallel.start()
results = {name: a_few_steps(name) for name in ("tutorial", "plain20-nobn", "small")}
torch.save(results, f"{sys.argv[1]}-{parallel.rank()}")
parallel.stop()
"""
SMOKE = ("train.py", "--smoke", "--arch", "tutorial", "--epochs", 3, "--device", "cpu", "--output")


def a_few_steps(name):
    """One epoch of SGD -> the mean loss, and the parameters."""
    torch.manual_seed(parallel.rank())  # all are to have the first process's weights
    model = create(name)
    workers = parallel.DataParallel(model, torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)
    batches = dataset.Batches(drawings.splits(copies=2).train, 7, torch.Generator().manual_seed(0))
    loss = workers.mean(train_one_epoch(workers.model, workers.shares(batches), optimizer, scheduler))
    return loss, {key: value.detach().clone() for key, value in model.named_parameters()}


def start(*command, **env):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT}/tests", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_two(*command):
    """Two processes as torchrun starts them -> for each (exit code, stdout, stderr)."""
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [start(*command, **world, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    return [(*process.communicate()[::-1], process.returncode)[::-1] for process in processes]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """One whole `--smoke` run of two processes: what each printed, and the checkpoint."""
    path = tmp_path_factory.mktemp("together") / "a"
    results = run_two(*SMOKE, path)
    for code, _, err in results:
        assert code == 0 and "Warning" not in err, err
    return [out for _, out, _ in results], checkpoint.load(path)


def test_processes_have_equal_weights_and_those_of_one_with_shares_of_four_and_three(tmp_path):
    (tmp_path / "steps.py").write_text(A_FEW_STEPS)
    for code, _, err in run_two(tmp_path / "steps.py", tmp_path / "w"):
        assert code == 0, err
    first, second = (torch.load(tmp_path / f"w-{rank}") for rank in (0, 1))
    for name in first:
        (first_loss, first_weights), (second_loss, second_weights) = first[name], second[name]
        loss, weights = a_few_steps(name)
        assert first_loss == second_loss
        for key, value in weights.items():
            assert torch.equal(first_weights[key], second_weights[key])
            if name != "small":  # BatchNorm on the CPU normalizes each share by itself
                torch.testing.assert_close(first_weights[key], value, rtol=1e-4, atol=1e-6)
        assert first_loss == pytest.approx(loss, rel=1e-5 if name != "small" else 0.2)


def test_the_loss_curve_is_that_of_one_process_with_augmented_batches(together, tmp_path):
    """17 images a batch: shares of nine and eight."""
    settings = together[1].history.settings
    train.train(settings, None, drawings.splits(settings.seed), torch.device("cpu"), tmp_path / "a")
    histories = (checkpoint.load(tmp_path / "a").history, together[1].history)
    alone, shared = ([epoch.train_loss for epoch in history.epochs] for history in histories)
    assert shared[0] == pytest.approx(alone[0], rel=1e-5)  # sums in another order,
    assert shared == pytest.approx(alone, rel=0.1)  # which steps amplify


def test_only_the_first_process_prints(together):
    (first, second), _ = together
    assert re.findall(r"^epoch  (\d)/3", first, re.M) == ["1", "2", "3"]
    assert len(re.findall("parameters, on cpu", first)) == len(re.findall("^test loss", first, re.M)) == 1
    assert second == ""


def test_ctrl_c_stops_all_and_resume_is_exact(together, tmp_path):
    path = tmp_path / "a"
    here = ("-m", "torch.distributed.run", "--master-addr=127.0.0.1", f"--master-port={free_port()}")
    process = start(*here, "--nproc-per-node=2", *SMOKE, path)
    while not process.stdout.readline().startswith("epoch  1/"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode and err.count("Continue: python train.py --resume") == 1 and 'train.py", line' not in err
    assert 1 <= len(checkpoint.load(path).history.epochs) < 3
    for code, out, err in run_two("train.py", "--resume", "--device", "cpu", "--output", path):
        assert code == 0 and "epoch  1/" not in out, err
    resumed = checkpoint.load(path)
    assert resumed.history == together[1].history
    assert all(torch.equal(value, together[1].weights[name]) for name, value in resumed.weights.items())


def test_when_the_first_process_fails_it_says_why_and_all_exit_with_1(tmp_path):
    arguments = ("--smoke", "--device", "abacus", "--output", tmp_path / "a")
    (first, _, sentence), (second, out, silence) = run_two("train.py", *arguments)
    assert first == second == 1, sentence + silence
    assert sentence.startswith("train.py: There is no device 'abacus' here. Available: ")
    assert out == silence == ""


def test_more_processes_than_images_in_the_last_batch_are_refused(tmp_path):
    results = run_two("train.py", "--smoke", "--batch-size", 639, "--output", tmp_path / "a")
    assert [code for code, _, _ in results] == [1, 1]
    assert "The last batch has 1 images for 2 processes. Change --batch-size." in results[0][2]
