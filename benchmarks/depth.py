"""Why shortcuts: 20 and 56 layers, plain and residual, trained the same way (He et al. 2015, arXiv:1512.03385, 4.2).

`python -m benchmarks.depth --data FOLDER` writes one JSON: training and held-out error after each epoch, and the
gradient's norm in each layer of plain and residual networks; and draws them. Stopped at any moment, it goes on.
"""

import argparse
import json
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from digits import dataset, drawings, mnist
from report import figures
from resnet import create, resume
from resnet.devices import choose_device
from resnet.training import evaluate, train_one_epoch

CORNERS = ("plain20", "plain56", "resnet20", "resnet56")
GRADIENTS = ("plain56-nobn", "plain56", "resnet56")


@dataclass(frozen=True)
class Settings:
    """The paper's, but for the number of epochs, in whose middle and at three quarters the learning rate falls."""

    epochs: int = 8
    seeds: int = 3
    batch_size: int = 128
    lr: float = 0.1  # of SGD; a tenth of it at each fall
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_steps: int = 100  # after which gradients are measured again


def train(
    network: str, seed: int, settings: Settings, splits: dataset.Splits, device: torch.device, state: Path
) -> dict:
    """One run -> {"network", "seed", "train_error", "held_out_error"}, a value in [0, 1] for each epoch.

    The state of each finished epoch is in the file `state`; where that is there, the run goes on from it.
    """
    torch.manual_seed(seed)
    model = create(network).to(device, memory_format=torch.channels_last)
    batches = len(dataset.Batches(splits.train, settings.batch_size))
    optimizer, scheduler = optimizer_of(model, settings, batches)
    run = {"network": network, "seed": seed, "train_error": [], "held_out_error": []}
    if state.exists():
        saved = resume.load(state)
        saved.restore(model, optimizer, scheduler)
        run = json.loads(saved.progress)
    some = dataset.Digits(*(part[: len(splits.held_out.labels)] for part in splits.train))  # as many as are held out
    for epoch in range(len(run["train_error"]), settings.epochs):
        shuffle = torch.Generator().manual_seed(seed * 100_003 + epoch)
        progress = tqdm(
            dataset.Batches(splits.train, settings.batch_size, shuffle),
            f"{network} seed {seed} epoch {epoch + 1}/{settings.epochs}",
            leave=False,
            disable=None,
        )
        train_one_epoch(model, progress, optimizer, scheduler)
        for name, digits in (("train_error", some), ("held_out_error", splits.held_out)):
            run[name].append(1 - evaluate(model, dataset.Batches(digits, 1000)).accuracy)
        resume.save(state, json.dumps(run), model, optimizer, scheduler)
        print(
            f"{network} seed {seed} epoch {epoch + 1}/{settings.epochs}  "
            f"training error {run['train_error'][-1]:.2%}  held-out error {run['held_out_error'][-1]:.2%}",
            flush=True,
        )
    return run


def gradients(network: str, settings: Settings, splits: dataset.Splits, device: torch.device) -> dict[str, Any]:
    """Norms of the loss's gradient by each convolution's weights, first to last: at first, and after some steps."""
    torch.manual_seed(0)
    model = create(network).to(device, memory_format=torch.channels_last)
    batches = dataset.Batches(splits.train, settings.batch_size, torch.Generator().manual_seed(0))
    optimizer, scheduler = optimizer_of(model, settings, len(batches))
    few = [batch for batch, _ in zip(batches, range(settings.gradient_steps), strict=False)]
    at_first = norms(model, *few[0])
    train_one_epoch(model, few, optimizer, scheduler)
    return {"network": network, "at_first": at_first, "afterwards": norms(model, *few[0])}


def norms(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Of one batch."""
    model.train()
    F.cross_entropy(model(images), labels).backward()
    weights = [module.weight for module in model.modules() if getattr(module, "kernel_size", 0) == (3, 3)]
    found = [weight.grad.norm().item() for weight in weights]
    model.zero_grad()
    return found


def optimizer_of(model: nn.Module, settings: Settings, batches: int) -> tuple[torch.optim.Optimizer, Any]:
    optimizer = torch.optim.SGD(
        model.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    falls = [settings.epochs * batches // 2, settings.epochs * batches * 3 // 4]
    return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, falls)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="where MNIST is, or is downloaded to (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=Settings.epochs, help="of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=Settings.seeds, help="runs of each network (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/depth.json"), help="(default: %(default)s)")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the best there is)")
    parser.add_argument("--smoke", action="store_true", help="walk the whole way in seconds, on drawn digits")
    args = parser.parse_args()
    if args.epochs < 1 or args.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    torch.set_flush_denormal(True)  # before there are threads, which inherit it: else plain56 takes 5 times as long
    settings = Settings(epochs=args.epochs, seeds=args.seeds, gradient_steps=2 if args.smoke else 100)
    try:
        device = choose_device(args.device)
        splits = drawings.splits(copies=8) if args.smoke else mnist.load(args.data)
        splits = dataset.Splits(*(digits.to(device) for digits in splits))
        measured = {"settings": asdict(settings), "data": "drawn digits" if args.smoke else "MNIST"}
        states = args.output.with_suffix(".states")
        same = states / "settings.json"
        states.mkdir(parents=True, exist_ok=True)
        if same.exists() and json.loads(same.read_text()) != measured:
            raise ValueError(f"{states} is of a run with other settings; name another --output, or remove that folder")
        same.write_text(json.dumps(measured))
        measured["versions"] = {"python": platform.python_version(), "torch": str(torch.__version__)}
        measured["runs"] = [
            train(network, seed, settings, splits, device, states / f"{network}-{seed}.safetensors")
            for seed in range(settings.seeds)
            for network in CORNERS
        ]
        measured["gradients"] = [gradients(network, settings, splits, device) for network in GRADIENTS]
        args.output.write_text(json.dumps(measured, indent=1))
        figures.save_png(figures.depth(measured), args.output.with_suffix(".png"))
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"depth.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on")
    print(f"written to {args.output}, and as a picture beside it")


if __name__ == "__main__":
    main()
