"""The standard loop: one epoch of it, and the measure of what it made."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Metrics(NamedTuple):
    loss: float  # nats, mean cross-entropy
    accuracy: float  # in [0, 1]


def train_one_epoch(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], optimizer: Optimizer, scheduler: LRScheduler
) -> float:
    """One pass over `batches` of (images, labels); the scheduler steps with every batch. Returns the mean loss."""
    model.train()
    total, count = 0.0, 0
    for images, labels in batches:
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
