"""How fast the demo answers: in its process, and to many visitors at once over HTTP.

`python -m benchmarks.serving` prints updates a second and waiting times for 1, 8, 32 and 64 visitors. Each draws digits
at 20 updates a second, with one request in flight, then the newest drawing, as the pad does. The floor is the same
measurement of a server function that computes nothing: what Gradio, HTTP and the simulated visitors cost.
`--soak MINUTES` lets 32 visitors draw, and prints the server's memory, open files and threads (on Linux).
"""

import argparse
import http.client
import json
import multiprocessing
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.running import ROOT, Demo, free_port, running_demo
from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer
from serving.stopwatch import median_seconds

RATE = 20  # updates a second of a visitor's drawing
UPDATES = 40  # from a digit's first point to its last
VISITORS = (1, 8, 32, 64)
IDLE = """
import demo
reading = {"digit": 3, "probabilities": [0.1] * 10, "image": [0] * 784}
demo.Questions.read_drawing = lambda *_: reading
demo.main()
"""


class Answer(NamedTuple):
    visitor: int
    waited: float  # seconds


def milliseconds_an_answer(points: int) -> float:
    """Median time from a drawing with this number of points to ten probabilities, on one core."""
    torch.set_num_threads(1)
    recognizer, drawing = Recognizer.load(device="cpu"), resampled(DRAWINGS[3], points)
    return 1000 * median_seconds(lambda: recognizer.probabilities(ink.from_strokes(drawing)[None]), 200)


def resampled(strokes: list[list[tuple[float, float]]], points: int) -> list[list[list[float]]]:
    """The same drawing with about this number of points in all, evenly spaced."""
    lengths = [float(np.hypot(*np.diff(stroke, axis=0).T).sum()) for stroke in strokes]
    result = []
    for stroke, length in zip(map(np.asarray, strokes), lengths, strict=True):
        at = np.append(0, np.hypot(*np.diff(stroke, axis=0).T).cumsum())
        places = np.linspace(0, at[-1], max(2, round(points * length / sum(lengths))))
        result.append(np.stack([np.interp(places, at, stroke[:, axis]) for axis in (0, 1)], axis=1).tolist())
    return result


def updates() -> list[list[bytes]]:
    """For each digit, the JSON of the strokes that a pad sends while it is drawn, coordinates in [0, 1]."""
    digits = []
    for digit in range(10):
        strokes = [(np.array(stroke) / 100).round(4).tolist() for stroke in resampled(DRAWINGS[digit], 120)]
        parts = [part_of(strokes, share / UPDATES) for share in range(1, UPDATES + 1)]
        digits.append([json.dumps(part).encode() for part in parts])
    return digits


def part_of(strokes: list[list[list[float]]], share: float) -> list[list[list[float]]]:
    """This share of a drawing's points, from the first."""
    left, part = max(1, round(share * sum(map(len, strokes)))), []
    for stroke in strokes:
        if left > 0:
            part.append(stroke[:left])
        left -= len(stroke)
    return part


def component(url: str, function: str = "read_strokes") -> int:
    """The id of the page's component with this server function: by default, the pad's."""
    with urllib.request.urlopen(url + "config", timeout=10) as response:
        components = json.loads(response.read())["components"]
    return next(each["id"] for each in components if function in each["props"].get("server_fns", ()))


def ask(url: str, pad: int, request: Any) -> dict[str, Any]:
    """One request of the pad -> its reading."""
    call = {"session_hash": "s", "component_id": pad, "fn_name": "read_strokes", "data": request}
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(url + "gradio_api/component_server/", json.dumps(call).encode(), headers)
    with urllib.request.urlopen(asked, timeout=60) as response:
        return json.loads(response.read())


def visit(url: str, pad: int, visitor: int, seconds: float, digits: list[list[bytes]], answers: list[Answer]) -> None:
    """One visitor: the drawing grows at each tick, and is sent unless a request is in flight."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
    head = f'{{"session_hash": "visitor{visitor}", "component_id": {pad}, "fn_name": "read_strokes", "data": '
    head = head.encode() + b'{"network": "small", "ablations": [], "strokes": '
    headers = {"Content-Type": "application/json", "X-Forwarded-For": f"10.0.0.{visitor}"}  # as a proxy in front says
    start = time.perf_counter() + visitor % RATE / RATE / RATE  # not all at once
    sent = -1
    while (now := time.perf_counter()) < start + seconds:
        tick = int(max(0, now - start) * RATE)
        if tick == sent or now < start:
            time.sleep(max(0, start + (sent + 1) / RATE - now))
            continue
        digit, step = divmod(tick + visitor, UPDATES)
        asked = time.perf_counter()
        connection.request(
            "POST", "/gradio_api/component_server/", head + digits[digit % 10][step] + b"}}", headers=headers
        )
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or b'"probabilities"' not in body:
            raise ValueError(f"the demo answered {response.status} {body[:200]!r}")
        answers.append(Answer(visitor, time.perf_counter() - asked))
        sent = tick
    connection.close()


def flood(url: str, pad: int, number: int, end: float) -> None:
    """One of a greedy visitor's connections: asks for a digit, the largest scribble or the page without a pause."""
    scribble = np.random.default_rng(0).random((1, ink.MAX_POINTS, 2)).round(4).tolist()
    drawing = json.dumps((DRAWINGS[8], scribble)[number % 2]).encode()
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
    body = f'{{"session_hash": "greedy", "component_id": {pad}, "fn_name": "read_strokes", "data": '.encode()
    body += b'{"network": "small", "ablations": [], "strokes": ' + drawing + b"}}"
    headers = {"Content-Type": "application/json", "X-Forwarded-For": "10.1.0.0"}
    while time.perf_counter() < end:
        if number % 4 == 0:
            connection.request("GET", "/config", headers=headers)
        else:
            connection.request("POST", "/gradio_api/component_server/", body, headers=headers)
        connection.getresponse().read()
    connection.close()


