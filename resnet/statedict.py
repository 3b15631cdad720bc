"""State dicts from anywhere: which known network one belongs to, judged by the names and shapes of its tensors."""

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from resnet.networks import ARCHITECTURES, create

PREFIX = re.compile(r"^(module\.|_orig_mod\.)+")  # from nn.DataParallel and torch.compile
WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts save one
COUNTER = ".num_batches_tracked"  # of BatchNorm; older files lack it, and inference does not use it
Shape = tuple[int, ...]


@cache
def shapes_of(architecture: str) -> dict[str, Shape]:
    with torch.device("meta"):  # takes no memory
        return shapes(create(architecture).state_dict())


def shapes(weights: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def identify(found: Mapping[str, Shape], candidates: Collection[str] = tuple(ARCHITECTURES)) -> str:
    """The candidate with tensors of exactly these names (but for prefixes) and shapes.

    No two known networks agree in both. Raises `ValueError` with the closest candidate and the first difference.
    """
    found = {PREFIX.sub("", name): shape for name, shape in found.items() if not name.endswith(COUNTER)}
    differences = {}
    for name in candidates:
        known = {key: shape for key, shape in shapes_of(name).items() if not key.endswith(COUNTER)}
        differences[name] = [key for key in known | found if known.get(key) != found.get(key)]
        if not differences[name]:
            return name
    closest = min(differences, key=lambda name: len(differences[name]))
    key = differences[closest][0]
    wanted, got = (shapes.get(key, "missing") for shapes in (shapes_of(closest), found))
    raise ValueError(f"closest is {closest}, where {key} is {wanted}, but here it is {got}")


def unwrap(content: Any) -> dict[str, Tensor]:
    """What `torch.load` returned -> the state dict in it. Raises `ValueError` where there is none."""
    for inner in (content, *(content.get(key) for key in WRAPPERS if isinstance(content, dict))):
        if isinstance(inner, dict) and inner and all(map(_is_weight, inner.keys(), inner.values())):
            return inner
    raise ValueError("it holds no state dict; save one with torch.save(model.state_dict(), path)")


def normalize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without prefixes, as float32 in memory of their own, counters as int64. Raises `ValueError` for other types."""
    for name, value in weights.items():
        if not value.is_floating_point() and not name.endswith(COUNTER):
            raise ValueError(f"{name} is {value.dtype}, not a floating-point type")
    return {
        PREFIX.sub("", name): value.to(torch.int64 if name.endswith(COUNTER) else torch.float32, copy=True)
        for name, value in weights.items()
    }


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout is torch.strided
