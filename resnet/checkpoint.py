"""A trained network on disk: a safetensors file of its weights, with its training history as one JSON string.

Reading one runs no code, and takes no more memory than a few times the file's size. The history is a single metadata
entry because safetensors writes several in no fixed order: equal checkpoints are equal bytes.
"""

import contextlib
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from resnet import statedict
from resnet.history import Architecture, History, Record, first_error
from resnet.networks import ARCHITECTURES, create

KEY = "resnet-mnist"  # of the metadata entry
MAX_HEADER = 2**22  # bytes; ours with the longest history has half of that
AGAIN = "Copy it again, or train it anew."
SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours; the message is a sentence for users."""


class Metadata(Record):
    format: Literal[2] = 2
    architecture: Architecture
    history: History | None


@dataclass(frozen=True)
class Checkpoint:
    architecture: str
    weights: dict[str, Tensor]
    history: History | None = None  # None for weights from elsewhere

    def build(self) -> nn.Module:
        """The network with these weights (shared, not copied), on the CPU, in evaluation mode."""
        with torch.device("meta"):
            model = create(self.architecture)
        model.load_state_dict(dict(self.weights), assign=True)
        return model.eval()

    def check(self) -> None:
        """Raises `ValueError` where the weights are not finite or another network's, or the history is."""
        statedict.identify(statedict.shapes(self.weights), [self.architecture])
        for name, value in self.weights.items():
            if not value.isfinite().all():
                raise ValueError(f"{name} has values that are not finite")
        if self.history and self.history.settings.arch != self.architecture:
            raise ValueError(
                f"these are weights of {self.architecture}, the history is of {self.history.settings.arch}"
            )
        parameters = sum(parameter.numel() for parameter in self.build().parameters())
        if self.history and self.history.parameters != parameters:
            raise ValueError(f"it has {parameters:,} parameters, its history counts {self.history.parameters:,}")


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes all of it or nothing. Raises `ValueError` for a checkpoint that `load` would refuse."""
    checkpoint.check()
    metadata = Metadata(architecture=checkpoint.architecture, history=checkpoint.history)
    write(checkpoint.weights, metadata.model_dump_json(), Path(path))


def load(path: str | Path) -> Checkpoint:
    """A checkpoint of ours, or anyone's state dict of a known network, in safetensors or PyTorch format.

    Raises `CheckpointError` for a file that is missing, damaged, not of a known network, or that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}. Train one: python train.py --output {path}")
    try:
        checkpoint = _load_safetensors(path) if _is_safetensors(path) else _load_pytorch(path)
        checkpoint.check()
    except ValidationError as error:
        raise CheckpointError(f"{path} has a training history that is not valid ({first_error(error)}).") from None
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit a known network: {error}.") from None
    return checkpoint


def write(tensors: dict[str, Tensor], metadata: str, path: Path) -> None:
    """Writes all of it or nothing: to a temporary file beside `path`, then over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    content = to_bytes({name: value.contiguous() for name, value in tensors.items()}, {KEY: metadata})
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[tuple[Any, str | None]]:
    """An open safetensors file and our metadata in it. No tensor has been read yet. Raises `CheckpointError`."""
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER:
                raise CheckpointError(f"{path} has a header of more than {MAX_HEADER:,} bytes and was not opened.")
        with safe_open(path, "pt") as opened:
            yield opened, (opened.metadata() or {}).get(KEY)
    except SafetensorError:
        raise CheckpointError(f"{path} is damaged or incomplete. {AGAIN}") from None


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _load_safetensors(path: Path) -> Checkpoint:
    with reading(path) as (file, text):
        metadata = Metadata.model_validate_json(text) if text else None
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        architecture = statedict.identify(shapes, [metadata.architecture] if metadata else ARCHITECTURES)
        weights = statedict.normalize({name: file.get_tensor(name) for name in shapes})
    return Checkpoint(architecture, weights, metadata.history if metadata else None)


def _load_pytorch(path: Path) -> Checkpoint:
    """A state dict as `torch.save` writes it, today or before PyTorch 1.6; unpickled without running code."""
    with path.open("rb") as file:
        start = file.read(2)
    if start not in (b"PK", b"\x80\x02"):
        raise CheckpointError(f"{path} is neither a safetensors file nor a PyTorch file, or it is incomplete.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=start == b"PK")
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} was not opened: it holds more than tensors, and reading that could run code. "
            "Save the weights alone: torch.save(model.state_dict(), path)"
        ) from None
    except Exception:  # a damaged pickle can raise anything
        raise CheckpointError(f"{path} is damaged or incomplete. {AGAIN}") from None
    found = statedict.unwrap(content)
    architecture = statedict.identify(statedict.shapes(found))
    if sum(value.nbytes for value in found.values()) > path.stat().st_size:  # one number, claimed to be many
        raise ValueError("its tensors are larger than the file")
    return Checkpoint(architecture, statedict.normalize(found))
