"""train.py as a person runs it. Most runs are in this process and on few images, so that they take a second."""

import contextlib
import io
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
from digits import dataset, drawings
from resnet import checkpoint, create, resume
from resnet.history import Settings

SMOKE = ("--smoke", "--arch", "tutorial")
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True, scope="module")
def the_process_stays_as_it_was():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    torch.set_flush_denormal(False)


def run(*arguments):
    """`python train.py` in this process -> what it printed, and what it said when it exited ("" if all went well)."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.argv", ["train.py", "--device", "cpu", *map(str, arguments)])
        try:
            train.main()
        except SystemExit as stopped:
            return out.getvalue(), str(stopped.code or "") if stopped.code != 2 else err.getvalue()
    return out.getvalue(), ""


def start(*arguments, env=None):
    """The same in a process of its own, which hears Ctrl-C as from a terminal, even where tests do not."""
    return subprocess.Popen(
        [sys.executable, "train.py", "--device", "cpu", *map(str, arguments)],
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, out, err


def equal(a, b):
    """Do two checkpoints agree to the bit?"""
    return a.history == b.history and same_weights(a, b)


def same_weights(a, b):
    a, b = a.weights, b.weights
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One whole `--smoke` run: what it printed, and its checkpoint."""
    path = tmp_path_factory.mktemp("smoke") / "a.safetensors"
    out, error = run(*SMOKE, "--output", path)
    assert not error
    return out, path


@pytest.fixture
def few_images(monkeypatch):
    """`--smoke` with 80 images, for what does not depend on learning."""
    splits = drawings.splits(copies=8)
    monkeypatch.setattr(drawings, "splits", lambda seed: splits)


def test_smoke_runs_every_stage_and_learns(smoke):
    out, path = smoke
    assert len(re.findall(r"^epoch .*train loss .*held-out accuracy", out, re.M)) == 5
    history = checkpoint.load(path).history
    assert history.test.accuracy > 0.9 and history.data == "drawn digits"
    assert f"test accuracy {history.test.accuracy:.2%}" in out and f"--checkpoint {path}" in out
    assert len(history.epochs) == 5 and history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert history.settings == Settings(arch="tutorial", epochs=5, batch_size=16, smoke=True)
    assert [versions.torch for versions in history.versions] == [torch.__version__]
    assert os.listdir(path.parent) == [path.name]


# What the loop is given


@pytest.fixture
def marked(monkeypatch):
    """Splits by shade: 10 to train on, 20 held out, 30 to test; and the shades that each function saw."""

    def digits(shade, count):
        return dataset.Digits(torch.full((count, 1, 28, 28), shade, dtype=torch.uint8), torch.arange(count) % 10)

    splits = dataset.Splits(digits(10, 40), digits(20, 30), digits(30, 20))
    monkeypatch.setattr(drawings, "splits", lambda seed: splits)
    seen = {}

    def spy(name):
        function = getattr(train, name)

        def watched(model, batches, *others):
            batches = list(batches)
            shades = {round(255 * float(shade)) for images, _ in batches for shade in images.unique()}
            seen.setdefault(name, []).append((shades, sum(len(labels) for _, labels in batches)))
            return function(model, batches, *others)

        monkeypatch.setattr(train, name, watched)

    for name in ("train_one_epoch", "evaluate", "calibrate", "examine"):
        spy(name)
    return seen


def test_each_split_is_used_for_its_own_purpose_alone(marked, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "Augmentation", lambda *_: lambda images, labels, generator, strength: (images, labels))
    assert run(*SMOKE, "--epochs", 2, "--output", tmp_path / "a")[1] == ""
    assert marked == {
        "train_one_epoch": [({10}, 40)] * 2,
        "evaluate": [({20}, 30)] * 2,
        "calibrate": [({20}, 30)],
        "examine": [({30}, 20)],
    }
    history = checkpoint.load(tmp_path / "a").history
    assert history.images.model_dump() == {"train": 40, "held_out": 30, "test": 20}
    assert sum(map(sum, history.test.confusion)) == 20


def test_plain_neither_augments_nor_calibrates(marked, tmp_path):
    assert run(*SMOKE, "--plain", "--epochs", 1, "--output", tmp_path / "a")[1] == ""
    assert marked["train_one_epoch"] == [({10}, 40)] and "calibrate" not in marked
    history = checkpoint.load(tmp_path / "a").history
    assert history.settings.plain and history.temperature == 1


