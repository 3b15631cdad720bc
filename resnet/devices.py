"""Which device computes, whether code can be compiled for it, and whether its memory ran out."""

import torch

OUT_OF_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")  # mere RuntimeErrors


def available() -> list[str]:
    """Fastest first."""
    kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in kinds.items() if there]


def choose_device(name: str | None = None) -> torch.device:
    """The device named, else the fastest. Raises `ValueError` where torch has no such device here."""
    name = available()[0] if name is None else name
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):  # torch raises each for some device
        raise ValueError(f"There is no device {name!r} here. Available: {', '.join(available())}.") from None
    return device


def check_compiler(device: torch.device) -> None:
    """Raises `ValueError` where torch.compile cannot generate code for `device`, as without a C++ compiler."""
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=device))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"torch.compile fails on this machine ({reason}). Leave --compile out.") from None


def is_out_of_memory(error: BaseException) -> bool:
    """Only for allocations that failed, not for every error that mentions memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)
