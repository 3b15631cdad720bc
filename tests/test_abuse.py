"""Malformed requests and files, by the hundred (`--fuzz N`): each is answered, none does harm."""

import asyncio
import http.client
import io
import json
import re
import socket
import struct
import tempfile
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import gradio
import numpy as np
import pytest
from conftest import ROOT, finish
from gradio.data_classes import PredictBodyInternal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks import running
from benchmarks.serving import component, holdings
from demo import open_picture
from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer
from serving.gate import ABREAST, WAITING, Gate
from serving.queue import take_turns

JSON = {"Content-Type": "application/json"}
LEAKS = re.compile(rb'Traceback|site-packages|File "|' + re.escape(f"{ROOT}/".encode()))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
NUMBERS = st.floats() | st.integers() | st.sampled_from([-0.0, 1e308, 5e-324, 2**70, True, None, "1", "\ud800", [1]])
STROKES = st.lists(st.lists(st.lists(NUMBERS, max_size=3), max_size=8), max_size=4) | ANY_JSON
CUTS = st.lists(st.lists(st.sampled_from(["layer1.0", "F", "shortcut", "", 5]), max_size=3), max_size=4) | ANY_JSON
NETWORKS = st.sampled_from(["small", "tutorial", "../small", "", "small\x00"]) | ANY_JSON
DATA = st.fixed_dictionaries({"network": NETWORKS, "strokes": STROKES}, optional={"cuts": CUTS, "open": ANY_JSON})
NAMES = st.sampled_from(["read_strokes", "look_inside", "__init__", "server_fns"]) | ANY_JSON
COMPONENTS = st.integers(-5, 40) | ANY_JSON
CALLS = st.fixed_dictionaries({"data": ANY_JSON | st.lists(STROKES, max_size=3)}, optional={"session_hash": ANY_JSON})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A demo of its own, warm. At the end: as much memory as at first, and no function of ours has failed.

    Gradio logs its own refusals of what does not fit a function's inputs, with tracebacks; visitors see none of that.
    """
    log = tmp_path_factory.mktemp("abuse") / "log"
    with running.running_demo(log, running.free_port()) as demo:
        for _ in range(20):
            assert read(demo, DRAWINGS[3])["digit"] == 3
        before = holdings(demo.process.pid)["megabytes"]
        yield demo
        begin = time.monotonic()
        assert read(demo, DRAWINGS[3])["digit"] == 3 and time.monotonic() - begin < 1
        assert holdings(demo.process.pid)["megabytes"] < before + 150
    ours = [line for line in log.read_text().splitlines() if f'File "{ROOT}' in line and "site-packages" not in line]
    ours = [line for line in ours if not re.search(r"gate\.py.* in (__call__|answer)$", line)]  # all goes through these
    assert not ours, ours


@pytest.fixture
def fuzzed(pytestconfig):
    """Runs a property on many examples, the same ones each time."""

    def run(strategy, test):
        count = pytestconfig.getoption("--fuzz")
        options = settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        options(given(strategy)(test))()

    return run


def ask(demo, method, path, body=b"", headers=None):
    """Any request -> status and body. None of these may be the server's fault, or say what is only its own business."""
    connection = http.client.HTTPConnection(demo.url.split("/")[2], timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    own = answer.replace(path.rpartition("=")[2].encode(), b"")  # but for what was asked for
    assert response.status < 500 and not LEAKS.search(own), (response.status, answer[:500])
    return response.status, answer


def read(demo, strokes):
    call = {"session_hash": "s", "component_id": component(demo.url), "fn_name": "read_strokes"}
    body = json.dumps(call | {"data": {"network": "small", "strokes": strokes}})
    status, answer = ask(demo, "POST", "/gradio_api/component_server/", body, JSON)
    assert status == 200
    return json.loads(answer)


def test_whatever_is_sent_to_the_pads_functions_is_answered(server, fuzzed):
    pad, inside = component(server.url), component(server.url, "look_inside")
    known = st.fixed_dictionaries(
        {"session_hash": st.just("s"), "data": DATA | ANY_JSON}
        | {"component_id": st.sampled_from([pad, inside]), "fn_name": st.sampled_from(["read_strokes", "look_inside"])}
    )
    any_call = st.fixed_dictionaries(
        {}, optional={"session_hash": ANY_JSON, "component_id": COMPONENTS, "fn_name": NAMES, "data": ANY_JSON}
    )

    def answered(call):
        ask(server, "POST", "/gradio_api/component_server/", json.dumps(call), JSON)

    fuzzed(known, answered)
    fuzzed(any_call | ANY_JSON, answered)


@pytest.mark.parametrize("name", ["predict", "inside", "predict_image"])
def test_whatever_is_sent_to_the_api_is_answered(server, fuzzed, name):
    def answered(call):
        status, answer = ask(server, "POST", f"/gradio_api/call/{name}", json.dumps(call), JSON)
        if status == 200:
            ask(server, "GET", f"/gradio_api/call/{name}/{json.loads(answer)['event_id']}")  # its result
        assert ask(server, "POST", f"/gradio_api/run/{name}", json.dumps(call), JSON)[0] >= 400  # past the queue

    fuzzed(CALLS | ANY_JSON, answered)


def test_whatever_bytes_are_sent_are_answered(server, fuzzed):
    def answered(body):
        for path in ("component_server/", "call/predict", "queue/join", "run/predict", "upload"):
            ask(server, "POST", f"/gradio_api/{path}", body, JSON)

    fuzzed(st.binary(max_size=50), answered)
    answered(b"[" * 500_000)
    answered(b'{"data": ' * 100_000)


def test_more_than_a_megabyte_is_refused_before_it_is_read(server):
    connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=10)
    mega = 2**20
    for path, length, limit in (
        ("component_server/", mega + 1, "1 MB"),
        ("call/upload", mega + 1, "1 MB"),
        ("upload", 10 * mega + 1, "10 MB"),
    ):
        connection.putrequest("POST", f"/gradio_api/{path}")
        kind = "multipart/form-data; boundary=x" if path == "upload" else "application/json"
        for name, value in (("Content-Type", kind), ("Content-Length", length)):
            connection.putheader(name, value)
        connection.endheaders()  # and not a byte of it
        response = connection.getresponse()
        assert response.status == 413 and limit in json.loads(response.read())["detail"]
        connection.close()


