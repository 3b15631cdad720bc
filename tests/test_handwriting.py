"""The handwriting benchmark: its readers, its measures, other people's networks, and its command."""

import contextlib
import json
import re
import sys
from dataclasses import asdict

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from PIL import Image

from benchmarks import classifier, collection, handwriting, measures, unipen
from benchmarks.collection import Collection
from digits import ink
from digits.drawings import DRAWINGS
from publish.onnx import export
from resnet import checkpoint


def pen_data(strokes):
    lines = []
    for stroke in strokes:
        lines += [".PEN_DOWN", *(f"\t{x}\t{-y}\t17" for x, y in stroke), ".PEN_UP", "5 5"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Our ten drawings by two contributors to UNIPEN; bob's include is nested, and three of his segments are bad."""
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
    (root / "include/bob/outer.dat").write_text(".WRITER_ID\tB7\n.INCLUDE bob/pen.dat\n")
    file = root / "data/1a/bob/x/a.dat"
    bad = '\n.SEGMENT CHARACTER 0:3-1 ? "0"\n.SEGMENT CHARACTER 99 ? "1"\n.SEGMENT CHARACTER what ? "2"\n'
    file.write_text(file.read_text().replace("bob/pen.dat", "bob/outer.dat") + bad)
    return tmp_path


def line(digit, writer="w:1", **more):
    return json.dumps({"id": "0", "y": digit, "w": writer, "strokes": DRAWINGS[digit], **more}) + "\n"


def some_digits(labels, writers=None, images=None):
    labels = np.array(labels)
    writers = np.array(writers or ["a"] * len(labels))
    images = np.zeros((len(labels), 28, 28), np.float32) if images is None else images
    return Collection(images, labels, writers, np.full(len(labels), "file"), np.zeros(len(labels), bool))


def answers(read, confidence):
    """(N, 10) probabilities whose top ones are these."""
    probabilities = np.repeat((1 - np.array(confidence, float))[:, None] / 9, 10, axis=1)
    probabilities[np.arange(len(read)), read] = confidence
    return probabilities


def test_unipen_digits_come_out_as_they_were_drawn_with_their_writers(folder):
    digits = collection.from_unipen(folder)
    assert digits.labels.tolist() == list(range(10)) * 2
    assert digits.sources.tolist() == ["ann"] * 10 + ["bob"] * 10
    assert digits.writers.tolist() == ["ann"] * 10 + ["bob:B7"] * 10
    for image, label in zip(digits.images, digits.labels, strict=True):
        np.testing.assert_allclose(image, ink.from_strokes(DRAWINGS[label]), atol=1e-5)


def test_segments_that_do_not_parse_are_counted_and_named(folder):
    digits = collection.from_unipen(folder, ["bob"])
    assert len(digits.labels) == 10
    assert [skipped.split(": ", 1)[1] for skipped in digits.skipped] == ["0:3-1 '0'", "99 '1'", "what '2'"]


def test_components_are_numbers_ranges_and_lists_of_them(folder):
    file = folder / "train_r01_v07/data/1a/ann/x/a.dat"
    file.write_text('.INCLUDE ann/pen.dat\n.SEGMENT CHARACTER 0,2-3,1 OK "7"\n')
    (character,), skipped = unipen.read(folder / "train_r01_v07", "1a", ["ann"])
    assert not skipped
    flat = [[(x, y) for x, y in stroke] for digit in range(10) for stroke in DRAWINGS[digit]]
    assert character.strokes == [flat[0], flat[2], flat[3], flat[1]]


def test_json_lines_come_out_as_they_were_drawn_faulty_ones_too(tmp_path):
    (tmp_path / "b.jsonl").write_text(line(7) + line(3, "w:2", fault="reads as 2"))
    (tmp_path / "a.jsonl").write_text(line(0))
    (tmp_path / "notes.txt").write_text("no digits")
    digits = collection.from_json_lines([tmp_path])
    assert digits.labels.tolist() == [0, 7, 3]
    assert digits.sources.tolist() == ["a", "b", "b"]
    assert digits.writers.tolist() == ["w:1", "w:1", "w:2"]
    assert digits.faulty.tolist() == [False, False, True]
    np.testing.assert_array_equal(digits.images, [ink.from_strokes(DRAWINGS[digit]) for digit in (0, 7, 3)])
    assert collection.from_json_lines([tmp_path / "b.jsonl"]).labels.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{\n", "This is not JSON."),
        ("\n", "This is not JSON."),
        ("[]\n", 'needs "y"'),
        ('{"w": "a", "strokes": [[[0, 0]]]}\n', 'needs "y"'),
        ('{"y": 10, "w": "a", "strokes": [[[0, 0]]]}\n', 'needs "y"'),
        ('{"y": 1, "w": 5, "strokes": [[[0, 0]]]}\n', 'needs "y"'),
        ('{"y": 1, "w": "a", "strokes": []}\n', 'needs "y"'),
        ('{"y": 1, "w": "a", "strokes": [[[0, NaN]]]}\n', "finite"),
        ('{"y": 1, "w": "a", "strokes": [[1, 2, 3]]}\n', "Stroke 1"),
    ],
)
def test_a_malformed_line_is_an_error_with_its_file_and_number(tmp_path, bad, reason):
    file = tmp_path / "x.jsonl"
    file.write_text(line(1) + bad + line(2))
    with pytest.raises(ValueError) as error:
        collection.from_json_lines([tmp_path])
    assert f"{file}, line 2: " in str(error.value) and reason in str(error.value)


