"""What the tests share: MNIST where it is, a running demo, and a real browser."""

import asyncio
import os
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import running
from benchmarks.running import CHROMIUM_FLAGS, ROOT, find_chromium, free_port
from resnet.checkpoint import SHIPPED

__all__ = ["CHROMIUM_FLAGS", "ROOT", "STRANGE", "find_chromium", "finish", "free_port", "running_demo"]

_ANGLES = np.linspace(0, 2 * np.pi, 60)
STRANGE = {  # drawings of no digit, strokes in a frame of 100 by 100
    "heart": [np.stack([50 + 40 * np.sin(_ANGLES) ** 3, 45 - 32 * np.cos(_ANGLES) + 12 * np.cos(2 * _ANGLES)], 1)],
    "cross": [[(10, 10), (90, 90)], [(90, 10), (10, 90)]],
    "W": [[(5, 10), (28, 90), (50, 30), (72, 90), (95, 10)]],
    "line": [[(5, 50), (95, 50)]],
    "scribble": [[(10 + 80 * (i % 2), 10 + 80 * i / 7) for i in range(8)]],
    "two digits": [  # 4 2
        [(28, 20), (8, 60), (42, 60)],
        [(32, 40), (32, 85)],
        [(60, 35), (65, 22), (78, 18), (90, 25), (90, 40), (75, 60), (58, 82), (94, 82)],
    ],
}
STRANGE = {name: [np.asarray(stroke, float).tolist() for stroke in strokes] for name, strokes in STRANGE.items()}


def finish(work: Coroutine) -> Any:
    """What it returns; in a thread of its own, for the browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(asyncio.run, work).result()


def pytest_addoption(parser):
    parser.addoption("--mnist", default=os.environ.get("MNIST_DIR"), help="folder that holds MNIST/raw (or MNIST_DIR)")
    parser.addoption("--fuzz", type=int, default=100, help="how many malformed requests each test of them makes")
    parser.addoption("--kills", type=int, default=2, help="how often training is killed at a random moment")
    parser.addoption("--soak", type=float, default=0.2, help="for how many minutes 32 visitors draw")
    parser.addoption("--unipen", default=os.environ.get("UNIPEN_DIR"), help="folder of UNIPEN (or UNIPEN_DIR)")
    parser.addoption("--ink", default=os.environ.get("INK_DIR"), help="folder of pen strokes, *.jsonl (or INK_DIR)")


@pytest.fixture(scope="session")
def mnist(request):
    """MNIST's splits, or a skip that says what is missing."""
    folder = request.config.getoption("--mnist")
    if not folder or not Path(folder, "MNIST").is_dir():
        pytest.skip("MNIST is not here: name its folder with --mnist or MNIST_DIR")
    from digits import mnist

    return mnist.load(folder)


@pytest.fixture(scope="session")
def unipen_folder(request):
    """UNIPEN's folder, or a skip that says what is missing."""
    folder = request.config.getoption("--unipen")
    if not folder or not Path(folder, "train_r01_v07").is_dir():
        pytest.skip("UNIPEN is not here: name the folder of its train_r01_v07 with --unipen or UNIPEN_DIR")
    return Path(folder)


@pytest.fixture(scope="session")
def ink_folder(request):
    """The folder of pen strokes as JSON lines, or a skip that says what is missing."""
    folder = request.config.getoption("--ink")
    if not folder or not list(Path(folder).glob("*.jsonl")):
        pytest.skip("Pen strokes are not here: name the folder of their *.jsonl with --ink or INK_DIR")
    return Path(folder)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@contextmanager
def running_demo(log: Path, port: int):
    """`python demo.py` as a user starts it; its address. Fails where it ever printed a traceback."""
    with running.running_demo(log, port) as demo:
        yield demo.url
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def app():
    """The demo's app in this process, asked without a socket."""
    from in_process import DemoApp

    from demo import build
    from serving.environment import UPLOADS
    from serving.menu import Menu

    app = DemoApp(lambda: build(Menu(SHIPPED / "small.safetensors", "cpu")))
    yield app
    app.close()
    shutil.rmtree(UPLOADS, ignore_errors=True)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """Where the running demo writes its log, and its uploads."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="session")
def demo(demo_folder):
    """The address of a demo that runs for all tests."""
    with running_demo(demo_folder / "log", free_port()) as url:
        yield url


@pytest.fixture(scope="session")
def chromium():
    """Chromium by Playwright. Missing is a skip, or a failure where REQUIRE_BROWSER is set."""
    missing = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the browser tests need Playwright: pip install -r requirements-dev.txt")
    if find_chromium() is None:
        missing("the browser tests need Chromium on the PATH, for example: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
