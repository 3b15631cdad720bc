"""A trained network on disk: plain data that rebuilds its network by itself and says how it was made."""

import contextlib
import io
import os
import pickle
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet import history
from resnet.networks import ARCHITECTURES, create

FORMAT = "resnet-mnist/1"
# All that `save` makes a pickle ask for. torch allows more, some of which takes as much memory as it is told to.
NAMED = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch \w+Storage")
SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"


class CheckpointError(ValueError):
    """A file that is no checkpoint; the message says why and what to do."""


@dataclass
class Checkpoint:
    """`history` is as `resnet.history` describes it."""

    architecture: str
    weights: dict[str, Tensor]
    history: dict[str, Any]
    unfinished: dict[str, Any] | None = None  # the optimizer's and scheduler's states, until training has ended

    def build(self) -> nn.Module:
        """The network with these weights themselves, on the CPU, in evaluation mode.

        Raises `ValueError` or `RuntimeError` where they are not its own by name, shape and type, or are not finite.
        """
        with torch.device("meta"):  # takes no memory: a small file cannot claim a large one's
            model = create(self.architecture)
        for name, value in model.state_dict().items():
            mine = self.weights.get(name, value)
            if mine.dtype != value.dtype:
                raise ValueError(f"{name} is {mine.dtype}")
            if mine is not value and not mine.isfinite().all():
                raise ValueError(f"{name} is not finite")
        weights = dict(self.weights)  # a copy: torch marks the one it assigns from, for every later use
        model.load_state_dict(weights, assign=True)
        return model.eval()


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes all of it or nothing."""
    write({"format": FORMAT, **vars(checkpoint)}, Path(path))


def write(content: dict[str, Any], path: Path) -> None:
    """Writes plain data and tensors, all of it or nothing: to a temporary name beside `path`, then over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    buffer = io.BytesIO()  # for torch writes the name of a file that it opens itself into it
    torch.save(content, buffer)
    try:
        temporary.write_bytes(buffer.getbuffer())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def load(path: str | Path) -> Checkpoint:
    """Nothing in the file is run. Raises `CheckpointError` for one that is missing, damaged, foreign or unsafe."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; make it with: python train.py --output {path}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut short, or is no PyTorch file; copy or train it again")
    try:
        inspect(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path} holds more than plain data and was not opened, for it could run code") from None
    except Exception:  # a pickle can raise any
        raise CheckpointError(f"{path} is damaged, or is no PyTorch file; copy or train it again") from None
    if type(content) is not dict or content.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} was not written by this program's train.py; choose one that was")
    try:
        checkpoint = Checkpoint(**content)
        if getattr(checkpoint.weights, "__dict__", {}).keys() - {"_metadata"}:
            raise ValueError("its weights have methods of their own")
        if sum(value.nbytes for value in checkpoint.weights.values()) > path.stat().st_size:
            raise ValueError("its weights are larger than the file")
        history.check(checkpoint.history, checkpoint.architecture, checkpoint.build())
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{path} does not fit any network here ({reason}); known are: {', '.join(ARCHITECTURES)}"
        ) from None
    return checkpoint


def inspect(path: Path) -> None:
    """Raises `BadZipFile` for a file that is damaged or packed, `UnpicklingError` for one that asks for more than data.

    torch itself compares no checksums, and unpacks.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        names = {entry.filename.lower() for entry in entries}  # torch takes "a" for "A"
        if packed or len(names) < len(entries) or archive.testzip() is not None:
            raise zipfile.BadZipFile
        for entry in entries:
            if entry.filename.lower().endswith("data.pkl"):
                for operation, named, _ in pickletools.genops(archive.read(entry)):
                    if operation.name == "GLOBAL" and not NAMED.fullmatch(named):
                        raise pickle.UnpicklingError
