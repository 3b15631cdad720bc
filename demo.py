"""Draw a digit and watch a residual network's ten probabilities move with the pen. `python demo.py --help`"""

import argparse
import html
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from functools import lru_cache

from serving import environment  # first, for Gradio reads what it sets

# isort: split
import gradio as gr
import torch

import report
from digits.drawings import DRAWINGS
from resnet.checkpoint import SHIPPED
from resnet.history import DEFAULT
from serving import address, limits, pictures
from serving.gate import APP_KWARGS
from serving.menu import Menu
from serving.questions import Questions
from serving.queue import make_fair
from sketchpad import PAGE_CSS, PAGE_HEAD, Inside, Picture, Prose, Readout, Sketchpad, translations

if os.environ.get("SPACES_ZERO_GPU"):  # Hugging Face's: lends a GPU, for seconds, to the functions that it decorates
    import spaces
else:
    spaces = None

TRANSLATED = translations()
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # fetches nothing
NETWORK_CHOSEN = "(name) => document.dispatchEvent(new CustomEvent('sketchpad:network', { detail: name }))"
QUIET = {"api_visibility": "private", "show_progress": "hidden"}
ONE_PICTURE = {"concurrency_id": "pictures", "concurrency_limit": 1}  # at a time, for one may take 400 MB to decode


def build(menu: Menu) -> gr.Blocks:
    """The page, and the API beside it."""
    questions = Questions(menu)

    def describe(name: str) -> str:
        return error_as_text(lambda: report.summary(name, menu.recognizer(name).history))

    @lru_cache(maxsize=16)
    def show_training(name: str) -> str:
        return error_as_text(lambda: report.training(name, menu.recognizer(name).history))

    def time_on_gpu(name: str) -> str:
        return error_as_text(lambda: html.escape(questions.time_on_gpu(name)))

    with gr.Blocks(title="Draw a digit") as page:
        with gr.Row(elem_id="header"):
            Prose("<h1>Draw a digit</h1>")
            network = gr.Dropdown(
                list(menu.paths),
                value=menu.first,
                label=TRANSLATED("Network"),
                container=False,
                filterable=False,
                scale=0,
                min_width=180,
            )
        with gr.Tab(TRANSLATED("Draw")):
            with gr.Row():
                with gr.Column(min_width=300):
                    Sketchpad(questions.read_drawing, DRAWINGS, menu.first)
                with gr.Column(min_width=300):
                    Readout(live=True, invitation="Draw a digit, or choose an example.")
            Inside(questions.look_inside, menu.first)
        with gr.Tab(TRANSLATED("Upload")), gr.Row():
            with gr.Column(min_width=300):
                picture = Picture(label=TRANSLATED("A photo or picture of one digit"), sources=["upload"], height=320)
            with gr.Column(min_width=300):
                result = Readout(live=False, invitation="Upload a picture of one digit.")
        with gr.Tab(TRANSLATED("Training")) as training_tab:
            training, opened = Prose(css=report.CSS), gr.State(False)
        with gr.Tab(TRANSLATED("Depth")) as depth_tab:
            depth = Prose(css=report.CSS)
        about = Prose(describe(menu.first), elem_id="about")
        if spaces:  # drawings are read by the CPU, and spend nothing of a visitor's quota of GPU time
            time = gr.Button(TRANSLATED("Time this network on the GPU"))
            time.click(spaces.GPU(duration=5)(time_on_gpu), network, Prose(), api_visibility="private")

        picture.change(questions.read_picture, [picture, network], result, **QUIET, **ONE_PICTURE)
        network.change(questions.read_picture, [picture, network], result, **QUIET, **ONE_PICTURE)
        network.change(describe, network, about, **QUIET)
        network.change(None, network, js=NETWORK_CHOSEN)
        # These two tabs are filled when they are first opened.
        training_tab.select(lambda name: (show_training(name), True), network, [training, opened], **QUIET)
        network.change(
            lambda name, opened: show_training(name) if opened else gr.skip(), [network, opened], training, **QUIET
        )
        depth_tab.select(report.depth, None, depth, **QUIET)

        gr.api(questions.predict, api_name="predict")
        gr.api(questions.inside, api_name="inside")
        image, answer = Picture(label="image", visible=False), gr.JSON(visible=False)
        gr.Button(visible=False).click(questions.predict_image, image, answer, api_name="predict_image", **ONE_PICTURE)
    page.queue(max_size=limits.QUEUE, api_open=False)  # programs wait in the queue, too
    make_fair(page)
    return page


def error_as_text(work: Callable[[], str]) -> str:
    """HTML, or the sentence of a `ValueError`, which is for visitors."""
    try:
        return work()
    except ValueError as error:
        return html.escape(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default=SHIPPED / f"{DEFAULT}.safetensors", help="the network to begin with")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the best there is)")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 lets others in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the uploads are deleted
    torch.set_num_threads(1)  # a drawing is too little work to share; visitors share the cores
    try:
        host, port = address.choose(args.host, args.port)
        pictures.claim(environment.UPLOADS.parent)
        page = build(Menu(args.checkpoint, args.device or ("cpu" if spaces else None)))
        threading.Thread(target=pictures.keep_clean, args=[environment.UPLOADS.parent], daemon=True).start()
        environment.allow_many_connections()
        environment.bypass_proxies(host)
        page.launch(
            server_name=host,
            server_port=port,
            theme=THEME,
            css_paths=PAGE_CSS,
            head=PAGE_HEAD,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            max_file_size=limits.UPLOAD_BYTES,
            i18n=TRANSLATED,
            state_session_capacity=limits.SESSIONS,
            app_kwargs=APP_KWARGS,
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"demo.py: {error}")
    finally:
        shutil.rmtree(environment.UPLOADS, ignore_errors=True)


if __name__ == "__main__":
    main()
