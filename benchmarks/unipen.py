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
COMPONENTS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")  # "3:17-4", part of a stroke, is skipped

Strokes = list[list[tuple[float, float]]]


class Character(NamedTuple):
    """`strokes` are as `digits.ink.from_strokes` takes them: UNIPEN's y grows upwards and is flipped here.

    `contributor` is an institution, such as apa; `writer` a person, such as apa:BobStrong.
    """

    contributor: str
    writer: str
    label: str
    strokes: Strokes


def contributors(folder: Path, category: str) -> list[str]:
    """The contributors to a category: 1a digits, 1b upper case, 1c lower case, 1d symbols."""
    return sorted(path.name for path in (folder / "data" / category).glob("*") if path.is_dir())


def read(folder: Path, category: str, chosen: Sequence[str]) -> tuple[list[Character], list[str]]:
    """The characters that the chosen contributors have in a category, and a line for each segment that does not parse.

    Raises `FileNotFoundError` for a contributor who has none.
    """
    characters, skipped = [], []
    for contributor in chosen:
        files = sorted((folder / "data" / category / contributor).rglob("*.dat"))
        if not files:
            known = ", ".join(contributors(folder, category)) or "none"
            raise FileNotFoundError(f"{folder} has no {contributor} in data/{category}; it has: {known}.")
        for file in files:
            strokes, writer = _pen_data(file, folder / "include")
            for components, label in SEGMENT.findall(file.read_text("latin-1")):
                chosen_strokes = _choose(strokes, components)
                if chosen_strokes:
                    name = f"{contributor}:{writer}" if writer else contributor
                    characters.append(Character(contributor, name, label, chosen_strokes))
                else:
                    skipped.append(f"{file.relative_to(folder)}: {components} {label!r}")
    return characters, skipped


@lru_cache(maxsize=64)  # a file of strokes is included by several files of segments
def _pen_data(file: Path, include: Path) -> tuple[Strokes, str]:
    """The .PEN_DOWN blocks of a file and of the files that it includes, in order, and the .WRITER_ID ("" if none)."""
    strokes, stroke, writer = [], None, ""
    for line in file.read_text("latin-1").splitlines():
        words = line.split()
        if line.startswith("."):
            stroke = None
            if words[0] == ".INCLUDE" and (include / words[1]).is_file():
                included, included_writer = _pen_data(include / words[1], include)
                strokes += included
                writer = included_writer or writer
            elif words[0] == ".WRITER_ID":
                writer = words[1]
            elif words[0] == ".PEN_DOWN":
                stroke = []
                strokes.append(stroke)
        elif stroke is not None and len(words) >= 2:
            stroke.append((float(words[0]), -float(words[1])))
    return strokes, writer


def _choose(strokes: Strokes, components: str) -> Strokes:
    """The strokes numbered "0", "3-5" or "1,4-6"; an empty list where there are no such strokes."""
    if not COMPONENTS.fullmatch(components):
        return []
    chosen = []
    for part in components.split(","):
        first, last = int(part.split("-")[0]), int(part.split("-")[-1])
        if last >= len(strokes):
            return []
        chosen += strokes[first : last + 1]
    return [stroke for stroke in chosen if stroke]