def test_every_other_writer_is_chosen_by_name():
    digits = some_digits([0, 1, 2, 3, 4], ["d", "b", "a", "c", "b"])
    assert digits.of_writers("even").labels.tolist() == [2, 3]  # a, c
    assert digits.of_writers("odd").labels.tolist() == [0, 1, 4]  # b, d
    assert digits.of_writers("all").labels.tolist() == [0, 1, 2, 3, 4]


def test_accuracy_confusions_and_calibration_are_those_of_four_digits():
    measured = measures.measure(answers([3, 3, 5, 7], [0.9, 0.9, 0.6, 0.5]), some_digits([3, 8, 5, 7]))
    assert measured.accuracy.overall == 0.75
    assert measured.digits == {3: 1, 5: 1, 7: 1, 8: 0}
    assert measured.confusions == [measures.Confusion(digit=8, read_as=3, times=1)]
    assert measured.calibration_error == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.25 * 0.4 + 0.25 * 0.5)


def test_a_writer_of_few_digits_counts_in_the_total_and_not_by_writer():
    writers = ["a"] * 10 + ["b"] * 20 + ["c"] * 9
    wrong = [0, 10, 11, *range(30, 39)]  # 1 of a's, 2 of b's, all of c's
    read = np.zeros(39, int)
    read[wrong] = 1
    measured = measures.measure(answers(read, [0.9] * 39), some_digits([0] * 39, writers))
    assert measured.accuracy == measures.Accuracy(
        digits=39, writers=3, overall=27 / 39, by_writer=pytest.approx(0.9), writers_counted=2, writers_below_95=2
    )
    assert measured.worst_writers == [measures.Writer("a", 10, 0.9), measures.Writer("b", 20, 0.9)]
    assert measured.sources == {"file": measured.accuracy}


def test_the_five_worst_writers_are_named_the_worst_first():
    writers = [name for name in "abcdefg" for _ in range(10)]
    read = np.array([int(i < "gfedcba".index(name)) for name in "abcdefg" for i in range(10)])  # a: 6 wrong, g: none
    measured = measures.measure(answers(read, [0.9] * 70), some_digits([0] * 70, writers))
    assert [writer.name for writer in measured.worst_writers] == ["a", "b", "c", "d", "e"]
    assert measured.accuracy.writers_below_95 == 6


def test_the_bootstrap_interval_is_that_of_known_data():
    low, high = measures.bootstrap_interval(np.repeat([0.0, 1.0], 50))
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.01)
    assert measures.bootstrap_interval(np.repeat([0.0, 1.0], 50)) == (low, high)
    assert measures.bootstrap_interval(np.full(8, 0.25)) == (0.25, 0.25)
    assert measures.bootstrap_interval(np.array([0.5])) is None


