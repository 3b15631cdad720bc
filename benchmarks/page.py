"""How fast the page loads and the bars follow the pen, in Chromium on the same machine.

`python -m benchmarks.page` measures the time from `python demo.py` to its first answer, of which importing torch and
gradio alone; the bytes of a first visit and the time until the pad can be used; and the time from a move of the pen to
painted bars, at 20 moves a second. It writes one JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Error, Page, sync_playwright

from benchmarks.running import CHROMIUM_FLAGS, ROOT, find_chromium, free_port, running_demo
from digits.drawings import DRAWINGS

USABLE = "document.querySelectorAll('.examples button').length === 10"
# From the first move since the last answer (by the browser's own time) to after the frame that paints the next answer.
WATCH = """() => {
  window.waits = []
  let moved = null
  document.querySelector('.paper canvas').addEventListener('pointermove', (event) => { moved ??= event.timeStamp })
  document.addEventListener('sketchpad:reading', () => {
    const since = moved
    moved = null
    if (since === null) return
    requestAnimationFrame(() => {
      const channel = new MessageChannel()
      channel.port1.onmessage = () => waits.push(performance.now() - since)
      channel.port2.postMessage(null) // answered once the frame is out
    })
  })
}"""


def seconds_to_import() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True, cwd=ROOT)
    return time.perf_counter() - start


def seconds_to_start(folder: Path) -> float:
    start = time.perf_counter()
    with running_demo(folder / "log", free_port()):
        return time.perf_counter() - start


def visit(browser: Browser, url: str) -> dict[str, float]:
    """A first visit, with an empty cache: bytes and requests, and when the pad could be used."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        sizes = []
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(url, wait_until="commit")
        page.wait_for_function(USABLE)
        usable = page.evaluate("performance.now()")
        page.wait_for_timeout(1000)  # for requests that come later
        return {"usable_ms": usable, "megabytes": sum(sizes) / 1e6, "requests": len(sizes)}


def pen_to_bars(page: Page, moves: int) -> list[float]:
    """Milliseconds from a move to painted bars, for each answer while a digit is drawn repeatedly."""
    box = page.locator(".paper canvas").bounding_box()
    page.evaluate(WATCH)
    (stroke,) = DRAWINGS[3]
    for move in range(moves):
        x, y = stroke[move % len(stroke)]
        if move % len(stroke) == 0:
            page.mouse.up()
            page.get_by_role("button", name="Clear", exact=True).click(force=True)
        page.mouse.move(box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100)
        if move % len(stroke) == 0:
            page.mouse.down()
        page.wait_for_timeout(50)
    page.mouse.up()
    return page.evaluate("waits")


def measure(repeats: int, moves: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        seconds_to_import()  # warm-up: brings the files into memory
        starts = [(seconds_to_import(), seconds_to_start(Path(folder))) for _ in range(repeats)]
        imports, started = map(median, zip(*starts, strict=True))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        with running_demo(Path(folder, "log"), free_port()) as demo:
            visits = [visit(browser, demo.url) for _ in range(repeats)]
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(demo.url)
            page.wait_for_function(USABLE)
            waits = pen_to_bars(page, moves)
        browser.close()
    return {
        "import_seconds": imports,
        "start_seconds": started,
        **{name: median(visit[name] for visit in visits) for name in visits[0]},
        "answers": len(waits),
        "pen_to_bars_ms": {"median": float(np.median(waits)), "p95": float(np.percentile(waits, 95))},
    }


def sentences(measured: dict[str, Any]) -> list[str]:
    """As in docs/speed.md."""
    wait = measured["pen_to_bars_ms"]
    return [
        f"python demo.py answers after {measured['start_seconds']:.1f} s; importing torch and gradio alone takes "
        f"{measured['import_seconds']:.1f} s",
        f"a first visit takes {measured['megabytes']:.1f} MB in {measured['requests']:.0f} requests, "
        f"and the pad can be drawn on after {measured['usable_ms'] / 1000:.1f} s",
        f"from the pen's move to painted bars: median {wait['median']:.0f} ms, 95th percentile {wait['p95']:.0f} ms",
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="starts and visits; medians are taken (default: 3)")
    parser.add_argument("--moves", type=int, default=400, help="moves of the pen (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/page.json", help="(default: %(default)s)")
    args = parser.parse_args()
    if args.repeats < 1 or args.moves < len(DRAWINGS[3][0]):
        parser.error("--repeats must be at least 1, and --moves enough for a digit.")
    if find_chromium() is None:
        sys.exit("page.py: Chromium is not on the PATH. Install it, for example: apt-get install chromium")
    try:
        measured = measure(args.repeats, args.moves)
        args.output.write_text(json.dumps(measured, indent=1))
    except (OSError, Error) as error:
        sys.exit(f"page.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing was written.")
    print("\n".join(sentences(measured)))


if __name__ == "__main__":
    main()
