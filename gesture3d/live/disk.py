"""What a full disk means to the page."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from gesture3d.errors import Gesture3dError

LEAST_ROOM = 64 << 20  # bytes
FULL = "the disk is full: make room (delete clips, or files elsewhere), then {}"


def is_full(folder: Path) -> bool:
    """Whether little can be written into a folder, there already or not."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free < LEAST_ROOM


def check_room(folder: Path, then: str) -> None:
    """Raise Gesture3dError where the disk of a folder is full, and say what to do ``then``."""
    if is_full(folder):
        raise Gesture3dError(FULL.format(then))


def disk_words(error: OSError) -> str:
    """What the page says of it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return FULL.format("try again")
    if isinstance(error, FileNotFoundError):
        return "a file is not there any more: load the page again"
    why = error.strerror or str(error)
    return f"the disk cannot be written ({why}): make room or choose another folder"
