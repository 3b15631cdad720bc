"""This process among its equals: `torchrun` starts several, and each learns from its share of every batch.

Started without it, a process is the only one, the first and all, and nothing here does anything.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> None:
    """Find the others by torchrun's environment variables. From here on the first process speaks for all."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which torchrun ends those that do not end by themselves
    if rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once, even where it waits for the others


def leave() -> None:
    """At the end of a run that went well; where one process fails, torchrun ends the others."""
    if dist.is_initialized():
        gc.collect()  # DistributedDataParallel, too, holds on to the group: else one exit in fifteen aborted
        dist.barrier()
        dist.destroy_process_group()


def by_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, to all. Where it fails there, all end, and the first says why."""
    if size() == 1:
        return make()
    made = [None]  # or a tuple of what was made, for that may be None, too
    if rank() == 0:
        try:
            made = [(make(),)]
        except (Exception, SystemExit):
            dist.broadcast_object_list(made)
            raise
    dist.broadcast_object_list(made)
    if made[0] is None:
        sys.exit()
    return made[0][0]


def own(device: torch.device) -> torch.device:
    """Of several GPUs, the one of this process."""
    if size() == 1 or device.type != "cuda":
        return device
    local = int(os.environ["LOCAL_RANK"])
    if local >= torch.cuda.device_count():
        raise ValueError(f"process {local + 1} of this machine has no GPU; start as many as there are, or --device cpu")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


class Team:
    """`model` as all processes train it together: `self.model`, which takes the mean of their gradients."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.weight, self.count = model, 1.0, 0
        if size() > 1:
            if device.type == "cuda":  # there is none for the CPU, where each share has its own mean and variance
                model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            self.model = DistributedDataParallel(model)
            self.model.register_forward_hook(self._weigh)

    def shares(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each whole batch, which every process makes by the same draws as one alone would, every `size()`-th image.

        Shares differ by one image where `size()` does not divide the batch; each has its part of what is no digit.
        """
        self.count = 0
        for images, labels in batches:
            share = images[rank() :: size()], labels[rank() :: size()]
            self.weight = len(share[1]) * size() / len(labels)
            self.count += len(share[1])
            yield share

    def mean(self, loss: float) -> float:
        """Of each process's mean over the shares that it took, the mean over all images."""
        if size() == 1:
            return loss
        total = torch.tensor([loss * self.count, self.count], dtype=torch.float64)
        dist.all_reduce(total)
        return float(total[0] / total[1])

    def _weigh(self, module: nn.Module, inputs: tuple[Tensor], logits: Tensor) -> None:
        """Larger shares count for more, so that the mean over processes is that over the batch's images."""
        logits.register_hook(lambda gradient: gradient * self.weight)
