"""Which package may import which, and which modules stay out of a library."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from conftest import ROOT

OURS = {"benchmarks", "demo", "digits", "publish", "report", "resnet", "serving", "sketchpad", "train"}
MAY_IMPORT = {  # what a part imports when it is itself imported: our packages, then libraries
    "resnet": {"resnet", "torch", "numpy", "scipy", "safetensors", "pydantic"},
    "digits": {"digits", "torch", "numpy", "scipy"},
    "sketchpad": {"sketchpad", "gradio"},
    "report": {"report", "resnet", "jinja2", "PIL"},
    "serving": {"serving", "sketchpad", "digits", "resnet", "gradio", "starlette", "torch", "numpy", "PIL"},
    "publish": {"publish", "resnet", "torch", "huggingface_hub"},
    "benchmarks": {"benchmarks", "report", "serving", "digits", "resnet", "train"}
    | {"torch", "numpy", "scipy", "PIL", "tqdm", "playwright", "onnxruntime"},
    "train.py": {"digits", "resnet", "torch", "tqdm", "filelock"},
    "demo.py": {"report", "serving", "sketchpad", "digits", "resnet", "gradio", "spaces", "torch"},
}
INSIDE_A_FUNCTION = {  # slow or optional libraries, imported where they are used
    "resnet": {"huggingface_hub"},
    "digits": {"torchvision"},
    "report": {"matplotlib"},
    "benchmarks": {"torchvision"},
}
LIBRARIES = ("resnet", "digits")  # no command line, nothing printed


def files(part):
    return [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py"))


def imports(path, top_level_only=False):
    tree = ast.parse(path.read_text())
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_each_part_imports_only_what_it_may(part):
    assert files(part)
    for path in files(part):
        foreign = imports(path) - set(sys.stdlib_module_names)
        assert foreign <= MAY_IMPORT[part] | INSIDE_A_FUNCTION.get(part, set()), path
        assert imports(path, top_level_only=True) - set(sys.stdlib_module_names) <= MAY_IMPORT[part], path


def test_packages_do_not_import_one_another_in_a_cycle():
    arrows = {part: set().union(*map(imports, files(part))) & OURS - {part} for part in MAY_IMPORT}
    TopologicalSorter(arrows).prepare()  # raises CycleError


@pytest.mark.parametrize("part", LIBRARIES)
def test_a_library_reads_no_command_line_and_prints_nothing(part):
    for path in files(part):
        assert "argparse" not in imports(path), path
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}, path


def test_importing_resnet_brings_neither_gradio_nor_torchvision():
    code = "import sys, resnet, digits.ink; sys.exit(any(m in sys.modules for m in ('gradio', 'torchvision')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
