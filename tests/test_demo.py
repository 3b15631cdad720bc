"""demo.py without a browser: the API beside the page, and how it starts."""

import copy
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from conftest import ROOT, STRANGE, finish
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks import running, serving
from demo import UPLOADS_KEPT, Networks, build, open_picture, sweep
from digits import ink
from digits.drawings import DRAWINGS
from resnet.checkpoint import SHIPPED
from serving.queue import PLACES


@pytest.fixture(scope="module")
def client(demo):
    return Client(demo, verbose=False)


@pytest.fixture
def picture(tmp_path):
    """Saves a picture of a digit, dark on white, and gives its path."""

    def save(digit, name="digit.png", **options):
        image = 255 - np.kron(ink.from_strokes(DRAWINGS[digit]) * 255, np.ones((9, 9))).astype(np.uint8)
        Image.fromarray(image).convert("RGB").save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.mark.parametrize("digit", range(10))
def test_predict_reads_strokes(client, digit):
    answer = client.predict(strokes=DRAWINGS[digit], api_name="/predict")
    assert answer["digit"] == digit == int(np.argmax(answer["probabilities"]))
    assert len(answer["probabilities"]) == 10 and sum(answer["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_an_empty_pad_is_no_digit(client):
    assert client.predict(strokes=[], api_name="/predict") == {"digit": None, "probabilities": [0.1] * 10}


@pytest.mark.parametrize(
    ("strokes", "said"),
    [("x", "a str"), ([[[1, 2, 3]]], "two numbers"), ([[["a", 2]]], "two numbers"), ([[[0, 0]] * 6_001], "6,000")],
)
def test_predict_refuses_what_are_no_strokes_with_a_sentence(client, strokes, said):
    with pytest.raises(AppError, match=said):
        client.predict(strokes=strokes, api_name="/predict")


def test_inside_names_the_blocks_and_says_how_much_each_adds(client):
    blocks = client.predict(strokes=DRAWINGS[3], api_name="/inside")
    assert [block["block"] for block in blocks] == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert all(0 < block["ratio"] < 100 for block in blocks)
    blocks = client.predict(strokes=DRAWINGS[3], cuts=[["layer1.1", "F"], ["layer2.1", "shortcut"]], api_name="/inside")
    assert blocks[1]["ratio"] == 0 and blocks[3]["ratio"] is None


def test_what_is_cut_for_one_answer_is_there_for_the_next(client):
    whole = client.predict(strokes=DRAWINGS[8], api_name="/predict")
    cuts = [[block, part] for block in ("layer1.0", "layer2.0") for part in ("F", "shortcut")]
    assert client.predict(strokes=DRAWINGS[8], cuts=cuts, api_name="/predict") != whole
    assert client.predict(strokes=DRAWINGS[8], api_name="/predict") == whole


@pytest.mark.parametrize(
    ("cuts", "said"),
    [
        ([["layer9.0", "F"]], "blocks are layer1.0"),
        ([["layer1.0"]], "a pair"),
        ([["layer1.0", "F"]] * 201, "at most 200"),
    ],
)
def test_cuts_that_make_no_sense_are_refused_with_a_sentence(client, cuts, said):
    for name in ("/predict", "/inside"):
        with pytest.raises(AppError, match=said):
            client.predict(strokes=DRAWINGS[1], cuts=cuts, api_name=name)


@pytest.mark.parametrize("name", ["digit.png", "digit.jpg", "digit.webp", "digit.gif", "digit.bmp"])
def test_predict_image_reads_a_picture(client, picture, name):
    answer = client.predict(handle_file(picture(3, name)), api_name="/predict_image")
    assert answer["digit"] == 3 and len(answer["probabilities"]) == 10


def test_a_photo_on_its_side_is_read_upright(client, picture):
    path = picture(7, "upright.png")
    exif = Image.Exif()
    exif[274] = 6  # "turn by 90 degrees to the right to show"
    Image.open(path).rotate(90).save(path.with_suffix(".jpg"), exif=exif)
    assert client.predict(handle_file(path.with_suffix(".jpg")), api_name="/predict_image")["digit"] == 7


def test_predict_image_refuses_what_is_no_picture_with_a_sentence(client, tmp_path, picture):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes(picture(5).read_bytes()[:300])
    Image.new("1", (10_000, 6_000)).save(tmp_path / "huge.png")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    said = {"text.png": "not a picture", "half.png": "not a picture", "huge.png": "pixels", "drawing.svg": "not a pict"}
    for name, words in said.items():
        with pytest.raises(AppError, match=words):
            client.predict(handle_file(tmp_path / name), api_name="/predict_image")
    with pytest.raises(AppError, match="No picture"):
        client.predict(None, api_name="/predict_image")


def test_a_picture_of_nothing_or_of_several_digits_is_refused_with_a_sentence(client, picture, tmp_path):
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    with pytest.raises(AppError, match="no digit to be seen"):
        client.predict(handle_file(tmp_path / "blank.png"), api_name="/predict_image")
    both = [np.asarray(Image.open(picture(digit, f"{digit}.png"))) for digit in (4, 2)]
    Image.fromarray(np.concatenate(both, axis=1)).save(tmp_path / "42.png")
    with pytest.raises(AppError, match="more than one digit"):
        client.predict(handle_file(tmp_path / "42.png"), api_name="/predict_image")


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_digit_is_given_no_name(client, name):
    answer = client.predict(strokes=STRANGE[name], api_name="/predict")
    assert answer["digit"] is None and max(answer["probabilities"]) < 0.5


def test_the_api_is_these_three(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/predict", "/predict_image", "/inside"}


def ask_the_pads_function(demo, data):
    config = json.load(urllib.request.urlopen(demo + "config"))
    (pad,) = [c["id"] for c in config["components"] if "read_strokes" in str(c["props"].get("server_fns"))]
    body = json.dumps({"session_hash": "s", "component_id": pad, "fn_name": "read_strokes", "data": data}).encode()
    request = urllib.request.Request(
        demo + "gradio_api/component_server", body, {"Content-Type": "application/json"}, method="POST"
    )
    return json.load(urllib.request.urlopen(request))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "reload"),
        ([], "reload"),
        ({"strokes": []}, "reload"),
        ({"network": 5, "strokes": []}, "reload"),
        ({"network": "nobody", "strokes": []}, "no network of that name"),
        ({"network": "../checkpoints/small", "strokes": []}, "no network of that name"),
        ({"network": "small"}, "Strokes must be"),
        ({"network": "small", "strokes": {"a": 1}}, "Strokes must be"),
        ({"network": "small", "strokes": [[[float("nan"), 0]]]}, "finite"),
        ({"network": "small", "strokes": [[[[[[1]]]]]]}, "two numbers"),
    ],
)
def test_the_pads_function_answers_nonsense_with_a_sentence(demo, data, said):
    assert said in ask_the_pads_function(demo, data)["error"]


