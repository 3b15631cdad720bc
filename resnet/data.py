"""Digits to learn from: MNIST held whole as one tensor, or drawn ones where MNIST is not wanted; and their batches."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from resnet import ink
from resnet.drawings import DRAWINGS

HELD_OUT = 5_000  # of MNIST's 60,000 training images, the same random ones for every run: to choose by

SHA256 = {  # of MNIST's files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Digits(NamedTuple):
    """`images` (N, 1, 28, 28) uint8, 0 = paper; `labels` (N,) int64 in 0 to 9."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Digits":
        return Digits(self.images.to(device), self.labels.to(device))


class Splits(NamedTuple):
    """What is learnt from, what is chosen by, and what is read once, at the end."""

    train: Digits
    held_out: Digits
    test: Digits


def mnist(root: str) -> Splits:
    """MNIST by torchvision: 55,000 / 5,000 / 10,000 digits, downloaded to `root` where they are not there yet.

    Raises `FileNotFoundError` where they are not there and cannot be downloaded, `ValueError` where a file is another.
    """
    from torchvision.datasets import MNIST

    raw, processed = (Path(root, "MNIST", name) for name in ("raw", "processed"))
    if processed.exists():  # torchvision would prefer it
        raise ValueError(f"{processed} is of an old torchvision, and nobody can tell if it is MNIST; delete it")
    for name, digest in SHA256.items():
        file = raw / name
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{file} is not MNIST's, or is damaged; delete it, and it is downloaded again")
    try:
        train, test = (MNIST(root, train=train, download=True) for train in (True, False))
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"MNIST is not in {root} and could not be downloaded; put {', '.join(SHA256)} into {raw}"
        ) from error
    order = torch.randperm(len(train.targets), generator=torch.Generator().manual_seed(0))
    held_out, learnt = (Digits(train.data[part, None], train.targets[part]) for part in order.tensor_split([HELD_OUT]))
    return Splits(learnt, held_out, Digits(test.data[:, None], test.targets))


def drawn(seed: int = 0, copies: int = 64) -> Splits:
    """Our ten drawings, slanted and stretched at random: enough to walk through training in seconds, no more."""
    random = np.random.default_rng(seed)

    def some(copies: int) -> Digits:
        images, labels = [], list(range(10)) * copies
        for label in labels:
            bend = np.eye(2) + random.uniform(-0.2, 0.2, (2, 2))
            images.append(ink.from_strokes([np.array(stroke) @ bend for stroke in DRAWINGS[label]]))
        return Digits(torch.tensor(np.stack(images) * 255).byte()[:, None], torch.tensor(labels))

    few = max(1, copies // 8)
    return Splits(some(copies), some(few), some(few))


class Batches:
    """Batches of (images (B, 1, 28, 28) float32 in [0, 1], labels (B,)), on the digits' device.

    With a `generator` (a CPU one) they are shuffled; without, they come in order. What `augment` makes of a batch and
    the generator comes in its place.
    """

    def __init__(
        self,
        digits: Digits,
        batch_size: int,
        generator: torch.Generator | None = None,
        augment: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]] | None = None,
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
