"""Curves of training, and of the experiment on depth. matplotlib is imported when one is drawn, not before."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from resnet.history import Epoch

TEXT = "#010203"  # `svg` replaces it by the page's text colour
BLUE, ORANGE, GREY = "#2f7be0", "#e8741a", "#8a8a8a"  # visible on white and on black
THIN, BOLD = 1.0, 2.4  # points
Panel = Callable[[Any], None]  # draws on matplotlib axes


def training(epochs: Sequence[Epoch]) -> list[Panel]:
    """After each epoch: the losses, and the accuracy on held-out images."""

    def draw_loss(axes: Any) -> None:
        _curve(axes, [epoch.train_loss for epoch in epochs], GREY, THIN, "training")
        _curve(axes, [epoch.held_out_loss for epoch in epochs], BLUE, BOLD, "held out")
        axes.set(yscale="log", ylabel="cross-entropy loss", xlabel="epoch")

    def draw_accuracy(axes: Any) -> None:
        _curve(axes, [100 * epoch.held_out_accuracy for epoch in epochs], BLUE, BOLD, "held out")
        axes.set(ylabel="accuracy (%)", xlabel="epoch")

    return [draw_loss, draw_accuracy]


def depth(measured: dict[str, Any]) -> list[Panel]:
    """From the JSON of `benchmarks/depth.py`: errors without and with shortcuts (as in Fig. 6), and gradients."""
    worst = max(max(run["train_error"] + run["held_out_error"]) for run in measured["runs"])
    best = min(min(run["train_error"] + run["held_out_error"]) for run in measured["runs"])
    limits = (100 * max(best, 1e-4) / 1.5, 150 * worst)  # the same for both panels

    def errors(kind: str, title: str) -> Panel:
        def draw(axes: Any) -> None:
            for layers, colour in ((20, BLUE), (56, ORANGE)):
                runs = [run for run in measured["runs"] if run["network"] == f"{kind}{layers}"]
                for part, width, label in (("train_error", THIN, "training"), ("held_out_error", BOLD, "held out")):
                    values = [100 * mean(errors) for errors in zip(*(run[part] for run in runs), strict=True)]
                    _curve(axes, values, colour, width, f"{layers} layers, {label}")
            axes.set(yscale="log", ylim=limits, ylabel="error (%)", xlabel="epoch", title=title)
            axes.yaxis.set_major_formatter("{x:g}")

        return draw

    def gradients(axes: Any) -> None:
        names = {
            "plain56-nobn": ("plain, no BatchNorm", GREY),
            "plain56": ("plain", BLUE),
            "resnet56": ("residual", ORANGE),
        }
        for network in measured["gradients"]:
            label, colour = names[network["network"]]
            _curve(axes, network["at_first"], colour, THIN, None)
            _curve(axes, network["afterwards"], colour, BOLD, label)
        axes.set(yscale="log", ylabel="gradient norm", xlabel="layer", title="gradients, 56 layers")

    return [errors("plain", "plain networks"), errors("resnet", "residual networks"), gradients]


def svg(panel: Panel) -> str:
    """One panel for a page. Its text and axes have the colour of the text around it."""
    buffer = io.StringIO()
    _figure([panel]).savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    surplus = r'<metadata>.*?</metadata>|<style.*?</style>|(?<=<g) id="[^"]*"'  # all panels have the same group ids
    return re.sub(surplus, "", drawn[drawn.index("<svg") :], flags=re.DOTALL).replace(TEXT, "currentColor")


def save_png(panels: Sequence[Panel], path: Path) -> None:
    """Panels side by side on white, for a document."""
    _figure(panels).savefig(path, dpi=150, metadata={"Software": None})


def _figure(panels: Sequence[Panel]) -> Any:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    figure = Figure(figsize=(4.0 * len(panels), 3.3), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes)
        _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    """Thin axes, a light grid, and the legend below, where it hides no curve."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(TEXT)
    axes.tick_params(colors=TEXT, which="both")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=GREY, alpha=0.25)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(TEXT)
    place = {"loc": "upper center", "bbox_to_anchor": (0.45, -0.18), "ncols": 2}
    axes.legend(**place, frameon=False, labelcolor=TEXT, fontsize=9, handlelength=1.4, columnspacing=1.2)


def _curve(axes: Any, values: Sequence[float], colour: str, width: float, label: str | None) -> None:
    """Values of epochs or layers, from 1 on. A single value is a dot."""
    marker = "o" if len(values) == 1 else None
    axes.plot(range(1, len(values) + 1), values, color=colour, linewidth=width, label=label, marker=marker)