def test_the_pads_function_gives_the_image_that_was_read(demo):
    reading = ask_the_pads_function(demo, {"network": "small", "strokes": DRAWINGS[2]})
    assert reading["digit"] == 2
    np.testing.assert_allclose(np.array(reading["image"]) / 255, ink.from_strokes(DRAWINGS[2]).ravel(), atol=0.5 / 255)


def test_nothing_of_a_drawing_is_written_to_disk(demo, demo_folder, client):
    def files():
        return {path: path.stat().st_size for path in demo_folder.rglob("*") if path.is_file()}

    before = files()
    ask_the_pads_function(demo, {"network": "small", "strokes": DRAWINGS[8]})
    client.predict(strokes=DRAWINGS[8], api_name="/predict")
    assert files() == before


def upload(url, file):
    """-> the path by which the server knows it."""
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    form += file.read_bytes() + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}gradio_api/upload", form, kind)) as answer:
        return json.load(answer)[0]


def test_connections_that_stall_hold_nothing_up_and_it_stops_within_two_seconds(tmp_path):
    with running.running_demo(tmp_path / "log", running.free_port()) as demo:
        stalled = [socket.create_connection(("127.0.0.1", int(demo.url.rsplit(":")[-1].strip("/")))) for _ in range(50)]
        for number, connection in enumerate(stalled):
            path = ("gradio_api/heartbeat/s", "gradio_api/component_server/", "gradio_api/upload")[number % 3]
            method, length = ("GET", 0) if number % 3 == 0 else ("POST", 500)
            kind = ("application/json", "multipart/form-data; boundary=x")[number % 2]
            head = f"{method} /{path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n"
            connection.send(f"{head}Content-Length: {length}\r\n\r\n".encode())
        time.sleep(0.5)
        begin = time.monotonic()
        assert ask_the_pads_function(demo.url, {"network": "small", "strokes": DRAWINGS[2]})["digit"] == 2
        assert time.monotonic() - begin < 1
        picture = upload(demo.url, ROOT / "sketchpad/screenshot.png")
        assert Path(picture).exists()
        demo.process.terminate()
        assert demo.process.wait(timeout=2) == 0 and not Path(picture).exists()
        for connection in stalled:
            connection.close()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_visitor_who_pushes_in_does_not_starve_the_others():
    waits = serving.beside_a_greedy_one(seconds=3)
    assert waits["beside_ms"] < 2 * waits["alone_ms"]


