"""A generated set in its folder: made once, in parallel, and completed where it was interrupted.

``generation.json`` holds the settings and is written first, ``dataset.json`` holds them and all
that is known of the set and is written last.
"""

import contextlib
import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path, locked, write_text
from gesture3d.machine import num_cores
from gesture3d.synthetic.scene import HEIGHT, WIDTH

FPS = 12.0


def make_once(root: Path, settings: dict, folders: Iterable[str], make: Callable[[], dict]) -> None:
    """Have ``make`` fill ``root``, unless it holds the whole set with these settings.

    Args:
        settings: on which the files depend, as JSON keeps them.
        folders: that hold the files.
        make: makes what is missing and returns what else is to be said in ``dataset.json``.

    Raises:
        Gesture3dError: ``root`` holds a set with other settings, or other files.
    """
    if _is_finished(root, settings):
        return
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / ".lock"):
        if _is_finished(root, settings):  # another process was faster
            return
        _begin_or_continue(root, settings, folders)
        try:
            index = settings | make()
        finally:
            _remove_half_written(root, folders)
        write_text(root / "dataset.json", json.dumps(index, indent=1) + "\n")


def _is_finished(root: Path, settings: dict) -> bool:
    """Whether the whole set is there; an error where there is one with other settings."""
    for name in ("dataset.json", "generation.json"):
        try:
            found = json.loads((root / name).read_text(encoding="utf-8"))
            found = {key: found.get(key) for key in settings}
        except FileNotFoundError:
            continue
        except (ValueError, AttributeError, RecursionError):
            raise Gesture3dError(
                f"{root / name} is damaged; delete {root} to start anew."
            ) from None
        if found != settings:
            differences = ", ".join(
                f"{key} is {found[key]}, asked for {settings[key]}"
                for key in settings
                if found[key] != settings[key]
            )
            older = found["generator_version"] != settings["generator_version"]
            what = "of another version of the generator" if older else "with other settings"
            raise Gesture3dError(
                f"{root} holds a generated data set {what} ({name}: {differences}): choose another "
                f"folder (data.root), or delete this one and it is generated anew."
            )
        return name == "dataset.json"
    return False


def _begin_or_continue(root: Path, settings: dict, folders: Iterable[str]) -> None:
    """Note the settings before the first file, so that an unfinished set can be told apart."""
    note = root / "generation.json"
    if note.exists():
        _remove_half_written(root, folders)
        return
    others = [path for path in root.iterdir() if path.name != ".lock"]
    if others:
        raise Gesture3dError(
            f"{root} is not empty and holds no generated data set ({others[0].name}, ...): "
            f"choose an empty folder."
        )
    write_text(note, json.dumps(settings, indent=1) + "\n")


def _remove_half_written(root: Path, folders: Iterable[str]) -> None:
    for folder in folders:
        for path in (root / folder).glob(".*"):
            path.unlink(missing_ok=True)


def make_missing(
    root: Path,
    items: Sequence[Any],
    make: Callable[[Path, Any], None],
    is_made: Callable[[Path, Any], bool],
    what: str,
    num_workers: int | None,
    progress: bool,
    least: int,
) -> None:
    """Make the items that are missing: here, or in worker processes where each has at least
    ``least`` of them to make."""
    missing = [item for item in items if not is_made(root, item)]
    done = len(items) - len(missing)
    if missing and progress:
        print(f"{root}: generating {len(missing)} {what}, once")
    # None: a bar on terminals only
    hide = None if progress else True
    bar = tqdm(total=len(items), initial=done, desc=f"generating {what}", disable=hide)
    workers = min(num_workers or num_cores(), -(-len(missing) // least))
    with bar:
        if workers <= 1:
            for item in missing:
                make(root, item)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        try:
            with _hidden_main():  # the processes start here
                made = pool.map(functools.partial(make, root), missing, chunksize=-(-least // 5))
            for _ in made:
                bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Workers would import the running script anew, and with it all it imports; they need none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    """One thread; leave Ctrl-C to the parent; end with the parent, however it ends."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sentinel = multiprocessing.parent_process().sentinel

    def end_with_parent() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def write_video(path: Path, frames: np.ndarray) -> None:
    """Write BGR frames (T, H, W, 3)."""
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    with atomic_path(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), codec, FPS, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise Gesture3dError(f"OpenCV cannot write {path}: its build lacks the mp4v codec.")
        for frame in frames:
            writer.write(frame)
        writer.release()
        # OpenCV does not say when the disk is full.
        written = int(cv2.VideoCapture(str(temporary)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != len(frames):
            raise Gesture3dError(f"{path}: could not be written whole; is the disk full?")
