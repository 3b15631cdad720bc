"""The page's own Gradio components: a pad and a picture for input, a readout, and a look inside the network.

`Sketchpad`, `Readout` and `Inside` are HTML components; their templates, styles and scripts are the files named after
them in this folder. They talk in the browser, by events of the document, so that the bars move without a detour through
the server: `sketchpad:reading` (a reading of the pad's drawing), `sketchpad:network` (the name of the network chosen),
`sketchpad:ablations` (the parts switched off).

A request is `{"network": str, "strokes": [[[x, y], ...], ...], "ablations": [[block, part], ...]}`: x and y in [0, 1],
from the pad's upper left corner; block a name such as "layer1.0"; part "F" or "shortcut".

A reading is `{"digit": int or None if not sure, "probabilities": [10 floats], "image": [784 ints, 0 to 255]}`, with
`"intact": [10 floats]` (the probabilities without ablations) if there are any; or `{"error": sentence}`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
WORDS = json.loads((HERE / "words.json").read_text("utf-8"))  # {language: {English sentence: translation}}
PAGE_CSS = HERE / "page.css"  # for `launch(css_paths=)`
_TABLE = json.dumps(WORDS).replace("</", "<\\/")
PAGE_HEAD = f"<script>const WORDS = {_TABLE}\n{(HERE / 'common.js').read_text('utf-8')}</script>"  # for `launch(head=)`


class Sketchpad(gr.HTML):
    """A pad to draw on with mouse, finger or pen, above ten examples, each a list of strokes in a frame of 100 x 100.

    `read(request) -> reading` is called while the pen moves; a page sends its next request when it has the reading, or
    after five seconds. It must not raise: the page would see no reason.
    """

    def __init__(self, read: Callable[[Any], dict], examples: list[list], network: str, **kwargs: Any) -> None:
        def read_strokes(request: Any) -> dict:  # pad.js calls it by this name
            return read(request)

        super().__init__(**_files("pad"), server_functions=[read_strokes], examples=examples, network=network, **kwargs)


class Readout(gr.HTML):
    """The digit that was read, ten bars, and the image that the network was given; or the invitation, without any.

    A live one follows the pad; another one shows its value, a reading or None.
    """

    def __init__(self, live: bool, invitation: str, **kwargs: Any) -> None:
        super().__init__(**_files("readout"), live=live, invitation=invitation, **kwargs)


class Inside(gr.HTML):
    """What each residual block does with the pad's drawing, and buttons that ablate its parts. Closed at first.

    `look(request)` gets a request with `"open"`: the names of the blocks whose maps are shown, None for a choice of the
    server's. It returns `{"blocks": [{"name": str, "ratio": ||F(x)|| / ||x|| or None, "maps": {"x": map, "F": map,
    "sum": map} or None}, ...]}`, a map being `{"height": int, "width": int, "channels": [[ints, -127 to 127], ...]}`;
    or `{"error": sentence}`. It must not raise.
    """

    def __init__(self, look: Callable[[Any], dict], network: str, **kwargs: Any) -> None:
        def look_inside(request: Any) -> dict:  # inside.js calls it by this name
            return look(request)

        super().__init__(**_files("inside"), server_functions=[look_inside], network=network, **kwargs)


class Prose(gr.HTML):
    """HTML whose sentences are translated into the browser's language."""

    def __init__(self, value: str = "", css: str = "", **kwargs: Any) -> None:
        script = "watch('value', () => translateAll(element))\ntranslateAll(element)\n"
        super().__init__(value, css_template=css, js_on_load=script, apply_default_css=False, **kwargs)


class Picture(gr.Image):
    """An image input whose value is the path of the file as it was uploaded, not yet decoded."""

    is_template = True  # the page shows the component that this one is made from

    def preprocess(self, payload: Any) -> str | None:
        return payload and payload.path


def _files(name: str) -> dict[str, Any]:
    template, style, script = ((HERE / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return {"html_template": template, "css_template": style, "js_on_load": script, "apply_default_css": False}


def translations() -> gr.I18n:
    """WORDS for Gradio's own components, which look a sentence up in the browser's language, then in English."""
    english = {sentence: sentence for words in WORDS.values() for sentence in words}
    return gr.I18n(en=english, **{language: english | words for language, words in WORDS.items()})
