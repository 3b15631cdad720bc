"""Draw a digit and watch a residual network's ten probabilities move with the pen. `python demo.py --help`"""

import argparse
import html
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

# before gradio is imported: it asks other hosts, and keeps uploads in a folder that may hold other files, too
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["GRADIO_TEMP_DIR"] = os.path.join(
    os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir(),
    f"draw-a-digit-{getattr(os, 'getuid', int)()}",
    str(os.getpid()),
)

if os.environ.get("SPACE_ID"):  # on Spaces all come through proxies of a private network; they say from where
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,127.0.0.1")

if os.environ.get("SPACES_ZERO_GPU"):  # Hugging Face's: lends a GPU, for seconds, to what it decorates
    import spaces
else:
    spaces = None

import gradio as gr
import numpy as np
import torch
from PIL import Image, ImageOps
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

import report
from digits import ink
from digits.drawings import DRAWINGS
from digits.picture import MAX_PIXELS
from resnet import CheckpointError, Recognizer
from resnet.blocks import Ablation
from resnet.checkpoint import SHIPPED
from resnet.history import DEFAULT
from resnet.recognizer import CONFIDENT
from serving.gate import Gate
from serving.queue import take_turns
from serving.stopwatch import seconds_a_drawing
from sketchpad import PAGE_CSS, PAGE_HEAD, Inside, Picture, Prose, Readout, Sketchpad, translations

SAY = translations()
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # fetches nothing
NOT_A_PICTURE = "This file is not a picture that can be read here; choose a PNG, JPEG or WebP of one digit."
PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # of Pillow's, those that say how large they are before all else
MAX_SCANNED = 50 * MAX_PIXELS  # by all the scans of a JPEG together: two seconds of decoding
NO_INK = "There is no digit to be seen in this picture; choose one of a single digit on plain paper."
UPLOADS = Path(os.environ["GRADIO_TEMP_DIR"])  # of this run, deleted at its end; `main` sees that its parent is ours
UPLOADS_KEPT = 300  # seconds
MAX_CUTS = 200  # resnet152 has 50 blocks of two parts each
Cuts = Sequence[Ablation]
NETWORK_CHOSEN = "(name) => document.dispatchEvent(new CustomEvent('sketchpad:network', { detail: name }))"


class Networks:
    """The menu: every checkpoint under its file's name, loaded when it is first asked for."""

    def __init__(self, first: Path, device: str | None) -> None:
        others = sorted(path for path in SHIPPED.glob("*.safetensors") if path.stem != first.stem)
        self.paths = {path.stem: path for path in (first, *others)}
        self.device = device
        self.loaded = {first.stem: Recognizer.load(first, device)}
        self.turn = threading.Lock()  # a drawing at a time: threads that share one Python lose more than they gain

    def load(self, name: str) -> Recognizer:
        """Raises `ValueError` with a sentence for visitors, which names no path of the server."""
        if not isinstance(name, str) or name not in self.paths:
            raise ValueError(f"There is no network of that name; choose one of: {', '.join(self.paths)}.")
        if name not in self.loaded:
            try:
                self.loaded[name] = Recognizer.load(self.paths[name], self.device)
            except CheckpointError as error:
                print(f"demo.py: {error}", file=sys.stderr)
                raise ValueError(f"The file of the network {name} cannot be read; choose another.") from None
        return self.loaded[name]

    def read(self, image: np.ndarray, name: str, cuts: Cuts = ()) -> dict[str, Any]:
        """(28, 28) in [0, 1] -> a reading as `Sketchpad` describes it; a blank has no favourite."""
        network = self.load(name)

        def probabilities(cuts: Cuts) -> np.ndarray:
            return network.probabilities(image[None], cuts)[0] if image.any() else np.full(10, 0.1)

        said = probabilities(cuts)
        reading = {
            "digit": int(said.argmax()) if said.max() >= CONFIDENT else None,
            "probabilities": said.tolist(),
            "image": (image * 255).round().astype(int).ravel().tolist(),
        }
        return reading | {"intact": probabilities(()).tolist()} if cuts else reading

    def look(self, image: np.ndarray, name: str, cuts: Cuts, shown: list[str] | None) -> list[dict[str, Any]]:
        """(28, 28) in [0, 1] -> blocks as `Inside` describes them; the maps of those `shown`, or of some."""
        seen = self.load(name).look(image, cuts)
        if shown is None:  # all of a few, or the last of each stage
            stages = {block.name.split(".")[0]: block.name for block in seen}
            shown = [block.name for block in seen] if len(seen) <= 4 else list(stages.values())
        return [
            {
                "name": block.name,
                "ratio": block.ratio if math.isfinite(block.ratio) else None,
                "maps": {part: as_lists(maps) for part, maps in block.maps().items()} if block.name in shown else None,
            }
            for block in seen
        ]

    def describe(self, name: str) -> str:
        """One line of HTML: what the network is, how it was made, how well it reads."""
        try:
            return report.summary(name, self.load(name).history)
        except ValueError as error:
            return html.escape(str(error))


