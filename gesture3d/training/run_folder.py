"""The folder of a run belongs to one process at a time."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gesture3d.errors import Gesture3dError
from gesture3d.files import take_lock
from gesture3d.machine import is_main_process

LOCK = ".lock"  # a file in the folder


@contextlib.contextmanager
def new_folder(runs: Path, name: str, *, exactly: bool) -> Iterator[Path]:
    """``runs/name``, or with ``-2``, ``-3`` … where that is taken: made at once and kept from other
    processes for the length of the block, and removed where nothing is in it then.

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
    """Make a folder that was not there, or take one that a process has left that was killed before
    it wrote anything: whether that went well, and the lock, where there are locks."""
    try:
        folder.mkdir(parents=True)
        is_new = True
    except FileExistsError:
        if not folder.is_dir() or [path.name for path in folder.iterdir()] != [LOCK]:
            return False, None
        is_new = False
    try:
        lock = take_lock(folder / LOCK)
    except OSError:  # no locks here
        return is_new, None
    return lock is not None, lock


@contextlib.contextmanager
def _held(folder: Path, lock: TextIO | None) -> Iterator[None]:
    try:
        yield
    finally:
        if lock:
            (folder / LOCK).unlink(missing_ok=True)
            lock.close()
