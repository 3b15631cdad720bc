"""The network opened: what each residual block receives and what it adds, and the network with either of them cut.

A block receives x and passes on ReLU(F(x) + x) (He et al. 2015, arXiv:1512.03385, eq. 1). Where F(x) has another shape
than x, x comes by a projection (eq. 2), and that is what is meant by x here. Cutting F or the shortcut of a trained
network is the "lesion" of Veit et al. 2016 (arXiv:1605.06431).
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from resnet.networks import BasicBlock, Bottleneck, ResBlock

Part = Literal["F", "shortcut"]
Cut = tuple[str, Part]  # a block's name, and what it loses


class Seen(NamedTuple):
    """One block at work on one image. `name` is the state dict's ("layer1.0"); the others are (C, H, W)."""

    name: str
    x: Tensor  # what comes by the shortcut
    residual: Tensor  # F(x)

    @property
    def ratio(self) -> float:
        """||F(x)|| / ||x||: how much the block adds to what it is given; not finite where that is nothing."""
        return float(self.residual.norm() / self.x.norm())

    def maps(self, count: int = 8) -> dict[str, np.ndarray]:
        """x, F and their sum, of the same channels, those of the largest |F(x)| + |x|: (count, H, W) int8 each.

        127 is the largest magnitude of the row, which has one scale.
        """
        strongest = (self.x.flatten(1).norm(dim=1) + self.residual.flatten(1).norm(dim=1)).topk(count).indices
        rows = {"x": self.x, "F": self.residual, "sum": self.residual + self.x}
        rows = {part: row[strongest].float().cpu().numpy() for part, row in rows.items()}
        return {part: (127 * row / max(np.abs(row).max(), 1e-9)).round().astype(np.int8) for part, row in rows.items()}


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks by name, from the image to the classes."""
    kinds = (ResBlock, BasicBlock, Bottleneck)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def twin(model: nn.Module) -> nn.Module:
    """Another network of the same weights, not copied: what is cut in one is not cut in the other."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


@contextmanager
def cut(model: nn.Module, cuts: Iterable[Cut]) -> Iterator[None]:
    """While it lasts, the parts named give zeros. Without F a block is its shortcut; without that, F alone is left.

    Raises `ValueError` for a block or a part that is not there.
    """
    there = blocks(model)
    with ExitStack() as undo:
        for name, part in cuts:
            if name not in there or part not in ("F", "shortcut"):
                raise ValueError(f"nothing to cut is called {name} {part}; blocks are {', '.join(there)}")
            layer = _layer(there[name], part)
            handle = layer.register_forward_hook(lambda layer, inputs, output: torch.zeros_like(output))
            undo.callback(handle.remove)
        yield


@torch.inference_mode()
def look(model: nn.Module, image: Tensor) -> list[Seen]:
    """(1, 1, 28, 28) in [0, 1] -> every block at work on it; with what is cut as zeros."""
    caught: dict[str, dict[Part, Tensor]] = {}
    with ExitStack() as undo:
        for name, block in blocks(model).items():
            caught[name] = {}
            for part in ("F", "shortcut"):

                def catch(layer, inputs, output, into=caught[name], part=part):
                    into[part] = output[0]

                undo.callback(_layer(block, part).register_forward_hook(catch).remove)
        model(image)
    return [Seen(name, parts["shortcut"], parts["F"]) for name, parts in caught.items()]


def _layer(block: nn.Module, part: Part) -> nn.Module:
    return block.downsample if part == "shortcut" else getattr(block, block.residual)