def test_augmentation_has_the_strength_of_its_epoch(few_images, monkeypatch, tmp_path):
    strengths = []

    def augment(images, labels, generator, strength):
        strengths.append(strength)
        return images, labels

    monkeypatch.setattr(train, "Augmentation", lambda *_: augment)
    monkeypatch.setattr(train, "strength_in", lambda epoch, epochs: (epoch, epochs))
    run(*SMOKE, "--epochs", 3, "--batch-size", 80, "--output", tmp_path / "a")
    assert strengths == [(0, 3), (1, 3), (2, 3)]


def test_every_epoch_has_its_own_order_of_the_images(few_images, monkeypatch, tmp_path):
    orders, real = [], train.train_one_epoch

    def watched(model, batches, *others):
        batches = list(batches)
        orders.append(torch.cat([labels for _, labels in batches]).tolist())
        return real(model, batches, *others)

    monkeypatch.setattr(train, "train_one_epoch", watched)
    for seed in (0, 0, 1):
        assert run(*SMOKE, "--plain", "--epochs", 2, "--seed", seed, "--overwrite", "--output", tmp_path / "a")[1] == ""
    assert orders[:2] == orders[2:4] and len({tuple(order) for order in orders}) == 4


def test_the_optimizer_has_the_learning_rate_and_the_weight_decay_of_the_settings(few_images, monkeypatch, tmp_path):
    rates, decays, real = [], set(), train.train_one_epoch

    def watched(model, batches, optimizer, scheduler, precision):
        loss = real(model, batches, optimizer, scheduler, precision)
        assert type(optimizer) is torch.optim.AdamW and len(optimizer.param_groups) == 1
        assert len(optimizer.param_groups[0]["params"]) == len(list(model.parameters()))
        rates.append(scheduler.get_last_lr()[0])
        decays.add(optimizer.param_groups[0]["weight_decay"])
        return loss

    monkeypatch.setattr(train, "train_one_epoch", watched)
    flags = ("--lr", 0.02, "--weight-decay", 0.07, "--epochs", 10, "--batch-size", 80)
    assert run(*SMOKE, *flags, "--output", tmp_path / "a")[1] == ""
    assert decays == {0.07} and max(rates) == pytest.approx(0.02, rel=0.05) and rates[-2] < 1e-5  # of the last step


def test_bfloat16_is_used_in_training_with_weights_in_float32(few_images, tmp_path):
    for name, flags in (("usual", ()), ("bf16", ("--bf16",))):
        assert run(*SMOKE, *flags, "--epochs", 1, "--output", tmp_path / name)[1] == ""
    usual, bf16 = (checkpoint.load(tmp_path / name) for name in ("usual", "bf16"))
    assert {value.dtype for value in bf16.weights.values()} == {torch.float32} and not same_weights(usual, bf16)
    assert bf16.history.epochs[0].train_loss == pytest.approx(usual.history.epochs[0].train_loss, rel=0.05)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_and_its_weights_keep_their_names(tmp_path):
    code, _, err = finish(start(*SMOKE, "--compile", "--epochs", 1, "--output", tmp_path / "a"))
    assert code == 0, err
    trained = checkpoint.load(tmp_path / "a")
    assert trained.history.settings.compile and trained.history.epochs[0].held_out_accuracy > 0.3


