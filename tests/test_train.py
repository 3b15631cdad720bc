"""train.py as a person runs it."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import torch
from conftest import ROOT
from filelock import FileLock

import train
from digits.mnist import SHA256
from resnet import checkpoint

OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def hear_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as from a terminal, even where the tests run in the background


def start(*arguments, env=None):
    return subprocess.Popen(
        [sys.executable, "train.py", "--device", "cpu", *map(str, arguments)],
        cwd=ROOT,
        preexec_fn=hear_ctrl_c,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, env=None):
    process = start(*arguments, env=env)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def weights_of(path):
    return checkpoint.load(path).weights


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One whole `--smoke` run: its output and its file."""
    path = tmp_path_factory.mktemp("smoke") / "a.pt"
    code, out, err = run("--arch", "tutorial", "--smoke", "--output", path)
    assert code == 0, err
    return out, path


def test_smoke_walks_the_whole_way_and_learns(smoke):
    out, path = smoke
    assert len(re.findall(r"^epoch .*train loss .*held-out accuracy", out, re.M)) == 5
    history = checkpoint.load(path).history
    assert history["test"]["accuracy"] > 0.9
    assert f"test accuracy {history['test']['accuracy']:.2%}" in out
    assert len(history["epochs"]) == 5 and history["epochs"][-1]["train_loss"] < history["epochs"][0]["train_loss"]
    assert history["settings"]["seed"] == 0 and history["versions"]["torch"] == torch.__version__
    assert checkpoint.load(path).unfinished is None


def test_plain_learns_otherwise_and_is_not_calibrated(smoke, tmp_path):
    assert run("--arch", "tutorial", "--smoke", "--plain", "--output", tmp_path / "plain.pt")[0] == 0
    plain, usual = checkpoint.load(tmp_path / "plain.pt").history, checkpoint.load(smoke[1]).history
    assert plain["settings"]["plain"] and not usual["settings"]["plain"]
    assert plain["temperature"] == 1 != usual["temperature"]
    assert plain["epochs"] != usual["epochs"]


def test_bfloat16_learns_too_with_weights_in_float32(smoke, tmp_path):
    assert run("--arch", "tutorial", "--smoke", "--bf16", "--output", tmp_path / "bf16.pt")[0] == 0
    weights = weights_of(tmp_path / "bf16.pt")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert not equal(weights, weights_of(smoke[1]))
    assert checkpoint.load(tmp_path / "bf16.pt").history["test"]["accuracy"] > 0.9


def test_a_file_from_before_there_was_bfloat16_goes_on_without_it(trained_half):
    half = checkpoint.load(trained_half)
    del half.history["settings"]["bf16"]
    checkpoint.save(half, trained_half)
    settings, _ = train.resume({}, trained_half)
    assert settings.arch == "tutorial" and not settings.bf16


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile wants a C++ compiler")
def test_a_compiled_network_learns_and_its_weights_keep_their_names(smoke, tmp_path):
    code, _, err = run("--arch", "tutorial", "--smoke", "--compile", "--output", tmp_path / "compiled.pt")
    assert code == 0, err
    compiled, usual = checkpoint.load(tmp_path / "compiled.pt"), checkpoint.load(smoke[1])
    assert compiled.weights.keys() == usual.weights.keys() and not equal(compiled.weights, usual.weights)
    assert compiled.history["test"]["accuracy"] > 0.9