def open_picture(path: str) -> Image.Image:
    """A file of any kind -> an upright picture of at most 1024 pixels a side. Raises `ValueError` for none."""
    try:
        with Image.open(path, formats=PICTURES) as picture:
            if picture.width * picture.height <= MAX_PIXELS:
                if picture.format == "JPEG" and scans(path) * picture.width * picture.height > MAX_SCANNED:
                    raise ValueError("a JPEG that takes minutes")
                picture.draft(None, (1024, 1024))  # a JPEG is decoded no larger than it is needed
                upright = ImageOps.exif_transpose(picture)
                if max(upright.size) > 1024:
                    upright.thumbnail((1024, 1024))
                return upright
    except FileNotFoundError:
        raise ValueError("This picture is not kept any longer; upload it again.") from None
    except Exception:  # Pillow lets through whatever a file's odd insides raise
        raise ValueError(NOT_A_PICTURE) from None
    raise ValueError(f"This picture has more than {MAX_PIXELS:,} pixels; choose a smaller one.")


def scans(path: str) -> int:
    """How often a JPEG goes over all of its picture, at most: progressive ones do so ten times."""
    return Path(path).read_bytes().count(b"\xff\xda")


def own(folder: Path) -> None:
    """Makes it, for this user alone. Raises `ValueError` where it is another's, whose files must not be deleted."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != getattr(os, "getuid", int)():
        raise ValueError(f"{folder} is not this user's own; remove it, or name another by GRADIO_TEMP_DIR")


def sweep(folder: Path, seconds: float) -> None:
    """Deletes what in it is older than that: files, and folders that are empty."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before it
        with suppress(OSError):  # another was faster, or it is not empty
            if path.stat().st_mtime < time.time() - seconds:
                path.rmdir() if path.is_dir() else path.unlink()


def keep_sweeping() -> None:
    while True:
        with suppress(OSError):  # a folder that went while it was gone through
            sweep(UPLOADS.parent, UPLOADS_KEPT)  # what a run that was killed left, too
        time.sleep(60)


def as_lists(maps: np.ndarray) -> dict[str, Any]:
    """(C, H, W) -> a map as `Inside` describes it."""
    count, height, width = maps.shape
    return {"height": height, "width": width, "channels": maps.reshape(count, -1).tolist()}


def checked_cuts(cuts: Any) -> Cuts:
    """What a page or a program sends -> pairs of a block and a part; `resnet.blocks` knows which there are."""
    if not isinstance(cuts, list | tuple) or len(cuts) > MAX_CUTS:
        raise ValueError(f"cuts must be a list of at most {MAX_CUTS} pairs, each a block and a part (F or shortcut).")
    pairs = all(isinstance(cut, list | tuple) and len(cut) == 2 for cut in cuts)
    if not pairs or not all(isinstance(word, str) for cut in cuts for word in cut):
        raise ValueError('each cut must be a pair of a block and a part, as ["layer1.0", "F"].')
    return [tuple(cut) for cut in cuts]