def test_outliers_are_told_from_digits_by_the_confidence():
    labels = np.array(["a", "b", "b"])
    measured = measures.measure_outliers(np.array([0.9, 0.8, 0.4]), np.array([0.2, 0.4, 0.6]), labels)
    assert measured.auroc == pytest.approx((3 + 2.5 + 2) / 9)
    assert (measured.digits_not_sure, measured.outliers_not_sure) == pytest.approx((1 / 3, 2 / 3))
    assert measured.most_claimed == [("b", 1, 2)]


def test_the_sheet_shows_what_was_misread_or_what_only_a_rival_misreads():
    digits = some_digits([0, 1, 2, 3])
    network, rival = np.eye(10)[[0, 1, 2, 9]], np.eye(10)[[9, 1, 9, 9]]

    def tiles(picture):
        return sum(picture.crop((84 * i, 0, 84 * i + 80, 80)).getextrema()[0] == 0 for i in range(16))

    assert tiles(handwriting.sheet(network, digits)) == 1
    assert tiles(handwriting.sheet(network, digits, rival)) == 2


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory):
    """The shipped network in two ONNX files: probabilities for any N, and, as documented, logits for one image."""
    folder = tmp_path_factory.mktemp("onnx")
    trained = checkpoint.load(next(checkpoint.SHIPPED.glob("small.*")))
    export(trained, folder / "published.onnx")
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/accuracy.md").read_text("utf-8"), re.S)
    with contextlib.chdir(folder):
        exec(snippet, {"torch": torch, "model": trained.build()})
    return {"probabilities": folder / "published.onnx", "logits, one at a time": folder / "mine.onnx"}


