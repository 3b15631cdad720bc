"""The parts of the page as Gradio components: ink goes in by `Sketchpad` or `Picture`, `Readout` says what it reads.

The pad and the readout are HTML components: template, style and script are the files of their names here. The pad hands
its readings to the readout in the browser, as `sketchpad:reading` events of the document, so that the bars move without
a detour by the server.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
WORDS = json.loads((HERE / "words.json").read_text("utf-8"))  # by language, what each English sentence is in it
PAGE_CSS = HERE / "page.css"  # for `launch`: room for the two on a laptop and on a phone
TABLE = json.dumps(WORDS).replace("</", "<\\/")
PAGE_HEAD = f"<script>const WORDS = {TABLE}\n{(HERE / 'common.js').read_text('utf-8')}</script>"  # for `launch`, too


class Sketchpad(gr.HTML):
    """A pad to draw on with mouse, finger or pen.

    `read` is called with `{"network": name, "cuts": [[block, part], ...], "strokes": [[[x, y], ...], ...]}`, x and y in
    [0, 1] of the pad's side, one at a time of each visitor unless it takes seconds, and returns a reading: `{"digit":
    int, "probabilities": [10 floats], "image": [784 ints, 0 to 255]}`, the digit None where it is not sure; with
    `"intact": [10 floats]`, the whole network's, where something is cut; or `{"error": sentence}`. It must not raise.
    `examples` are ten drawings, strokes in a frame of 100 by 100. Events of the document change the network and the
    cuts: `sketchpad:network` and `sketchpad:cuts`.
    """

    def __init__(self, read: Callable[[Any], dict], examples: list[list], network: str, **kwargs: Any) -> None:
        def read_strokes(request: Any) -> dict:  # the name that pad.js calls
            return read(request)

        super().__init__(**_files("pad"), server_functions=[read_strokes], examples=examples, network=network, **kwargs)


class Readout(gr.HTML):
    """Ten bars, the digit they name, or none where they are not sure, and the image that was read.

    Its value is a reading as `Sketchpad` describes it, or None for nothing to read. A `live` one shows the pad's.
    """

    def __init__(self, live: bool, invitation: str, **kwargs: Any) -> None:
        super().__init__(**_files("readout"), live=live, invitation=invitation, **kwargs)


class Inside(gr.HTML):
    """What each residual block does with the pad's drawing, and switches to cut its parts; closed at first.

    `look` is called with what the pad's `read` is, and `"open"`, the names of the blocks whose maps are shown or None
    for some. It returns `{"blocks": [{"name": str, "ratio": float or None, "maps": {"x": map, "F": map, "sum": map} or
    None}]}`, a map being `{"height": int, "width": int, "channels": [[ints, -127 to 127], ...]}`, or `{"error":
    sentence}`. It must not raise.
    """

    def __init__(self, look: Callable[[Any], dict], network: str, **kwargs: Any) -> None:
        def look_inside(request: Any) -> dict:  # the name that inside.js calls
            return look(request)

        super().__init__(**_files("inside"), server_functions=[look_inside], network=network, **kwargs)


class Prose(gr.HTML):
    """HTML whose sentences are told in the browser's language."""

    def __init__(self, value: str = "", css: str = "", **kwargs: Any) -> None:
        script = "watch('value', () => translateAll(element))\ntranslateAll(element)\n"
        super().__init__(value, css_template=css, js_on_load=script, apply_default_css=False, **kwargs)


class Picture(gr.Image):
    """A picture whose value is the path of the file as it came: its reader sees its size, or that it is none, first."""

    is_template = True  # the page shows the component that this one is made from

    def preprocess(self, payload: Any) -> str | None:
        return payload and payload.path


def _files(name: str) -> dict[str, Any]:
    template, style, script = ((HERE / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return {"html_template": template, "css_template": style, "js_on_load": script, "apply_default_css": False}


def translations() -> gr.I18n:
    """For Gradio's own components: it looks the key up in the browser's language, and in English otherwise."""
    english = {key: key for key in next(iter(WORDS.values()))}
    return gr.I18n(en=english, **{language: english | words for language, words in WORDS.items()})