def what_was_sent(request: Any) -> tuple[np.ndarray, str, Cuts]:
    """What the pad sends -> the drawing as (28, 28), the network's name, the cuts. Raises `ValueError`."""
    if not isinstance(request, dict) or not isinstance(request.get("network"), str):
        raise ValueError("This was not sent by the pad of this page; reload it.")
    return ink.from_strokes(request.get("strokes")), request["network"], checked_cuts(request.get("ablations", []))


def build(networks: Networks) -> gr.Blocks:
    """The page, and the API beside it."""
    first = next(iter(networks.paths))

    def read_drawing(request: Any) -> dict[str, Any]:
        """What the pad sends; raises for no visitor's fault, for the pad shows a sentence but no exception."""
        try:
            with networks.turn:
                return networks.read(*what_was_sent(request))
        except ValueError as error:
            return {"error": str(error)}

    def look_inside(request: Any) -> dict[str, Any]:
        """What the pad shows, for `Inside`; never raises, as above."""
        try:
            with networks.turn:
                image, name, cuts = what_was_sent(request)
                shown = request.get("open") if isinstance(request.get("open"), list) else None
                return {"blocks": networks.look(image, name, cuts, shown)}
        except ValueError as error:
            return {"error": str(error)}

    def read_picture(path: str | None, name: str) -> dict[str, Any] | None:
        try:
            image = ink.from_image(open_picture(path)) if path else None
            if image is None:
                return None
            if not image.any():
                raise ValueError(NO_INK)
            with networks.turn:
                return networks.read(image, name)
        except ValueError as error:
            return {"error": str(error)}

    def answer(reading: dict[str, Any] | None) -> dict[str, Any]:
        """For programs: without the image, and with errors raised."""
        if reading is None or "error" in reading:
            raise gr.Error(reading["error"] if reading else "No picture was sent.", print_exception=False)
        return {"digit": reading["digit"], "probabilities": reading["probabilities"]}

    def predict(strokes: list[list[list[float]]], cuts: list[list[str]] | None = None) -> dict[str, Any]:
        """Strokes, each a list of [x, y] points, x to the right, y down, in any unit.

        The network does without the cuts, each a block and a part of it: ["layer1.0", "F"] or ["layer1.0", "shortcut"].
        """
        return answer(read_drawing({"network": first, "strokes": strokes, "ablations": cuts or []}))

    def inside(strokes: list[list[list[float]]], cuts: list[list[str]] | None = None) -> list[dict[str, Any]]:
        """The residual blocks by name, and how much each adds to what it is given: ||F(x)|| / ||x||."""
        seen = look_inside({"network": first, "strokes": strokes, "ablations": cuts or [], "open": []})
        if "error" in seen:
            raise gr.Error(seen["error"], print_exception=False)
        return [{"block": block["name"], "ratio": block["ratio"]} for block in seen["blocks"]]

    def predict_image(image: str | None) -> dict[str, Any]:
        """A picture of one digit, dark on light or light on dark."""
        return answer(read_picture(image, first))

    @lru_cache(maxsize=16)
    def training_of(name: str) -> str:
        return report.training(name, networks.load(name).history)

    def show_training(name: str) -> str:
        try:
            return training_of(name)
        except ValueError as error:
            return html.escape(str(error))

    def time_on_gpu(name: str) -> str:
        """For this alone a visitor's quota of GPU time is spent; drawings are read by the CPU."""
        try:
            networks.load(name)  # a sentence where its file is none
            seconds = seconds_a_drawing(Recognizer.load(networks.paths[name], "cuda"))
            return f"{name} reads a drawing in {1000 * seconds:.1f} ms on the GPU."
        except ValueError as error:
            return html.escape(str(error))

    with gr.Blocks(title="Draw a digit") as page:
        with gr.Row(elem_id="header"):
            Prose("<h1>Draw a digit</h1>")
            network = gr.Dropdown(
                list(networks.paths),
                value=first,
                label=SAY("Network"),
                container=False,
                filterable=False,
                scale=0,
                min_width=180,
            )
        with gr.Tab(SAY("Draw")):
            with gr.Row():
                with gr.Column(min_width=300):
                    Sketchpad(read_drawing, [DRAWINGS[digit] for digit in range(10)], first)
                with gr.Column(min_width=300):
                    Readout(live=True, invitation="Draw a digit, or choose an example.")
            Inside(look_inside, first)
        with gr.Tab(SAY("Upload")), gr.Row():
            with gr.Column(min_width=300):
                picture = Picture(label=SAY("A photo or picture of one digit"), sources=["upload"], height=320)
            with gr.Column(min_width=300):
                result = Readout(live=False, invitation="Upload a picture of one digit.")
        with gr.Tab(SAY("Training")) as training:
            history, opened = Prose(css=report.CSS), gr.State(False)
        with gr.Tab(SAY("Depth")) as depth:
            experiment = Prose(css=report.CSS)
        about = Prose(networks.describe(first), elem_id="about")
        if spaces:
            timed = Prose()
            lent = spaces.GPU(duration=5)(time_on_gpu)
            gr.Button(SAY("Time this network on the GPU")).click(lent, network, timed, api_visibility="private")

        upload = {"fn": read_picture, "inputs": [picture, network], "outputs": result, "api_visibility": "private"}
        picture.change(**upload, show_progress="hidden")
        network.change(**upload, show_progress="hidden")
        network.change(networks.describe, network, about, api_visibility="private", show_progress="hidden")
        network.change(None, network, js=NETWORK_CHOSEN)

        # what these tabs hold is made when they are first opened
        private = {"api_visibility": "private", "show_progress": "hidden"}
        training.select(lambda name: (show_training(name), True), network, [history, opened], **private)
        depth.select(report.depth, None, experiment, **private)
        network.change(
            lambda name, opened: show_training(name) if opened else gr.skip(), [network, opened], history, **private
        )

        gr.api(predict, api_name="predict")
        gr.api(inside, api_name="inside")
        image, reply = Picture(label="image", visible=False), gr.JSON(visible=False)
        gr.Button(visible=False).click(predict_image, image, reply, api_name="predict_image")
    page.queue(max_size=1000, api_open=False)  # nobody passes by the queue
    take_turns(page)
    return page


def make_no_sense(*_: Any) -> JSONResponse:
    """What Gradio fails at before the gate, such as a request that names no host."""
    return JSONResponse({"detail": "This request makes no sense here."}, 400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, default=SHIPPED / f"{DEFAULT}.safetensors", help="the network to begin with"
    )
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the best there is)")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 lets others in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # not without the last line
    torch.set_num_threads(1)  # a drawing is too little work to share; visitors share the cores
    try:
        own(UPLOADS.parent)
        page = build(Networks(args.checkpoint, args.device or ("cpu" if spaces else None)))
        threading.Thread(target=keep_sweeping, daemon=True).start()
        page.launch(
            server_name=args.host,
            server_port=args.port,
            theme=THEME,
            css_paths=PAGE_CSS,
            head=PAGE_HEAD,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            max_file_size="10mb",
            i18n=SAY,
            state_session_capacity=200,  # visitors whose page Gradio remembers
            app_kwargs={"middleware": [Middleware(Gate)], "exception_handlers": {Exception: make_no_sense}},
        )
    except (ValueError, OSError) as error:
        sys.exit(f"demo.py: {error}")
    finally:
        shutil.rmtree(UPLOADS, ignore_errors=True)


if __name__ == "__main__":
    main()