def test_a_million_points_and_a_body_of_unknown_length_are_refused(server):
    points = b"[[" + b"[0,0]," * 1_000_000 + b"[0,0]]]"
    chunks = (points[i : i + 2**16] for i in range(0, len(points), 2**16))
    connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=10)
    try:
        connection.request("POST", "/gradio_api/component_server/", chunks, JSON, encode_chunked=True)
        assert 400 <= connection.getresponse().status < 500
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused while it was being sent
    finally:
        connection.close()
    assert read(server, DRAWINGS[4])["digit"] == 4


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.png", "https://example.org/a.png", "file:///etc/passwd"])
def test_addresses_are_not_fetched(server, path):
    for body in ({"data": [{"path": path}]}, {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}):
        status, answer = ask(server, "POST", "/gradio_api/call/predict_image", json.dumps(body), JSON)
        assert status == 400 and b"addresses are not fetched" in answer


def test_a_content_type_that_says_two_things_opens_no_door(server):
    connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=10)
    body = json.dumps({"data": [{"path": "https://example.org/a.png"}]}).encode()
    connection.putrequest("POST", "/gradio_api/call/predict_image")
    for name, value in (("Type", "application/json"), ("Type", "multipart/form-data"), ("Length", len(body))):
        connection.putheader(f"Content-{name}", value)
    connection.endheaders(body)
    response = connection.getresponse()
    assert response.status == 415
    connection.close()


def test_files_are_taken_as_uploads_only(server):
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nwithout an end'
    headers = {"Content-Type": "Multipart/form-data; boundary=x"}
    for path in ("component_server/", "call/predict", "queue/join", ""):
        assert ask(server, "POST", f"/gradio_api/{path}", part, headers)[0] == 415


def test_an_address_that_is_too_long_is_refused(server):
    assert ask(server, "GET", "/gradio_api/upload_progress?upload_id=" + "a" * 3000)[0] == 414


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_request_that_names_no_host_is_answered(server, method):
    with socket.create_connection(("127.0.0.1", int(server.url.split(":")[2].strip("/"))), timeout=10) as connection:
        wish = "Access-Control-Request-Method: GET\r\n"
        connection.sendall(f"{method} / HTTP/1.0\r\nOrigin: http://a\r\n{wish}\r\n".encode())
        assert int(connection.recv(1000).split()[1]) < 500


