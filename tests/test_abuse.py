"""Malformed requests and files, by the hundred (`--fuzz N`): each is answered, none does harm."""

import asyncio
import http.client
import io
import json
import re
import struct
import tempfile
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import gradio
import httpx
import numpy as np
import pytest
from conftest import ROOT, finish
from gradio.data_classes import PredictBodyInternal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import JSON, asked
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer
from serving import gate, limits
from serving.gate import Gate
from serving.pictures import decode
from serving.queue import make_fair

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")  # Gradio's use of pandas

LEAKS = re.compile(rb'Traceback|site-packages|File "|' + re.escape(f"{ROOT}/".encode()))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
NUMBERS = st.floats() | st.integers() | st.sampled_from([-0.0, 1e308, 5e-324, 2**70, True, None, "1", "\ud800", [1]])
STROKES = st.lists(st.lists(st.lists(NUMBERS, max_size=3), max_size=8), max_size=4) | ANY_JSON
ABLATIONS = st.lists(st.lists(st.sampled_from(["layer1.0", "F", "shortcut", "", 5]), max_size=3), max_size=4) | ANY_JSON
NETWORKS = st.sampled_from(["small", "tutorial", "../small", "", "small\x00"]) | ANY_JSON
DATA = st.fixed_dictionaries(
    {"network": NETWORKS, "strokes": STROKES}, optional={"ablations": ABLATIONS, "open": ANY_JSON}
)
NAMES = st.sampled_from(["read_strokes", "look_inside", "__init__", "server_fns"]) | ANY_JSON
COMPONENTS = st.integers(-5, 40) | ANY_JSON
CALLS = st.fixed_dictionaries(
    {"data": ANY_JSON | st.lists(STROKES, min_size=2, max_size=2)}, optional={"session_hash": ANY_JSON}
)


@pytest.fixture
def fuzzed(pytestconfig):
    """Runs a property on many examples, the same ones each time."""

    def run(strategy, test):
        count = pytestconfig.getoption("--fuzz")
        options = settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        options(given(strategy)(test))()

    return run


@pytest.fixture
def ask(app, capfd):
    """Any request -> status and body. None may be the server's fault, say what is its own business, or find a bug."""

    def ask(method, path, body=b"", headers=None):
        response = app.ask(method, path, content=body, headers=headers)
        echo = path.rpartition("=")[2].encode()  # an answer may name what was asked for
        leak = LEAKS.search(response.content.replace(echo, b"") if echo else response.content)
        assert response.status_code < 500 and not leak, (response.status_code, response.text[:500])
        return response.status_code, response.content

    yield ask
    assert app.call("predict", DRAWINGS[3], None)["digit"] == 3
    # Gradio logs tracebacks of requests that do not fit a function's inputs; they pass the gate's and queue's files.
    ours = [line for line in capfd.readouterr().err.splitlines() if f'File "{ROOT}' in line]
    assert not [line for line in ours if not re.search(r"site-packages|/tests/|(gate|queue)\.py", line)]


# Requests


def test_whatever_is_sent_to_the_pads_functions_is_answered(app, ask, fuzzed):
    pad, inside = app.component("read_strokes"), app.component("look_inside")
    known = st.fixed_dictionaries(
        {"session_hash": st.just("s"), "data": DATA | ANY_JSON}
        | {"component_id": st.sampled_from([pad, inside]), "fn_name": st.sampled_from(["read_strokes", "look_inside"])}
    )
    any_call = st.fixed_dictionaries(
        {}, optional={"session_hash": ANY_JSON, "component_id": COMPONENTS, "fn_name": NAMES, "data": ANY_JSON}
    )

    def answered(call):
        ask("POST", "/gradio_api/component_server/", json.dumps(call), JSON)

    fuzzed(known, answered)
    fuzzed(any_call | ANY_JSON, answered)


@pytest.mark.parametrize("name", ["predict", "inside", "predict_image"])
def test_whatever_is_sent_to_the_api_is_answered(ask, fuzzed, name):
    def answered(call):
        status, answer = ask("POST", f"/gradio_api/call/{name}", json.dumps(call), JSON)
        if status == 200:
            ask("GET", f"/gradio_api/call/{name}/{json.loads(answer)['event_id']}")
        assert ask("POST", f"/gradio_api/run/{name}", json.dumps(call), JSON)[0] >= 400  # past the queue

    fuzzed(CALLS | ANY_JSON, answered)


