"""The demo in a process of its own, and Chromium's flags: for the benchmarks and the tests."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Demo(NamedTuple):
    url: str
    process: subprocess.Popen


@contextmanager
def running_demo(
    log: Path, port: int, command: Sequence[str] = ("demo.py",), environment: Mapping[str, str] | None = None
) -> Iterator[Demo]:
    """`python demo.py`, from its first answer on; terminated at the end. Its output goes to `log`, uploads beside it.

    Raises `ChildProcessError` where it ends by itself, or does not answer within five minutes.
    """
    url = f"http://127.0.0.1:{port}/"
    arguments = [sys.executable, *command, "--device", "cpu", "--port", str(port)]
    env = {**os.environ, "GRADIO_TEMP_DIR": str(log.parent / "uploads"), **(environment or {})}
    with log.open("w") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 300
        while True:
            if process.poll() is not None or time.monotonic() > end:
                raise ChildProcessError(log.read_text())
            try:
                urllib.request.urlopen(url, timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        yield Demo(url, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")
