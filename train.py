"""Train a residual network to read handwritten digits: the standard loop on MNIST. `python train.py --help`"""

import argparse
import math
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from digits import dataset, drawings, mnist
from digits.augment.batch import DRAWN, Augmentation, strength_in
from resnet import ARCHITECTURES, checkpoint, create, parallel, resume
from resnet.devices import check_compiler, choose_device, is_out_of_memory
from resnet.history import Epoch, History, Images, Settings, Versions, first_error
from resnet.training import calibrate, evaluate, examine, train_one_epoch

FAST: dict[str, Any] = {
    "epochs": 3,
    "lr": 5e-3,
    "plain": True,
    "bf16": True,
}  # 99 % with `tutorial`: benchmarks/training.py
SMOKE: dict[str, Any] = {"epochs": 5, "batch_size": 16}


def main() -> None:
    torch.set_flush_denormal(True)  # denormal numbers are slow on a CPU; holds for this thread and those it starts
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        parallel.start()
        with ExitStack() as until_end:
            train(*parallel.on_first_process(partial(prepare, until_end)))
        parallel.stop()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"train.py: {error}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit("train.py: There is not enough memory. Choose a smaller --batch-size.")
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


def train(
    settings: Settings, state: resume.State | None, splits: dataset.Splits, device: torch.device, output: Path
) -> None:
    """Trains and evaluates. Every epoch is on disk before the next begins; with `state`, a stopped run continues."""
    torch.manual_seed(settings.seed)
    device = parallel.local_device(device)
    train_set, held_out, test_set = (digits.to(device) for digits in splits)
    augment = None if settings.plain else Augmentation(settings.seed, 200 if settings.smoke else DRAWN)
    model = create(settings.arch).to(device).to(memory_format=torch.channels_last)
    if settings.compile:
        model.compile(dynamic=False)  # in place, so weights keep their names; per shape, so --resume runs the same code
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    steps = settings.epochs * len(dataset.Batches(train_set, settings.batch_size))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps)
    precision = partial(torch.autocast, device.type, torch.bfloat16, enabled=settings.bf16)
    history = new_history(settings, splits, model)
    workers = parallel.DataParallel(model, device)
    if state:
        state.restore(model, optimizer, scheduler)
        history = continued(History.model_validate_json(state.progress), history)

    def save() -> None:
        unfinished = resume.path_of(output)
        if history.test is None:
            resume.save(unfinished, history.model_dump_json(), model, optimizer, scheduler)
        checkpoint.save(checkpoint.Checkpoint(settings.arch, model.state_dict(), history), output)
        if history.test is not None:
            unfinished.unlink(missing_ok=True)

    done = len(history.epochs)  # epochs on disk
    print(f"{settings.arch}: {history.parameters:,} parameters, on {device}, written to {output}")
    try:
        for epoch in range(done, settings.epochs):
            start = time.perf_counter()
            shuffle = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
            augment_batch = augment and partial(augment, strength=strength_in(epoch, settings.epochs))
            batches = dataset.Batches(train_set, settings.batch_size, shuffle, augment_batch)
            hidden = parallel.rank() > 0 or None  # None: hidden where there is no terminal
            # On leaving `with`, a pending Ctrl-C is raised before the error that the other processes are gone.
            with tqdm(batches, f"epoch {epoch + 1}/{settings.epochs}", leave=False, disable=hidden) as progress:
                shares = workers.shares(progress)
                train_loss = workers.mean(train_one_epoch(workers.model, shares, optimizer, scheduler, precision))
            loss, accuracy = evaluate(model, dataset.Batches(held_out, 1000))
            if not math.isfinite(loss):
                raise FloatingPointError(f"the held-out loss is {loss:g}")
            measured = Epoch(train_loss=train_loss, held_out_loss=loss, held_out_accuracy=accuracy)
            history = history.model_copy(update={"epochs": (*history.epochs, measured)})
            parallel.on_first_process(save)
            done = epoch + 1
            print(
                f"epoch {epoch + 1:2}/{settings.epochs}  train loss {train_loss:.4f}  "
                f"held-out loss {loss:.4f}  held-out accuracy {accuracy:.2%}  {time.perf_counter() - start:.0f} s",
                flush=True,
            )
        temperature = 1.0 if settings.plain else calibrate(model, dataset.Batches(held_out, 1000))
        test = examine(model, dataset.Batches(test_set, 1000))
        history = history.model_copy(update={"temperature": temperature, "test": test})
        parallel.on_first_process(save)
    except FloatingPointError as error:
        raise FloatingPointError(f"Epoch {done + 1}, {error}. Start anew with a lower --lr.") from None
    except KeyboardInterrupt:
        kept = f"{done} of {settings.epochs} epochs are saved. Continue: python train.py --resume --output {output}"
        sys.exit(f"\nStopped. {kept if done else 'No epoch was finished, so nothing is saved.'}")
    print(f"test loss {test.loss:.4f}  test accuracy {test.accuracy:.2%}  ({len(test_set.labels):,} digits, read once)")
    print(f"Now draw: python demo.py --checkpoint {output}")


