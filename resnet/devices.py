"""Which device computes: the one named, else CUDA, then MPS, then the CPU; and whether code can be made for it."""

import torch


def choose_device(name: str | None = None) -> torch.device:
    """Raises `ValueError` where `name` is no device that torch has here."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):  # torch raises each for one missing device
        raise ValueError(f"no device {name!r} here; leave it out, or say cpu, cuda or mps") from None
    return device


def check_compiler(device: torch.device) -> None:
    """Raises `ValueError` where torch.compile cannot make code for `device`, as without a C++ compiler."""
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=device))
    except RuntimeError as error:
        raise ValueError(f"torch.compile fails here; leave --compile out ({str(error).splitlines()[0]})") from None