def asked(gate, body):
    """What a gate answers to one question, whose parts come from `body`, an asynchronous function."""
    said = []

    async def send(message):
        said.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": [], "client": ("a", 1)}
    return gate(scope, body, send), said


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr("serving.gate.PATIENCE", 0.01)
    question, said = asked(Gate(None), asyncio.Event().wait)
    finish(question)
    assert said[0] == 408


def test_a_body_that_drips_is_given_up(monkeypatch):
    async def drip():
        await asyncio.sleep(0.01)
        return {"body": b" ", "more_body": True}

    monkeypatch.setattr("serving.gate.PATIENCE_IN_ALL", 0.1)
    question, said = asked(Gate(None), drip)
    finish(question)
    assert said[0] == 408


def test_who_is_slow_to_read_an_answer_holds_no_place():
    async def app(scope, receive, send):
        await send({"status": 200})
        await asyncio.Event().wait()

    async def body():
        return {"body": b"{}"}

    async def crowd():
        gate = Gate(app)
        questions = [asked(gate, body) for _ in range(2 * ABREAST)]
        tasks = [asyncio.create_task(question) for question, _ in questions]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        return [said for _, said in questions], gate.lines

    said, lines = finish(crowd())
    assert said == [[200]] * 2 * ABREAST and not lines


@pytest.mark.parametrize("comes", [True, False], ids=["asked", "not yet"])
def test_only_so_many_of_one_address_wait(comes):
    async def crowd():
        end = asyncio.Event()

        async def app(scope, receive, send):
            await end.wait()

        async def body():
            if not comes:
                await end.wait()
            return {"body": b"{}"}

        gate = Gate(app)
        questions = [asked(gate, body) for _ in range(WAITING + 1)]
        waiting = asyncio.gather(*(question for question, _ in questions))
        await asyncio.sleep(0.1)
        end.set()
        await waiting
        return [said for _, said in questions]

    *before, last = finish(crowd())
    assert last[0] == 429 and not any(before)


def test_gradio_remembers_no_more_of_many_sessions(server):
    call = {"data": [[]], "session_hash": "a" * 65}
    status, answer = ask(server, "POST", "/gradio_api/call/predict", json.dumps(call), JSON)
    assert status == 400 and b"too long" in answer

    def read(strokes: list) -> None: ...

    async def remembered_of(visitors):
        with gradio.Blocks() as page:
            gradio.api(read)
        take_turns(page.queue(max_size=1000))
        queue = page._queue
        queue.pending_messages_per_session.max_size = 10
        for number in range(visitors):
            body = PredictBodyInternal(session_hash=f"visitor{number}", data=[[]], fn_index=0)
            told, _, _ = await queue.push(body=body, request=SimpleNamespace(scope={"client": ("a", 1)}), username=None)
            assert told
        return len(queue.pending_event_ids_session)

    assert finish(remembered_of(30)) == 10


@pytest.mark.parametrize("door", ["file/", "file=", "proxy="])
def test_the_server_is_no_proxy(server, door):
    status, answer = ask(server, "GET", f"/gradio_api/{door}https://example.org/a.png")
    assert status == 404 and b"There is nothing here" in answer


def test_files_of_the_server_are_no_pictures_to_be_read(server):
    for path in ("/etc/passwd", str(ROOT / "sketchpad/screenshot.png"), "../../etc/passwd"):
        body = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]})
        status, answer = ask(server, "POST", "/gradio_api/call/predict_image", body, JSON)
        assert status == 200
        _, answer = ask(server, "GET", f"/gradio_api/call/predict_image/{json.loads(answer)['event_id']}")
        assert b"event: error" in answer and b"digit" not in answer


@pytest.mark.parametrize("form", ["/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/static/{}", "/assets/{}"])
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "....//....//etc/passwd",
        "checkpoints/small.safetensors",
        "demo.py",
        str(ROOT / "demo.py"),
        "http://127.0.0.1:9/",
        "%00",
        "a" * 5000,
    ],
)
def test_nothing_is_served_but_the_pages_own_files(server, form, path):
    status, _ = ask(server, "GET", form.format(path))
    assert 400 <= status < 500


def test_a_symbolic_link_among_the_uploads_serves_nothing(server):
    boundary = b"x"
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nPNG\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=" + boundary.decode()}
    status, answer = ask(server, "POST", "/gradio_api/upload", form, kind)
    (uploaded,) = json.loads(answer)
    link = Path(uploaded).with_name("link.txt")
    link.symlink_to("/etc/hostname")
    assert status == 200 and ask(server, "GET", f"/gradio_api/file={link}")[0] >= 400


