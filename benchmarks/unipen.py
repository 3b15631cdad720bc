"""UNIPEN's isolated characters as pen strokes: the folder layout and text format of its train_r01_v07 distribution.

Guyon et al., "UNIPEN project of on-line data exchange and recognizer benchmarks", ICPR 1994, pp. 29-33. The data:
Zenodo, doi:10.5281/zenodo.1195803, CC BY 4.0.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SEGMENT = re.compile(r'\.SEGMENT\s+CHARACTER\s+(\S+)\s+\S+\s+"(.+)"')
COMPONENTS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")  # not "3:17-4": a stroke's part, told by its points


class Character(NamedTuple):
    """`strokes` are as `digits.ink.from_strokes` takes them: UNIPEN's y, which grows upwards, is turned."""

    contributor: str
    label: str
    strokes: list[list[tuple[float, float]]]


def contributors(folder: Path, category: str) -> list[str]:
    """Who contributed to a category: 1a digits, 1b upper case, 1c lower case, 1d symbols."""
    return sorted(path.name for path in (folder / "data" / category).glob("*") if path.is_dir())


def read(folder: Path, category: str, chosen: Sequence[str]) -> tuple[list[Character], list[str]]:
    """The characters of a category by the contributors chosen, and a line on each segment that cannot be had.

    Raises `FileNotFoundError` where the folder has no such contributor.
    """
    characters, skipped = [], []
    for contributor in chosen:
        files = sorted((folder / "data" / category / contributor).rglob("*.dat"))
        if not files:
            known = ", ".join(contributors(folder, category)) or "none"
            raise FileNotFoundError(f"{folder} has no {contributor} in data/{category}; it has: {known}")
        for file in files:
            strokes = _strokes(file, folder / "include")
            for components, label in SEGMENT.findall(file.read_text("latin-1")):
                chosen_strokes = _choose(strokes, components)
                if chosen_strokes:
                    characters.append(Character(contributor, label, chosen_strokes))
                else:
                    skipped.append(f"{file.relative_to(folder)}: {components} {label!r}")
    return characters, skipped


@lru_cache(maxsize=64)  # each file is included by those of several characters
def _strokes(file: Path, include: Path) -> list[list[tuple[float, float]]]:
    """All .PEN_DOWN blocks of a file and of what it includes, in order."""
    strokes, stroke = [], None
    for line in file.read_text("latin-1").splitlines():
        words = line.split()
        if line.startswith("."):
            stroke = None
            if words[0] == ".INCLUDE" and (include / words[1]).is_file():
                strokes += _strokes(include / words[1], include)
            elif words[0] == ".PEN_DOWN":
                stroke = []
                strokes.append(stroke)
        elif stroke is not None and len(words) >= 2:
            stroke.append((float(words[0]), -float(words[1])))
    return strokes


def _choose(strokes: list, components: str) -> list:
    """ "0", "3-5" or "1,4-6" of the strokes; none where there are no such ones."""
    if not COMPONENTS.fullmatch(components):
        return []
    chosen = []
    for part in components.split(","):
        first, last = int(part.split("-")[0]), int(part.split("-")[-1])
        if last >= len(strokes):
            return []
        chosen += strokes[first : last + 1]
    return [stroke for stroke in chosen if stroke]
