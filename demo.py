"""Draw a digit and watch a residual network's ten probabilities move with the pen. `python demo.py --help`"""

import argparse
import os
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: it asks other hosts

import gradio as gr
import numpy as np
import torch
from PIL import Image, ImageOps

from resnet import CheckpointError, Recognizer, ink
from resnet.checkpoint import SHIPPED
from resnet.drawings import DRAWINGS
from resnet.recognizer import DEFAULT
from sketchpad import Readout, Sketchpad

THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # fetches nothing
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
@media (max-width: 520px) { .gradio-container { padding: 4px !important; } h1 { font-size: 1.2rem !important; } }
"""


class Networks:
    """The menu: every checkpoint by its file's name, loaded when it is first asked."""

    def __init__(self, first: Path, device: str | None) -> None:
        paths = [first, *sorted(SHIPPED.glob("*.pt"))]
        self.paths = {path.stem: path for path in reversed(paths)}
        self.names = list(dict.fromkeys(path.stem for path in paths))
        self.device = device
        self.load = lru_cache(self._load)
        self.load(self.names[0])
        self.turn = threading.Semaphore(os.cpu_count() or 1)  # requests come in any number; cores do not

    def _load(self, name: str) -> Recognizer:
        if name not in self.paths:
            raise ValueError(f"there is no network of that name; choose one of: {', '.join(self.names)}")
        return Recognizer.load(self.paths[name], self.device)

    def read(self, image: np.ndarray, name: str) -> dict[str, Any]:
        """(28, 28) in [0, 1] -> a reading: digit (None for a blank), ten probabilities, the image as 784 bytes."""
        network = self.load(name)
        if not image.any():
            return {"digit": None, "probabilities": [0.1] * 10, "image": [0] * 784}
        with self.turn:
            probabilities = network.probabilities(image[None])[0]
        return {
            "digit": int(probabilities.argmax()),
            "probabilities": probabilities.tolist(),
            "image": (image * 255).round().astype(int).ravel().tolist(),
        }

    def describe(self, name: str) -> str:
        history = self.load(name).history
        test = f"reads {history['test']['accuracy']:.2%} of {history['data']}'s test set" if history["test"] else ""
        return f"{history['parameters']:,} parameters, trained {len(history['epochs'])} epochs; {test or 'unfinished'}"