def new_history(settings: Settings, splits: dataset.Splits, model: torch.nn.Module) -> History:
    return History(
        data="drawn digits" if settings.smoke else "MNIST",
        images=Images(**{name: len(digits.labels) for name, digits in splits._asdict().items()}),
        settings=settings,
        versions=(Versions(python=platform.python_version(), torch=str(torch.__version__)),),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        epochs=(),
        temperature=1.0,
        test=None,
    )


def continued(stopped: History, new: History) -> History:
    """The stopped run's history, with the versions that it continues with."""
    versions = stopped.versions if stopped.versions[-1:] == new.versions else stopped.versions + new.versions
    return new.model_copy(update={"epochs": stopped.epochs, "versions": versions})


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, setting in Settings.model_fields.items():
        flag, kind, help = f"--{name.replace('_', '-')}", type(setting.default), setting.description
        if kind is bool:
            parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=help)
        else:
            choices = list(ARCHITECTURES) if name == "arch" else None
            help = f"{help} (default: {setting.default})"
            parser.add_argument(flag, type=kind, choices=choices, default=argparse.SUPPRESS, help=help)
    fast = " ".join(f"--{name}" + ("" if value is True else f" {value:g}") for name, value in FAST.items())
    parser.add_argument("--fast", action="store_true", help=f"99 %% in seconds: {fast}; other settings override these")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the fastest there is)")
    parser.add_argument("--data", default="data", help="folder of MNIST, downloaded if absent (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="checkpoint (default: checkpoints/ARCH-seedSEED.safetensors)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue a stopped run")
    return parser.parse_args()


def prepare(until_end: ExitStack) -> tuple[Settings, resume.State | None, dataset.Splits, torch.device, Path]:
    """The arguments of `train`, from the command line. Refuses what would lose work."""
    args = parse_args()
    given, settings, output = choose(args)
    device = choose_device(args.device)
    until_end.enter_context(locked(output))
    state = None
    if args.resume:
        settings, state = stopped_run(given, output)
    elif not args.overwrite and (output.exists() or resume.path_of(output).exists()):
        raise ValueError(f"{output} exists. Use --resume, --overwrite or another --output.")
    if settings.compile:
        check_compiler(device)
    splits = drawings.splits(settings.seed) if settings.smoke else mnist.load(args.data)
    last = len(splits.train.labels) % settings.batch_size or settings.batch_size
    if last < parallel.world_size():
        raise ValueError(
            f"The last batch has {last} images for {parallel.world_size()} processes. Change --batch-size."
        )
    return settings, state, splits, device, output


def choose(args: argparse.Namespace) -> tuple[dict[str, Any], Settings, Path]:
    """The settings given on the command line, all settings, and the checkpoint's path."""
    given = {name: getattr(args, name) for name in Settings.model_fields if hasattr(args, name)}
    given = (FAST if args.fast else {}) | given
    try:
        settings = Settings(**((SMOKE if "smoke" in given else {}) | given))
    except ValueError as error:
        raise ValueError(f"--{first_error(error).replace('_', '-')}.") from None
    folder = Path(tempfile.mkdtemp()) if settings.smoke and not args.output else Path("checkpoints")
    return given, settings, args.output or folder / f"{settings.arch}-seed{settings.seed}.safetensors"


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Within it, no other run writes `output`."""
    if output.is_dir():
        raise ValueError(f"{output} is a folder. Name a file in it.")
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(f"Another run is writing {output}. Wait for it, or choose another --output.") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def stopped_run(given: dict[str, Any], output: Path) -> tuple[Settings, resume.State]:
    """A stopped run continues with its own settings; it refuses others."""
    path = resume.path_of(output)
    if not path.exists():
        history = checkpoint.load(output).history
        if history and history.test:
            raise ValueError(f"{output} is finished. To train longer, start anew with more --epochs.")
        raise ValueError(f"{path} is missing, and without it {output} cannot be continued. Start anew.")
    state = resume.load(path)
    try:
        settings = History.model_validate_json(state.progress).settings
    except ValueError as error:
        raise ValueError(f"{path} cannot be continued ({first_error(error)}). Start anew.") from None
    for name, value in given.items():
        if value != (stopped := getattr(settings, name)):
            flag = name.replace("_", "-")
            raise ValueError(f"The stopped run has --{flag} {stopped} and cannot continue with {value}.")
    return settings, state


if __name__ == "__main__":
    main()
