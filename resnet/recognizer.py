"""A trained network that reads digits, shows how, and does without parts of itself."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from digits.ink import SIZE
from resnet import blocks as inside
from resnet import checkpoint
from resnet.devices import choose_device

SURE = 0.5  # a digit is named where it is likelier than all else together
DEFAULT = "small"  # the architecture that train.py makes and demo.py shows unless told otherwise


class Recognizer:
    """(N, 28, 28) digits -> (N, 10) probabilities. `architecture` and `history` say what it is and how it was made."""

    def __init__(self, trained: checkpoint.Checkpoint, device: torch.device) -> None:
        self.architecture, self.history, self.device = trained.architecture, trained.history, device
        self.model = trained.build().to(device, memory_format=torch.channels_last)
        self._twin, self._turn = inside.twin(self.model), threading.Lock()  # cut for one caller at a time

    @classmethod
    def load(cls, path: str | Path | None = None, device: str | None = None) -> "Recognizer":
        """From a checkpoint (the shipped one), on a device (CUDA, then MPS, then the CPU).

        Raises `CheckpointError` for a file that is none, `ValueError` for a device that is not there.
        """
        path = checkpoint.SHIPPED / f"{DEFAULT}.pt" if path is None else path
        return cls(checkpoint.load(path), choose_device(device))

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray, cuts: Iterable[inside.Cut] = ()) -> np.ndarray:
        """(N, 28, 28) in [0, 1], as `digits.ink` makes them -> (N, 10) float32, each row summing to 1.

        `cuts` are parts of blocks that the network does without. Raises `ValueError` for another shape, or for a part
        that is not there.
        """
        images = self._checked(images)
        with self._without(cuts) as model:
            return model(images).softmax(dim=1).cpu().numpy()

    def look(self, image: np.ndarray, cuts: Iterable[inside.Cut] = ()) -> list[inside.Seen]:
        """(28, 28) in [0, 1] -> what each residual block does with it. Raises as `probabilities` does."""
        images = self._checked(np.asarray(image)[None])
        with self._turn, inside.cut(self._twin, cuts):
            return inside.look(self._twin, images)

    @contextmanager
    def _without(self, cuts: Iterable[inside.Cut]) -> Iterator[nn.Module]:
        if not cuts:
            yield self.model
            return
        with self._turn, inside.cut(self._twin, cuts):
            yield self._twin

    def _checked(self, images: np.ndarray) -> Tensor:
        images = np.asarray(images, np.float32)
        if images.ndim != 3 or images.shape[1:] != (SIZE, SIZE):
            raise ValueError(f"digits must be (N, {SIZE}, {SIZE}); this array is {images.shape}")
        return torch.from_numpy(images)[:, None].to(self.device)