def crowd(url: str, visitors: int, seconds: float, greedy: int = 0) -> list[Answer]:
    """Visitors in this process, a thread each, beside a greedy one with this number of connections."""
    pad, digits = component(url), updates()
    answers: list[Answer] = []
    errors: list[Exception] = []

    def one(visitor: int) -> None:
        try:
            visit(url, pad, visitor, seconds, digits, answers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors.append(error)

    end = time.perf_counter() + seconds
    threads = [threading.Thread(target=one, args=(visitor,)) for visitor in range(visitors)]
    threads += [threading.Thread(target=flood, args=(url, pad, number, end)) for number in range(greedy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise ValueError(f"{len(errors)} of {visitors} visitors had an error, the first: {errors[0]!r}")
    return answers


def in_another_process(url: str, visitors: int, seconds: float, greedy: int = 0) -> list[Answer]:
    """`crowd` in a process of its own, whose work the caller's threads do not slow down."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(crowd, (url, visitors, seconds, greedy))


def summary(answers: list[Answer], visitors: int, seconds: float) -> dict[str, Any]:
    waited = 1000 * np.array([answer.waited for answer in answers])
    each = np.bincount([answer.visitor for answer in answers], minlength=visitors)
    return {
        "visitors": visitors,
        "updates_a_second": len(answers) / seconds,
        "median_ms": float(np.median(waited)),
        "p95_ms": float(np.percentile(waited, 95)),
        "least_updates_a_second": float(each.min() / seconds),  # of the visitor with the fewest: is anyone starved?
    }


@contextmanager
def demo(idle: bool = False) -> Iterator[Demo]:
    """The demo, or the same page with a server function that computes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("-c", IDLE) if idle else ("demo.py",)
        with running_demo(Path(folder, "log"), free_port(), command) as running:
            yield running


def measure(seconds: float, visitors: tuple[int, ...]) -> list[dict[str, Any]]:
    """Each number of visitors at the demo, then at the idle one."""
    measured = []
    with demo() as real, demo(idle=True) as idle:
        for url in (real.url, idle.url):
            in_another_process(url, 2, 1)  # warm-up
        for count in visitors:
            row = summary(in_another_process(real.url, count, seconds), count, seconds)
            floor = summary(in_another_process(idle.url, count, seconds), count, seconds)
            measured.append(
                row | {"floor_" + name: floor[name] for name in ("updates_a_second", "median_ms", "p95_ms")}
            )
            print(sentence(measured[-1]), flush=True)
    return measured


def soak(minutes: float, visitors: int = 32) -> Iterator[dict[str, float]]:
    """The server's resources after a warm-up; then after each tenth of the time, with how it answered."""
    with demo() as running:
        in_another_process(running.url, visitors, 5)
        yield resources(running.process.pid)
        for _ in range(10):
            answers = in_another_process(running.url, visitors, 6 * minutes)
            yield resources(running.process.pid) | summary(answers, visitors, 6 * minutes)


def beside_a_greedy_one(seconds: float, visitors: int = 16, connections: int = 40) -> dict[str, float]:
    """Median waits in milliseconds: of visitors by themselves, then beside a greedy one."""
    with demo() as running:
        in_another_process(running.url, 2, 1)
        alone, beside = (
            summary(in_another_process(running.url, visitors, seconds, greedy), visitors, seconds)["median_ms"]
            for greedy in (0, connections)
        )
    return {"alone_ms": alone, "beside_ms": beside}


def resources(pid: int) -> dict[str, float]:
    """Memory in MB, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"megabytes": int(status["VmRSS"].split()[0]) / 1024, "files": files, "threads": int(status["Threads"])}


def sentence(row: dict[str, Any]) -> str:
    """A row of the table in docs/speed.md."""
    return (
        f"| {row['visitors']} | {row['updates_a_second']:.0f} | {row['least_updates_a_second']:.1f} "
        f"| {row['median_ms']:.0f} ms | {row['p95_ms']:.0f} ms "
        f"| {row['floor_updates_a_second']:.0f} | {row['floor_median_ms']:.0f} ms | {row['floor_p95_ms']:.0f} ms |"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="for each number of visitors (default: %(default)s)")
    parser.add_argument(
        "--visitors",
        type=lambda text: tuple(map(int, text.split(","))),
        default=VISITORS,
        help="how many at once, a,b,... (default: 1,8,32,64)",
    )
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="let 32 visitors draw for this time instead")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/serving.json", help="(default: %(default)s)")
    args = parser.parse_args()
    if args.soak is not None and not args.soak > 0:
        parser.error("--soak must be positive.")
    try:
        if args.soak:
            for held in soak(args.soak):
                print(", ".join(f"{name} {value:.0f}" for name, value in held.items()), flush=True)
            return
        answering = {points: milliseconds_an_answer(points) for points in (100, 300, 2000)}
        print(", ".join(f"{points} points: {ms:.2f} ms" for points, ms in answering.items()), flush=True)
        measured = {"milliseconds_an_answer": answering, "visitors": measure(args.seconds, args.visitors)}
        measured["greedy"] = greedy = beside_a_greedy_one(args.seconds)
        print(f"16 visitors: {greedy['alone_ms']:.0f} ms alone, {greedy['beside_ms']:.0f} ms beside a greedy one")
        args.output.write_text(json.dumps(measured, indent=1))
    except (ValueError, OSError) as error:
        sys.exit(f"serving.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing was written.")


if __name__ == "__main__":
    main()
