"""Published networks: ONNX gives the same probabilities, and a folder for the Hub comes back from the Hub."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
import yaml
from conftest import ROOT

from digits import ink
from digits.drawings import DRAWINGS
from publish import hub, onnx
from resnet import CheckpointError, Recognizer, checkpoint, create
from resnet.hub import repository_of

SMALL = checkpoint.SHIPPED / "small.safetensors"
HISTORY = checkpoint.load(SMALL).history


def run(monkeypatch, module, *arguments):
    """`python -m publish.MODULE` in this process."""
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
    module.main()


@pytest.mark.parametrize("name", ["small", "tutorial"])
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_onnxruntime_gives_the_same_probabilities_for_any_number_of_digits(name, monkeypatch, tmp_path, random):
    run(monkeypatch, onnx, checkpoint.SHIPPED / f"{name}.safetensors", tmp_path / "digit.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "digit.onnx")
    recognizer = Recognizer.load(ROOT / f"checkpoints/{name}.safetensors", "cpu")
    drawn = np.stack([ink.from_strokes(strokes) for strokes in DRAWINGS])
    for images in (drawn, drawn[:1], random.random((3, 28, 28), np.float32)):
        (probabilities,) = session.run(["probabilities"], {"digits": images[:, None]})
        np.testing.assert_allclose(probabilities, recognizer.probabilities(images), atol=1e-5)


@pytest.mark.parametrize("module", [onnx, hub])
def test_a_missing_checkpoint_is_one_sentence(module, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=rf"^publish\.{module.__name__.split('.')[1]}: There is no checkpoint "):
        run(monkeypatch, module, tmp_path / "none.safetensors", tmp_path / "a")


def test_the_folder_for_the_hub_holds_weights_config_and_a_card_of_the_history(monkeypatch, tmp_path):
    run(monkeypatch, hub, SMALL, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["README.md", "config.json", "model.safetensors"]
    assert (tmp_path / "model.safetensors").read_bytes() == SMALL.read_bytes()
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "architecture": "small",
        "num_channels": 1,
        "image_size": 28,
        "num_classes": 10,
    }
    _, front, card = (tmp_path / "README.md").read_text("utf-8").split("---\n")
    (model,) = yaml.safe_load(front)["model-index"]
    assert model["results"][0]["metrics"] == [{"type": "accuracy", "value": HISTORY.test.accuracy}]
    assert "`python train.py --arch small --bf16`" in card and f"test accuracy: {HISTORY.test.accuracy:.2%}" in card
    assert "169,834 parameters" in card and "{" not in card


def test_the_card_of_weights_from_elsewhere_says_that_their_history_is_unknown(tmp_path):
    hub.write_folder(checkpoint.Checkpoint("tutorial", create("tutorial").state_dict()), tmp_path, "me/mine")
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "How it was trained is unknown." in card and "accuracy" not in card and "hf://me/mine" in card
    assert checkpoint.load(tmp_path / "model.safetensors").history is None


class Api:
    """Stands for `huggingface_hub.HfApi`."""

    calls: ClassVar[list] = []

    def create_repo(self, repository, exist_ok):
        self.calls.append((repository, exist_ok))

    def upload_folder(self, repo_id, folder_path):
        self.calls.append((repo_id, sorted(os.listdir(folder_path))))


def test_a_folder_is_uploaded_only_when_asked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(Api, "calls", [])
    run(monkeypatch, hub, SMALL, tmp_path)
    assert Api.calls == []
    run(monkeypatch, hub, SMALL, tmp_path, "--upload", "me/mine")
    assert Api.calls == [("me/mine", True), ("me/mine", ["README.md", "config.json", "model.safetensors"])]
    assert capsys.readouterr().out.endswith("Uploaded to me/mine.\n")
    assert "hf://me/mine" in (tmp_path / "README.md").read_text("utf-8")


def test_an_upload_that_the_hub_refuses_is_one_sentence(monkeypatch, tmp_path):
    from huggingface_hub.errors import HTTPError

    def refuse(*_, **__):
        raise HTTPError("401 Unauthorized\nand more")

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(Api, "create_repo", refuse)
    with pytest.raises(SystemExit, match=r"^publish.hub: me/mine was not uploaded: 401 Unauthorized$"):
        run(monkeypatch, hub, SMALL, tmp_path, "--upload", "me/mine")


class FakeHub(BaseHTTPRequestHandler):
    """Serves the file of me/mine, and refuses as the Hub does."""

    def do_GET(self):
        repository, _, _ = self.path.lstrip("/").partition("/resolve/main/")
        error = "RepoNotFound" if repository not in ("me/mine", "me/empty") else None
        error = "EntryNotFound" if repository == "me/empty" else error
        content = b"" if error else SMALL.read_bytes()
        self.send_response(404 if error else 200)
        if error:
            self.send_header("X-Error-Code", error)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


LOAD = """
import sys
from resnet import CheckpointError, Recognizer

for name in sys.argv[1:]:
    try:
        print(Recognizer.load(name, "cpu").history.test.accuracy)
    except CheckpointError as error:
        print(error)
"""


def load_from(endpoint, home, *names, offline=False):
    """What `Recognizer.load` says, in a process whose Hub is at `endpoint` and whose cache is at `home`."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    settings["HF_HUB_OFFLINE"] = str(int(offline))  # without a network the Hub's client would try for 25 seconds
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_network_is_loaded_from_the_hub_and_what_is_missing_there_is_a_sentence(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        names = ("hf://me/mine", "hf:/me/mine", "hf://me/none", "hf://me/empty", "hf://me/..x")
        loaded, by_path, missing, empty, odd = load_from(endpoint, tmp_path, *names)
        server.shutdown()
    assert loaded == by_path == str(HISTORY.test.accuracy)
    assert missing == "hf://me/none cannot be loaded: there is no such repository, or it is private."
    assert empty == "hf://me/empty cannot be loaded: it has no file model.safetensors."
    assert odd.startswith("hf://me/..x cannot be loaded: ")
    cached, unreachable = load_from(endpoint, tmp_path, "hf://me/mine", "hf://me/none", offline=True)
    assert cached == str(HISTORY.test.accuracy)
    assert unreachable.startswith("hf://me/none cannot be loaded: the Hub cannot be reached")


def test_only_hf_addresses_are_of_the_hub(tmp_path):
    assert repository_of("hf://me/my-model.v2") == "me/my-model.v2"
    for path in ("checkpoints/small.safetensors", "hf://me", "hf://a/b/c", tmp_path / "hf"):
        assert repository_of(path) is None
    with pytest.raises(CheckpointError, match="There is no checkpoint hf:/me"):
        Recognizer.load("hf://me")