def test_without_a_compiler_nothing_is_compiled_and_one_sentence_says_so(tmp_path):
    code, _, err = run("--smoke", "--compile", env={"CXX": "nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)})
    assert code == 1 and "leave --compile out" in err.splitlines()[-1]


def test_same_seed_same_weights_and_another_seed_others(smoke, tmp_path):
    _, path = smoke
    run("--arch", "tutorial", "--smoke", "--output", tmp_path / "again.pt")
    run("--arch", "tutorial", "--smoke", "--seed", 1, "--output", tmp_path / "other.pt")
    assert path.read_bytes() == (tmp_path / "again.pt").read_bytes()
    assert not equal(weights_of(path), weights_of(tmp_path / "other.pt"))


def test_ctrl_c_keeps_the_last_epoch_and_resume_goes_on_exactly(smoke, tmp_path):
    _, whole = smoke
    path = tmp_path / "a.pt"
    process = start("--arch", "tutorial", "--smoke", "--output", path)
    while not process.stdout.readline().startswith("epoch  1/"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err
    assert f"to go on: python train.py --resume --output {path}" in err
    stopped = checkpoint.load(path)
    assert 1 <= len(stopped.history["epochs"]) < 5 and stopped.history["test"] is None
    code, out, err = run("--resume", "--output", path)
    assert code == 0 and "epoch  1/" not in out, err
    assert equal(weights_of(path), weights_of(whole))
    assert checkpoint.load(path).history == checkpoint.load(whole).history


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_nothing_is_lost(smoke, tmp_path, kind, pytestconfig):
    """The file is whole and `--resume` ends with the same weights; `--kills N` times, each at a random moment."""
    _, whole = smoke
    kills, random, struck = pytestconfig.getoption("--kills"), Random(0), 0
    begin = time.monotonic()
    run("--arch", "tutorial", "--smoke", "--output", tmp_path / "timed.pt")
    lasts = time.monotonic() - begin
    for kill in range(kills):
        path = tmp_path / f"{kill}.pt"
        process = start("--arch", "tutorial", "--smoke", "--output", path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=lasts * (kill + random.random()) / kills)
        process.send_signal(kind)
        process.communicate(timeout=60)
        struck += process.returncode != 0
        if not path.exists():
            assert process.returncode  # before the first epoch's end
            continue
        if checkpoint.load(path).unfinished:
            code, _, err = run("--resume", "--output", path)
            assert code == 0, err
        assert checkpoint.load(path).history == checkpoint.load(whole).history
        assert equal(weights_of(path), weights_of(whole))
    assert struck


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a full disk, for what is larger than this


def test_a_full_disk_is_one_sentence_and_the_old_file_is_whole(smoke, tmp_path):
    shutil.copy(smoke[1], tmp_path / "a.pt")
    result = subprocess.run(
        [sys.executable, "train.py", "--smoke", "--arch", "tutorial", "--overwrite", "--output", tmp_path / "a.pt"],
        cwd=ROOT,
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1 and result.stderr.strip().splitlines()[-1].startswith("train.py: ")
    assert "Traceback" not in result.stderr and os.listdir(tmp_path) == ["a.pt"]
    assert (tmp_path / "a.pt").read_bytes() == smoke[1].read_bytes()


def test_a_loss_that_is_not_finite_stops_and_the_epochs_before_are_kept(monkeypatch, tmp_path):
    losses = iter([0.5, 0.4])

    def spoilt(*loop):
        for loss in losses:
            return loss
        raise FloatingPointError("step 7: the loss is nan, at the learning rate 0.003")

    monkeypatch.setattr(train, "train_one_epoch", spoilt)
    monkeypatch.setattr("sys.argv", ["train.py", "--smoke", "--arch", "tutorial", "--output", str(tmp_path / "a.pt")])
    with pytest.raises(SystemExit, match=r"^train.py: epoch 3, step 7: the loss is nan, .* lower --lr$"):
        train.main()
    assert [epoch["train_loss"] for epoch in checkpoint.load(tmp_path / "a.pt").history["epochs"]] == [0.5, 0.4]


def test_a_batch_that_the_memory_does_not_hold_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "train_one_epoch", lambda *loop: torch.empty(2**60))
    monkeypatch.setattr("sys.argv", ["train.py", "--smoke", "--arch", "tutorial", "--output", str(tmp_path / "a.pt")])
    with pytest.raises(SystemExit, match=r"^train.py: the memory does not suffice; choose a smaller --batch-size$"):
        train.main()


@pytest.mark.parametrize("spoil", ["flip", "truncate", "swap"])
def test_files_that_are_not_mnists_are_named(mnist, pytestconfig, tmp_path, spoil):
    source, raw = Path(pytestconfig.getoption("--mnist"), "MNIST", "raw"), tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in SHA256:
        os.symlink((source / name).resolve(), raw / name)
    name = "train-labels-idx1-ubyte"
    content = bytearray((source / name).read_bytes())
    (raw / name).unlink()
    if spoil == "flip":
        content[30_000] ^= 1
    elif spoil == "truncate":
        del content[-1:]
    else:
        content = (source / "t10k-labels-idx1-ubyte").read_bytes()
    (raw / name).write_bytes(content)
    code, _, err = run("--data", tmp_path, "--output", tmp_path / "a.pt", env=OFFLINE)
    assert code == 1 and err.strip().splitlines() == [
        f"train.py: {raw / name} is damaged or not from MNIST. Delete it to download it again."
    ]


def test_files_that_an_old_torchvision_made_of_mnists_are_not_trusted(tmp_path):
    (tmp_path / "MNIST" / "processed").mkdir(parents=True)
    code, _, err = run("--data", tmp_path, "--output", tmp_path / "a.pt", env=OFFLINE)
    assert code == 1 and "processed was written by an old torchvision" in err


def test_a_checkpoint_that_is_there_is_not_overwritten_unasked(smoke):
    _, path = smoke
    before = path.read_bytes()
    code, _, err = run("--smoke", "--output", path)
    assert code == 1 and "already" in err and path.read_bytes() == before
    code, _, err = run("--resume", "--output", path)
    assert code == 1 and "finished" in err and path.read_bytes() == before


@pytest.mark.parametrize(("flag", "value"), [("--lr", 0.5), ("--epochs", train.Settings.epochs)])
def test_resume_with_other_settings_is_refused_even_where_they_are_the_usual_ones(trained_half, flag, value):
    code, _, err = run("--resume", flag, value, "--output", trained_half)
    assert code == 1 and f"was started with {flag[2:]}" in err and f"cannot go on with {value}" in err


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"epochs": "x"}, {"lr": 1}, {"speed": 3}], ids=str)
def test_resume_with_settings_that_cannot_be_is_one_sentence(trained_half, change):
    half = checkpoint.load(trained_half)
    half.history["settings"] |= change
    checkpoint.save(half, trained_half)
    code, _, err = run("--resume", "--output", trained_half)
    assert code == 1 and "settings that are not known" in err and len(err.strip().splitlines()) == 1


