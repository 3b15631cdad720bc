"""The exported network says what ours says."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from conftest import ROOT

from digits import ink
from digits.drawings import DRAWINGS
from resnet import Recognizer


@pytest.mark.parametrize("name", ["small", "tutorial"])
def test_onnxruntime_gives_the_same_probabilities_for_any_number_of_digits(name, tmp_path, random):
    command = [sys.executable, "-m", "publish.onnx", f"checkpoints/{name}.safetensors", tmp_path / "digit.onnx"]
    subprocess.run(command, cwd=ROOT, check=True)
    session = onnxruntime.InferenceSession(tmp_path / "digit.onnx")
    recognizer = Recognizer.load(ROOT / f"checkpoints/{name}.safetensors", "cpu")
    drawn = np.stack([ink.from_strokes(strokes) for strokes in DRAWINGS])
    for images in (drawn, drawn[:1], random.random((3, 28, 28), np.float32)):
        (probabilities,) = session.run(["probabilities"], {"digits": images[:, None]})
        np.testing.assert_allclose(probabilities, recognizer.probabilities(images), atol=1e-5)


def test_what_cannot_be_exported_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "publish.onnx", tmp_path / "none.safetensors", tmp_path / "a.onnx"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and result.stderr.startswith("publish.onnx: There is no checkpoint")