def test_whatever_bytes_are_sent_are_answered(ask, fuzzed):
    def answered(body):
        for path in ("component_server/", "call/predict", "queue/join", "run/predict", "upload"):
            ask("POST", f"/gradio_api/{path}", body, JSON)

    fuzzed(st.binary(max_size=50), answered)
    answered(b"[" * 500_000)
    answered(b'{"data": ' * 100_000)


def test_what_is_too_large_is_refused_before_it_is_read(demo):
    """Over a socket, by its announced length, of which no byte is sent."""
    for path, length, status, sentence in (
        ("call/predict", limits.BODY_BYTES + 1, 413, gate.TOO_LARGE),
        ("component_server/", limits.BODY_BYTES + 1, 200, gate.TOO_LARGE),
        ("upload", limits.UPLOAD_BYTES + 1, 413, "Content Too Large"),
    ):
        connection = http.client.HTTPConnection(demo.split("/")[2], timeout=60)
        connection.putrequest("POST", f"/gradio_api/{path}")
        kind = "multipart/form-data; boundary=x" if path == "upload" else "application/json"
        for name, value in (("Content-Type", kind), ("Content-Length", length)):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == status and sentence in response.read().decode()
        connection.close()


def test_a_body_of_unknown_length_is_refused_when_it_has_become_too_large(app):
    async def parts(head, count):
        yield head
        for _ in range(count):
            yield b"[0,0]," * 2**13

    async def send(path, kind, head, count):
        return await asked(app.app, "POST", path, content=parts(head, count), headers={"Content-Type": kind})

    answer = app.run(send("/gradio_api/call/predict", "application/json", b"[", 40))
    assert answer.status_code == 413 and answer.json()["detail"] == gate.TOO_LARGE
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    assert app.run(send("/gradio_api/upload", "multipart/form-data; boundary=x", head, 400)).status_code == 413


def test_the_pad_is_told_why_it_is_refused(app, ask):
    """On any other status than 200, Gradio's script gives the pad nothing."""
    call = {"session_hash": "a" * 65, "component_id": app.component("read_strokes"), "fn_name": "read_strokes"}
    status, answer = ask("POST", "/gradio_api/component_server/", json.dumps(call), JSON)
    assert status == 200 and json.loads(answer) == {"error": "The name of this session is too long."}
    status, answer = ask("POST", "/gradio_api/component_server/", json.dumps({"data": "x" * 2**20}), JSON)
    assert status == 200 and json.loads(answer) == {"error": gate.TOO_LARGE}


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_request_that_names_no_host_is_answered(app, method):
    async def send():
        transport = httpx.ASGITransport(app.app, raise_app_exceptions=False)
        wish = {"Origin": "http://a", "Access-Control-Request-Method": "GET"}
        request = httpx.Request(method, "http://demo/", headers=wish)
        del request.headers["Host"]
        return await transport.handle_async_request(request)

    assert app.run(send()).status_code < 500


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.png", "https://example.org/a.png", "file:///etc/passwd"])
def test_addresses_are_not_fetched(ask, path):
    for body in ({"data": [{"path": path}]}, {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}):
        status, answer = ask("POST", "/gradio_api/call/predict_image", json.dumps(body), JSON)
        assert status == 400 and b"Addresses are not fetched" in answer


def test_a_content_type_that_says_two_things_opens_no_door(app):
    kinds = [("Content-Type", "application/json"), ("Content-Type", "multipart/form-data")]
    body = json.dumps({"data": [{"path": "https://example.org/a.png"}]})
    assert app.ask("POST", "/gradio_api/call/predict_image", content=body, headers=kinds).status_code == 415


def test_files_are_taken_as_uploads_only(ask):
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nwithout an end'
    headers = {"Content-Type": "Multipart/form-data; boundary=x"}
    for path in ("call/predict", "queue/join", ""):
        assert ask("POST", f"/gradio_api/{path}", part, headers)[0] == 415
    assert ask("POST", "/gradio_api/component_server/", part, headers) == (200, b'{"error":"Files must be uploaded."}')


def test_an_address_that_is_too_long_is_refused(ask):
    assert ask("GET", "/gradio_api/upload_progress?upload_id=" + "a" * 3000)[0] == 414


@pytest.mark.parametrize("door", ["file/", "file=", "proxy="])
def test_the_server_is_no_proxy(ask, door):
    status, answer = ask("GET", f"/gradio_api/{door}https://example.org/a.png")
    assert status == 404 and b"There is nothing here" in answer


