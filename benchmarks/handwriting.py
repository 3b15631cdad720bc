"""How well a checkpoint reads drawn digits: UNIPEN's isolated ones, or MNIST's test set by the same measures.

`python benchmarks/handwriting.py --unipen FOLDER`, where FOLDER is UNIPEN's train_r01_v07 or holds it. With
`--non-digits`, also how well its surest probability tells these digits from the same hands' letters and symbols.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.stats import mannwhitneyu

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script finds only its own folder

from benchmarks import unipen
from digits import ink, mnist
from resnet import Recognizer
from resnet.recognizer import SURE

TILES = 64  # of a sheet
BINS = 15  # of the expected calibration error (Guo et al. 2017, arXiv:1706.04599)
LOOK_ALIKES = "OolI|ZzSsBbgq"  # letters and a symbol that are a digit's shape too: nobody could tell
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9)


class Digits(NamedTuple):
    """`images` (N, 28, 28) float32, `labels` (N,) int, `writers` (N,) str; `skipped` names what was not to be had."""

    images: np.ndarray
    labels: np.ndarray
    writers: np.ndarray
    skipped: list[str]


def from_unipen(folder: Path, chosen: list[str] | None) -> Digits:
    """The isolated digits (category 1a) of the contributors chosen, or of all, drawn by the pad's own pen."""
    folder = _train(folder)
    characters, skipped = unipen.read(folder, "1a", chosen or unipen.contributors(folder, "1a"))
    if not characters:
        raise FileNotFoundError(f"{folder} is not UNIPEN's train_r01_v07: there are no digits in data/1a")
    digits = _drawn(characters, skipped)
    return digits._replace(labels=digits.labels.astype(int))


def non_digits(folder: Path, chosen: list[str] | None) -> Digits:
    """Upper case, lower case and symbols (1b, 1c, 1d) of the same contributors, less `LOOK_ALIKES`; labels are str."""
    folder = _train(folder)
    characters, skipped = [], []
    for category in ("1b", "1c", "1d"):
        there = unipen.contributors(folder, category)
        read, missed = unipen.read(folder, category, [name for name in chosen or there if name in there])
        characters += [character for character in read if character.label not in LOOK_ALIKES]
        skipped += missed
    return _drawn(characters, skipped)


def from_mnist(folder: Path) -> Digits:
    """MNIST's test set."""
    test = mnist.load(str(folder)).test
    images = test.images[:, 0].numpy().astype(np.float32) / 255
    return Digits(images, test.labels.numpy(), np.full(len(images), "mnist"), [])


def _train(folder: Path) -> Path:
    return folder / "train_r01_v07" if (folder / "train_r01_v07").is_dir() else folder


def _drawn(characters: list[unipen.Character], skipped: list[str]) -> Digits:
    if not characters:
        raise FileNotFoundError("these contributors drew nothing of this kind")
    images = np.stack([ink.from_strokes(character.strokes) for character in characters])
    labels, writers = (np.array([getattr(c, name) for c in characters]) for name in ("label", "contributor"))
    return Digits(images, labels, writers, skipped)


def read(recognizer: Recognizer, images: np.ndarray) -> np.ndarray:
    """(N, 28, 28) -> (N, 10), a thousand at a time."""
    return np.concatenate([recognizer.probabilities(images[i : i + 1000]) for i in range(0, len(images), 1000)])


def measure(probabilities: np.ndarray, digits: Digits) -> dict[str, Any]:
    """(N, 10) rows that sum to 1 -> accuracies (in [0, 1]), confusions, calibration, and accuracy against coverage."""
    read, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = read == digits.labels
    wrong = Counter(zip(digits.labels[~right].tolist(), read[~right].tolist(), strict=True))
    surest = np.argsort(-sure, kind="stable")
    return {
        "digits": len(right),
        "skipped": len(digits.skipped),
        "accuracy": right.mean(),
        "by_writer": {str(name): right[digits.writers == name].mean() for name in np.unique(digits.writers)},
        "by_digit": {int(digit): right[digits.labels == digit].mean() for digit in np.unique(digits.labels)},
        "confusions": [{"digit": a, "read_as": b, "times": times} for (a, b), times in wrong.most_common(10)],
        "calibration_error": calibration_error(sure, right),
        "accuracy_at_coverage": {c: right[surest[: round(c * len(right))]].mean() for c in COVERAGES},
    }


def tell_apart(digits: np.ndarray, others: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Top probabilities of digits and of what is none -> AUROC, shares that are not sure, what is most often claimed.

    AUROC is the chance that a digit's is above another's; half of it if they are equal.
    """
    claimed = Counter(labels[others >= SURE].tolist())
    return {
        "non_digits": len(others),
        "left_out": LOOK_ALIKES,
        "auroc": float(mannwhitneyu(digits, others).statistic) / (len(digits) * len(others)),
        "digits_not_sure": (digits < SURE).mean(),
        "non_digits_not_sure": (others < SURE).mean(),
        "claimed": [
            {"label": label, "times": n, "of": int((labels == label).sum())} for label, n in claimed.most_common(10)
        ],
    }


def calibration_error(sure: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: |accuracy - mean top probability| of each of `BINS` equal bins, by its share."""
    bins = np.ceil(sure * BINS).clip(1, BINS)
    return sum(abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))


