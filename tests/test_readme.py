"""The documents make claims; these tests check them."""

import hashlib
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from PIL import Image

from benchmarks import family, page, serving, training
from digits.dataset import Batches
from resnet import ARCHITECTURES, checkpoint
from resnet.training import evaluate

README = (ROOT / "README.md").read_text("utf-8")
DOCS = {path.name: path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
DOCUMENTS = "\n".join([README, *DOCS.values()])
SHIPPED = sorted((ROOT / "checkpoints").glob("[a-z]*.safetensors"))
SHIPPED = [path for path in SHIPPED if "-seed" not in path.name]
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENTS, re.S)
COMMANDS = ("train.py", "demo.py", "-m benchmarks.handwriting")


def per_cent(fraction):
    return f"{100 * fraction:.2f} %"


def requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    found = [Requirement(line.split("#")[0]) for line in lines if line and line[0] not in "#-"]
    return {requirement.name: requirement.specifier for requirement in found}


def help_of(command):
    arguments = [sys.executable, *command.split(), "--help"]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_readme_fits_on_three_screens():
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_documented(command):
    for flag in set(re.findall(r"--[a-z][a-z-]+", help_of(command))) - {"--help"}:
        assert flag in DOCUMENTS, flag


def test_every_architecture_is_documented():
    for name in ARCHITECTURES:
        assert f"`{name}`" in DOCUMENTS


