"""The measure of drawn digits: it reads UNIPEN as it is laid out, and its figures are what they are called."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from benchmarks import handwriting, unipen
from digits import ink
from digits.drawings import DRAWINGS


def pen_data(strokes):
    lines = []
    for stroke in strokes:
        lines += [".PEN_DOWN", *(f"\t{x}\t{-y}\t17" for x, y in stroke), ".PEN_UP", "5 5"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Our ten drawings as two contributors of UNIPEN; bob's include is nested, three of his segments are no good."""
    root = tmp_path / "train_r01_v07"
    for name in ("ann", "bob"):
        (root / "data/1a" / name / "x").mkdir(parents=True)
        (root / "include" / name).mkdir(parents=True)
        strokes = [stroke for digit in range(10) for stroke in DRAWINGS[digit]]
        (root / "include" / name / "pen.dat").write_text(".VERSION 1.0\n" + pen_data(strokes))
        segments, first = [], 0
        for digit in range(10):
            last = first + len(DRAWINGS[digit]) - 1
            components = {0: f"{first}", 1: f"{first}-{last}"}[last > first]
            segments.append(f'.SEGMENT CHARACTER {components} ? "{digit}"')
            first = last + 1
        (root / "data/1a" / name / "x/a.dat").write_text(
            f".VERSION 1.0\n.INCLUDE {name}/none.doc\n.INCLUDE {name}/pen.dat\n" + "\n".join(segments)
        )
    (root / "include/bob/outer.dat").write_text(".INCLUDE bob/pen.dat\n")
    file = root / "data/1a/bob/x/a.dat"
    bad = '\n.SEGMENT CHARACTER 0:3-1 ? "0"\n.SEGMENT CHARACTER 99 ? "1"\n.SEGMENT CHARACTER what ? "2"\n'
    file.write_text(file.read_text().replace("bob/pen.dat", "bob/outer.dat") + bad)
    return tmp_path


def test_unipen_digits_come_out_as_they_were_drawn(folder):
    digits = handwriting.from_unipen(folder, None)
    assert digits.labels.tolist() == list(range(10)) * 2
    assert digits.writers.tolist() == ["ann"] * 10 + ["bob"] * 10
    for image, label in zip(digits.images, digits.labels, strict=True):
        np.testing.assert_allclose(image, ink.from_strokes(DRAWINGS[label]), atol=1e-5)


def test_segments_that_cannot_be_parsed_are_counted_and_named(folder):
    digits = handwriting.from_unipen(folder, ["bob"])
    assert len(digits.labels) == 10
    assert [line.split(": ", 1)[1] for line in digits.skipped] == ["0:3-1 '0'", "99 '1'", "what '2'"]


def test_components_are_numbers_ranges_and_lists_of_them(folder):
    file = folder / "train_r01_v07/data/1a/ann/x/a.dat"
    file.write_text('.INCLUDE ann/pen.dat\n.SEGMENT CHARACTER 0,2-3,1 OK "7"\n')
    (character,), skipped = unipen.read(folder / "train_r01_v07", "1a", ["ann"])
    assert not skipped
    flat = [stroke for digit in range(10) for stroke in DRAWINGS[digit]]
    assert character.strokes == [flat[0], flat[2], flat[3], flat[1]]


def some_digits(labels, writers=None):
    labels = np.array(labels)
    return handwriting.Digits(np.zeros((len(labels), 28, 28), np.float32), labels, np.array(writers or ["a"] * 4), [])


def test_measures_are_what_they_are_called():
    probabilities = np.zeros((4, 10))
    for row, (read, sure) in enumerate([(3, 0.9), (3, 0.9), (5, 0.6), (7, 0.5)]):
        probabilities[row] = (1 - sure) / 9
        probabilities[row, read] = sure
    measured = handwriting.measure(probabilities, some_digits([3, 8, 5, 7], ["a", "a", "b", "b"]))
    assert measured["accuracy"] == 0.75
    assert measured["by_writer"] == {"a": 0.5, "b": 1}
    assert measured["by_digit"] == {3: 1, 5: 1, 7: 1, 8: 0}
    assert measured["confusions"] == [{"digit": 8, "read_as": 3, "times": 1}]
    assert measured["calibration_error"] == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.25 * 0.4 + 0.25 * 0.5)
    assert handwriting.measure(probabilities[[0]], some_digits([3], ["a"]))["accuracy_at_coverage"][1.0] == 1


