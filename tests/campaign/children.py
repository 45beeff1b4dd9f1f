"""Cases in child processes, which may crash, hang or ask for all memory."""

import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .judge import Kind, judge, read_good
from .kinds import KINDS
from .mutate import mutate

SECONDS = 20.0  # longer than that is a hang: good files take milliseconds
MEMORY = 1 << 30  # bytes that a case may ask for, on top of what the child has


@dataclass(frozen=True)
class Case:
    """One judged case."""

    kind: str
    number: int
    verdict: str
    detail: str


def run_cases(cases: Iterable[tuple[str, int]], workers: int) -> Iterator[Case]:
    """Every case (kind, number) judged, in order, by so many children."""
    children = [Child() for _ in range(workers)]
    idle = collections.deque(children)

    def run(case: tuple[str, int]) -> Case:
        child = idle.popleft()
        try:
            return Case(*case, *child.ask(*case))
        finally:
            idle.append(child)

    try:
        with ThreadPoolExecutor(len(children)) as pool:
            yield from pool.map(run, cases)
    finally:
        for child in children:
            child.close()


class Child:
    """A process that judges one case at a time; a new one takes its place when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def ask(self, kind: str, number: int) -> tuple[str, str]:
        """Verdict and detail."""
        if self._process is None:
            self._start()
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            self._process.kill()

        timer = threading.Timer(SECONDS, give_up)
        timer.start()
        try:
            answer = self._say([kind, number])
        finally:
            timer.cancel()
        if answer is not None:
            return answer["verdict"], answer["detail"]
        code = self._process.wait()
        self._process = None
        said = self._said()
        if hung.is_set():
            return "hang", f"more than {SECONDS:.0f} s"
        return ("memory" if "bad_alloc" in said else "crash"), f"exit code {code}: {said}"

    def close(self) -> None:
        self._errors.close()
        if self._process is not None:
            try:
                self._process.communicate(timeout=10)  # its input ends, and it removes its folder
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()

    def _said(self) -> str:
        """How it died, in its own words."""
        self._errors.seek(0)
        text = self._errors.read().strip().partition("Extension modules:")[0]
        return " | ".join(text.splitlines())[-1000:]

    def _start(self) -> None:
        self._errors.seek(0)
        self._errors.truncate()
        root = Path(__file__).parents[2]
        search = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.campaign.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "1"},
        )
        if self._read() is None:
            raise RuntimeError(f"a child cannot start: {self._said()}")

    def _say(self, case: list) -> dict[str, str] | None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(case) + "\n")
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


# --- in the child --------------------------------------------------------------------------------


def answer() -> None:
    """Judge the case of every line of stdin; the good files of a kind are made when it begins."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    print('"ready"', file=out, flush=True)
    cases = None
    for line in iter(sys.stdin.readline, ""):
        name, number = json.loads(line)
        if cases is None or cases.kind.name != name:
            folder = tempfile.TemporaryDirectory(prefix="campaign-")
            cases = Cases(KINDS[name], Path(folder.name))
        verdict, detail = cases.judge(number)
        print(json.dumps({"verdict": verdict, "detail": detail}), file=out, flush=True)


class Cases:
    """The cases of a kind, in an empty folder."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.paths = kind.make(folder)
        self.contents = [path.read_bytes() for path in self.paths]
        self.good = [read_good(kind, folder, path) for path in self.paths]

    def damage(self, number: int) -> tuple[Path, str]:
        """Put the case's file in its place; the path, and what was done."""
        which = number % len(self.paths)
        other = self.contents[(which + 1) % len(self.paths)]
        done = mutate(self.contents[which], other, self.kind.name, number, self.kind.odd)
        self.paths[which].write_bytes(done[0])
        return self.paths[which], done[1]

    def judge(self, number: int) -> tuple[str, str]:
        path, damage = self.damage(number)
        which = self.paths.index(path)
        with _limited_memory():
            verdict, detail = judge(self.kind, self.folder, path, self.good[which])
        path.write_bytes(self.contents[which])
        return verdict, f"{path.name}, {damage}: {detail}"


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """At most `MEMORY` more than now (where /proc says how much that is)."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    import resource

    now = int(status.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


if __name__ == "__main__":
    answer()
