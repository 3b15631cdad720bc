"""Labelled digits as tensors, the splits that training uses, and batches of them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Digits(NamedTuple):
    """`images` (N, 1, 28, 28) uint8, 0 = paper; `labels` (N,) int64 in 0 to 9."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Digits":
        return Digits(self.images.to(device), self.labels.to(device))


class Splits(NamedTuple):
    """To learn from, to choose settings and epochs by, and to measure once, at the end."""

    train: Digits
    held_out: Digits
    test: Digits


class Batches:
    """Batches of images (B, 1, 28, 28) float32 in [0, 1] and labels (B,), on the digits' device.

    A CPU `generator` shuffles them. `augment(images, labels, generator)` makes the batch to learn from.
    """

    def __init__(
        self,
        digits: Digits,
        batch_size: int,
        generator: torch.Generator | None = None,
        augment: Callable[..., tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.digits, self.batch_size, self.generator, self.augment = digits, batch_size, generator, augment

    def __len__(self) -> int:
        return -(-len(self.digits.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.digits.labels))
        if self.generator is not None:
            order = order[torch.randperm(len(order), generator=self.generator)]
        for chosen in order.to(self.digits.labels.device).split(self.batch_size):
            images, labels = self.digits.images[chosen].float() / 255, self.digits.labels[chosen]
            yield self.augment(images, labels, self.generator) if self.augment else (images, labels)