def test_without_a_compiler_one_sentence_says_so(tmp_path):
    code, _, err = finish(start(*SMOKE, "--compile", env={"CXX": "nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}))
    assert code == 1 and "Leave --compile out." in err.splitlines()[-1]


def test_same_seed_same_bytes_and_another_seed_other_weights(few_images, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run(*SMOKE, "--epochs", 1, "--seed", seed, "--output", tmp_path / name)[1] == ""
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not same_weights(checkpoint.load(tmp_path / "a"), checkpoint.load(tmp_path / "c"))


# Stopping and resuming


class Killed(BaseException):
    """Ends a run as a signal that cannot be caught does, as far as the files show."""


@pytest.mark.parametrize("arch", ["small", "tutorial"])  # of channels that are laid out last, or make no difference
def test_killed_before_or_after_any_write_nothing_is_lost_and_resume_is_exact(arch, few_images, monkeypatch, tmp_path):
    flags = ("--smoke", "--arch", arch, "--epochs", 2, "--batch-size", 40, "--output")
    run(*flags, tmp_path / "whole")
    whole = checkpoint.load(tmp_path / "whole")
    replace, unlink = os.replace, Path.unlink

    def kill_at(moment):
        """Let so many changes of a file happen, and no more."""
        left = moment

        def counted(change):
            def changed(source, *arguments, **options):
                nonlocal left
                counts = tmp_path in Path(source).parents and ".lock" not in str(source)
                if not counts or (change is unlink and ".part" in str(source)):
                    return change(source, *arguments, **options)
                left -= 1
                if left < 0:
                    raise Killed
                return change(source, *arguments, **options)

            return changed

        monkeypatch.setattr(os, "replace", counted(replace))
        monkeypatch.setattr(Path, "unlink", counted(unlink))

    for moment in range(6):  # state, checkpoint, state, checkpoint, checkpoint, deletion of the state
        path = tmp_path / f"{moment}"
        kill_at(moment)
        with pytest.raises(Killed):
            pytest.fail(f"{moment} was not killed: {run(*flags, path)}")
        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(Path, "unlink", unlink)
        if moment == 0:
            assert not path.exists() and not resume.path_of(path).exists()
            continue
        assert run(*flags, path)[1].endswith("exists. Use --resume, --overwrite or another --output.")
        out, error = run("--resume", "--output", path)
        assert not error and len(re.findall("^epoch", out, re.M)) == (1 if moment < 3 else 0)
        assert equal(checkpoint.load(path), whole) and not resume.path_of(path).exists()
    kill_at(6)
    assert run(*flags, tmp_path / "6")[1] == ""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_last_epoch_and_says_how_to_continue(kind, few_images, monkeypatch, tmp_path):
    epochs, real = [], train.train_one_epoch

    def interrupted(*loop):
        epochs.append(real(*loop))
        if len(epochs) == 2:
            os.kill(os.getpid(), kind)
            time.sleep(60)
        return epochs[-1]

    monkeypatch.setattr(train, "train_one_epoch", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    _, error = run(*SMOKE, "--epochs", 3, "--output", tmp_path / "a")
    signal.signal(signal.SIGINT, before)
    path = tmp_path / "a"
    assert error == f"\nStopped. 1 of 3 epochs are saved. Continue: python train.py --resume --output {path}"
    assert len(checkpoint.load(path).history.epochs) == 1 and checkpoint.load(path).history.test is None
    epochs.append(0)
    assert run("--resume", "--output", path)[1] == ""
    assert len(checkpoint.load(path).history.epochs) == 3


def test_a_signal_before_the_first_epochs_end_says_that_nothing_is_saved(few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "train_one_epoch", lambda *loop: signal.raise_signal(signal.SIGTERM))
    _, error = run(*SMOKE, "--output", tmp_path / "a")
    assert error == "\nStopped. No epoch was finished, so nothing is saved." and not os.listdir(tmp_path)


def test_killed_at_a_random_moment_resume_is_exact(tmp_path, pytestconfig):
    """`--kills N` times, by SIGKILL and Ctrl-C in turns."""
    flags = (*SMOKE, "--epochs", 3, "--output")
    begin = time.monotonic()
    assert finish(start(*flags, tmp_path / "whole"))[0] == 0
    lasts, random, whole = time.monotonic() - begin, Random(0), checkpoint.load(tmp_path / "whole")
    for kill in range(pytestconfig.getoption("--kills")):
        path, kind = tmp_path / f"{kill}", (signal.SIGKILL, signal.SIGINT)[kill % 2]
        process = start(*flags, path)
        for line in process.stdout:
            if line.startswith("epoch  1"):
                break
        time.sleep(lasts / 3 * random.random())
        process.send_signal(kind)
        finish(process)
        if resume.path_of(path).exists():
            assert finish(start("--resume", "--output", path))[0] == 0
        assert equal(checkpoint.load(path), whole)


def test_a_restored_optimizer_has_the_memory_format_of_its_parameters(tmp_path):
    """By another one, a processor may round otherwise."""

    def made():
        model = create("small").to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.rand(2, 1, 28, 28)).sum().backward()
        optimizer.step()
        return model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)

    saved, restored = made(), made()
    resume.save(tmp_path / "a", "{}", *saved)
    resume.load(tmp_path / "a").restore(*restored)
    for ours, theirs in zip(restored[0].parameters(), saved[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for key, value in saved[1].state[theirs].items():
            assert torch.equal(restored[1].state[ours][key], value)
            assert restored[1].state[ours][key].stride() == value.stride()


@pytest.fixture
def stopped(few_images, monkeypatch, tmp_path):
    """The path of a run that was stopped after the first of two epochs."""
    path = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "calibrate", lambda *_: signal.raise_signal(signal.SIGTERM))
        patch.setattr(train, "range", lambda first, last: range(first, last - 1), raising=False)
        assert "1 of 2 epochs are saved" in run(*SMOKE, "--epochs", 2, "--output", path)[1]
    return path


def test_a_resumed_run_records_every_version_it_ran_with(stopped, monkeypatch):
    monkeypatch.setattr(train.platform, "python_version", lambda: "3.99")
    assert run("--resume", "--output", stopped)[1] == ""
    versions = checkpoint.load(stopped).history.versions
    assert len(versions) == 2 and versions[0].python != versions[1].python == "3.99"


@pytest.mark.parametrize(("flag", "value"), [("--lr", 0.5), ("--epochs", 36), ("--bf16", None)])
def test_resume_with_other_settings_is_refused_even_where_they_are_the_defaults(stopped, flag, value):
    given = (flag,) if value is None else (flag, value)
    _, error = run("--resume", *given, "--output", stopped)
    assert f"The stopped run has {flag} " in error and f"cannot continue with {value or True}." in error
    assert run("--resume", "--lr", 3e-3, "--output", stopped)[1] == ""


def test_what_cannot_be_resumed_gets_a_sentence(stopped, smoke):
    state = resume.path_of(stopped)
    whole = state.read_bytes()

    def error():
        return run("--resume", "--output", stopped)[1]

    for content, sentence in (
        (whole[:1000], "is damaged or incomplete. "),
        (smoke[1].read_bytes(), "is not an unfinished run. "),
        (whole.replace(b'"epochs\\\\\\":2', b'"epochs\\\\\\":0'), "(settings.epochs: Input should be greater than"),
        (whole.replace(b"optimizer.0.exp_avg_sq", b"optimizer.99.exp_avg_s"), "does not fit its settings. Start anew."),
        (whole.replace(b"conv1.weight", b"conv9.weight"), "does not fit its settings. Start anew."),
    ):
        assert content != whole
        state.write_bytes(content)
        assert sentence in error() and "\n" not in error()
    state.unlink()
    assert error() == f"train.py: {state} is missing, and without it {stopped} cannot be continued. Start anew."
    assert "is finished" in run("--resume", "--output", smoke[1])[1]
    assert "There is no checkpoint nowhere" in run("--resume", "--output", "nowhere")[1]


# What goes wrong


def test_a_full_disk_is_one_sentence_and_the_old_file_is_whole(smoke, few_images, tmp_path):
    path = tmp_path / "a.safetensors"
    shutil.copy(smoke[1], path)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        _, error = run(*SMOKE, "--epochs", 1, "--overwrite", "--output", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert error.startswith("train.py: ") and "large" in error
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == smoke[1].read_bytes()


def test_a_loss_that_is_not_finite_stops_and_the_epochs_before_are_kept(few_images, monkeypatch, tmp_path):
    losses = iter([0.5, 0.4])

    def diverge(*loop):
        for loss in losses:
            return loss
        raise FloatingPointError("step 7: the loss is nan, at the learning rate 0.003")

    monkeypatch.setattr(train, "train_one_epoch", diverge)
    _, error = run(*SMOKE, "--output", tmp_path / "a")
    assert re.fullmatch(r"train.py: Epoch 3, step 7: the loss is nan, .*\. Start anew with a lower --lr\.", error)
    assert [epoch.train_loss for epoch in checkpoint.load(tmp_path / "a").history.epochs] == [0.5, 0.4]


def test_a_held_out_loss_that_is_not_finite_stops(few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "evaluate", lambda *_: (float("inf"), 0.5))
    _, error = run(*SMOKE, "--output", tmp_path / "a")
    assert error == "train.py: Epoch 1, the held-out loss is inf. Start anew with a lower --lr."


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    "fail",
    [
        lambda *_: torch.empty(2**60),
        failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")),
        failing(MemoryError()),
    ],
    ids=["CPU", "CUDA", "Python"],
)
def test_an_allocation_that_fails_is_one_sentence(fail, few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "train_one_epoch", fail)
    error = run(*SMOKE, "--output", tmp_path / "a")[1]
    assert error == "train.py: There is not enough memory. Choose a smaller --batch-size."


@pytest.mark.parametrize("message", ["CUDA error: an illegal memory access was encountered", "shared memory"])
def test_any_other_error_keeps_its_traceback(message, few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "train_one_epoch", failing(RuntimeError(message)))
    with pytest.raises(RuntimeError, match=message):
        run(*SMOKE, "--output", tmp_path / "a")


@pytest.mark.parametrize("spoil", ["flip", "truncate", "swap"])
def test_files_that_are_not_mnists_are_named(mnist, pytestconfig, tmp_path, spoil, monkeypatch):
    from digits.mnist import SHA256

    monkeypatch.setenv("http_proxy", OFFLINE["http_proxy"])
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
    _, error = run("--data", tmp_path, "--output", tmp_path / "a")
    assert error.startswith(f"train.py: {raw / name} ") and "\n" not in error


def test_files_that_an_old_torchvision_processed_are_not_trusted(tmp_path):
    (tmp_path / "MNIST" / "processed").mkdir(parents=True)
    assert f"train.py: {tmp_path}/MNIST/processed " in run("--data", tmp_path, "--output", tmp_path / "a")[1]


def test_no_network_and_no_data_is_one_sentence_that_says_where_to_put_the_files(tmp_path, monkeypatch):
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    _, error = run("--data", tmp_path / "none", "--output", tmp_path / "a")
    assert "\n" not in error and f"{tmp_path}/none/MNIST/raw" in error and "train-images-idx3-ubyte" in error


def test_an_existing_checkpoint_is_not_overwritten_unasked(smoke):
    _, path = smoke
    before = path.read_bytes()
    assert "exists. Use --resume, --overwrite or another --output." in run("--smoke", "--output", path)[1]
    assert path.read_bytes() == before


def test_two_runs_do_not_write_one_file(few_images, tmp_path):
    with FileLock(tmp_path / ".a.lock"):
        assert "Another run is writing" in run(*SMOKE, "--output", tmp_path / "a")[1]
    assert run(*SMOKE, "--epochs", 1, "--output", tmp_path / "a")[1] == ""
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "resnet1"], "resnet152"),
        (["--epochs", "0"], "--epochs: Input should be greater than or equal to 1."),
        (["--epochs", "20000"], "--epochs: Input should be less than or equal to 10000."),
        (["--epochs", "many"], "--epochs"),
        (["--batch-size", "0"], "--batch-size: "),
        (["--lr", "nan"], "--lr: "),
        (["--lr", "1"], "--lr: "),
        (["--weight-decay", "1"], "--weight-decay: "),
        (["--seed", "-1"], "--seed: "),
        (["--seed", str(2**32)], "--seed: "),
        (["--device", "abacus"], "There is no device 'abacus' here. Available: "),
        (["--overwrite", "--output", "tests"], "tests is a folder"),
    ],
)
def test_flags_out_of_bounds_are_refused(arguments, sentence):
    assert sentence in run("--smoke", *arguments)[1].strip().splitlines()[-1]


