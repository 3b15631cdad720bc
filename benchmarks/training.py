"""How long `train.py --fast` takes to 99 % on MNIST's test set, compared with the recipe of tutorials.

`python -m benchmarks.training --data FOLDER` trains `tutorial` both ways, alternating on the same machine, and
writes a JSON. The tutorials' recipe: images converted one by one, batches of 64, Adam at 1e-3, 26 epochs.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.family import multiply_adds
from digits import dataset, mnist
from resnet import checkpoint, create
from resnet.devices import choose_device
from resnet.history import Settings
from resnet.training import evaluate
from train import FAST, train

ROOT = checkpoint.SHIPPED.parent
NETWORK = "tutorial"
EPOCHS = 26  # in the tutorials' recipe


class Baseline:
    """The tutorials' recipe, one epoch at a time."""

    def __init__(self, folder: str, device: torch.device) -> None:
        from torchvision.datasets import MNIST
        from torchvision.transforms import ToTensor

        torch.manual_seed(0)
        pictures = MNIST(folder, train=True, transform=ToTensor())
        self.batches = torch.utils.data.DataLoader(pictures, batch_size=64, shuffle=True)
        self.device, self.model = device, create(NETWORK).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def train_one_epoch(self) -> float:
        self.model.train()
        total = 0.0
        for images, labels in self.batches:
            loss = F.cross_entropy(self.model(images.to(self.device)), labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.batches)


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = 2048) -> float:
    """Multiply-adds per second of one large matrix product: the most that the machine can do."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        (a @ b).sum().item()  # waits for the result
        times.append(time.perf_counter() - start)
    return side**3 / median(times)


def accuracy(model: nn.Module, digits: dataset.Digits) -> float:
    return evaluate(model, dataset.Batches(digits, 1000)).accuracy


def measure(folder: str, seeds: int, epochs: int, device: torch.device) -> dict[str, Any]:
    """`epochs` of the baseline, with `seeds` fast runs spread between them.

    A fast run is timed from the initial weights to the checkpoint on disk, test accuracy included.
    """
    torch.set_flush_denormal(True)
    splits = mnist.load(folder)
    settings = Settings(arch=NETWORK, **FAST)
    baseline = Baseline(folder, device)
    slow, fast = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for epoch in range(epochs):
            start = time.perf_counter()
            loss = baseline.train_one_epoch()
            slow.append(time.perf_counter() - start)
            print(f"baseline, epoch {epoch + 1:2}/{epochs}: loss {loss:.4f}  {slow[-1]:.1f} s", flush=True)
            while len(fast) < seeds * (epoch + 1) // epochs:
                seed, output = len(fast), Path(temporary, f"{len(fast)}.safetensors")
                start = time.perf_counter()
                with redirect_stdout(io.StringIO()):
                    train(settings.model_copy(update={"seed": seed}), None, splits, device, output)
                seconds = time.perf_counter() - start
                history = checkpoint.load(output).history
                fast.append(
                    {
                        "seed": seed,
                        "seconds": seconds,
                        "held_out_accuracy": history.epochs[-1].held_out_accuracy,
                        "test_accuracy": history.test.accuracy,
                    }
                )
                print(f"--fast, seed {seed}: {fast[-1]['test_accuracy']:.2%}  {seconds:.1f} s", flush=True)
    work = 3 * multiply_adds(NETWORK) * len(splits.train.labels) * settings.epochs  # forward once, backward twice
    rate = matrix_rate(device, torch.bfloat16 if settings.bf16 else torch.float32)
    return {
        "device": str(device),
        "baseline": {"seconds": slow, "test_accuracy": accuracy(baseline.model, splits.test.to(device))},
        "fast": fast,
        "floor": {"multiply_adds": work, "multiply_adds_a_second": rate, "seconds": work / rate},
    }


def sentences(measured: dict[str, Any]) -> list[str]:
    """For docs/speed.md."""
    slow, fast, floor = (measured[name] for name in ("baseline", "fast", "floor"))
    seconds, accuracies = mean(run["seconds"] for run in fast), [100 * run["test_accuracy"] for run in fast]
    spread = f" ± {stdev(accuracies):.2f}" if len(fast) > 1 else ""
    whole = mean(slow["seconds"]) * EPOCHS
    return [
        f"tutorials' recipe: {mean(slow['seconds']):.1f} s an epoch, {whole:.0f} s for {EPOCHS}; "
        f"{100 * slow['test_accuracy']:.2f} % after {len(slow['seconds'])}",
        f"train.py --fast: {seconds:.1f} s, {whole / seconds:.0f} times faster; "
        f"{mean(accuracies):.2f}{spread} % (seeds: {len(fast)})",
        f"its multiply-adds at the rate of a matrix product, {floor['multiply_adds_a_second'] / 1e9:.0f} G a second: "
        f"{floor['seconds']:.1f} s",
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of MNIST, downloaded if absent (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="number of fast runs (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, help="epochs of the tutorials' recipe (default: %(default)s)"
    )
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the fastest there is)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/training.json", help="(default: %(default)s)")
    args = parser.parse_args()
    if args.seeds < 1 or args.epochs < 1:
        parser.error("--seeds and --epochs must be at least 1")
    try:
        measured = measure(args.data, args.seeds, args.epochs, choose_device(args.device))
        args.output.write_text(json.dumps(measured, indent=1))
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"training: {error}")
    except (KeyboardInterrupt, SystemExit):  # train.train exits when it is interrupted
        sys.exit("\nStopped. Nothing is written.")
    print("\n".join(sentences(measured)))


if __name__ == "__main__":
    main()
