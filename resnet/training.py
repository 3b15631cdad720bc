"""The standard loop: one epoch of it, the measure of what it made, and how sure that may be."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

MISTAKES = 24  # to keep, of those on the test set


class Metrics(NamedTuple):
    loss: float  # nats, mean cross-entropy
    accuracy: float  # in [0, 1]


def train_one_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    scheduler: LRScheduler,
    precision: Callable[[], AbstractContextManager] = nullcontext,
) -> float:
    """One pass over `batches` of (images, labels); the scheduler steps with every batch. Returns the mean loss.

    Labels are (B,) classes, or (B, 10) probabilities. Each step's forward and loss are within a context of `precision`.
    Raises `FloatingPointError` at the epoch's end where a step's loss was not finite, naming the first.
    """
    model.train()
    total, count, losses, rates = 0.0, 0, [], []
    for images, labels in batches:
        with precision():  # anew for every step: at its end autocast drops the weights that it has cast
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
        rates.append(scheduler.get_last_lr()[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())  # stays on the device: nothing waits for it
        total += losses[-1] * len(labels)
        count += len(labels)
    if not math.isfinite(total):
        step = torch.stack(losses).isfinite().tolist().index(False)
        raise FloatingPointError(f"step {step + 1}: the loss is {losses[step]:g}, at the learning rate {rates[step]:g}")
    return float(total / count)


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Metrics:
    """Mean loss and accuracy over `batches` of (images, labels)."""
    return measure(*read(model, batches))


def examine(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """The same as plain data, with "confusion" and "mistakes". `batches` are gone through twice.

    confusion is how often: ten rows, one a label, of ten counts, one a digit read. mistakes are the surest `MISTAKES`,
    from the surest on, each a dict of label, read, probability, and image: 784 ints, 0 to 255.
    """
    logits, labels = read(model, batches)
    probabilities, digits = logits.softmax(dim=1).max(dim=1)
    wrong = (digits != labels).nonzero()[:, 0]
    wrong = wrong[probabilities[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    images = (torch.cat([images for images, _ in batches])[wrong] * 255).round().int().flatten(1)
    return {
        **measure(logits, labels)._asdict(),
        "confusion": torch.bincount(10 * labels + digits, minlength=100).view(10, 10).tolist(),
        "mistakes": [
            {
                "label": labels[i].item(),
                "read": digits[i].item(),
                "probability": probabilities[i].item(),
                "image": image.tolist(),
            }
            for i, image in zip(wrong, images, strict=True)
        ],
    }


@torch.inference_mode()
def read(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """`batches` of (images, labels) -> all logits (N, 10) and labels (N,)."""
    model.eval()
    logits, labels = zip(*((model(images), labels) for images, labels in batches), strict=True)
    return torch.cat(logits), torch.cat(labels)


def measure(logits: Tensor, labels: Tensor) -> Metrics:
    right = logits.argmax(dim=1) == labels
    return Metrics(F.cross_entropy(logits, labels).item(), right.double().mean().item())


@torch.inference_mode()
def calibrate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Divide the last layer by the temperature that makes `batches` likeliest (Guo et al. 2017, arXiv:1706.04599).

    No answer changes, only how sure it is. Returns the temperature: above 1 where the model was too sure.
    """
    logits, labels = read(model, batches)

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    temperature = math.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    for parameter in last.parameters():
        parameter /= temperature
    return temperature