def test_small_and_tutorial_are_shipped():
    assert [path.stem for path in SHIPPED] == ["small", "tutorial"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_figures_are_those_of_the_shipped_checkpoint(path):
    trained = checkpoint.load(path)
    history, settings = trained.history, trained.history.settings
    assert path.stat().st_size < 5_000_000
    assert history.data == "MNIST"
    assert (history.images.train, history.images.held_out, history.images.test) == (55_000, 5_000, 10_000)
    flags = " --bf16" if settings.bf16 else ""
    command = f"train.py --arch {path.stem}{flags} --seed {settings.seed} --output checkpoints/{path.name}"
    defaults = re.sub(r"\s+", " ", help_of("train.py"))
    for name in ("epochs", "batch_size", "lr", "weight_decay"):
        assert f"(default: {getattr(settings, name)})" in defaults, f"the command needs --{name}"
    claims = (f"{history.parameters:,}", per_cent(history.test.accuracy), command)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{path.stem}`"))
    assert all(claim in row for claim in claims)
    (row,) = [line for line in (path.parent / "README.md").read_text("utf-8").splitlines() if f"`{path.name}`" in line]
    for claim in (
        command,
        per_cent(history.test.accuracy),
        per_cent(history.epochs[-1].held_out_accuracy),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    ):
        assert claim in row


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_weights_have_the_test_accuracy_they_claim(path, mnist):
    trained = checkpoint.load(path)
    measured = evaluate(trained.build(), Batches(mnist.test, 1000))
    assert measured.accuracy == pytest.approx(trained.history.test.accuracy, abs=2e-4)


def test_the_errors_by_depth_are_those_of_the_json():
    measured = json.loads((ROOT / "benchmarks/depth.json").read_text())
    assert measured["data"] == "MNIST" and {run["seed"] for run in measured["runs"]} == {0, 1}
    assert f"--epochs {measured['settings']['epochs']} --seeds {measured['settings']['seeds']}" in README
    for network in ("plain56", "plain20", "resnet56", "resnet20"):
        ends = [run["train_error"][-1] for run in measured["runs"] if run["network"] == network]
        assert per_cent(sum(ends) / len(ends)) in README, network


def test_the_rows_of_the_larger_networks_are_those_of_the_json():
    for measured in json.loads((ROOT / "benchmarks/family.json").read_text()):
        assert family.row(measured) in DOCS["training.md"].splitlines()


def test_the_figures_of_speed_are_those_of_the_jsons():
    text = " ".join(DOCS["speed.md"].split())
    names = ("training", "page", "serving")
    measured = {name: json.loads((ROOT / f"benchmarks/{name}.json").read_text()) for name in names}
    for sentence in training.sentences(measured["training"]) + page.sentences(measured["page"]):
        assert sentence in text
    assert len({run["seed"] for run in measured["training"]["fast"]}) == 10
    assert len(measured["training"]["baseline"]["seconds"]) == 3
    assert tuple(row["visitors"] for row in measured["serving"]["visitors"]) == serving.VISITORS
    for row in measured["serving"]["visitors"]:
        assert serving.sentence(row) in DOCS["speed.md"].splitlines()


def test_every_test_that_a_promise_names_exists():
    tests = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/test_*.py"))
    named = re.findall(r"`(test_\w+)`", DOCS["promises.md"])
    assert len(named) > 10
    for name in named:
        assert f"def {name}(" in tests, name


def test_every_file_that_a_document_names_exists():
    made_by_the_reader = {"digit.png", "FILE.png"}
    for name in set(re.findall(r"[\w./-]+\.(?:py|js|png|md)\b", DOCUMENTS)) - made_by_the_reader:
        assert any((ROOT / folder / name).is_file() for folder in ("", "docs", "docs/..")), name


def figures(text):
    """Commands, code and numbers, by line of a table or in all of the text; links left out."""
    body = text.split("---", 2)[-1] if text.startswith("---") else text
    blocks = [block for block in re.findall(r"```.*?```", body, re.S) if block.startswith(("```sh", "```python"))]
    rows = [re.findall(r"`[^`]+`|[\d.,]*\d", line) for line in body.splitlines() if line.startswith("|")]
    prose = "\n".join(line for line in re.sub(r"```.*?```", "", body, flags=re.S).splitlines() if line[:1] != "|")
    code = sorted(set(re.findall(r"`([^`]+)`", " ".join(prose.split()))))
    numbers = sorted(re.findall(r"\d[\d.,]*\d|\d", re.sub(r"`[^`]+`|\(http[^)]*\)", "", " ".join(prose.split()))))
    return {"blocks": blocks, "rows": rows, "code": code, "numbers": numbers}


def test_the_chinese_readme_has_the_same_commands_tables_and_figures():
    english, chinese = figures(README), figures((ROOT / "README.zh.md").read_text("utf-8"))
    for kind in english:
        assert chinese[kind] == english[kind], kind


def test_the_front_matter_agrees_with_the_requirements():
    front = dict(re.findall(r'^(\w+): "?(.*?)"?$', README.split("---")[1], re.M))
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert requirements("requirements.txt")["gradio"].contains(front["sdk_version"])
    (tried,) = re.findall(r"python-version: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    assert f'"{front["python_version"]}"' in tried.split(", ")
    assert front["license"].upper() == (ROOT / "LICENSE").read_text().split()[0]


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r"```sh\n(python -m pip .* pytest)\n```", README)
    assert command in (ROOT / ".ci/run").read_text().splitlines()
    assert ".ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()
    assert "entry: .ci/run" in (ROOT / ".pre-commit-config.yaml").read_text()


def test_the_snippet_in_python_prints_what_it_says(capsys):
    (snippet,) = [code for code in SNIPPETS if "import resnet" in code]
    exec(snippet, {})
    first, *blocks = capsys.readouterr().out.splitlines()
    assert first == "7" and [line.split()[0] for line in blocks] == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]


def test_the_snippet_over_http_prints_what_it_says(capsys, demo, tmp_path):
    (snippet,) = [code for code in SNIPPETS if "gradio_client" in code]
    image = Image.new("L", (100, 100), 255)
    for x in range(20, 80):
        image.paste(0, (x, 20, x + 4, 28))
        image.paste(0, (int(80 - 0.5 * (x - 20)), x, int(90 - 0.5 * (x - 20)), x + 8))
    image.save(tmp_path / "digit.png")
    code = snippet.replace("http://127.0.0.1:7860/", demo).replace("digit.png", str(tmp_path / "digit.png"))
    exec(code, {})
    strokes, picture = re.findall(r"^\{.*$", capsys.readouterr().out, re.M)
    assert strokes.startswith("{'digit': 7, 'probabilities': [")
    assert picture.startswith("{'digit': 7, 'probabilities': [")


@pytest.mark.parametrize("check", ("ruff check .", "ruff format --check .", "mypy"))
def test_style_and_types_are_clean(check):
    found = subprocess.run(
        [sys.executable, "-m", *check.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
