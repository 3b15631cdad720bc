"""What the Training and Depth tabs show, as HTML: a checkpoint's history, and the experiment on depth.

Histories are as `resnet.history` describes them, and checked there.
"""

import base64
import io
import json
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
NAMES = {"arch": "architecture", "lr": "peak learning rate", "plain": "without augmentation", "bf16": "bfloat16"}
PAGES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
PAGES.filters["short"] = lambda value: f"{Decimal(f'{value:.2g}'):,f}"  # 1,800 and 0.00018, for people


def summary(name: str, history: History | None) -> str:
    """One line: what a network is, how it was made, how well it reads."""
    if history is None:
        return f"<b>{escape(name)}</b>: a network whose training history is unknown."
    test = history.test
    score = f"test accuracy {100 * test.accuracy:.2f} %" if test else "training has not finished"
    epochs = "1 epoch" if len(history.epochs) == 1 else f"{len(history.epochs)} epochs"
    sentence = f"{history.parameters:,} parameters, trained on {history.data} for {epochs}; {score}."
    return f"<b>{escape(name)}</b>: {escape(sentence)}"


def training(name: str, history: History | None) -> str:
    """How a network was trained, and what it gets wrong."""
    if history is None:
        return f"<p>The training history of {escape(name)} is unknown.</p>"
    return PAGES.get_template("training.html").render(
        name=name,
        facts=_facts(history),
        curves=[figures.svg(panel) for panel in figures.training(history.epochs)] if history.epochs else [],
        augmented=bool(history.epochs) and not history.settings.plain,
        confusion=_confusion(history.test),
        mistakes=_mistakes(history.test),
    )


def depth(path: Path = DEPTH) -> str:
    """What `benchmarks/depth.py` measured; a sentence where it has not been run."""
    if not path.exists():
        return "<p>This experiment has not been run here. To run it: python -m benchmarks.depth</p>"
    try:
        return _depth(path.read_text("utf-8"))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return "<p>The file benchmarks/depth.json is damaged. Delete it, then run: python -m benchmarks.depth</p>"


@lru_cache(maxsize=1)
def _depth(measured: str) -> str:
    measured = json.loads(measured)
    return PAGES.get_template("depth.html").render(
        settings=measured["settings"],
        data=measured["data"],
        curves=[figures.svg(panel) for panel in figures.depth(measured)],
        **_ends(measured),
    )


def _facts(history: History) -> list[tuple[str, Any]]:
    """Names and values, as a person reads them."""
    images, test = history.images, history.test
    settings = {NAMES.get(name, name.replace("_", " ")): value for name, value in history.settings.model_dump().items()}
    facts = {name: ("yes" if value else "no") if isinstance(value, bool) else value for name, value in settings.items()}
    facts |= {
        "parameters": f"{history.parameters:,}",
        "data": history.data,
        "training images": f"{images.train:,}",
        "held-out images": f"{images.held_out:,}",
        "softmax temperature (calibration)": f"{history.temperature:.2f}",
        "python": ", ".join(versions.python for versions in history.versions),
        "torch": ", ".join(versions.torch for versions in history.versions),
    }
    if history.epochs:
        facts["held-out accuracy"] = f"{100 * history.epochs[-1].held_out_accuracy:.2f} %"
    facts["test accuracy"] = f"{100 * test.accuracy:.2f} %" if test else "not known before training has finished"
    return list(facts.items())


def _confusion(test: Evaluation | None) -> list[list[dict[str, Any]]]:
    """Ten rows of ten cells: how often, and how dark: as a share of the commonest mistake, 1 at the most."""
    if not test:
        return []
    counts = test.confusion
    most = max(counts[a][b] for a in range(10) for b in range(10) if a != b)
    return [
        [{"count": counts[a][b], "share": min(1, counts[a][b] / max(1, most))} for b in range(10)] for a in range(10)
    ]


def _mistakes(test: Evaluation | None) -> list[dict[str, Any]]:
    return [
        {
            "label": mistake.label,
            "read": mistake.read,
            "percent": f"{100 * mistake.probability:.1f}",
            "image": _data_url(mistake.image),
        }
        for mistake in (test.mistakes if test else [])
    ]


def _data_url(pixels: tuple[int, ...]) -> str:
    """784 values, 0 = paper -> a PNG within its address."""
    buffer = io.BytesIO()
    Image.frombytes("L", (28, 28), bytes(pixels)).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _ends(measured: dict[str, Any]) -> dict[str, Any]:
    """Where the curves end: per cent, means over the seeds; where depth costs more than the seeds do; gradients."""

    def ends(part: str) -> dict[str, list[float]]:
        networks = {run["network"] for run in measured["runs"]}
        return {name: [100 * run[part][-1] for run in measured["runs"] if run["network"] == name] for name in networks}

    training = ends("train_error")
    return {
        "training": {name: mean(errors) for name, errors in training.items()},
        "held_out": {name: mean(errors) for name, errors in ends("held_out_error").items()},
        "worse": {kind: min(training[f"{kind}56"]) > max(training[f"{kind}20"]) for kind in ("plain", "resnet")},
        "seeds": len({run["seed"] for run in measured["runs"]}),
        "gradient": {g["network"]: g["at_first"] for g in measured["gradients"]},
    }
