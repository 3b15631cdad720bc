"""Weights from the Hugging Face Hub: `hf://USER/REPO` names a repository with a file `model.safetensors`."""

import re
from pathlib import Path

from resnet.checkpoint import CheckpointError

WEIGHTS = "model.safetensors"


def repository_of(path: str | Path) -> str | None:
    """`hf://USER/REPO`, from which pathlib takes a slash -> `USER/REPO`; None for a path of this machine."""
    found = re.fullmatch(r"hf:/{1,2}([\w.-]+/[\w.-]+)", str(path))
    return found[1] if found else None


def download(repository: str) -> Path:
    """The weights' path in the Hub's cache. Raises `CheckpointError` where they cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(repository, WEIGHTS))
    except LocalEntryNotFoundError:  # an EntryNotFoundError, too
        reason = "the Hub cannot be reached, and this machine has no copy"
    except RepositoryNotFoundError:
        reason = "there is no such repository, or it is private"
    except EntryNotFoundError:
        reason = f"it has no file {WEIGHTS}"
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
    raise CheckpointError(f"hf://{repository} cannot be loaded: {reason}.")