def test_files_of_the_server_are_no_pictures_to_be_read(app):
    for path in ("/etc/passwd", str(ROOT / "sketchpad/screenshot.png"), "../../etc/passwd"):
        with pytest.raises(ValueError, match="None"):
            app.call("predict_image", {"path": path, "meta": {"_type": "gradio.FileData"}})


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
def test_nothing_is_served_but_the_pages_own_files(ask, form, path):
    status, _ = ask("GET", form.format(path))
    assert 400 <= status < 500


def test_a_symbolic_link_among_the_uploads_serves_nothing(app, ask, tmp_path):
    (tmp_path / "a.png").write_text("PNG")
    uploaded = app.upload(tmp_path / "a.png")["path"]
    assert ask("GET", f"/gradio_api/file={uploaded}")[0] == 200
    link = Path(uploaded).with_name("link.txt")
    link.symlink_to("/etc/hostname")
    assert ask("GET", f"/gradio_api/file={link}")[0] >= 400


def test_gradio_remembers_no_more_of_many_sessions():
    def read(strokes: list) -> None: ...

    async def remembered_of(visitors):
        with gradio.Blocks() as page:
            gradio.api(read)
        make_fair(page.queue(max_size=1000))
        queue = page._queue
        queue.pending_messages_per_session.max_size = 10
        for number in range(visitors):
            body = PredictBodyInternal(session_hash=f"visitor{number}", data=[[]], fn_index=0)
            told, _, _ = await queue.push(body=body, request=SimpleNamespace(scope={"client": ("a", 1)}), username=None)
            assert told
        return len(queue.pending_event_ids_session)

    assert finish(remembered_of(30)) == 10


# The gate by itself, before an app that notes what it is asked and waits


class Waiting:
    """An app that answers when `end` is set; `asked` are the addresses whose requests it has begun."""

    def __init__(self):
        self.asked, self.end = [], asyncio.Event()

        async def wait(request):
            self.asked.append(request.client.host)
            await self.end.wait()
            return PlainTextResponse("done")

        self.app = Gate(Starlette(routes=[Route("/{path:path}", wait, methods=["GET", "POST"])]))


def drawing(points):
    return json.dumps({"data": {"strokes": [[[0.1, 0.2]] * points]}})


async def send(app, requests):
    """Sends (address, path, body) one after the other, and gives each time to begin -> tasks of the answers."""
    tasks = []
    for address, path, body in requests:
        tasks.append(asyncio.create_task(asked(app, "POST" if body else "GET", path, address, content=body)))
        for _ in range(50):
            await asyncio.sleep(0)
    return tasks


def begun(requests):
    """-> the addresses whose requests begin while none of them has been answered; the statuses when all are."""

    async def run():
        waiting = Waiting()
        tasks = await send(waiting.app, requests)
        asked = list(waiting.asked)
        waiting.end.set()
        return asked, [answer.status_code for answer in await asyncio.gather(*tasks)]

    return finish(run())


def test_of_one_address_a_few_requests_are_worked_on_and_the_others_wait():
    requests = [("a", "/x", drawing(10))] * 10 + [("b", "/x", drawing(10))]
    assert begun(requests) == (["a"] * limits.AT_ONCE + ["b"], [200] * 11)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/x", drawing(limits.COSTLY_POINTS + 1)),
        ("/x", json.dumps({"data": {"strokes": [[[0, 0], [1, 1]]] * 6}})),
        ("/call/predict", json.dumps({"data": [[[[0, 0]] * 600], None]})),
        ("/config", ""),
    ],
    ids=["long", "of many strokes", "by a program", "a page"],
)
def test_of_one_address_one_costly_request_is_worked_on(monkeypatch, path, body):
    monkeypatch.setattr(limits, "SECONDS_A_POINT", 0)
    requests = [("a", path, body)] * 5 + [("b", path, body), ("a", "/x", drawing(10))]
    assert begun(requests) == (["a", "b", "a"], [200] * 7)


def test_a_drawing_is_judged_by_its_points_and_not_by_its_bytes():
    spacious = drawing(10).replace(" ", " " * 3000)
    assert begun([("a", "/x", spacious)] * 3) == (["a"] * 3, [200] * 3)


