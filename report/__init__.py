"""The Training and Depth tabs as HTML: a network's training history, and the experiment on depth."""

import base64
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from html import escape
from pathlib import Path
from statistics import mean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from report import figures
from resnet.history import Evaluation, History

HERE = Path(__file__).parent
CSS = (HERE / "report.css").read_text("utf-8")
DEPTH = HERE.parent / "benchmarks" / "depth.json"


def summary(name: str, history: History | None) -> str:
    """One line about a network: its size, its training, its accuracy."""
    if history is None:
        return f"<b>{escape(name)}</b>: a network whose training history is unknown."
    epochs = "1 epoch" if len(history.epochs) == 1 else f"{len(history.epochs)} epochs"
    result = f"test accuracy {_percent(history.test.accuracy)}" if history.test else "training has not finished"
    sentence = f"{history.parameters:,} parameters, trained on {history.data} for {epochs}; {result}."
    return f"<b>{escape(name)}</b>: {escape(sentence)}"


def training(name: str, history: History | None) -> str:
    """How a network was trained, and what it gets wrong."""
    if history is None:
        return f"<p>The training history of {escape(name)} is unknown.</p>"
    return PAGES.get_template("training.html").render(
        name=name,
        facts=_facts(history),
        curves=[figures.svg(panel) for panel in figures.training(history.epochs)] if history.epochs else [],
        augmented=history.epochs and not history.settings.plain,
        test=history.test,
        most_confused=_most_confused(history.test),
    )


def depth(path: Path = DEPTH) -> str:
    """What `benchmarks/depth.py` measured, or a sentence if it has not been run."""
    if not path.exists():
        return "<p>This experiment has not been run here. To run it: python -m benchmarks.depth</p>"
    try:
        return _depth(path.read_text("utf-8"))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return "<p>The file benchmarks/depth.json is damaged. Delete it, then run: python -m benchmarks.depth</p>"


@lru_cache(maxsize=1)
def _depth(text: str) -> str:
    measured = json.loads(text)
    training, held_out = (_final_errors(measured["runs"], split) for split in ("train_error", "held_out_error"))
    return PAGES.get_template("depth.html").render(
        settings=measured["settings"],
        data=measured["data"],
        curves=[figures.svg(panel) for panel in figures.depth(measured)],
        training={network: mean(errors) for network, errors in training.items()},
        held_out={network: mean(errors) for network, errors in held_out.items()},
        # 56 layers with any seed are worse than 20 with any
        worse={kind: min(training[f"{kind}56"]) > max(training[f"{kind}20"]) for kind in ("plain", "resnet")},
        seeds=len({run["seed"] for run in measured["runs"]}),
        gradient={gradient["network"]: gradient["at_first"] for gradient in measured["gradients"]},
    )


def _facts(history: History) -> dict[str, Any]:
    settings, images = history.settings, history.images
    return {
        "architecture": settings.arch,
        "parameters": f"{history.parameters:,}",
        "dataset": history.data,
        "training images": f"{images.train:,}",
        "held-out images": f"{images.held_out:,}",
        "augmentation": "no" if settings.plain else "yes",
        "epochs": settings.epochs,
        "batch size": settings.batch_size,
        "peak learning rate": settings.lr,
        "weight decay": settings.weight_decay,
        "seed": settings.seed,
        "bfloat16": "yes" if settings.bf16 else "no",
        "torch.compile": "yes" if settings.compile else "no",
        "Python": ", ".join(versions.python for versions in history.versions),
        "PyTorch": ", ".join(versions.torch for versions in history.versions),
        "softmax temperature (calibration)": f"{history.temperature:.2f}",
        "held-out accuracy": _percent(history.epochs[-1].held_out_accuracy) if history.epochs else "unknown",
        "test accuracy": _percent(history.test.accuracy) if history.test else "unknown",
    }


def _most_confused(test: Evaluation | None) -> int:
    """How often the commonest confusion of two digits happened, at least 1: the scale of the matrix's colours."""
    rows = enumerate(test.confusion if test else ())
    return max([1, *(count for label, row in rows for read, count in enumerate(row) if read != label)])


def _final_errors(runs: list[dict[str, Any]], split: str) -> dict[str, list[float]]:
    """By network: the error after the last epoch, in per cent, of each seed."""
    networks = {run["network"] for run in runs}
    return {network: [100 * run[split][-1] for run in runs if run["network"] == network] for network in networks}


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _two_digits(value: float) -> str:
    return f"{Decimal(f'{value:.2g}'):,f}"  # 1,800 and 0.00018


def _data_url(pixels: Sequence[int]) -> str:
    """784 values from 0 (paper) to 255 -> a PNG as a data URL."""
    buffer = io.BytesIO()
    Image.frombytes("L", (28, 28), bytes(pixels)).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


PAGES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
PAGES.filters |= {"two_digits": _two_digits, "data_url": _data_url}
