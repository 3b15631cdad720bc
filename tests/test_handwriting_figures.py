"""The figures of docs/accuracy.md are the shipped networks'. A row that fails here is the one to put there."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from benchmarks import classifier, collection
from benchmarks.measures import measure
from resnet import checkpoint

DOCUMENT = (ROOT / "docs/accuracy.md").read_text("utf-8")
NETWORKS = ("small", "tutorial")


def per_cent(fraction):
    return f"{100 * fraction:.2f} %"


def row(network, name, measured):
    total = measured.accuracy
    by_writer = ["-", "-", "-"]  # of a collection that does not name its writers
    if measured.interval:
        low, high = (f"{100 * bound:.2f}" for bound in measured.interval)
        mean = f"{per_cent(total.by_writer)} ({low} to {high})"
        by_writer = [str(total.writers_counted), mean, str(total.writers_below_95)]
    cells = [f"`{network}`", name, f"{total.digits:,}", per_cent(total.overall), *by_writer]
    return f"| {' | '.join(cells)} | {measured.calibration_error:.3f} |"


def source_row(source, measured):
    first = next(iter(measured.values())).sources[source]
    cells = [f"{first.digits:,}", str(first.writers)]
    for each in measured.values():
        cells += [per_cent(each.sources[source].overall), str(each.sources[source].writers_below_95)]
    return f" | {' | '.join(cells)} |"


@pytest.fixture(scope="module")
def networks():
    return {name: classifier.load(next(checkpoint.SHIPPED.glob(f"{name}.*"))) for name in NETWORKS}


def assert_rows(rows):
    missing = [row for row in rows if row not in DOCUMENT]
    assert not missing, "\n".join(missing)


def assert_summarized(name, measured):
    """In the README's table, and in that of the shipped files."""
    by_writer = per_cent(measured.accuracy.by_writer)
    claim = f"| {by_writer} | {measured.accuracy.writers_below_95} | {measured.calibration_error:.3f} |"
    readme, shipped = ((ROOT / path).read_text("utf-8").splitlines() for path in ("README.md", "checkpoints/README.md"))
    assert claim in next(line for line in readme if line.startswith(f"| `{name}`")), claim
    assert f"| {by_writer} |" in next(line for line in shipped if line.startswith(f"| `{name}.")), by_writer


def test_the_rows_of_ink_are_measured(networks, ink_folder):
    digits = collection.from_json_lines([ink_folder])
    rows, measured = [], {}
    for name, network in networks.items():
        probabilities = network(digits.images)
        measured[name] = measure(probabilities, digits)
        assert_summarized(name, measured[name])
        rows.append(row(name, "pen strokes", measured[name]))
        for half in ("even", "odd"):
            part = digits.of_writers(half)
            kept = np.isin(digits.writers, part.writers)
            rows.append(row(name, f"pen strokes, {half} writers", measure(probabilities[kept], part)))
    assert_rows(rows + [source_row(source, measured) for source in measured["small"].sources])


def test_the_rows_of_unipen_are_measured(networks, unipen_folder):
    digits = collection.from_unipen(unipen_folder, ["apa", "app", "ced", "gmd"])
    measured = {name: measure(network(digits.images), digits) for name, network in networks.items()}
    rows = [row(name, "UNIPEN", each) for name, each in measured.items()]
    assert_rows(rows + [source_row(source, measured) for source in measured["small"].sources])


def test_the_rows_of_mnist_are_measured(networks, mnist, request):
    digits = collection.from_mnist(Path(request.config.getoption("--mnist")))
    assert_rows(row(name, "MNIST test", measure(network(digits.images), digits)) for name, network in networks.items())
