"""Videos that somebody gives us, decoded in a process of their own that may not do much.

The process gets a path and writes small RGB frames to its standard output, behind a line of JSON.
It may take so much memory and time of the processor, write no files, and start no others; what
crashes or stops it is a message here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.files import child_environment

MOST_MEMORY = 3 << 30  # bytes of address space, libraries included
MOST_SECONDS = 30 * 60  # of video
MOST_WORK = 600  # seconds of the processor
MOST_SILENCE = 60.0  # seconds without a frame
RATE = 15.0  # frames a second that are kept at most
SHORT_SIDE = 240
MOST_PIXELS = 8192 * 4320  # of a frame
IS_FRAME, IS_ERROR, IS_END = b"F", b"E", b"."
SECONDS = struct.Struct("<d")  # when a frame is shown, before its pixels
DIED = "the process that decoded it died ({}): the file is damaged or too large; convert it to mp4"


def frames(path: Path) -> Iterator[tuple[np.ndarray, float, float]]:
    """(RGB (H, W, 3), when it is shown, the length of the video), seconds.

    Raises:
        Gesture3dError: no video, a damaged one, too long, too large.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "gesture3d.live.decode", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    silence = _Alarm(child)
    try:
        yield from _read(child, silence)
    finally:
        silence.stop()
        child.kill()
        child.stdout.close()
        child.wait()


def _read(child: subprocess.Popen, silence: _Alarm) -> Iterator[tuple[np.ndarray, float, float]]:
    head = child.stdout.readline(4096)
    try:
        said = json.loads(head)
    except ValueError:
        raise Gesture3dError(_why(child, silence)) from None
    if "error" in said:
        raise Gesture3dError(str(said["error"])[:500])
    height, width = int(said["height"]), int(said["width"])
    size = SECONDS.size + height * width * 3
    while (kind := child.stdout.read(1)) != IS_END:
        if kind != IS_FRAME:  # it ended, or has to say why
            head = child.stdout.readline(4096)
            raise Gesture3dError(json.loads(head)["error"] if head else _why(child, silence))
        data = child.stdout.read(size)
        if len(data) < size:
            raise Gesture3dError(_why(child, silence))
        silence.wait_anew()
        frame = np.frombuffer(data, np.uint8, offset=SECONDS.size).reshape(height, width, 3)
        yield frame, SECONDS.unpack_from(data)[0], said["seconds"]


def _why(child: subprocess.Popen, silence: _Alarm) -> str:
    code = child.wait()
    if silence.rang:
        return DIED.format("it took too long")
    if code in (-signal.SIGKILL, -getattr(signal, "SIGXCPU", signal.SIGKILL)):
        return DIED.format("it took too much of the processor or memory")
    return DIED.format(f"exit code {code}")


class _Alarm:
    """Kills a process that gives nothing for `MOST_SILENCE` seconds."""

    def __init__(self, child: subprocess.Popen) -> None:
        self._child, self.rang, self._timer = child, False, None
        self.wait_anew()

    def wait_anew(self) -> None:
        self.stop()
        self._timer = threading.Timer(MOST_SILENCE, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        self._child.kill()


def main(path: str) -> None:
    """The process: decode, scale, write."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print is no frame

    said = 0

    def say(what: dict) -> None:
        nonlocal said
        out.write((IS_ERROR if said else b"") + json.dumps(what).encode() + b"\n")
        out.flush()
        said += 1

    try:
        limit()
        _decode(Path(path), out, say)
    except (Gesture3dError, MemoryError) as error:
        why = str(error).replace(path, "the file") or "its frames are too large"
        say({"error": why[:400]})


def limit() -> None:
    """Take away from this process what decoding does not need (nothing on Windows)."""
    with contextlib.suppress(ImportError):
        import resource

        for what, most in (
            (resource.RLIMIT_AS, MOST_MEMORY),
            (resource.RLIMIT_CPU, MOST_WORK),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(what, (most, most))


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(64)
    return begin.isascii() and all(byte >= 9 for byte in begin) and begin[:9] != b"YUV4MPEG2"


def _decode(path: Path, out, say) -> None:
    from gesture3d.data.video.pixels import prepare_frame
    from gesture3d.data.video.reading import open_video, timed_frames
    from gesture3d.inference.clock import Clock

    if _is_text(path):  # of names of other files, say, which would be read in its place
        raise Gesture3dError("this is text, and no video")
    reader = open_video(path, "opencv")
    fps = reader.fps if reader.fps and 1.0 <= reader.fps <= 1000.0 else RATE
    seconds = reader.num_frames / fps
    if seconds > MOST_SECONDS:
        raise Gesture3dError(
            f"it lasts {seconds / 60:.0f} minutes, {MOST_SECONDS // 60} are allowed: cut it"
        )
    if reader.size[0] * reader.size[1] > MOST_PIXELS:
        raise Gesture3dError(f"frames of {reader.size[1]}x{reader.size[0]} pixels: scale it down")
    side, shape, clock = min(SHORT_SIDE, *reader.size), None, Clock(RATE)
    for frame, now in timed_frames(reader, fps):
        if not clock.push(now).seconds:
            continue
        small = prepare_frame(frame, side, "rgb", reader.is_bgr)
        if reader.is_bgr:
            small = small[..., ::-1]
        if shape is None:
            shape = small.shape
            say({"height": shape[0], "width": shape[1], "seconds": seconds})
        if small.shape != shape:
            raise Gesture3dError(f"the file changes its frame size at {now:.1f} s")
        out.write(IS_FRAME + SECONDS.pack(now) + np.ascontiguousarray(small).tobytes())
    out.write(IS_END)
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