def test_coverage_leaves_the_least_sure_out_first():
    sure = np.linspace(0.2, 1, 100)
    probabilities = np.zeros((100, 10))
    probabilities[:, 1] = sure
    labels = np.where(sure < np.quantile(sure, 0.05), 2, 1)
    measured = handwriting.measure(probabilities, some_digits(labels, ["a"] * 100))
    assert measured["accuracy_at_coverage"] == {1.0: 0.95, 0.99: 95 / 99, 0.98: 95 / 98, 0.95: 1, 0.9: 1}


def test_digits_are_told_from_others_by_the_surest_probability():
    measured = handwriting.tell_apart(np.array([0.9, 0.8, 0.4]), np.array([0.2, 0.4, 0.6]), np.array(["a", "b", "b"]))
    assert measured["auroc"] == pytest.approx((3 + 2.5 + 2) / 9)
    assert measured["digits_not_sure"] == pytest.approx(1 / 3) and measured["non_digits_not_sure"] == pytest.approx(
        2 / 3
    )
    assert measured["claimed"] == [{"label": "b", "times": 1, "of": 2}]


def test_letters_and_symbols_are_read_without_the_look_alikes(folder):
    train = folder / "train_r01_v07"
    for category, label in (("1b", "A"), ("1c", "l"), ("1d", "+")):
        (train / "data" / category / "ann").mkdir(parents=True)
        text = f'.INCLUDE ann/pen.dat\n.SEGMENT CHARACTER 0-1 ? "{label}"\n'
        (train / "data" / category / "ann" / "a.dat").write_text(text)
    assert sorted(handwriting.non_digits(folder, None).labels) == ["+", "A"]
    result = run("--unipen", folder, "--non-digits")
    assert "2 letters and symbols, without O o l I | Z z S s B b g q" in result.stdout and "AUROC" in result.stdout
    assert json.loads(run("--unipen", folder, "--non-digits", "--json").stdout)["non_digits"] == 2
    assert "--non-digits needs --unipen" in run("--mnist", folder, "--non-digits").stderr


def test_the_sheet_shows_what_was_misread_or_what_only_another_misread():
    digits = some_digits([0, 1, 2, 3])
    mine, other = np.eye(10)[[0, 1, 2, 9]], np.eye(10)[[9, 1, 9, 9]]

    def tiles(picture):
        return sum(picture.crop((84 * i, 0, 84 * i + 80, 80)).getextrema()[0] == 0 for i in range(16))

    assert tiles(handwriting.sheet(mine, digits)) == 1
    assert tiles(handwriting.sheet(mine, digits, other)) == 2


def run(*arguments):
    command = [sys.executable, "benchmarks/handwriting.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_reports_prints_json_and_writes_the_sheet(folder, tmp_path):
    result = run("--unipen", folder)
    assert "20 digits read, 3 skipped" in result.stdout
    assert "100.00%" in result.stdout
    result = run("--unipen", folder, "--contributors", "ann", "--json", "--errors", tmp_path / "e.png")
    measured = json.loads(result.stdout)
    assert (measured["digits"], measured["accuracy"], measured["by_writer"]) == (10, 1.0, {"ann": 1.0})
    with Image.open(tmp_path / "e.png") as sheet:
        assert sheet.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--unipen", "."], "is not UNIPEN's train_r01_v07"),
        (["--unipen", "FOLDER", "--contributors", "ann,eve"], "has no eve in data/1a; it has: ann, bob"),
        (["--unipen", "FOLDER", "--checkpoint", "none.pt"], "there is no checkpoint none.pt"),
        ([], "--unipen"),
    ],
)
def test_what_is_not_there_is_said(folder, arguments, said):
    result = run(*[str(folder) if each == "FOLDER" else each for each in arguments])
    assert result.returncode != 0
    assert said in result.stderr.splitlines()[-1]


def test_the_four_contributors_at_hand_parse_whole(unipen_folder):
    digits = handwriting.from_unipen(unipen_folder, ["apa", "app", "ced", "gmd"])
    counts = {name: int((digits.writers == name).sum()) for name in ("apa", "app", "ced", "gmd")}
    assert counts == {"apa": 692, "app": 1046, "ced": 1347, "gmd": 1145}
    assert len(digits.skipped) == 22
