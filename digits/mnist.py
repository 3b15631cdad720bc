"""MNIST (LeCun et al. 1998): downloaded by torchvision, verified by SHA-256, and split."""

import hashlib
from pathlib import Path

import torch

from digits.dataset import Digits, Splits

HELD_OUT = 5_000  # of the 60,000 training images, the same random ones in every run: to choose settings and epochs by

SHA256 = {  # of the files as torchvision unpacks them
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load(root: str) -> Splits:
    """55,000 / 5,000 / 10,000 digits from `root`, downloaded into it if they are missing.

    Raises `FileNotFoundError` if they are missing and cannot be downloaded, `ValueError` if a file is not MNIST's.
    """
    from torchvision.datasets import MNIST

    raw, processed = (Path(root, "MNIST", name) for name in ("raw", "processed"))
    if processed.exists():  # torchvision would read it first, and it has no known checksum
        raise ValueError(f"{processed} was written by an old torchvision and cannot be verified. Delete it.")
    for name, digest in SHA256.items():
        file = raw / name
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{file} is damaged or not from MNIST. Delete it to download it again.")
    try:
        train, test = (MNIST(root, train=train, download=True) for train in (True, False))
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"MNIST is not in {root} and could not be downloaded. Put {', '.join(SHA256)} into {raw}."
        ) from error
    order = torch.randperm(len(train.targets), generator=torch.Generator().manual_seed(0))
    held_out, rest = (Digits(train.data[part, None], train.targets[part]) for part in order.tensor_split([HELD_OUT]))
    return Splits(rest, held_out, Digits(test.data[:, None], test.targets))
