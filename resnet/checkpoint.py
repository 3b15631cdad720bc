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
# torch's own; letters after data/ would let a pickle ask for one record under many names, for torch takes "a" for "A".
RECORD = re.compile(r"[^/]+/(data\.pkl|data/[0-9]+|byteorder|version|\.[\w./]+)")
LARGEST_PICKLE = 2**21  # bytes; resnet152's, unfinished, has a quarter of that
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
    temporary = path.with_name(f".{path.name}.part")
    buffer = io.BytesIO()  # for torch writes the name of a file that it opens itself into it
    torch.save(content, buffer)
    try:
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
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
        content = torch.load(inspected(path), map_location="cpu", weights_only=True)
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


def inspected(path: Path) -> io.BytesIO:
    """The records of a file, in an archive made anew: torch must not read by other rules than those it is checked by.

    Raises `BadZipFile` for what is damaged, packed, or none of torch's; `UnpicklingError` for more than plain data.
    """
    checked = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(checked, "w") as copy:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        overlapping = sum(entry.file_size for entry in entries) > path.stat().st_size
        named = all(RECORD.fullmatch(entry.filename) for entry in entries)
        if packed or overlapping or not named or len({entry.filename for entry in entries}) < len(entries):
            raise zipfile.BadZipFile
        for entry in entries:
            record = archive.read(entry)  # whose checksum is compared
            if entry.filename.endswith("/data.pkl"):
                check_pickle(record)
            copy.writestr(entry.filename, record)
    checked.seek(0)
    return checked


def check_pickle(record: bytes) -> None:
    """Raises `UnpicklingError` for one that asks for more than plain data, or for more memory than it has bytes.

    What is used twice may be a name or a text, as in all that `save` makes: of a list that is used twice, a few bytes
    make as many copies as they like.
    """
    if len(record) > LARGEST_PICKLE:
        raise pickle.UnpicklingError
    constant, constants = False, set()  # is what came last one, and where they are kept
    for operation, argument, _ in pickletools.genops(record):
        if operation.name == "GLOBAL" and not NAMED.fullmatch(argument):
            raise pickle.UnpicklingError
        if operation.name.endswith("PUT"):
            (constants.add if constant else constants.discard)(argument)
        elif operation.name == "EMPTY_SET" or (operation.name.endswith("GET") and argument not in constants):
            raise pickle.UnpicklingError
        else:
            constant = operation.name in ("GLOBAL", "BINUNICODE")
