"""Data-parallel training under torchrun: each process trains on its share of every batch.

Without torchrun there is one process, and everything here does nothing.
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


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def start() -> None:
    """Join the other processes, found by torchrun's environment variables. Only the first process prints."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun sends it to processes that hang
    if rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # stops at once, even while waiting for the others


def stop() -> None:
    """After a run that went well. Where one process fails, torchrun stops the others."""
    if dist.is_initialized():
        gc.collect()  # frees DistributedDataParallel's reference to the group; without it, one exit in 15 aborted
        dist.barrier()
        dist.destroy_process_group()


def on_first_process(function: Callable[[], T]) -> T:
    """Calls `function` on the first process and returns its result on all. Where it raises, the others exit with 1."""
    if world_size() == 1:
        return function()
    results: list[tuple[T] | None] = [None]  # a tuple, for the result may be None
    if rank() == 0:
        try:
            results = [(function(),)]
        except (Exception, SystemExit):
            dist.broadcast_object_list(results)
            for other in range(1, world_size()):
                dist.recv(torch.zeros(1), other)  # has heard of it: an earlier exit could break its connection
            raise
    dist.broadcast_object_list(results)
    if results[0] is None:
        dist.send(torch.zeros(1), 0)
        sys.exit(1)  # silently: the first process says why
    return results[0][0]


def local_device(device: torch.device) -> torch.device:
    """This process's GPU, where `device` is CUDA. Raises `ValueError` where there are fewer GPUs than processes."""
    if world_size() == 1 or device.type != "cuda":
        return device
    local = int(os.environ["LOCAL_RANK"])
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"There are only {torch.cuda.device_count()} GPUs. Start as many processes, or use --device cpu."
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


class DataParallel:
    """`self.model` is `model` with gradients averaged over all images of a batch, on whichever process they are."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.weight, self.count = model, 1.0, 0
        if world_size() > 1:
            if device.type == "cuda":  # on the CPU it does not exist, and each share has its own mean and variance
                model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            self.model = DistributedDataParallel(model)
            self.model.register_forward_hook(self._weigh)

    def shares(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Every `world_size()`-th image of each batch; all processes make the same batches.

        Shares differ by one image where `world_size()` does not divide the batch.
        """
        self.count = 0
        for images, labels in batches:
            share = images[rank() :: world_size()], labels[rank() :: world_size()]
            self.weight = len(share[1]) * world_size() / len(labels)
            self.count += len(share[1])
            yield share

    def mean(self, loss: float) -> float:
        """The mean over the images of this process's shares -> the mean over all images."""
        if world_size() == 1:
            return loss
        total = torch.tensor([loss * self.count, self.count], dtype=torch.float64)
        dist.all_reduce(total)
        return float(total[0] / total[1])

    def _weigh(self, module: nn.Module, inputs: tuple[Tensor], logits: Tensor) -> None:
        """DistributedDataParallel averages over processes; this makes it an average over images."""
        logits.register_hook(lambda gradient: gradient * self.weight)
