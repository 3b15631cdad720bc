"""One epoch of the standard training loop, evaluation, and calibration."""

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

from resnet.history import Evaluation, Mistake

MISTAKES = 24  # kept of those on the test set


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

    Labels are (B,) classes, or (B, 10) probabilities. `precision` makes the context of a step's forward pass and loss.
    Raises `FloatingPointError` at the end of the epoch if any loss was not finite, naming the first such step.
    """
    model.train()
    total, count, losses, rates = torch.zeros(()), 0, [], []
    for images, labels in batches:
        with precision():  # a new one per step: on leaving, autocast drops the weights it cast
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
        rates.append(scheduler.get_last_lr()[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())  # stays on the device, so nothing waits for it
        total = total + losses[-1] * len(labels)
        count += len(labels)
    if not math.isfinite(total):
        step = torch.stack(losses).isfinite().tolist().index(False)
        raise FloatingPointError(f"step {step + 1}: the loss is {losses[step]:g}, at the learning rate {rates[step]:g}")
    return float(total / count)


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Metrics:
    """Mean loss and accuracy over `batches` of (images, labels)."""
    return metrics(*predict(model, batches))


def examine(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """The same with the confusion matrix and the most confident mistakes. Goes through `batches` twice."""
    logits, labels = predict(model, batches)
    confidences, digits = logits.softmax(dim=1).max(dim=1)
    wrong = (digits != labels).nonzero()[:, 0]
    wrong = wrong[confidences[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    images = (torch.cat([images for images, _ in batches])[wrong] * 255).round().int().flatten(1)
    loss, accuracy = metrics(logits, labels)
    return Evaluation(
        loss=loss,
        accuracy=accuracy,
        confusion=tuple(map(tuple, torch.bincount(10 * labels + digits, minlength=100).view(10, 10).tolist())),
        mistakes=tuple(
            Mistake(
                label=int(labels[i]),
                read=int(digits[i]),
                probability=float(confidences[i]),
                image=tuple(image.tolist()),
            )
            for i, image in zip(wrong, images, strict=True)
        ),
    )


@torch.inference_mode()
def predict(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """`batches` of (images, labels) -> logits (N, 10), labels (N,)."""
    model.eval()
    logits, labels = zip(*((model(images), labels) for images, labels in batches), strict=True)
    return torch.cat(logits), torch.cat(labels)


def metrics(logits: Tensor, labels: Tensor) -> Metrics:
    right = logits.argmax(dim=1) == labels
    return Metrics(F.cross_entropy(logits, labels).item(), right.double().mean().item())


@torch.inference_mode()
def calibrate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Temperature scaling (Guo et al. 2017, arXiv:1706.04599): divides the last layer by the temperature.

    The temperature minimises the loss on `batches`; it is above 1 where the model was overconfident. No prediction
    changes, only its confidence. Returns the temperature.
    """
    logits, labels = predict(model, batches)

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    temperature = math.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    for parameter in last.parameters():
        parameter.div_(temperature)
    return temperature
