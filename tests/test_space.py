"""The app as a host runs it: no rights, nothing to write to, no network, little memory, behind a path of its own."""

import http.client
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT, free_port
from test_browser import LAPTOP, Page

PREFIX = "/spaces/draw-a-digit"
OFFLINE = """
import sys
def refuse(event, arguments):
    if event == "socket.connect" and arguments[1][0] not in ("127.0.0.1", "::1"):
        print("asked the network:", arguments[1], file=sys.stderr)
        raise OSError("there is no network")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", "0.0.0.0", None):
        print("asked the network:", arguments[0], file=sys.stderr)
        raise OSError("there is no network")
sys.addaudithook(refuse)
"""
FAKE = """
import pathlib
def GPU(function=None, duration=60):
    def decorate(function):
        def lent(*arguments):
            with open({log!r}, "a") as file:
                file.write(f"{{duration}}\\n")
            return function(*arguments)
        return lent
    return decorate(function) if function else decorate
"""


class Proxy(BaseHTTPRequestHandler):
    """Hands on what comes under `PREFIX` to the app's port, as a host's front door does."""

    port = 0

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith(PREFIX + "/"):
            self.send_error(404)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(self.command, self.path.removeprefix(PREFIX), body, dict(self.headers))
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while part := response.read1(65536):
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:
            pass  # a page that was left, or an app that has ended
        finally:
            connection.close()

    do_GET = do_POST = do_HEAD = hand_on

    def log_message(self, *_):
        pass


@pytest.fixture
def program():
    """A copy of what the project holds, which nobody may write to; a folder to hook in by; one to write to."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        copy, hook, temporary = (Path(folder, name) for name in ("app", "hook", "tmp"))
        for name in filter(None, listed.stdout.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(OFFLINE)
        temporary.mkdir()
        temporary.chmod(0o777)
        Path(folder).chmod(0o755)
        subprocess.run(["chmod", "-R", "a-w,a+rX", copy], check=True)
        yield copy, hook, temporary
        subprocess.run(["chmod", "-R", "u+w", copy], check=True)


@pytest.fixture(scope="module")
def ordinary():
    """What to start a command with, so that it has no more rights than an ordinary user's."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may write anywhere, and there is no setpriv to take that away")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def confine():
    """Two CPUs, and 2 GB of memory that is not a file's."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    resource.setrlimit(resource.RLIMIT_DATA, (2 * 2**30, 2 * 2**30))


@pytest.fixture
def hosted(program, ordinary):
    """Starts the app as a host would, on a port of its environment; its process, port and log."""
    copy, hook, temporary = program
    assert subprocess.run([*ordinary, "touch", copy / "new"], capture_output=True, check=False).returncode
    started = []

    def start(**more):
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(copy),
            "TMPDIR": str(temporary),
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": str(port),
            "PYTHONPATH": str(hook),
            **more,
        }
        log = temporary / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*ordinary, sys.executable, "demo.py"],
                cwd=copy,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=confine,
            )
        started.append(process)
        end = time.monotonic() + 300
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
                return process, port, log
            except OSError:
                time.sleep(0.1)

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def test_ten_digits_are_read_where_nothing_can_be_written_and_no_network_is(hosted, chromium):
    process, port, log = hosted(GRADIO_ROOT_PATH=PREFIX)
    Proxy.port = port
    front = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    front.daemon_threads = True
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        with chromium.new_context(**LAPTOP) as context:
            page = Page(context.new_page(), f"http://127.0.0.1:{front.server_port}{PREFIX}/")
            for digit in range(10):
                page.draw(digit)
                page.reads(digit)
                page.press("Clear")
            page.page.get_by_role("tab", name="Training").click()
            page.page.get_by_role("heading", name="How small was trained").wait_for()
    finally:
        front.shutdown()
        front.server_close()
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    assert peak < 2, f"{peak:.1f} GB of memory"
    said = log.read_text()
    assert "Traceback" not in said and "asked the network" not in said, said


def test_on_zerogpu_one_button_spends_the_quota_and_drawing_does_not(hosted, program, chromium):
    _, hook, temporary = program
    spent = temporary / "spent"
    (hook / "spaces.py").write_text(FAKE.format(log=str(spent)))
    _, port, _ = hosted(SPACES_ZERO_GPU="true")
    with chromium.new_context(**LAPTOP) as context:
        page = Page(context.new_page(), f"http://127.0.0.1:{port}/")
        page.draw(5)
        page.reads(5)
        assert not spent.exists()
        page.press("Time this network on the GPU")
        page.page.get_by_text(re.compile("on the GPU\\.$|no device")).last.wait_for()
        assert spent.read_text() == "5\n"


def test_without_zerogpu_there_is_no_such_button(demo, chromium):
    with chromium.new_context(**LAPTOP) as context:
        assert Page(context.new_page(), demo).page.get_by_role("button", name="GPU").count() == 0
