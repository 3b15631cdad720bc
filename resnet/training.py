"""The standard loop: one epoch of it, the measure of what it made, and how sure that may be."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


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
    """
    model.train()
    total, count = 0.0, 0
    for images, labels in batches:
        with precision():  # anew for every step: at its end autocast drops the weights that it has cast
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.detach() * len(labels)  # stays on the device: nothing waits for it
        count += len(labels)
    return float(total / count)


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Metrics:
    """Mean loss and accuracy over `batches` of (images, labels)."""
    model.eval()
    loss, correct, count = 0.0, 0, 0
    for images, labels in batches:
        logits = model(images)
        loss += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(dim=1) == labels).sum()
        count += len(labels)
    return Metrics(float(loss / count), float(correct / count))


@torch.inference_mode()
def calibrate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Divide the last layer by the temperature that makes `batches` likeliest (Guo et al. 2017, arXiv:1706.04599).

    No answer changes, only how sure it is. Returns the temperature: above 1 where the model was too sure.
    """
    model.eval()
    logits, labels = (torch.cat(parts) for parts in zip(*((model(x), y) for x, y in batches), strict=True))

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    temperature = math.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    for parameter in last.parameters():
        parameter /= temperature
    return temperature