def sheet(probabilities: np.ndarray, digits: Digits, other: np.ndarray | None = None) -> Image.Image:
    """What was misread, the surest `TILES` of it: the image, its label, and what was said with how many per cent.

    With another network's probabilities: what that one misread and this one did not, and what that one said.
    """
    wrong = probabilities.argmax(axis=1) != digits.labels
    if other is not None:
        wrong, probabilities = ~wrong & (other.argmax(axis=1) != digits.labels), other
    read, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.nonzero(wrong)[0]
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:TILES]
    columns, side, caption = 16, 84, 14
    picture = Image.new("L", (columns * side, max(1, -(-len(wrong) // columns)) * (side + caption)), 96)
    draw = ImageDraw.Draw(picture)
    for place, i in enumerate(wrong):
        x, y = place % columns * side, place // columns * (side + caption)
        tile = Image.fromarray((digits.images[i] * 255).astype(np.uint8)).resize((side - 4, side - 4), Image.NEAREST)
        picture.paste(tile, (x, y))
        draw.text((x, y + side - 4), f"{digits.labels[i]}: {read[i]} {sure[i]:.0%} {digits.writers[i]}", fill=255)
    return picture


def report(measured: dict[str, Any]) -> str:
    """The measures for a person."""
    lines = [f"{measured['digits']:,} digits read, {measured['skipped']} skipped"]
    lines += [f"accuracy           {measured['accuracy']:7.2%}"]
    lines += [f"  by {name:<14}{value:7.2%}" for name, value in measured["by_writer"].items()]
    lines += [f"  of {digit:<14}{value:7.2%}" for digit, value in measured["by_digit"].items()]
    lines += [f"  {c['digit']} read as {c['read_as']}: {c['times']} times" for c in measured["confusions"]]
    lines += [f"calibration error  {measured['calibration_error']:.4f}"]
    lines += [f"surest {c:4.0%}        {value:7.2%}" for c, value in measured["accuracy_at_coverage"].items()]
    if "auroc" in measured:
        lines += [f"{measured['non_digits']:,} letters and symbols, without {' '.join(measured['left_out'])}"]
        lines += [f"AUROC              {measured['auroc']:7.4f}"]
        lines += [f"  digits not sure  {measured['digits_not_sure']:7.2%}"]
        lines += [f"  others not sure  {measured['non_digits_not_sure']:7.2%}"]
        lines += [f"  {c['label']} taken for a digit: {c['times']} of {c['of']}" for c in measured["claimed"]]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--unipen", type=Path, help="the folder of UNIPEN's train_r01_v07")
    source.add_argument("--mnist", type=Path, help="the folder of MNIST: its test set is read")
    parser.add_argument("--contributors", type=lambda text: text.split(","), help="of UNIPEN, as a,b,c (default: all)")
    parser.add_argument("--non-digits", action="store_true", help="read UNIPEN's letters and symbols too")
    parser.add_argument("--checkpoint", type=Path, help="whose reading is measured (default: the shipped one)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--errors", type=Path, help="write a sheet of what was misread to this PNG")
    parser.add_argument("--against", type=Path, help="a checkpoint: the sheet shows what only that one misread")
    args = parser.parse_args()
    if args.non_digits and not args.unipen:
        parser.error("--non-digits needs --unipen")
    if args.against and not args.errors:
        parser.error("--against needs --errors")
    if args.errors and (args.errors.suffix != ".png" or not args.errors.parent.is_dir()):
        parser.error("--errors must end in .png, in a folder that is there")
    try:
        recognizer = Recognizer.load(args.checkpoint, "cpu")
        rival = Recognizer.load(args.against, "cpu") if args.against else None
        digits = from_unipen(args.unipen, args.contributors) if args.unipen else from_mnist(args.mnist)
        others = non_digits(args.unipen, args.contributors) if args.non_digits else None
    except (ValueError, OSError) as error:
        sys.exit(f"handwriting.py: {error}")
    probabilities = read(recognizer, digits.images)
    measured = measure(probabilities, digits)
    if others:
        measured |= tell_apart(probabilities.max(axis=1), read(recognizer, others.images).max(axis=1), others.labels)
    print(json.dumps(measured, indent=2) if args.json else report(measured))
    if args.errors:
        sheet(probabilities, digits, read(rival, digits.images) if rival else None).save(args.errors)


if __name__ == "__main__":
    main()
