"""Train a residual network to read digits: the standard loop on MNIST's training images. `python train.py --help`"""

import argparse
import atexit
import math
import platform
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from digits import dataset, drawings, mnist
from digits.augment.batch import SCRAWLS, Augmentation, strength_in
from resnet import ARCHITECTURES, checkpoint, create, parallel
from resnet.devices import check_compiler, choose_device
from resnet.recognizer import DEFAULT
from resnet.training import calibrate, evaluate, examine, train_one_epoch


def setting(default: Any, help: str, **options: Any) -> Any:
    return field(default=default, metadata={"help": help, **options})


@dataclass(frozen=True)
class Settings:
    """What makes the weights: on the same device of a machine, by as many processes, the same ones. Each is a flag."""

    arch: str = setting(DEFAULT, "the network", choices=list(ARCHITECTURES))
    epochs: int = setting(36, "passes over the training images")
    batch_size: int = setting(128, "images a step")
    lr: float = setting(3e-3, "AdamW's highest learning rate; it rises to that and falls to nothing in one cycle")
    weight_decay: float = setting(0.1, "AdamW's: each step takes so much of the learning rate off every weight")
    seed: int = setting(0, "of the first weights, and of the order and the augmentation of the images")
    plain: bool = setting(False, "learn the images as they are, as tutorials do: nothing augmented or calibrated")
    bf16: bool = setting(False, "multiply in bfloat16, where the processor can; weights and evaluation stay float32")
    compile: bool = setting(False, "let torch.compile make code for this processor first, which takes a minute")
    smoke: bool = setting(False, "walk the whole way in seconds: a few small epochs on drawn digits instead of MNIST")

    def __post_init__(self) -> None:
        """Raises `ValueError` for what cannot be."""
        for f in fields(self):
            if type(getattr(self, f.name)) is not f.type:
                raise ValueError(f"{f.name} is no {f.type.__name__}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("--epochs and --batch-size must be at least 1")
        if not 0 < self.lr < 1:
            raise ValueError("--lr must lie between 0 and 1")
        if not 0 <= self.weight_decay < 1:
            raise ValueError("--weight-decay must be at least 0 and below 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError("--seed must lie between 0 and 4294967295")


FAST = {"epochs": 3, "lr": 5e-3, "plain": True, "bf16": True}  # 99 % with `tutorial`: benchmarks/training.py
SMOKE = {"epochs": 5, "batch_size": 16}


def main() -> None:
    torch.set_flush_denormal(True)  # almost-zeros are slow on a CPU; holds for this thread and those it starts
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        parallel.join()
        train(*parallel.by_first(prepare))
        parallel.leave()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"train.py: {error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # torch has no class for this on the CPU
            raise
        sys.exit("train.py: the memory does not suffice; choose a smaller --batch-size")
    except KeyboardInterrupt:
        sys.exit("\nstopped")


def train(
    settings: Settings,
    started: checkpoint.Checkpoint | None,
    splits: dataset.Splits,
    device: torch.device,
    output: Path,
) -> None:
    """Each epoch's end is on disk before the next begins; `started` is such a file's content, to go on from."""
    torch.manual_seed(settings.seed)
    device = parallel.own(device)
    train_set, held_out, test_set = (digits.to(device) for digits in splits)
    augment = None if settings.plain else Augmentation(settings.seed, 200 if settings.smoke else SCRAWLS)
    model = create(settings.arch).to(device, memory_format=torch.channels_last)
    if settings.compile:
        model.compile(dynamic=False)  # in place: weights keep their names; by shape: --resume runs the same code
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    steps = settings.epochs * len(dataset.Batches(train_set, settings.batch_size))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps)
    precision = partial(torch.autocast, device.type, torch.bfloat16, enabled=settings.bf16)
    history = new_history(settings, splits, model)
    team = parallel.Team(model, device)
    if started:
        model.load_state_dict(started.weights)
        try:
            optimizer.load_state_dict(started.unfinished["optimizer"])
            scheduler.load_state_dict(started.unfinished["scheduler"])
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
            raise ValueError(f"{output} holds no state of this optimizer to go on with; start anew") from None
        history["epochs"] = started.history["epochs"]

    def save() -> None:
        states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        unfinished = None if history["test"] else states
        saved = checkpoint.Checkpoint(settings.arch, model.state_dict(), history, unfinished)
        parallel.by_first(lambda: checkpoint.save(saved, output))

    done = len(history["epochs"])  # epochs on disk
    print(f"{settings.arch}: {history['parameters']:,} parameters, on {device}, written to {output}")
    try:
        for epoch in range(done, settings.epochs):
            start = time.perf_counter()
            shuffle = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
            harden = augment and partial(augment, strength=strength_in(epoch, settings.epochs))
            batches = dataset.Batches(train_set, settings.batch_size, shuffle, harden)
            hidden = parallel.rank() > 0 or None  # None: hidden where there is no terminal
            # On leaving `with`, a Ctrl-C that waits comes before the error of losing those whom it has ended already.
            with tqdm(batches, f"epoch {epoch + 1}/{settings.epochs}", leave=False, disable=hidden) as progress:
                shares = team.shares(progress)
                train_loss = team.mean(train_one_epoch(team.model, shares, optimizer, scheduler, precision))
            loss, accuracy = evaluate(model, dataset.Batches(held_out, 1000))
            if not math.isfinite(loss):
                raise FloatingPointError(f"at its end: the loss of the images held out is {loss:g}")
            history["epochs"].append({"train_loss": train_loss, "held_out_loss": loss, "held_out_accuracy": accuracy})
            save()
            done = epoch + 1
            print(
                f"epoch {epoch + 1:2}/{settings.epochs}  train loss {train_loss:.4f}  "
                f"held-out loss {loss:.4f}  held-out accuracy {accuracy:.2%}  {time.perf_counter() - start:.0f} s",
                flush=True,
            )
        if not settings.plain:
            history["temperature"] = calibrate(model, dataset.Batches(held_out, 1000))
        history["test"] = test = examine(model, dataset.Batches(test_set, 1000))
        save()
    except FloatingPointError as error:
        raise FloatingPointError(f"epoch {done + 1}, {error}; start anew with a lower --lr") from None
    except KeyboardInterrupt:
        kept = f"{done} of {settings.epochs} epochs are kept; to go on: python train.py --resume --output {output}"
        sys.exit(f"\nstopped: {kept if done else 'no epoch was finished, so nothing is kept'}")
    print(
        f"test loss {test['loss']:.4f}  test accuracy {test['accuracy']:.2%}  "
        f"({len(test_set.labels):,} digits, read this once)"
    )
    print(f"now draw: python demo.py --checkpoint {output}")


def new_history(settings: Settings, splits: dataset.Splits, model: torch.nn.Module) -> dict[str, Any]:
    return {
        "data": "drawn digits" if settings.smoke else "MNIST",
        "images": {name: len(digits.labels) for name, digits in splits._asdict().items()},
        "settings": asdict(settings),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": [],
        "temperature": 1.0,
        "test": None,
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for f in fields(Settings):
        kind = {"action": "store_true"} if f.type is bool else {"type": f.type, "choices": f.metadata.get("choices")}
        help = f.metadata["help"] + ("" if f.type is bool else f" (default: {f.default})")
        parser.add_argument(f"--{f.name.replace('_', '-')}", default=argparse.SUPPRESS, help=help, **kind)
    fast = " ".join(f"--{name}" + ("" if value is True else f" {value:g}") for name, value in FAST.items())
    parser.add_argument(
        "--fast", action="store_true", help=f"for 99 %% in seconds: {fast}; --epochs and --lr may be others"
    )
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the best there is)")
    parser.add_argument("--data", default="data", help="where MNIST is, or is downloaded to (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the checkpoint (default: checkpoints/ARCH-seedSEED.pt)")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there already")
    parser.add_argument("--resume", action="store_true", help="go on with a checkpoint whose training was stopped")
    return parser.parse_args()


def prepare() -> tuple[Settings, checkpoint.Checkpoint | None, dataset.Splits, torch.device, Path]:
    """What `train` takes, by the command line. Refuses what would lose work."""
    args = parse_args()
    said, settings, output = choose(args)
    device = choose_device(args.device)
    claim(output)  # before it is looked at
    started = None
    if args.resume:
        settings, started = resume(said, output)
    elif output.exists() and not args.overwrite:
        raise ValueError(f"{output} is there already; say --resume, --overwrite, or another --output")
    if settings.compile:
        check_compiler(device)
    splits = drawings.splits(settings.seed) if settings.smoke else mnist.load(args.data)
    last = len(splits.train.labels) % settings.batch_size or settings.batch_size
    if last < parallel.size():
        raise ValueError(f"{parallel.size()} processes cannot share the last batch of {last}; change --batch-size")
    return settings, started, splits, device, output


def choose(args: argparse.Namespace) -> tuple[dict[str, Any], Settings, Path]:
    """The settings that were said, all that go with them, and where to write."""
    said = {f.name: getattr(args, f.name) for f in fields(Settings) if hasattr(args, f.name)}
    said = (FAST if args.fast else {}) | said
    settings = Settings(**((SMOKE if "smoke" in said else {}) | said))
    folder = Path(tempfile.mkdtemp()) if settings.smoke and not args.output else Path("checkpoints")
    return said, settings, args.output or folder / f"{settings.arch}-seed{settings.seed}.pt"


def claim(output: Path) -> None:
    """For this run alone, till it ends in whatever way."""
    if output.is_dir():
        raise ValueError(f"{output} is a folder; name a file in it")
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(f"another run writes {output}; wait for its end, or say another --output") from None
    atexit.register(lock.release)  # last registered, first done
    atexit.register(path.unlink, missing_ok=True)


def resume(said: dict[str, Any], output: Path) -> tuple[Settings, checkpoint.Checkpoint]:
    """A stopped run goes on with its own settings; others than those are refused."""
    started = checkpoint.load(output)
    if not started.unfinished:
        raise ValueError(f"{output} is finished; to train longer, start anew with more --epochs")
    try:
        settings = Settings(**started.history["settings"])
    except (TypeError, ValueError):
        raise ValueError(f"{output} was started with settings that are not known here; start anew") from None
    for name, mine in said.items():
        if mine != (its := getattr(settings, name)):
            raise ValueError(f"{output} was started with {name.replace('_', '-')} {its}; it cannot go on with {mine}")
    return settings, started


if __name__ == "__main__":
    main()
