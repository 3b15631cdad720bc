"""A trained network that reads digits, with its activations, and with parts of it ablated."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from resnet import blocks, checkpoint, hub
from resnet.blocks import Ablation, Activation
from resnet.devices import choose_device
from resnet.history import DEFAULT
from resnet.networks import IMAGE_SIZE

CONFIDENT = 0.5  # a digit is named where it is likelier than all others together


class Recognizer:
    """A network with its `architecture`, and its `history`, or None where that is unknown. Threads may share it."""

    def __init__(self, trained: checkpoint.Checkpoint, device: torch.device) -> None:
        self.architecture, self.history, self.device = trained.architecture, trained.history, device
        self.model = trained.build().to(device).to(memory_format=torch.channels_last)
        # Hooks act on every thread that runs a model, so they go to this copy, which one caller at a time uses.
        self._hooked, self._lock = blocks.copy_sharing_weights(self.model), threading.Lock()

    @classmethod
    def load(cls, path: str | Path | None = None, device: str | None = None) -> "Recognizer":
        """The shipped checkpoint, a file as `resnet.checkpoint.load` reads it, or `hf://USER/REPO` of the Hub.

        `device` defaults to CUDA, else MPS, else the CPU. Raises `CheckpointError` for a file that cannot be used,
        `ValueError` for a device that is missing.
        """
        if path is None:
            path = checkpoint.SHIPPED / f"{DEFAULT}.safetensors"
        elif repository := hub.repository_of(path):
            path = hub.download(repository)
        return cls(checkpoint.load(path), choose_device(device))

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray, ablations: Sequence[Ablation] = ()) -> np.ndarray:
        """(N, 28, 28) in [0, 1], 0 = paper, laid out as MNIST is -> (N, 10) float32, rows summing to 1.

        Raises `ValueError` for another shape, for values outside [0, 1], or for an unknown ablation.
        """
        inputs = self._to_tensor(images)
        with self._ablated(ablations) as model:
            return model(inputs).softmax(dim=1).cpu().numpy()

    def look(self, image: np.ndarray, ablations: Sequence[Ablation] = ()) -> list[Activation]:
        """(28, 28) in [0, 1] -> each residual block's activations. Raises as `probabilities` does."""
        inputs = self._to_tensor(np.asarray(image)[None])
        with self._lock, blocks.ablated(self._hooked, ablations):
            return blocks.activations(self._hooked, inputs)

    @contextmanager
    def _ablated(self, ablations: Sequence[Ablation]) -> Iterator[nn.Module]:
        if not ablations:
            yield self.model
            return
        with self._lock, blocks.ablated(self._hooked, ablations):
            yield self._hooked

    def _to_tensor(self, images: np.ndarray) -> Tensor:
        images = np.asarray(images, np.float32)
        if images.ndim != 3 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(f"Images must be (N, {IMAGE_SIZE}, {IMAGE_SIZE}). This array is {images.shape}.")
        if not ((images >= 0) & (images <= 1)).all():  # false for NaN, too
            raise ValueError("Pixels must lie in [0, 1]. Divide pixels of 0 to 255 by 255.")
        return torch.from_numpy(images)[:, None].to(self.device)
