"""The two halves of the page as Gradio components: ink goes in by `Sketchpad`, a reading comes out by `Readout`.

Each is an HTML component whose template, style and script are the files of its name here. The pad hands its readings to
the readout in the browser, as `sketchpad:reading` events of the document, so that the bars move without a detour.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent

from gradio.events import Dependency

class Sketchpad(gr.HTML):
    """A pad to draw on with mouse, finger or pen.

    `read` is called with `{"network": name, "strokes": [[[x, y], ...], ...]}`, x and y in [0, 1] of the pad's side, at
    most once at a time for each visitor, and returns a reading: `{"digit": int, "probabilities": [10 floats], "image":
    [784 ints, 0 to 255]}`, or `{"error": sentence}`. It must not raise. `examples` are ten drawings, strokes in a
    frame of 100 by 100. A `sketchpad:network` event of the document, with a name as its detail, changes the network.
    """

    def __init__(self, read: Callable[[Any], dict], examples: list[list], network: str, **kwargs: Any) -> None:
        def read_strokes(request: Any) -> dict:  # the name that pad.js calls
            return read(request)

        super().__init__(
            **_files("pad"), server_functions=[read_strokes], examples=examples, network=network, **kwargs
        )
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


class Readout(gr.HTML):
    """Ten bars, the digit they name, and the image that was read.

    Its value is a reading as `Sketchpad` describes it, or None for nothing to read. A `live` one shows the pad's.
    """

    def __init__(self, live: bool, invitation: str, **kwargs: Any) -> None:
        super().__init__(**_files("readout"), live=live, invitation=invitation, **kwargs)
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def _files(name: str) -> dict[str, Any]:
    template, style, script = ((HERE / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return {"html_template": template, "css_template": style, "js_on_load": script, "apply_default_css": False}