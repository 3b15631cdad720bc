"""Two processes train together what one trains alone."""

import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, free_port

from resnet import checkpoint

A_FEW_STEPS = """
import sys
import torch
from digits import dataset, drawings
from resnet import create, parallel
from resnet.training import train_one_epoch

parallel.start()
torch.manual_seed(parallel.rank())  # the first one's weights are to be all's
model = create(sys.argv[1])
team = parallel.DataParallel(model, torch.device("cpu"))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)
batches = dataset.Batches(drawings.splits(copies=2).train, 7, torch.Generator().manual_seed(0))
loss = team.mean(train_one_epoch(team.model, team.shares(batches), optimizer, scheduler))
torch.save((loss, dict(model.named_parameters())), f"{sys.argv[2]}-{parallel.world_size()}-{parallel.rank()}")
parallel.stop()
"""


def start(*command, processes=2):
    here = ["--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    many = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", *here] if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *many, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*command, processes=2):
    process = start(*command, processes=processes)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def smoke(output, *arguments, processes=2):
    arguments = ["--smoke", "--arch", "tutorial", "--device", "cpu", "--output", output, *arguments]
    code, out, err = run("train.py", *arguments, processes=processes)
    assert code == 0 and "Warning" not in err, err
    return out, checkpoint.load(output)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """One whole `--smoke` run of two processes: what it printed, and what it wrote."""
    return smoke(tmp_path_factory.mktemp("together") / "a.safetensors")


@pytest.mark.parametrize("network", ["tutorial", "plain20-nobn"])
def test_processes_have_equal_weights_and_those_of_one_with_shares_of_four_and_three(network, tmp_path):
    (tmp_path / "steps.py").write_text(A_FEW_STEPS)
    for processes in (1, 2):
        code, _, err = run(tmp_path / "steps.py", network, tmp_path / "w", processes=processes)
        assert code == 0, err
    (loss, alone), (first_loss, first), (second_loss, second) = (
        torch.load(tmp_path / f"w-{name}") for name in ("1-0", "2-0", "2-1")
    )
    assert first_loss == second_loss == pytest.approx(loss, rel=1e-5)
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)


def test_a_network_with_batchnorm_learns_together_too_and_in_bfloat16(tmp_path):
    _, trained = smoke(tmp_path / "a.safetensors", "--arch", "small", "--bf16")
    assert trained.history.test.accuracy > 0.9


def test_the_loss_curve_is_that_of_one_process_with_augmented_batches(together, tmp_path):
    """17 images a batch: shares of nine and eight."""
    _, alone = smoke(tmp_path / "a.safetensors", processes=1)
    ones, twos = ([epoch.train_loss for epoch in run.history.epochs] for run in (alone, together[1]))
    assert twos[0] == pytest.approx(ones[0], rel=1e-5)  # sums in another order,
    assert twos == pytest.approx(ones, rel=0.1)  # which steps make larger


def test_all_is_printed_once(together):
    out, _ = together
    assert [line.split("/")[0] for line in out.splitlines() if line.startswith("epoch")] == [
        f"epoch  {epoch}" for epoch in range(1, 6)
    ]
    assert len(re.findall("parameters, on cpu", out)) == len(re.findall("^test loss", out, re.M)) == 1


def test_ctrl_c_ends_all_and_resume_goes_on_exactly(together, tmp_path):
    path = tmp_path / "a.safetensors"
    process = start("train.py", "--smoke", "--arch", "tutorial", "--device", "cpu", "--output", path)
    while not process.stdout.readline().startswith("epoch  1/"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode and err.count("Continue: python train.py --resume") == 1 and 'train.py", line' not in err
    assert 1 <= len(checkpoint.load(path).history.epochs) < 5
    out, resumed = smoke(path, "--resume")
    assert "epoch  1/" not in out and resumed.history == together[1].history
    assert all(torch.equal(value, together[1].weights[name]) for name, value in resumed.weights.items())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "must be at least 1"),
        (["--device", "abacus"], "abacus"),
        (["--output", "train.py/a.safetensors"], "'train.py'"),
    ],
)
def test_what_fails_ends_all_with_one_sentence(arguments, said, tmp_path):
    code, out, err = run("train.py", "--smoke", "--arch", "tutorial", *arguments)
    assert code and not re.findall("^epoch", out, re.M)
    assert err.count("train.py: ") == 1 and said in next(line for line in err.splitlines() if "train.py: " in line)
    assert 'train.py", line' not in err, err  # torchrun adds its own report, with a traceback of its own
