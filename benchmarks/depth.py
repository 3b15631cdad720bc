"""What shortcuts are for: 20 and 56 layers, with and without (He et al. 2015, arXiv:1512.03385, section 4.2).

`python -m benchmarks.depth --data FOLDER` trains each the same way and writes a JSON and its plot: training and
held-out error after each epoch, and the norm of each layer's gradient. Stopped at any moment, it continues.
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
    """The paper's but for the epochs; the learning rate drops after a half and after three quarters of them."""

    epochs: int = 8
    seeds: int = 3
    batch_size: int = 128
    lr: float = 0.1  # of SGD; each drop divides it by 10
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_steps: int = 100  # before gradients are measured a second time


def train(
    network: str, seed: int, settings: Settings, splits: dataset.Splits, device: torch.device, state: Path
) -> dict:
    """One run -> {"network", "seed", "train_error", "held_out_error"}, the errors a list with one share per epoch.

    The file `state` holds the last finished epoch; where it exists, the run continues from it.
    """
    torch.manual_seed(seed)
    model = create(network).to(device, memory_format=torch.channels_last)
    batches = len(dataset.Batches(splits.train, settings.batch_size))
    optimizer, scheduler = make_optimizer(model, settings, batches)
    run = {"network": network, "seed": seed, "train_error": [], "held_out_error": []}
    if state.exists():
        saved = resume.load(state)
        saved.restore(model, optimizer, scheduler)
        run = json.loads(saved.progress)
    train_part = dataset.Digits(*(part[: len(splits.held_out.labels)] for part in splits.train))  # as many as held out
    for epoch in range(len(run["train_error"]), settings.epochs):
        shuffle = torch.Generator().manual_seed(seed * 100_003 + epoch)
        progress = tqdm(
            dataset.Batches(splits.train, settings.batch_size, shuffle),
            f"{network} seed {seed} epoch {epoch + 1}/{settings.epochs}",
            leave=False,
            disable=None,
        )
        train_one_epoch(model, progress, optimizer, scheduler)
        for name, digits in (("train_error", train_part), ("held_out_error", splits.held_out)):
            run[name].append(1 - evaluate(model, dataset.Batches(digits, 1000)).accuracy)
        resume.save(state, json.dumps(run), model, optimizer, scheduler)
        print(
            f"{network} seed {seed} epoch {epoch + 1}/{settings.epochs}  "
            f"training error {run['train_error'][-1]:.2%}  held-out error {run['held_out_error'][-1]:.2%}",
            flush=True,
        )
    return run


def gradients(network: str, settings: Settings, splits: dataset.Splits, device: torch.device) -> dict[str, Any]:
    """The gradient's norm for each convolution, first to last: at initialization, and after `gradient_steps`."""
    torch.manual_seed(0)
    model = create(network).to(device, memory_format=torch.channels_last)
    batches = dataset.Batches(splits.train, settings.batch_size, torch.Generator().manual_seed(0))
    optimizer, scheduler = make_optimizer(model, settings, len(batches))
    first = [batch for batch, _ in zip(batches, range(settings.gradient_steps), strict=False)]
    at_first = norms(model, *first[0])
    train_one_epoch(model, first, optimizer, scheduler)
    return {"network": network, "at_first": at_first, "afterwards": norms(model, *first[0])}


def norms(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """For each convolution, of the gradient of one batch."""
    model.train()
    F.cross_entropy(model(images), labels).backward()
    weights = [module.weight for module in model.modules() if getattr(module, "kernel_size", 0) == (3, 3)]
    found = [weight.grad.norm().item() for weight in weights]
    model.zero_grad()
    return found


def make_optimizer(model: nn.Module, settings: Settings, batches: int) -> tuple[torch.optim.Optimizer, Any]:
    optimizer = torch.optim.SGD(
        model.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    drops = [settings.epochs * batches // 2, settings.epochs * batches * 3 // 4]
    return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of MNIST, downloaded if absent (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=Settings.epochs, help="epochs of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=Settings.seeds, help="runs of each network (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/depth.json"), help="(default: %(default)s)")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the fastest there is)")
    parser.add_argument("--smoke", action="store_true", help="run every stage within seconds, on drawn digits")
    args = parser.parse_args()
    if args.epochs < 1 or args.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    torch.set_flush_denormal(True)  # before threads start, which inherit it; without it plain56 takes 5 times as long
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
            raise ValueError(
                f"{states} belongs to a run with other settings. Choose another --output, or delete that folder."
            )
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
        sys.exit(f"depth: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command continues.")
    print(f"Written to {args.output}, with the plot beside it.")


if __name__ == "__main__":
    main()