def pictures():
    """Whole ones of a 3, in several formats."""
    digit = Image.fromarray(255 - np.kron(ink.from_strokes(DRAWINGS[3]) * 255, np.ones((4, 4))).astype(np.uint8))
    yield from (saved(digit, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"))
    yield from (saved(digit, kind, exif=exif(0x112, 3, 6) + b"more") for kind in ("PNG", "JPEG", "WEBP"))


def exif(tag, kind, value):
    """What a camera says of a picture: that it is to be turned, and one thing more."""
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHHHIII", 8, 2, 0x112, 3, 1, 6, 0, tag, kind, 1, value, 0)


def seen(content):
    """What the page makes of a file: a digit's image, or a sentence."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            image = ink.from_image(open_picture(file.name))
        except ValueError as error:
            assert "\n" not in str(error) and file.name not in str(error)
            return str(error)
    assert image.shape == (28, 28) and np.isfinite(image).all()
    return image


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it mends
def test_spoilt_pictures_are_read_or_refused_with_a_sentence(fuzzed):
    spoilt = st.tuples(
        st.sampled_from(list(pictures())),
        st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8),
        st.integers(0, 2**16),
    )

    def survives(example):
        content, changes, end = example
        content = bytearray(content)
        for place, value in changes:
            if content:
                content[place % len(content[:200])] = value  # in its head, where it says what it is
        seen(bytes(content[:end]))

    fuzzed(spoilt, survives)
    fuzzed(st.tuples(st.binary(max_size=100), st.just([]), st.just(100)), survives)


def png(width, height, depth=8, colour=0):
    """A PNG that claims any size, with hardly any data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def icon(side):
    """Says it is small, and holds a picture that is not, which Pillow would decode before it says how large it is."""
    inner = saved(Image.new("L", (side, side)), "PNG")
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 8, len(inner), 22) + inner


@pytest.mark.parametrize(
    "content",
    [
        png(2**31 - 1, 2**31 - 1),
        png(60_000, 60_000),
        png(0, 0),
        png(28, 28),
        icon(7200),
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"GIF89a",
        b"",
    ],
    ids=["huge", "bomb", "of no size", "without its data", "icon", "svg", "cut", "empty"],
)
def test_strange_files_are_refused_with_a_sentence(content):
    assert isinstance(seen(content), str)


def test_a_jpeg_that_goes_over_its_picture_again_and_again_is_refused():
    content = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]  # all of it, without the end's mark
    begin = time.monotonic()
    assert isinstance(seen(content[:-2] + 2000 * last + content[-2:]), str)
    assert time.monotonic() - begin < 2
    assert not isinstance(seen(saved(Image.fromarray(DIGIT), "JPEG", progressive=True)), str)


@pytest.mark.parametrize(("tag", "kind"), [(0x103, 2), (0x128, 7), (0x132, 5), (0x8773, 12)])
def test_a_camera_that_talks_nonsense_is_refused_or_ignored(tag, kind):
    for content in (exif(tag, kind, 5), b"Exif\0\0MM\0*"):
        seen(saved(Image.new("L", (28, 28), 255), "PNG", exif=content))


DIGIT = (255 - np.kron(ink.from_strokes(DRAWINGS[3]) * 255, np.ones((6, 6)))).astype(np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        saved(Image.fromarray(DIGIT.astype(np.uint16) * 257), "PNG"),
        saved(Image.fromarray(DIGIT).convert("CMYK"), "JPEG"),
        saved(Image.fromarray(DIGIT), "GIF", save_all=True, append_images=[Image.new("L", (168, 168))] * 3),
        saved(Image.fromarray(DIGIT).convert("P"), "PNG"),
        saved(Image.fromarray(DIGIT).convert("RGBA"), "WEBP"),
    ],
    ids=["16 bit", "cmyk", "animated", "palette", "rgba"],
)
def test_unusual_pictures_are_read_as_usual_ones(content):
    assert Recognizer.load(device="cpu").probabilities(seen(content)[None]).argmax() == 3


def test_a_picture_one_pixel_wide_is_read_or_refused():
    seen(saved(Image.new("L", (1, 30_000), 255), "PNG"))
    seen(saved(Image.new("L", (30_000, 1)), "PNG"))
