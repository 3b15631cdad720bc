"""Ten digits drawn by hand, one of each: the examples on the pad, and the data of a smoke run.

`DRAWINGS[digit]` is a list of strokes, each a list of points [x, y] in a 100 by 100 frame, x right, y down.
"""

import json
from pathlib import Path

import numpy as np
import torch

from digits import ink
from digits.dataset import Digits, Splits

DRAWINGS: list[list[list[list[float]]]] = json.loads(Path(__file__).with_name("drawings.json").read_text("utf-8"))


def splits(seed: int = 0, copies: int = 64) -> Splits:
    """The ten drawings, slanted and stretched at random: enough to run through training in seconds."""
    random = np.random.default_rng(seed)

    def distorted(copies: int) -> Digits:
        images, labels = [], list(range(10)) * copies
        for label in labels:
            distortion = np.eye(2) + random.uniform(-0.2, 0.2, (2, 2))
            images.append(ink.from_strokes([np.array(stroke) @ distortion for stroke in DRAWINGS[label]]))
        return Digits(torch.tensor(np.stack(images) * 255).byte()[:, None], torch.tensor(labels))

    few = max(1, copies // 8)
    return Splits(distorted(copies), distorted(few), distorted(few))
