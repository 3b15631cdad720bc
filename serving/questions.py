"""What the page and programs ask, checked, and answered by the networks of the menu."""

import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from digits import ink
from resnet import Recognizer
from resnet.blocks import Ablation
from serving import limits, pictures
from serving.menu import Menu
from serving.stopwatch import seconds_a_drawing

NO_INK = "There is no digit in this picture. Choose one of a single digit on plain paper."
FAILED = "The server failed at this. Its log says why."


class Questions:
    """The functions of the page and of the API. Programs are answered by the first network."""

    def __init__(self, menu: Menu) -> None:
        self.menu = menu

    def read_drawing(self, request: Any) -> dict[str, Any]:
        """A request of the pad -> a reading. Never raises: a page is told of an exception, but not which."""

        def read() -> dict[str, Any]:
            return self.menu.read(*check_request(request))

        return error_as_data(read)

    def look_inside(self, request: Any) -> dict[str, Any]:
        """A request of Inside -> its blocks. Never raises, either."""

        def look() -> dict[str, Any]:
            image, name, ablations = check_request(request)
            shown = request.get("open") if isinstance(request.get("open"), list) else None
            return {"blocks": self.menu.look(image, name, ablations, shown)}

        return error_as_data(look)

    def read_picture(self, path: str | None, name: str) -> dict[str, Any] | None:
        """An uploaded file -> a reading, or None without a file."""

        if path is None:
            return None

        def read() -> dict[str, Any]:
            image = ink.from_image(pictures.decode(path))
            if not image.any():
                raise ValueError(NO_INK)
            return self.menu.read(image, name)

        return error_as_data(read)

    def predict(self, strokes: list[list[list[float]]], ablations: list[list[str]] | None = None) -> dict[str, Any]:
        """Strokes, each a list of [x, y] points, x to the right, y down, in any unit.

        Ablations switch off parts of blocks, each a block and a part: ["layer1.0", "F"] or ["layer1.0", "shortcut"].
        """
        request = {"network": self.menu.first, "strokes": strokes, "ablations": ablations or []}
        return for_programs(self.read_drawing(request))

    def predict_image(self, image: str | None) -> dict[str, Any]:
        """A picture of one digit, dark on light or light on dark."""
        return for_programs(self.read_picture(image, self.menu.first) or {"error": "No picture was sent."})

    def inside(
        self, strokes: list[list[list[float]]], ablations: list[list[str]] | None = None
    ) -> list[dict[str, Any]]:
        """The residual blocks by name, with the size of what each adds to its input: ||F(x)|| / ||x||."""
        request = {"network": self.menu.first, "strokes": strokes, "ablations": ablations or [], "open": []}
        blocks = raise_error(self.look_inside(request))["blocks"]
        return [{"block": block["name"], "ratio": block["ratio"]} for block in blocks]

    def time_on_gpu(self, name: str) -> str:
        """A sentence."""
        self.menu.recognizer(name)  # raises for an unknown name
        seconds = seconds_a_drawing(Recognizer.load(self.menu.paths[name], "cuda"))
        return f"{name} reads a drawing in {1000 * seconds:.1f} ms on the GPU."


def check_request(request: Any) -> tuple[np.ndarray, str, list[Ablation]]:
    """A request, as `sketchpad` describes it -> the drawing as (28, 28), the network's name, the ablations.

    Raises `ValueError` with a sentence for visitors.
    """
    if not isinstance(request, dict) or not isinstance(request.get("network"), str):
        raise ValueError("This did not come from the pad of this page. Reload the page.")
    strokes, ablations = request.get("strokes", ""), request.get("ablations", [])
    return ink.from_strokes(strokes), request["network"], check_ablations(ablations)


def check_ablations(ablations: Any) -> list[Ablation]:
    """Raises `ValueError` unless they are pairs of strings. `resnet.blocks` knows which ones exist."""
    if not isinstance(ablations, list | tuple) or len(ablations) > limits.ABLATIONS:
        raise ValueError(f"Ablations must be a list of at most {limits.ABLATIONS} pairs of a block and a part.")
    for pair in ablations:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(word, str) for word in pair):
            raise ValueError('Each ablation must be a pair of a block and a part, such as ["layer1.0", "F"].')
    return [tuple(pair) for pair in ablations]


def error_as_data(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work returns, or `{"error": sentence}`; bugs go to the log."""
    try:
        return work()
    except ValueError as error:
        return {"error": str(error)}
    except Exception:
        traceback.print_exc()
        return {"error": FAILED}


def raise_error(answer: dict[str, Any]) -> dict[str, Any]:
    """Raises `gr.Error` for an answer that is an error, as programs expect."""
    if "error" in answer:
        raise gr.Error(answer["error"], print_exception=False)
    return answer


def for_programs(reading: dict[str, Any]) -> dict[str, Any]:
    reading = raise_error(reading)
    return {"digit": reading["digit"], "probabilities": reading["probabilities"]}
