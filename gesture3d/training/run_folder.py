"""The folder of a run belongs to one process at a time."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gesture3d.errors import Gesture3dError
from gesture3d.files import take_lock
from gesture3d.machine import is_main_process

LOCK = ".lock"  # a file in the folder
# All that a run leaves which ends before its first checkpoint; and hidden files, never completed.
BEGUN = {"experiment.yaml", "tensorboard"}


@contextlib.contextmanager
def new_folder(runs: Path, name: str, *, exactly: bool) -> Iterator[Path]:
    """``runs/name``, or with ``-2``, ``-3`` … where that is taken: made at once and kept from other
    processes for the length of the block, and removed where nothing is in it then.

    The folder of a run that ended before its first checkpoint is taken over, and emptied.

    Of processes that train together only the main one makes it.

    Args:
        exactly: take no other name.

    Raises:
        Gesture3dError: there is such a folder already.
    """
    if not is_main_process():
        yield runs / name
        return
    runs_are_new = not runs.exists()
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        taken, lock = _take(folder)
        if taken:
            break
        if exactly:
            raise Gesture3dError(f"{folder} exists; choose another --name, or --resume it")
    try:
        with _held(folder, lock):
            yield folder
    finally:
        with contextlib.suppress(OSError):  # there is something in it
            folder.rmdir()
            if runs_are_new:
                runs.rmdir()


def latest_folder(runs: Path, name: str, *, exactly: bool) -> Path | None:
    """The one that `new_folder` made last for this name, where a run in it was saved."""
    found = None
    for number in range(1, 2) if exactly else itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        if not folder.is_dir():
            return found
        found = folder if (folder / "last.ckpt").is_file() else None
    return found


@contextlib.contextmanager
def folder_to_resume(folder: Path) -> Iterator[Path]:
    """The folder itself, whatever link leads there, kept from other processes for the length of
    the block.

    Raises:
        Gesture3dError: another process trains this run.
    """
    folder, lock = folder.resolve(), None
    if is_main_process():
        with contextlib.suppress(OSError):  # no such folder, no locks, or not to be written into
            lock = take_lock(folder / LOCK)
            if lock is None:
                raise Gesture3dError(f"{folder}: another process is training this run; let it end")
    with _held(folder, lock):
        yield folder


def _take(folder: Path) -> tuple[bool, TextIO | None]:
    """Make a folder that was not there, or empty that of a run that was never saved: whether that
    went well, and the lock, where there are locks."""
    try:
        folder.mkdir(parents=True)
        is_new = True
    except FileExistsError:
        if not _never_saved(folder):
            return False, None
        is_new = False
    try:
        lock = take_lock(folder / LOCK)
    except OSError:  # no locks here
        return is_new, None
    if lock is None or is_new:
        return is_new and lock is not None, lock
    if not _never_saved(folder):  # any more: the process that had the lock has saved it
        (folder / LOCK).unlink()
        lock.close()
        return False, None
    (folder / "experiment.yaml").unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    return True, lock


def _never_saved(folder: Path) -> bool:
    """Whether a run began here, and nothing of it was saved."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(names) and {name for name in names if not name.startswith(".")} <= BEGUN


@contextlib.contextmanager
def _held(folder: Path, lock: TextIO | None) -> Iterator[None]:
    try:
        yield
    finally:
        if lock:
            (folder / LOCK).unlink(missing_ok=True)
            lock.close()
