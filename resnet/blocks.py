"""Inside the residual blocks: what each receives and adds, and the network with parts of blocks ablated.

A block computes ReLU(F(x) + x) (He et al. 2015, arXiv:1512.03385, eq. 1). Where F(x) has another shape than x, a
projection of x takes the place of x (eq. 2); "x" below means that, too. Ablating F or the shortcut of a trained network
is the "lesion" of Veit et al. 2016 (arXiv:1605.06431).
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from resnet.networks import BasicBlock, Bottleneck, ResBlock

Part = Literal["F", "shortcut"]
PARTS: tuple[Part, ...] = ("F", "shortcut")
Ablation = tuple[str, Part]  # a block's name, and the part whose output becomes 0


class Activation(NamedTuple):
    """One block's activations for one image. `name` is the state dict's, such as "layer1.0"; tensors are (C, H, W)."""

    name: str
    x: Tensor  # the shortcut's output
    residual: Tensor  # F(x)

    @property
    def ratio(self) -> float:
        """||F(x)|| / ||x||: how much the block adds. Not finite where x is 0."""
        return float(self.residual.norm() / self.x.norm())

    def maps(self, count: int = 8) -> dict[str, np.ndarray]:
        """The channels with the largest |F(x)| + |x|: {"x", "F", "sum"} -> (count, H, W) int8.

        Each row is scaled so that its largest magnitude is 127.
        """
        strongest = (self.x.flatten(1).norm(dim=1) + self.residual.flatten(1).norm(dim=1)).topk(count).indices
        rows = {"x": self.x, "F": self.residual, "sum": self.residual + self.x}
        arrays = {part: row[strongest].float().cpu().numpy() for part, row in rows.items()}
        return {
            part: (127 * row / max(np.abs(row).max(), 1e-9)).round().astype(np.int8) for part, row in arrays.items()
        }


def residual_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """By name, from first to last."""
    kinds = (ResBlock, BasicBlock, Bottleneck)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def copy_sharing_weights(model: nn.Module) -> nn.Module:
    """A network of its own, for hooks that must not affect `model`, with the same tensors as weights."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


@contextmanager
def ablated(model: nn.Module, ablations: Iterable[Ablation]) -> Iterator[None]:
    """Within it, the ablated parts of `model` output zeros. Raises `ValueError` for a block or part that is unknown.

    It changes `model` for every thread.
    """
    blocks = residual_blocks(model)
    with ExitStack() as hooks:
        for name, part in ablations:
            if name not in blocks or part not in PARTS:
                raise ValueError(
                    f"There is no {part!r} of a block {name!r} to ablate. Blocks: {', '.join(blocks) or 'none'}. "
                    f"Parts: {', '.join(PARTS)}."
                )
            hooks.callback(_layer(blocks[name], part).register_forward_hook(_zeros).remove)
        yield


@torch.inference_mode()
def activations(model: nn.Module, image: Tensor) -> list[Activation]:
    """(1, 1, 28, 28) in [0, 1] -> each residual block's activations, ablated parts being zeros."""
    outputs: dict[tuple[str, Part], Tensor] = {}

    def record(key: tuple[str, Part], module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs[key] = output[0]

    blocks = residual_blocks(model)
    with ExitStack() as hooks:
        for name, block in blocks.items():
            for part in PARTS:
                hooks.callback(_layer(block, part).register_forward_hook(partial(record, (name, part))).remove)
        model(image)
    return [Activation(name, outputs[name, "shortcut"], outputs[name, "F"]) for name in blocks]


def _layer(block: nn.Module, part: Part) -> nn.Module:
    """The layer whose output is that part."""
    return cast(nn.Module, block.downsample if part == "shortcut" else getattr(block, cast(str, block.residual)))


def _zeros(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return torch.zeros_like(output)
