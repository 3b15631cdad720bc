"""How well a network reads people's handwriting, writer by writer: `python -m benchmarks.handwriting --ink FOLDER`

Reads pen strokes as JSON lines (--ink), UNIPEN (--unipen) or MNIST's test set (--mnist), with the shipped network, a
checkpoint or an ONNX file that maps (N, 1, 28, 28) in [0, 1] to (N, 10) logits or probabilities. With --outliers, also
how well its confidence tells UNIPEN's digits from letters and symbols by the same writers.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import classifier, collection
from benchmarks.collection import Collection
from benchmarks.measures import FEWEST, Accuracy, Measures, Outliers, measure, measure_outliers

TILES, COLUMNS = 64, 16  # of a sheet of errors


def sheet(probabilities: np.ndarray, digits: Collection, rival: np.ndarray | None = None) -> Image.Image:
    """The `TILES` most confident mistakes: the image, its label, what it was read as, how confidently, and the source.

    With a rival's probabilities: the digits that the rival misreads and this network reads, and the rival's answers.
    """
    wrong = probabilities.argmax(axis=1) != digits.labels
    if rival is not None:
        wrong, probabilities = ~wrong & (rival.argmax(axis=1) != digits.labels), rival
    read, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    mistakes = wrong.nonzero()[0]
    mistakes = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:TILES]
    side, line = 84, 14  # pixels
    picture = Image.new("L", (COLUMNS * side, max(1, -(-len(mistakes) // COLUMNS)) * (side + line)), 96)
    draw = ImageDraw.Draw(picture)
    for place, i in enumerate(mistakes):
        x, y = place % COLUMNS * side, place // COLUMNS * (side + line)
        tile = Image.fromarray((digits.images[i] * 255).astype(np.uint8)).resize((side - 4, side - 4), Image.NEAREST)
        picture.paste(tile, (x, y))
        caption = f"{digits.labels[i]}: {read[i]} {confidence[i]:.0%} {digits.sources[i][:5]}"
        draw.text((x, y + side - 4), caption, fill=255)
    return picture


def report(measures: Measures) -> str:
    """The measures for people."""
    total = measures.accuracy
    lines = [
        f"{total.digits:,} digits by {total.writers:,} writers; {measures.faulty} faulty, {measures.skipped} skipped",
        f"{'':20}  digits  writers  accuracy  by writer  below 95 %",
    ]
    lines += [_row(name, accuracy) for name, accuracy in (measures.sources | {"all": total}).items()]
    if measures.interval:
        low, high = measures.interval
        counted = f"{total.writers_counted} writers of at least {FEWEST} digits"
        lines += [f"mean over {counted}: {total.by_writer:.2%} (95 % interval {low:.2%} to {high:.2%})"]
        lines += [f"  worst: {each.name}, {each.accuracy:.2%} of {each.digits}" for each in measures.worst_writers]
    lines += [f"expected calibration error: {measures.calibration_error:.4f}"]
    lines += [", ".join(f"{digit}: {accuracy:.2%}" for digit, accuracy in measures.digits.items())]
    lines += [f"  {c.digit} read as {c.read_as}: {c.times} times" for c in measures.confusions]
    return "\n".join(lines)


def _row(name: str, accuracy: Accuracy) -> str:
    by_writer = "" if accuracy.by_writer is None else f"{accuracy.by_writer:.2%}"
    counts = f"{accuracy.digits:8,} {accuracy.writers:8,}"
    return f"{name:20}{counts} {accuracy.overall:9.2%} {by_writer:>10} {accuracy.writers_below_95:11}"


def report_outliers(outliers: Outliers) -> str:
    """The measures of outliers for people."""
    lines = [
        f"{outliers.outliers:,} letters and symbols, without {' '.join(collection.LOOK_ALIKES)}",
        f"AUROC of the confidence: {outliers.auroc:.4f}",
        f"not sure: {outliers.digits_not_sure:.2%} of the digits, {outliers.outliers_not_sure:.2%} of the outliers",
    ]
    lines += [f"  {label} read as a digit: {times} of {total}" for label, times, total in outliers.most_claimed]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    args = parse_args()
    try:
        network = classifier.load(args.network, *args.normalize)
        rival = classifier.load(args.against, *args.normalize) if args.against else None
        if args.ink:
            digits = collection.from_json_lines(args.ink)
        elif args.unipen:
            digits = collection.from_unipen(args.unipen, args.contributors)
        else:
            digits = collection.from_mnist(args.mnist)
        digits = digits.of_writers(args.writers)
        probabilities = network(digits.images)
        outliers = None
        if args.outliers:
            letters = collection.letters_of_unipen(args.unipen, args.contributors)
            confidences = probabilities.max(axis=1), network(letters.images).max(axis=1)
            outliers = measure_outliers(*confidences, letters.labels)
    except ImportError:
        sys.exit("An ONNX file needs onnxruntime: pip install onnxruntime")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    measures = measure(probabilities, digits)
    if args.json:
        print(json.dumps(asdict(measures) | ({"outliers": asdict(outliers)} if outliers else {}), indent=2))
    else:
        print(report(measures) + (f"\n{report_outliers(outliers)}" if outliers else ""))
    if args.errors:
        sheet(probabilities, digits, rival(digits.images) if rival else None).save(args.errors)


def parse_args() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--ink", type=Path, nargs="+", metavar="PATH", help="files of JSON lines, or folders of them")
    source.add_argument("--unipen", type=Path, metavar="FOLDER", help="UNIPEN's train_r01_v07, or its parent")
    source.add_argument("--mnist", type=Path, metavar="FOLDER", help="the folder of MNIST, whose test set is read")
    parser.add_argument("--network", type=Path, help="a checkpoint or an ONNX file (default: the shipped network)")
    normalize = {"nargs": 2, "metavar": ("MEAN", "STD"), "default": (0, 1)}
    parser.add_argument("--normalize", type=float, **normalize, help="give ONNX networks (image - MEAN) / STD")
    parser.add_argument("--writers", choices=("all", "even", "odd"), default="all", help="every other writer by name")
    parser.add_argument("--contributors", type=lambda text: text.split(","), help="of UNIPEN, as a,b,c (default: all)")
    parser.add_argument("--outliers", action="store_true", help="read UNIPEN's letters and symbols too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--errors", type=Path, metavar="PNG", help="write a sheet of the most confident mistakes")
    parser.add_argument("--against", type=Path, help="a rival network: the sheet shows what only the rival misreads")
    args = parser.parse_args()
    if args.outliers and not (args.unipen and args.writers == "all"):
        parser.error("--outliers needs --unipen, and all of its writers.")
    networks = [path for path in (args.network, args.against) if path]
    if args.normalize != (0, 1) and all(path.suffix != ".onnx" for path in networks):
        parser.error("--normalize needs an ONNX file; checkpoints take images in [0, 1].")
    if args.against and not args.errors:
        parser.error("--against needs --errors.")
    if args.errors and (args.errors.suffix != ".png" or not args.errors.parent.is_dir()):
        parser.error("--errors must end in .png, in an existing folder.")
    return args


if __name__ == "__main__":
    main()
