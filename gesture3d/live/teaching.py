"""Training for the page: started, watched and cancelled here, done by a process of its own.

What it says of itself lies in a file, so that it lives on when the page is loaded again, and when
this server ends and starts anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.files import child_environment, take_lock, write_text
from gesture3d.live.disk import FULL, check_room, is_full

WAYS = ("auto", "hands", "video")
STATUS, LOCK, LOG = "training.json", "training.lock", "training.log"
LEAST_CLIPS = 2
RUNNING = ("starting", "running")
TO_START = 60.0  # seconds


class Teaching:
    """The one training of a folder of clips.

    Args:
        clips: a folder a gesture.
        hidden: where status and log are kept.
        runs: where the trained network goes.
    """

    def __init__(self, clips: Path, hidden: Path, runs: Path) -> None:
        self.clips, self.hidden, self.runs = clips, hidden, runs
        self._child: subprocess.Popen | None = None
        self._ended: int | None = None  # the last one's exit code
        self._one_at_a_time = threading.Lock()

    def status(self) -> dict[str, Any]:
        """What the page shows: ``state`` is none, starting, running, done, failed or cancelled."""
        status = read_status(self.hidden)
        if status["state"] in RUNNING and not self._is_running(status):
            status = read_status(self.hidden)  # it may have ended in between
            if status["state"] in RUNNING:
                if self._ended == -signal.SIGTERM:  # before it could say so itself
                    return status | {"state": "cancelled"}
                why = f"the training ended without a word (out of memory?); see {self.hidden / LOG}"
                if is_full(self.hidden) or is_full(self.runs):
                    why = FULL.format("press Train again")
                return status | {"state": "failed", "error": why}
        if status.get("run") and status["state"] == "running":
            status["curve"] = curve = _curve(self.runs / status["run"] / "metrics.jsonl")
            epochs, since = status.get("epochs", 0), status.get("epochs_since", 0.0)
            if curve and epochs > len(curve):
                each = (time.time() - since) / len(curve)
                status["seconds_left"] = round(each * (epochs - len(curve)), 1)
        return status

    def start(self, way: str, clips: dict[str, list[str]]) -> dict[str, Any]:
        """Begin, with these clips. Raises Gesture3dError where that cannot be, and says why."""
        if way not in WAYS:
            raise Gesture3dError(f"way {way[:20]!r}: one of {', '.join(WAYS)}")
        check_enough(clips)
        for folder in (self.hidden, self.runs):
            check_room(folder, "press Train again")
        with self._one_at_a_time:
            if self.status()["state"] in RUNNING:  # one that said its last still holds the lock
                raise Gesture3dError("a training is running already: wait for it, or cancel it")
            write_status(self.hidden, {"state": "starting", "since": time.time()})
            command = [sys.executable, "-m", "gesture3d.live.learn", self.clips, self.runs, way]
            with (self.hidden / LOG).open("wb") as log:
                self._child = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=child_environment(),
                    start_new_session=True,  # it outlives this server
                )
        return self.status()

    def cancel(self) -> dict[str, Any]:
        """Ask it to stop."""
        status = self.status()
        if status["state"] not in RUNNING:
            raise Gesture3dError("no training is running")
        process = self._child.pid if self._child else int(status.get("process", 0))
        if process > 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        return self.status()

    def _is_running(self, status: dict[str, Any]) -> bool:
        if self._child is not None:
            self._ended = self._child.poll()
            if self._ended is None:
                return True
            self._child = None
        elif status["state"] == "starting" and time.time() - status.get("since", 0.0) < TO_START:
            return True  # another server's, which has not taken the lock yet
        if not (self.hidden / LOCK).exists():
            return False
        lock = take_lock(self.hidden / LOCK)
        if lock is not None:
            lock.close()
        return lock is None


def check_enough(clips: dict[str, list[str]]) -> None:
    """Raise Gesture3dError where there is too little to learn from, and say what to record."""
    gestures = {name: len(files) for name, files in clips.items() if name != NO_GESTURE}
    few = [name for name, count in gestures.items() if count < LEAST_CLIPS]
    if few:
        raise Gesture3dError(
            f"{few[0]!r} has one clip only: record it again (ten times is good), or delete it"
        )
    if len(gestures) < 2 and NO_GESTURE not in clips:
        raise Gesture3dError("record two gestures, or one and some seconds of nothing, then train")
    if not gestures:
        raise Gesture3dError("record a gesture first")


def read_status(hidden: Path) -> dict[str, Any]:
    """What a training last said of itself; ``state`` none where there is nothing."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((hidden / STATUS).read_text(encoding="utf-8"))
        if isinstance(found, dict) and "state" in found:
            return found
    return {"state": "none"}


def write_status(hidden: Path, status: dict[str, Any]) -> None:
    """Replace it, atomically."""
    write_text(hidden / STATUS, json.dumps(status) + "\n")


def _curve(path: Path) -> list[dict[str, float]]:
    """Loss and accuracies of every epoch so far."""
    rows = []
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows.append(
                {
                    "loss": round(row["train_loss"], 4),
                    "train": round(row["train_top1"], 4),
                    "validation": row.get("validation_top1"),
                }
            )
    return rows
