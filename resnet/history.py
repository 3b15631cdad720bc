"""How a network was made: what a checkpoint tells, and the check that it may be shown.

A history is plain data: data (of what), images (how many of each split), settings (`train.Settings`), versions,
parameters (how many), epochs (a list of measures), temperature (what the last layer was divided by to calibrate it),
and test (what `training.examine` made of the test set, or None till the end).
"""

from typing import Any

from torch import nn

PIXELS = 28 * 28


def check(history: Any, architecture: str, model: nn.Module) -> None:
    """Raises `ValueError` with what is wrong: a key that is missing, a value that cannot be, another network's."""
    epoch = {"train_loss": loss, "held_out_loss": loss, "held_out_accuracy": share}
    mistake = {"label": digit, "read": digit, "probability": share, "image": lists(shade, PIXELS, PIXELS)}
    confusion = lists(lists(count, 10, 10), 10, 10)
    test = {"loss": loss, "accuracy": share, "confusion": confusion, "mistakes": lists(mistake, 0, 100)}
    expected = {
        "data": text,
        "images": {"train": count, "held_out": count, "test": count},
        "settings": mapping(scalar),
        "versions": mapping(text),
        "parameters": count,
        "epochs": lists(epoch, 0, 10_000),
        "temperature": lambda value: loss(value) and value > 0,
        "test": lambda value: value is None or fits(value, test, "test"),
    }
    fits(history, expected, "history")
    if history["settings"].get("arch") != architecture:
        raise ValueError("its history is of another network")
    if history["parameters"] != sum(parameter.numel() for parameter in model.parameters()):
        raise ValueError("its history counts other parameters")


def fits(value: Any, expected: Any, name: str) -> bool:
    """Is it as expected: a dict of what fits each key, or what a function says is right? Raises `ValueError`."""
    if isinstance(expected, dict):
        if type(value) is not dict or not value.keys() >= expected.keys():
            raise ValueError(f"its {name} is not whole")
        return all(fits(value[key], each, key) for key, each in expected.items())
    if not expected(value):
        raise ValueError(f"its {name} cannot be")
    return True


def lists(expected: Any, least: int, most: int) -> Any:
    return lambda value: (
        isinstance(value, list) and least <= len(value) <= most and all(fits(each, expected, "list") for each in value)
    )


def mapping(expected: Any) -> Any:
    return lambda value: type(value) is dict and all(text(key) and expected(each) for key, each in value.items())


def scalar(value: Any) -> bool:
    return isinstance(value, bool) or number(value) or text(value)


def text(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 200 and value.isprintable()


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def loss(value: Any) -> bool:
    return number(value) and value >= 0


def share(value: Any) -> bool:
    return number(value) and 0 <= value <= 1


def count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**10


def digit(value: Any) -> bool:
    return count(value) and value < 10


def shade(value: Any) -> bool:
    return count(value) and value < 256
