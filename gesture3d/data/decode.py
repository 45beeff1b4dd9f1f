"""Decode many clips into one file of frames, on all cores.

The work is done by helper processes that run `work`. Unlike the processes of
``multiprocessing`` they do not import the caller's main module (and with it torch), end when the
caller ends, however it ends, and when a damaged clip crashes one, it is known which clip.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from gesture3d.data.index import Clip
from gesture3d.data.video import VideoError, read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.machine import num_cores

# Where a clip lies in the file: its first byte, then N, H, W of its frames (N, H, W, 3).
Place = tuple[int, int, int, int]

MIN_CLIPS_PER_WORKER = 20  # fewer are not worth a process


def decode_clips(
    clips: list[Clip],
    frames: Path,
    short_side: int,
    num_workers: int | None = None,
    progress: bool = True,
) -> tuple[dict[str, Place], list[VideoError]]:
    """Write every clip's frames, scaled to ``short_side``, one behind the other into a file.

    Args:
        frames: an existing file.
        num_workers: processes; None for one per core. Few clips are decoded without any.

    Returns:
        Each clip's place in the file by key, and what went wrong with the clips that have none.

    Raises:
        OSError: the disk is full.
        Gesture3dError: a process could not be started.
    """
    workers = min(num_workers or num_cores(), -(-len(clips) // MIN_CLIPS_PER_WORKER))
    places: dict[str, Place] = {}
    errors: list[VideoError] = []
    results = _in_processes if workers > 1 else _right_here
    bar = tqdm(
        total=len(clips), unit="clip", desc="decoding clips", disable=None if progress else True
    )
    with bar:
        for clip, result in zip(clips, results(clips, frames, short_side, workers), strict=True):
            if isinstance(result, VideoError):
                errors.append(result)
            else:
                places[clip.key] = result
            bar.update()
    return places, errors


def _right_here(
    clips: list[Clip], frames: Path, short_side: int, _: int
) -> Iterator[Place | VideoError]:
    end = 0
    with frames.open("rb+") as file:
        for clip in clips:
            try:
                decoded = read_frames(clip.path, short_side=short_side)
            except VideoError as error:
                yield error
                continue
            _write(file, decoded, end)
            yield end, *decoded.shape[:3]
            end += decoded.nbytes


def _in_processes(
    clips: list[Clip], frames: Path, short_side: int, num_workers: int
) -> Iterator[Place | VideoError]:
    reserve = _Reserve()
    workers = [_Worker(frames, short_side) for _ in range(num_workers)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def decode(clip: Clip) -> Place | VideoError:
        worker = idle.get()
        try:
            return worker.decode(clip.path, reserve)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(num_workers)
    try:
        yield from pool.map(decode, clips)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.close()
        pool.shutdown(wait=True)


def _write(file: Any, decoded: np.ndarray, offset: int) -> None:
    file.seek(offset)
    file.write(decoded.data)
    file.flush()


class _Reserve:
    """Hands out stretches of the file, one behind the other, to any thread."""

    def __init__(self) -> None:
        self._end = 0
        self._lock = threading.Lock()

    def __call__(self, num_bytes: int) -> int:
        with self._lock:
            offset = self._end
            self._end += num_bytes
        return offset


class _Worker:
    """A process that decodes one clip at a time; started again after a crash.

    The dialogue, a line of JSON each: path → shape (or what is wrong); offset → done (or errno).
    """

    def __init__(self, frames: Path, short_side: int) -> None:
        program = f"import sys; from {__name__} import work; work(*sys.argv[1:])"
        self._command = [sys.executable, "-c", program, str(frames), str(short_side)]
        self._process: subprocess.Popen | None = None
        self._closed = False

    def decode(self, path: Path, reserve: _Reserve) -> Place | VideoError:
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            answer = self._ask(str(path))
            if "wrong" in answer:
                return VideoError(Path(answer["path"]), answer["wrong"])
            length, height, width = answer["shape"]
            offset = reserve(length * height * width * 3)
            answer = self._ask(offset)
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            why = "out of memory?" if code == -9 else f"exit code {code}"
            return VideoError(path, f"the process that decoded it died ({why})")
        if answer["errno"]:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return offset, length, height, width

    def close(self) -> None:
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _start(self) -> None:
        if self._closed:
            raise Gesture3dError("decoding was stopped")
        search = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, search))},
            start_new_session=True,  # Ctrl-C is the parent's business
        )
        try:
            self._read()
        except EOFError:
            raise Gesture3dError("a process that decodes clips could not be started") from None

    def _ask(self, question: Any) -> dict:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        return json.loads(line)


def work(frames: str, short_side: str) -> None:
    """The helper process: answers on its standard output until its input ends."""
    cv2.setNumThreads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=out, flush=True)

    answer(ready=True)
    with Path(frames).open("rb+") as file:
        for line in sys.stdin:
            try:
                decoded = read_frames(Path(json.loads(line)), short_side=int(short_side))
            except VideoError as error:
                answer(path=str(error.path), wrong=error.reason)
                continue
            answer(shape=decoded.shape[:3])
            offset = json.loads(sys.stdin.readline() or "null")
            if offset is None:
                return
            try:
                _write(file, decoded, offset)
                answer(errno=0)
            except OSError as error:
                answer(errno=error.errno)
