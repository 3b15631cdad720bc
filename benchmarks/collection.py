"""Collections of handwritten digits with their writers: JSON lines of pen strokes, UNIPEN, MNIST's test set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import unipen
from digits import ink, mnist

LOOK_ALIKES = "OolI|ZzSsBbgq"  # letters and a symbol that have the shape of a digit


@dataclass(frozen=True)
class Collection:
    """N labelled images, each with its writer and its source (a file or a contributor).

    `faulty` marks digits whose data are known to be wrong; they are measured like all others. `skipped` has a line for
    each entry that could not be read.
    """

    images: np.ndarray  # (N, 28, 28) float32 in [0, 1]
    labels: np.ndarray  # (N,) int, or str for letters and symbols
    writers: np.ndarray  # (N,) str
    sources: np.ndarray  # (N,) str
    faulty: np.ndarray  # (N,) bool
    skipped: tuple[str, ...] = ()

    def of_writers(self, which: str) -> "Collection":
        """The digits of every other writer, sorted by name: "even" (the first, third, ...), "odd" or "all"."""
        chosen = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[which]
        kept = np.isin(self.writers, np.unique(self.writers)[chosen])
        names = ("images", "labels", "writers", "sources", "faulty")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})


def from_json_lines(paths: Sequence[Path]) -> Collection:
    """Files of pen strokes, or folders of `*.jsonl`, with one digit a line, rasterised by the sketchpad's own pen.

    A line is `{"y": 7, "w": "writer", "strokes": [[[x, y], ...], ...]}`, x right and y down in any unit; "fault", if
    present, says what is wrong with the digit. Raises `OSError` or `ValueError`, which names the file and the line.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    rows = []
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    rows.append((*_parsed(line), file.stem))
                except ValueError as error:
                    raise ValueError(f"{file}, line {number}: {error}") from None
    if not rows:
        raise FileNotFoundError(f"There are no digits in {', '.join(map(str, paths))}.")
    images, labels, writers, faulty, sources = map(np.array, zip(*rows, strict=True))
    return Collection(images, labels, writers, sources, faulty)


def _parsed(line: str) -> tuple[np.ndarray, int, str, bool]:
    """A line -> image, label, writer, and whether it is faulty."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        raise ValueError("This is not JSON.") from None
    match row:
        case {"y": int(label), "w": str(writer), "strokes": [_, *_] as strokes} if 0 <= label <= 9:
            return ink.from_strokes(strokes), label, writer, "fault" in row
    raise ValueError('A digit needs "y" (0 to 9), "w" (the writer) and "strokes" (at least one).')


def from_unipen(folder: Path, contributors: Sequence[str] | None = None) -> Collection:
    """UNIPEN's isolated digits (category 1a) by the contributors given, or by all."""
    folder = _train(folder)
    characters, skipped = unipen.read(folder, "1a", contributors or unipen.contributors(folder, "1a"))
    if not characters:
        raise FileNotFoundError(f"{folder} is not UNIPEN's train_r01_v07: there are no digits in data/1a.")
    digits = _rasterised(characters, skipped)
    return replace(digits, labels=digits.labels.astype(int))


def letters_of_unipen(folder: Path, contributors: Sequence[str] | None = None) -> Collection:
    """UNIPEN's letters and symbols (1b, 1c, 1d) by these contributors, without `LOOK_ALIKES`: outliers."""
    folder = _train(folder)
    characters, skipped = [], []
    for category in ("1b", "1c", "1d"):
        present = unipen.contributors(folder, category)
        read, unread = unipen.read(folder, category, [name for name in contributors or present if name in present])
        characters += [character for character in read if character.label not in LOOK_ALIKES]
        skipped += unread
    if not characters:
        raise FileNotFoundError("These contributors wrote no letters or symbols.")
    return _rasterised(characters, skipped)


def from_mnist(folder: Path) -> Collection:
    """MNIST's test set, all of it as by one writer: MNIST does not name its writers."""
    test = mnist.load(str(folder)).test
    name = np.full(len(test.labels), "mnist")
    images = test.images[:, 0].numpy().astype(np.float32) / 255
    return Collection(images, test.labels.numpy(), name, name, np.zeros(len(name), bool))


def _train(folder: Path) -> Path:
    return folder / "train_r01_v07" if (folder / "train_r01_v07").is_dir() else folder


def _rasterised(characters: list[unipen.Character], skipped: list[str]) -> Collection:
    def column(name: str) -> Any:
        return np.array([getattr(character, name) for character in characters])

    images = np.stack([ink.from_strokes(character.strokes) for character in characters])
    faulty = np.zeros(len(images), bool)
    return Collection(images, column("label"), column("writer"), column("contributor"), faulty, tuple(skipped))