def test_after_a_costly_request_its_address_waits(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_A_POINT", 1e-4)

    async def run():
        waiting = Waiting()
        waiting.end.set()
        start = time.monotonic()
        await asyncio.gather(*await send(waiting.app, [("a", "/x", drawing(1000))] * 4))
        return time.monotonic() - start

    assert finish(run()) >= 3 * 1000 * 1e-4


def test_only_so_many_of_one_address_may_wait(monkeypatch):
    monkeypatch.setattr(limits, "WAITING", 10)
    asked, statuses = begun([("a", "/x", drawing(10))] * 12 + [("b", "/x", drawing(10))])
    assert statuses == [200] * 10 + [429] * 2 + [200] and "b" in asked


def test_of_one_address_a_few_uploads_are_received_at_a_time(monkeypatch):
    monkeypatch.setattr(limits, "UPLOADS_AT_ONCE", 2)
    requests = [("a", "/upload", "x")] * 5 + [("a", "/x", drawing(10)), ("b", "/upload", "x")]
    assert begun(requests) == (["a", "a", "a", "b"], [200] * 7)


def test_addresses_without_requests_are_forgotten():
    async def run():
        waiting = Waiting()
        waiting.end.set()
        await asyncio.gather(*await send(waiting.app, [(str(number), "/x", drawing(10)) for number in range(9)]))
        await asyncio.sleep(0.01)
        return len(waiting.app.addresses)

    assert finish(run()) == 0


def answer_to(receive, path="/x", app=None):
    """The status and body of the gate's answer to a POST whose parts come from `receive`."""
    messages = []

    async def send(message):
        messages.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [], "client": ("a", 1)}
    finish(Gate(app)(scope, receive, send))
    return messages[0]["status"], json.loads(messages[1]["body"])


async def drip():
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b" ", "more_body": True}


async def nothing():
    await asyncio.Event().wait()


@pytest.mark.parametrize("receive", [nothing, drip])
def test_a_body_that_does_not_arrive_is_given_up(monkeypatch, receive):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.1)
    assert answer_to(receive) == (408, {"detail": gate.TOO_SLOW})
    assert answer_to(receive, gate.SERVER_FUNCTION) == (200, {"error": gate.TOO_SLOW})


def test_an_upload_that_does_not_arrive_is_given_up(monkeypatch):
    async def app(scope, receive, send):
        while True:
            await receive()

    monkeypatch.setattr(limits, "UPLOAD_SECONDS", 0.1)
    assert answer_to(drip, gate.UPLOAD, app) == (408, {"detail": gate.TOO_SLOW})


def test_who_reads_slowly_holds_no_place():
    async def run():
        begun, end = [], asyncio.Event()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            begun.append(scope)
            await end.wait()
            await send({"type": "http.response.body"})

        tasks = await send(Gate(app), [("a", "/x", drawing(10))] * 3 * limits.AT_ONCE)
        count = len(begun)
        end.set()
        await asyncio.gather(*tasks)
        return count

    assert finish(run()) == 3 * limits.AT_ONCE


# Files


def seen(content):
    """What the page makes of a file: a digit's image, or a sentence."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            image = ink.from_image(decode(file.name))
        except ValueError as error:
            assert "\n" not in str(error) and file.name not in str(error)
            return str(error)
    assert image.shape == (28, 28) and np.isfinite(image).all()
    return image


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(tag, kind, value):
    """What a camera says of a picture: that it is to be turned, and one thing more."""
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHHHIII", 8, 2, 0x112, 3, 1, 6, 0, tag, kind, 1, value, 0)


def mpo(image, **options):
    """A JPEG with a second picture in it, as cameras write them: Pillow's "MPO"."""
    return saved(image, "MPO", save_all=True, append_images=[image], **options)


def pictures():
    """Whole ones of a 3, in several formats."""
    digit = Image.fromarray(255 - np.kron(ink.from_strokes(DRAWINGS[3]) * 255, np.ones((4, 4))).astype(np.uint8))
    yield from (saved(digit, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"))
    yield from (saved(digit, kind, exif=exif(0x112, 3, 6) + b"more") for kind in ("PNG", "JPEG", "WEBP"))
    yield from (saved(digit, "JPEG", progressive=True), mpo(digit), mpo(digit, progressive=True))


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


@pytest.mark.parametrize("save", [lambda image, **options: saved(image, "JPEG", **options), mpo], ids=["JPEG", "MPO"])
def test_a_jpeg_of_endless_scans_is_refused_whatever_pillow_calls_it(save, request):
    content = save(Image.new("L", (2000, 2000)), progressive=True)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format in request.node.name
    end = content.index(b"\xff\xd9")  # of the first picture
    scan = content[content.rindex(b"\xff\xda", 0, end) : end]
    begin = time.process_time()
    assert isinstance(seen(content[:end] + 1000 * scan + content[end:]), str)
    assert time.process_time() - begin < 2  # decoding it takes 3 seconds, and a longer one minutes
    assert not isinstance(seen(save(Image.fromarray(DIGIT), progressive=True)), str)


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
