"""Uploaded pictures: decoding them within bounds, and the folder that Gradio writes them to."""

import os
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

from serving import limits

NOT_A_PICTURE = "This file cannot be read as a picture. Choose a PNG, JPEG or WebP of one digit."
GONE = "This picture is no longer stored here. Upload it again."


def decode(path: str | Path) -> Image.Image:
    """Any file -> an upright picture of at most `limits.PICTURE_SIDE` pixels a side. Raises `ValueError`."""
    try:
        with Image.open(path, formats=limits.PICTURE_FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels <= limits.PICTURE_PIXELS:
                if scans(Path(path)) * pixels > limits.SCANNED_PIXELS:
                    raise ValueError("a JPEG that takes minutes")
                side = (limits.PICTURE_SIDE, limits.PICTURE_SIDE)
                picture.draft(None, side)  # a JPEG is decoded no larger than it is needed
                sixteen_bits = picture.mode.startswith("I;16")  # which Pillow cannot reduce
                small = picture.convert("I") if sixteen_bits else picture
                small.thumbnail(side)
                return ImageOps.exif_transpose(small)
    except FileNotFoundError:
        raise ValueError(GONE) from None
    except Exception:  # Pillow raises whatever the damage leads to
        raise ValueError(NOT_A_PICTURE) from None
    raise ValueError(f"This picture has more than {limits.PICTURE_PIXELS:,} pixels. Choose a smaller one.")


def scans(path: Path) -> int:
    """How often decoding goes over the whole picture, at most: a progressive JPEG has some ten scans.

    Judged by content, for Pillow calls a JPEG with several pictures "MPO".
    """
    content = path.read_bytes()
    return content.count(b"\xff\xda") if content.startswith(b"\xff\xd8") else 1


def claim(folder: Path) -> None:
    """Makes a folder for this user alone. Raises `ValueError` if it is another's, whose files must not be deleted."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != getattr(os, "getuid", int)():
        raise ValueError(f"{folder} belongs to another user. Remove it, or name another folder with GRADIO_TEMP_DIR.")


def clean(folder: Path) -> None:
    """Deletes files older than `limits.FOLDER_SECONDS`, the oldest beyond the other bounds, and empty folders."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another was faster
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    oldest, total, number = time.time() - limits.FOLDER_SECONDS, 0, 0
    for modified, size, path in sorted(found, reverse=True):
        if path.is_dir():
            with suppress(OSError):  # not empty
                if modified < oldest:
                    path.rmdir()
            continue
        total, number = total + size, number + 1
        if modified < oldest or total > limits.FOLDER_BYTES or number > limits.FOLDER_FILES:
            path.unlink(missing_ok=True)


def keep_clean(folder: Path) -> None:
    """Cleans it for ever: the work of a thread."""
    while True:
        with suppress(OSError):
            clean(folder)
        time.sleep(limits.FOLDER_INTERVAL)