def test_help_explains_every_flag_with_its_default():
    out = " ".join(run("--help")[0].split())
    for name, setting in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in out and setting.description in out
        assert type(setting.default) is bool or f"{setting.description} (default: {setting.default})" in out
    for name in ("fast", "device", "data", "output", "overwrite", "resume"):
        assert f"--{name} " in out


def test_fast_stands_for_four_settings_and_the_flags_given_override_it(monkeypatch):
    def settings(*flags):
        monkeypatch.setattr("sys.argv", ["train.py", *flags])
        return train.choose(train.parse_args())[1]

    assert settings("--fast") == Settings(epochs=3, lr=5e-3, plain=True, bf16=True)
    assert settings("--arch", "tutorial", "--fast", "--epochs", "4").epochs == 4
    assert settings("--smoke") == Settings(smoke=True, epochs=5, batch_size=16)
    assert settings("--smoke", "--epochs", "2") == Settings(smoke=True, epochs=2, batch_size=16)
    assert settings() == Settings()


def test_a_short_run_on_a_part_of_mnist_reads_most_of_it(mnist, monkeypatch, tmp_path):
    counts = (10_000, 1000, 2000)
    few = [dataset.Digits(*(part[:n] for part in digits)) for digits, n in zip(mnist, counts, strict=True)]
    monkeypatch.setattr(train.mnist, "load", lambda root: dataset.Splits(*few))
    monkeypatch.setattr(train, "DRAWN", 200)
    assert run("--arch", "tutorial", "--epochs", 2, "--batch-size", 64, "--output", tmp_path / "a")[1] == ""
    assert checkpoint.load(tmp_path / "a").history.test.accuracy > 0.9