def ask_for(url, path, address):
    """The first of the API's two steps, as from that address: a place in the queue -> status and body."""
    call = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}).encode()
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}gradio_api/call/predict_image", call, headers)
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_visitor_who_sends_many_pictures_neither_fills_the_queue_nor_is_served_before_others(tmp_path, picture):
    with Image.open(picture(7)) as image:
        image.resize((4000, 4000)).save(tmp_path / "large.png")  # takes a quarter of a second
    with running.running_demo(tmp_path / "log", running.free_port()) as demo:
        large, small = (upload(demo.url, tmp_path / name) for name in ("large.png", "digit.png"))
        begin = time.monotonic()
        told = [ask_for(demo.url, large, "10.1.0.0") for _ in range(PLACES + 20)]
        assert time.monotonic() - begin < 5  # else they did not wait
        assert told[0][0] == 200 and told[-1][0] == 400 and "from this address" in told[-1][1]["detail"]
        begin = time.monotonic()
        _, answer = ask_for(demo.url, small, "10.0.0.1")
        with urllib.request.urlopen(f"{demo.url}gradio_api/call/predict_image/{answer['event_id']}") as result:
            assert b'"digit": 7' in result.read()
        assert time.monotonic() - begin < 3  # two of the other's pictures, not fifty


def test_many_visitors_leave_nothing_behind(pytestconfig):
    first, *later = serving.soak(pytestconfig.getoption("--soak"))
    assert max(held["files"] for held in later) <= first["files"] + 2
    assert max(held["threads"] for held in later) <= first["threads"] + 2
    assert later[-1]["megabytes"] < first["megabytes"] + 60  # Python's own pools fill in the first minutes
    assert all(held["least_updates_a_second"] > 1 for held in later)


def test_what_was_uploaded_is_swept_away_when_it_is_old(tmp_path):
    for name, age in (("old.png", 400), ("new.png", 200)):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("")
        os.utime(tmp_path / "a" / name, (0, time.time() - age))
    sweep(tmp_path, UPLOADS_KEPT)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["new.png"]
    with pytest.raises(ValueError, match="not kept any longer"):
        open_picture(str(tmp_path / "a" / "old.png"))


def test_a_visit_copies_no_network():
    """Gradio copies all that it says of the page, for every visit, and with it whatever hangs on that."""

    async def config():
        return build(Networks(SHIPPED / "small.safetensors", "cpu")).get_config_file()

    copies = {}
    copy.deepcopy(finish(config()), copies)
    assert len(copies) > 100 and not any(isinstance(each, gr.Blocks | Networks) for each in copies.values())


def start(*arguments):
    return subprocess.run(
        [sys.executable, "demo.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def refused(result, said):
    assert result.returncode == 1 and re.search(said, result.stderr), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_a_port_that_is_taken_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused(start("--port", str(taken.getsockname()[1])), "port")


def test_a_folder_of_somebody_elses_is_not_swept(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"draw-a-digit-{os.getuid()}").symlink_to(tmp_path / "theirs")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    refused(start(), "is not this user's own; .* GRADIO_TEMP_DIR")


def test_no_weights_or_no_device_is_one_sentence(tmp_path):
    refused(start("--checkpoint", str(tmp_path / "none.safetensors")), "There is no checkpoint .*train.py")
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    refused(start("--checkpoint", str(tmp_path / "bad.safetensors")), "neither a safetensors file nor")
    refused(start("--device", "abacus"), "no device")
