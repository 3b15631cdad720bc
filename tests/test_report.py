"""The Training and Depth tabs show what the checkpoints and the measurements hold."""

import json
import re

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import report
from report import figures
from resnet import checkpoint
from resnet.history import History


@pytest.fixture
def history():
    return checkpoint.load(ROOT / "checkpoints/small.safetensors").history


@pytest.fixture
def measured():
    def run(network, seed, end):
        return {"network": network, "seed": seed, "train_error": [0.5, end], "held_out_error": [0.6, end]}

    ends = {"plain20": 0.01, "plain56": 0.03, "resnet20": 0.01, "resnet56": 0.01}
    return {
        "settings": {"epochs": 2, "gradient_steps": 100},
        "data": "MNIST",
        "runs": [run(network, seed, end * (seed + 1)) for network, end in ends.items() for seed in (0, 1)],
        "gradients": [
            {"network": name, "at_first": [4.0, 2.0], "afterwards": [1.0, 1.0]}
            for name in ("plain56-nobn", "plain56", "resnet56")
        ],
    }


def test_training_shows_the_settings_the_curves_the_confusions_and_the_mistakes(history):
    html = report.training("small", history)
    test = history.test
    assert f"{100 * test.accuracy:.2f} %" in html and ">0.003<" in html
    assert html.count("<svg") == 2
    cells = re.findall(r'<td class="(?:right|wrong)" style="--share: [\d.]+">(\d*)</td>', html)
    assert [int(cell or 0) for cell in cells] == [count for row in test.confusion for count in row]
    first = test.mistakes[0]
    assert f"{first.label} read as {first.read}" in html
    assert html.count("data:image/png;base64,") == len(test.mistakes) == 24


def test_unfinished_training_is_shown_as_far_as_it_got(history):
    begun = history.model_copy(update={"test": None, "epochs": history.epochs[:1]})
    html = report.training("begun", begun)
    assert html.count("<svg") == 2 and "training has finished" in html and 'class="confusion"' not in html
    assert "No training curves" in report.training("none", begun.model_copy(update={"epochs": ()}))


LOSSES, SHARES, COUNTS = st.floats(0, 1e29), st.floats(0, 1), st.integers(0, 10**10 - 1)
NAMES = st.text(max_size=199).filter(str.isprintable)
DIGITS, IMAGES = st.integers(0, 9), st.lists(st.integers(0, 255), min_size=784, max_size=784)
EPOCHS = st.fixed_dictionaries({"train_loss": LOSSES, "held_out_loss": LOSSES, "held_out_accuracy": SHARES})
MISTAKES = st.fixed_dictionaries({"label": DIGITS, "read": DIGITS, "probability": SHARES, "image": IMAGES})
ROWS = st.lists(COUNTS, min_size=10, max_size=10)
TESTS = {"loss": LOSSES, "accuracy": SHARES, "confusion": st.lists(ROWS, min_size=10, max_size=10)}
CHANGES = {
    "data": NAMES,
    "images": st.fixed_dictionaries({"train": COUNTS, "held_out": COUNTS, "test": COUNTS}),
    "settings": st.fixed_dictionaries({}, optional={"epochs": st.integers(1, 10_000), "plain": st.booleans()}),
    "versions": st.lists(st.fixed_dictionaries({"python": NAMES, "torch": NAMES}), max_size=2),
    "epochs": st.lists(EPOCHS, max_size=3),
    "temperature": LOSSES.filter(bool),
    "test": st.none() | st.fixed_dictionaries({**TESTS, "mistakes": st.lists(MISTAKES, max_size=1)}),
}


@pytest.mark.filterwarnings("ignore")  # matplotlib warns of curves that it cannot draw
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=st.fixed_dictionaries({}, optional=CHANGES))
def test_every_valid_history_can_be_shown(changes):
    record = {"data": "MNIST", "images": {"train": 1, "held_out": 1, "test": 1}, "settings": {}, "versions": []}
    record |= {"parameters": 5, "epochs": [], "temperature": 1.0, "test": None, **changes}
    history = History.model_validate_json(json.dumps(record))
    for html in (report.summary("strange", history), report.training("strange", history)):
        assert html.startswith("<") and html.encode()


def test_an_unknown_history_is_a_sentence():
    assert "unknown" in report.summary("mine", None) and "<b>mine</b>" in report.summary("mine", None)
    assert "unknown" in report.training("<b>", None) and "<b>" not in report.training("<b>", None)


def test_a_history_is_escaped(history):
    html = report.training("<b>", history.model_copy(update={"data": "<script>alert(1)</script>"}))
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html
    assert "<img" not in report.summary("<img>", history.model_copy(update={"data": "<img src=x>"}))


def test_depth_says_where_the_curves_end_and_whether_deeper_is_worse(measured, tmp_path):
    path = tmp_path / "depth.json"
    path.write_text(json.dumps(measured))
    html = report.depth(path)
    assert html.count("<svg") == 3
    assert "4.50&nbsp;%" in html and "not overfitting" in html  # the mean of 3 % and 6 %
    assert "costs no more than seeds differ by" in html
    for run in measured["runs"]:
        run["train_error"][-1] = 0.01
    path.write_text(json.dumps(measured))
    assert "no worse here" in report.depth(path)


def test_a_difference_no_larger_than_between_seeds_is_not_claimed(measured, tmp_path):
    for run in measured["runs"]:
        run["train_error"][-1] = (0.01 if run["network"] == "plain20" else 0.02) + 0.02 * run["seed"]
    (tmp_path / "depth.json").write_text(json.dumps(measured))
    html = report.depth(tmp_path / "depth.json")
    assert "does not show which is better" in html and "not overfitting" not in html


def test_a_missing_or_damaged_measurement_is_a_sentence(tmp_path):
    assert "python -m benchmarks.depth" in report.depth(tmp_path / "none.json")
    for content in ('{"runs": [', "{}", "[]"):
        (tmp_path / "depth.json").write_text(content)
        assert "damaged" in report.depth(tmp_path / "depth.json")


def test_a_curve_has_the_colour_of_the_text_around_it_and_does_not_style_the_page(history):
    panel = figures.training(history.epochs)[0]
    first, second = figures.svg(panel), figures.svg(panel)
    assert first.startswith("<svg") and "currentColor" in first and figures.TEXT not in first
    assert "<style" not in first and "<metadata" not in first
    ids = [set(re.findall(r' id="([^"]+)"', drawn)) for drawn in (first, second)]
    assert ids[0] and not ids[0] & ids[1], "two on one page would share them"


def test_a_picture_of_curves_is_as_wide_as_its_panels(measured, tmp_path):
    figures.save_png(figures.depth(measured), tmp_path / "depth.png")
    with Image.open(tmp_path / "depth.png") as picture:
        assert picture.size == (1800, 495) and picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
