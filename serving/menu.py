"""The networks that a visitor can choose from, each loaded when it is first asked for."""

import math
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet import CheckpointError, Recognizer
from resnet.blocks import Ablation
from resnet.checkpoint import SHIPPED
from resnet.recognizer import CONFIDENT


class Menu:
    """`first`, which `--checkpoint` names, then the shipped checkpoints, each under its file's name without the ending.

    Threads may share it. Raises `CheckpointError` where the first cannot be loaded.
    """

    def __init__(self, first: str | Path, device: str | None = None) -> None:
        shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
        self.paths: dict[str, str | Path] = {Path(first).stem: first} | {
            name: path for name, path in shipped.items() if name != Path(first).stem
        }
        self.device = device
        self.loaded = {self.first: Recognizer.load(first, device)}
        self.lock = threading.RLock()  # one drawing at a time: threads slow one another down, sharing Python's lock

    @property
    def first(self) -> str:
        return next(iter(self.paths))

    def recognizer(self, name: str) -> Recognizer:
        """Raises `ValueError` with a sentence for visitors, which contains no path of the server."""
        if not isinstance(name, str) or name not in self.paths:
            raise ValueError(f"There is no network of this name. Choose one of: {', '.join(self.paths)}.")
        with self.lock:
            if name not in self.loaded:
                try:
                    self.loaded[name] = Recognizer.load(self.paths[name], self.device)
                except CheckpointError as error:
                    print(f"demo.py: {error}", file=sys.stderr)
                    raise ValueError(f"The file of the network {name} cannot be read. Choose another.") from None
            return self.loaded[name]

    def read(self, image: np.ndarray, name: str, ablations: Sequence[Ablation] = ()) -> dict[str, Any]:
        """(28, 28) in [0, 1] -> a reading, as `sketchpad` describes it. A blank image is every digit alike."""
        recognizer = self.recognizer(name)

        def probabilities(ablations: Sequence[Ablation]) -> np.ndarray:
            return recognizer.probabilities(image[None], ablations)[0] if image.any() else np.full(10, 0.1)

        with self.lock:
            ten = probabilities(ablations)
            reading = {
                "digit": int(ten.argmax()) if ten.max() >= CONFIDENT else None,
                "probabilities": ten.tolist(),
                "image": (image * 255).round().astype(int).ravel().tolist(),
            }
            return reading | {"intact": probabilities(()).tolist()} if ablations else reading

    def look(
        self, image: np.ndarray, name: str, ablations: Sequence[Ablation], shown: list[str] | None
    ) -> list[dict[str, Any]]:
        """(28, 28) in [0, 1] -> blocks, as `sketchpad.Inside` describes them.

        `shown` names the blocks whose maps are wanted; None is all of them, or the last of each stage if over four.
        """
        with self.lock:
            blocks = self.recognizer(name).look(image, ablations)
        if shown is None:
            stages = {block.name.split(".")[0]: block.name for block in blocks}
            shown = [block.name for block in blocks] if len(blocks) <= 4 else list(stages.values())
        return [
            {
                "name": block.name,
                "ratio": block.ratio if math.isfinite(block.ratio) else None,
                "maps": {part: as_lists(maps) for part, maps in block.maps().items()} if block.name in shown else None,
            }
            for block in blocks
        ]


def as_lists(maps: np.ndarray) -> dict[str, Any]:
    """(C, H, W) -> a map as `sketchpad.Inside` describes it."""
    count, height, width = maps.shape
    return {"height": height, "width": width, "channels": maps.reshape(count, -1).tolist()}