@pytest.mark.parametrize("kind", ["probabilities", "logits, one at a time"])
def test_an_onnx_file_measures_as_its_checkpoint_does(onnx_files, kind, random):
    images = np.stack([ink.from_strokes(drawing) for drawing in DRAWINGS * 2])
    images = (images + random.uniform(-0.3, 0.3, images.shape)).clip(0, 1).astype(np.float32)
    digits = some_digits([*range(10)] * 2, ["a"] * 10 + ["b"] * 10, images)
    expected, found = classifier.load()(images), classifier.load(onnx_files[kind])(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    expected, found = (asdict(measures.measure(probabilities, digits)) for probabilities in (expected, found))
    assert found.pop("calibration_error") == pytest.approx(expected.pop("calibration_error"), abs=1e-4)
    assert found == expected


def linear(path, shape, output=10, scale=1.0, elements=onnx.TensorProto.FLOAT):
    """An ONNX file of one layer: flattened images times a fixed matrix."""
    weights = np.random.default_rng(0).normal(0, scale, (np.prod(shape[1:]), output)).astype(np.float32)
    nodes = [onnx.helper.make_node("Flatten", ["x"], ["flat"]), onnx.helper.make_node("MatMul", ["flat", "w"], ["y"])]
    graph = onnx.helper.make_graph(
        nodes,
        "linear",
        [onnx.helper.make_tensor_value_info("x", elements, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", output])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return weights


def test_an_onnx_networks_input_is_normalized_as_asked(tmp_path, random):
    weights = linear(tmp_path / "x.onnx", [3, 1, 28, 28], scale=0.01)
    images = random.random((7, 28, 28), np.float32)
    logits = ((images - 0.1307) / 0.3081).reshape(7, 784) @ weights
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = classifier.load(tmp_path / "x.onnx", 0.1307, 0.3081)(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"shape": ["N", 3, 28, 28]}, "must take one float tensor of shape (N, 1, 28, 28)"),
        ({"shape": ["N", 784]}, "must take one float tensor of shape (N, 1, 28, 28)"),
        ({"shape": ["N", 1, 28, 28], "output": 11}, "must give (N, 10)"),
        ({"shape": ["N", 1, 28, 28], "scale": np.inf}, "not finite"),
        ({"shape": ["N", 1, 28, 28], "elements": onnx.TensorProto.DOUBLE}, "onnxruntime cannot read"),
    ],
)
def test_an_onnx_network_of_another_shape_is_refused_with_a_sentence(tmp_path, network, reason):
    linear(tmp_path / "x.onnx", **network)
    with pytest.raises(ValueError) as error:
        classifier.load(tmp_path / "x.onnx")(np.ones((2, 28, 28), np.float32))
    assert reason in str(error.value)


@pytest.fixture
def run(monkeypatch, capsys):
    """The command in this process: what it prints, or the sentence with which it exits."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["handwriting", *map(str, arguments)])
        try:
            handwriting.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, str) else capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_the_command_reports_prints_json_and_writes_the_sheet(run, folder, tmp_path):
    out = run("--unipen", folder)
    assert "20 digits by 2 writers; 0 faulty, 3 skipped" in out and "mean over 2 writers" in out and "100.00%" in out
    result = run("--unipen", folder, "--contributors", "ann", "--json", "--errors", tmp_path / "e.png")
    measured = json.loads(result)
    assert measured["accuracy"]["digits"] == 10 and measured["sources"]["ann"]["overall"] == 1
    with Image.open(tmp_path / "e.png") as sheet:
        assert sheet.format == "PNG"


def test_the_command_reads_json_lines_with_another_network_and_half_of_the_writers(run, tmp_path):
    (tmp_path / "ink.jsonl").write_text("".join(line(digit, f"w:{digit % 2}") for digit in range(10)))
    linear(tmp_path / "x.onnx", [1, 1, 28, 28])
    arguments = ["--ink", tmp_path, "--network", tmp_path / "x.onnx", "--writers", "odd", "--json"]
    measured = json.loads(run(*arguments))
    assert measured["accuracy"]["digits"] == 5 and measured["accuracy"]["by_writer"] is None
    assert sorted(map(int, measured["digits"])) == [1, 3, 5, 7, 9]
    assert "ink" in run("--ink", tmp_path)


def test_letters_and_symbols_are_outliers_but_for_the_look_alikes(run, folder):
    train = folder / "train_r01_v07"
    for category, label in (("1b", "A"), ("1c", "l"), ("1d", "+")):
        (train / "data" / category / "ann").mkdir(parents=True)
        text = f'.INCLUDE ann/pen.dat\n.SEGMENT CHARACTER 0-1 ? "{label}"\n'
        (train / "data" / category / "ann" / "a.dat").write_text(text)
    assert sorted(collection.letters_of_unipen(folder).labels) == ["+", "A"]
    result = run("--unipen", folder, "--outliers")
    assert "2 letters and symbols, without O o l I | Z z S s B b g q" in result and "AUROC" in result
    assert json.loads(run("--unipen", folder, "--outliers", "--json"))["outliers"]["outliers"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--unipen", "."], "is not UNIPEN's train_r01_v07"),
        (["--unipen", "FOLDER", "--contributors", "ann,eve"], "has no eve in data/1a; it has: ann, bob."),
        (["--ink", "FOLDER"], "There are no digits in "),
        (["--ink", "none.jsonl"], "none.jsonl"),
        (["--unipen", "FOLDER", "--network", "none.onnx"], "There is no file none.onnx."),
        (["--unipen", "FOLDER", "--network", "none.pt"], "none.pt"),
        (["--unipen", "FOLDER", "--normalize", "0.1", "0.3"], "--normalize needs an ONNX file"),
        (["--mnist", "FOLDER", "--outliers"], "--outliers needs --unipen"),
        (["--unipen", "FOLDER", "--against", "x.pt"], "--against needs --errors"),
        (["--unipen", "FOLDER", "--errors", "x.jpg"], "--errors must end in .png"),
        ([], "--unipen"),
    ],
)
def test_a_mistake_on_the_command_line_is_answered_with_a_sentence(run, folder, arguments, sentence):
    assert sentence in run(*[folder if each == "FOLDER" else each for each in arguments])


def test_the_four_contributors_at_hand_parse_whole(unipen_folder):
    digits = collection.from_unipen(unipen_folder, ["apa", "app", "ced", "gmd"])
    counts = {name: int((digits.sources == name).sum()) for name in ("apa", "app", "ced", "gmd")}
    assert counts == {"apa": 692, "app": 1046, "ced": 1347, "gmd": 1145}
    assert len(digits.skipped) == 22 and len(np.unique(digits.writers)) == 68


def test_the_json_lines_at_hand_parse_whole(ink_folder):
    digits = collection.from_json_lines([ink_folder / "uji.jsonl", ink_folder / "lipitk.jsonl"])
    counts = {name: int((digits.sources == name).sum()) for name in ("uji", "lipitk")}
    assert counts == {"uji": 800, "lipitk": 80} and len(np.unique(digits.writers)) == 44
