"""An unfinished run on disk: all that continuing it needs, to the bit.

The file lies beside the run's checkpoint and holds the weights and the history, too. It is written first each epoch,
and it alone is resumed from; so a run that is killed between the two writes loses nothing and mixes nothing. It is
deleted last: a run killed just before that resumes at its end, and only evaluates again.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from resnet import checkpoint


class State(NamedTuple):
    progress: str  # JSON of the caller's: settings, measures, ...
    tensors: dict[str, Tensor]  # "model.NAME" and "optimizer.INDEX.NAME"
    groups: list[dict[str, Any]]
    scheduler: dict[str, Any]

    def restore(self, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> None:
        """Raises `ValueError` where the state is not of such a model and optimizer."""
        try:
            model.load_state_dict({name[6:]: v for name, v in self.tensors.items() if name.startswith("model.")})
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in self.tensors.items():
                if name.startswith("optimizer."):
                    _, index, key = name.split(".")
                    state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], value)
            optimizer.load_state_dict({"state": state, "param_groups": self.groups})
            scheduler.load_state_dict(self.scheduler)
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError):
            raise ValueError("The state of the unfinished run does not fit its settings. Start anew.") from None


def path_of(output: Path) -> Path:
    """Of the unfinished run that writes the checkpoint `output`."""
    return output.with_name(f"{output.name}.unfinished")


def save(path: Path, progress: str, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> None:
    """Writes all of it or nothing."""
    states = optimizer.state_dict()
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in states["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    metadata = {"progress": progress, "groups": states["param_groups"], "scheduler": scheduler.state_dict()}
    checkpoint.write(tensors, json.dumps(metadata), path)


def load(path: Path) -> State:
    """Raises `CheckpointError` for a damaged or foreign file."""
    with checkpoint.reading(path) as (file, text):
        try:
            metadata = json.loads(text or "")
            progress, groups, scheduler = (metadata[key] for key in ("progress", "groups", "scheduler"))
        except (ValueError, LookupError, TypeError):
            raise checkpoint.CheckpointError(f"{path} is not an unfinished run. {checkpoint.AGAIN}") from None
        return State(progress, {name: file.get_tensor(name).clone() for name in file.keys()}, groups, scheduler)  # noqa: SIM118


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """In the parameter's memory format (channels last), by which arithmetic can differ in the last bit."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