def test_two_runs_do_not_write_one_file(tmp_path):
    with FileLock(tmp_path / ".a.pt.lock"):
        code, _, err = run("--smoke", "--output", tmp_path / "a.pt")
    assert code == 1 and "another run writes" in err
    assert run("--arch", "tutorial", "--smoke", "--output", tmp_path / "a.pt")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.fixture
def trained_half(smoke, tmp_path):
    half = checkpoint.load(smoke[1])
    half.unfinished = {"optimizer": {}, "scheduler": {}}
    checkpoint.save(half, tmp_path / "half.pt")
    return tmp_path / "half.pt"


def test_no_network_and_no_data_is_one_sentence_that_says_where_to_put_the_files(tmp_path):
    begin = time.monotonic()
    code, _, err = run("--data", tmp_path / "none", "--output", tmp_path / "a.pt", env=OFFLINE)
    assert code == 1 and time.monotonic() - begin < 60
    assert len(err.strip().splitlines()) == 1
    assert f"{tmp_path}/none/MNIST/raw" in err and "train-images-idx3-ubyte" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arch", "resnet1"], "resnet152"),
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "many"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--lr", "nan"], "--lr"),
        (["--seed", "-1"], "--seed"),
        (["--device", "abacus"], "abacus"),
        (["--resume", "--output", "nowhere.pt"], "nowhere.pt"),
        (["--overwrite", "--output", "tests"], "tests is a folder"),
    ],
)
def test_flags_that_make_no_sense_are_refused(arguments, said):
    code, _, err = run("--smoke", *arguments)
    assert code in (1, 2) and said in err.strip().splitlines()[-1]


def test_help_explains_every_flag_with_its_default():
    code, out, _ = run("--help")
    assert code == 0
    for name in ("arch", "epochs", "batch-size", "lr", "seed", "plain", "bf16", "compile", "smoke"):
        assert f"--{name} " in out
    for name in ("fast", "device", "data", "output", "overwrite", "resume"):
        assert f"--{name} " in out
    assert "default: small" in out and "default: 36" in out


def test_fast_stands_for_four_settings_and_gives_way_to_what_is_said(monkeypatch):
    def settings(*flags):
        monkeypatch.setattr("sys.argv", ["train.py", *flags])
        return train.choose(train.parse_args())[1]

    assert settings("--fast") == train.Settings(epochs=3, lr=5e-3, plain=True, bf16=True)
    assert settings("--arch", "tutorial", "--fast", "--epochs", "4").epochs == 4
    assert settings("--smoke") == train.Settings(smoke=True, epochs=5, batch_size=16)
    assert settings("--smoke", "--epochs", "2") == train.Settings(smoke=True, epochs=2, batch_size=16)
    assert settings() == train.Settings()


def test_a_short_run_on_mnist_reads_most_of_it(mnist, request, tmp_path):
    """The true data path, cut to a few hundred steps by a large batch."""
    folder = request.config.getoption("--mnist")
    flags = ["--arch", "tutorial", "--epochs", 2, "--batch-size", 256, "--data", folder, "--output", tmp_path / "a.pt"]
    code, out, err = run(*flags)
    assert code == 0, err
    assert checkpoint.load(tmp_path / "a.pt").history["test"]["accuracy"] > 0.97, out
