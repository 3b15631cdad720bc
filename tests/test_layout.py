"""The arrows: what may import what."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT


def imports(path, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


LIBRARIES = {"torch", "numpy", "scipy", "PIL", "tqdm", "playwright"}
MAY_IMPORT = {
    "resnet/*.py": {"resnet", "torch", "numpy", "scipy"},
    "sketchpad/*.py": {"sketchpad", "gradio"},
    "report/*.py": {"report", "jinja2", "matplotlib", "PIL"},
    "benchmarks/*.py": LIBRARIES | {"benchmarks", "report", "resnet", "train"},
    "train.py": {"resnet", "torch", "tqdm", "filelock"},
    "demo.py": {"report", "resnet", "sketchpad", "gradio", "spaces", "starlette", "torch", "numpy", "PIL"},
}


@pytest.mark.parametrize("pattern", MAY_IMPORT)
def test_each_part_imports_only_what_it_may(pattern):
    paths = list(ROOT.glob(pattern))
    assert paths
    for path in paths:
        loads_mnist = path in (ROOT / "resnet/data.py", ROOT / "benchmarks/training.py")
        allowed = MAY_IMPORT[pattern] | ({"torchvision"} if loads_mnist else set())
        assert imports(path) <= allowed, path
        assert "torchvision" not in imports(path, top_level_only=True), path


def test_importing_resnet_brings_neither_gradio_nor_torchvision():
    code = "import sys, resnet; sys.exit(any(m in sys.modules for m in ('gradio', 'torchvision')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
