"""Takes the README's picture from the real page: `python tests/screenshot.py`. Needs Chromium on the PATH."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for all that the tests import
from conftest import CHROMIUM_FLAGS, ROOT, find_chromium, free_port, running_demo
from test_browser import LAPTOP, Page


def main() -> None:
    log = Path(tempfile.mkdtemp()) / "log"
    with running_demo(log, free_port()) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = Page(browser.new_page(**LAPTOP), url)
        page.draw(3, every=1)
        page.reads(3)
        page.page.mouse.move(0, 0)
        page.page.screenshot(path=ROOT / "sketchpad" / "screenshot.png")
        browser.close()


if __name__ == "__main__":
    main()
