"""The cores of runs that go side by side, kept apart from those of other commands of ours."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TextIO

from gesture3d.files import take_lock


class Cores:
    """A share of the cores that this process may use for each of its jobs.

    Cores that another of this user's commands has given to a run are taken last.
    """

    def __init__(self, jobs: int) -> None:
        self.ours = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.share = len(self.ours) // jobs
        user = os.getuid() if hasattr(os, "getuid") else ""
        self._folder = Path(tempfile.gettempdir()) / f"gesture3d-cores-{user}"
        self._taken: dict[int, dict[int, TextIO | None]] = {}  # by job and core: its lock, if any

    def take(self, job: int) -> list[int]:
        """Cores for a job; none where there are more jobs than cores."""
        busy = {core for taken in self._taken.values() for core in taken}
        idle = [core for core in self.ours if core not in busy]
        locks: dict[int, TextIO | None] = {}
        for core in idle:
            lock = self._lock(core) if len(locks) < self.share else None
            if lock:
                locks[core] = lock
        shared = [core for core in idle if core not in locks][: self.share - len(locks)]
        self._taken[job] = locks | dict.fromkeys(shared)
        return sorted(self._taken[job])

    def give_back(self, job: int) -> None:
        for lock in self._taken.pop(job, {}).values():
            if lock:
                lock.close()

    def _lock(self, core: int) -> TextIO | None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            return take_lock(self._folder / str(core))
        return None
