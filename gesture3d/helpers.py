"""Work on many clips in helper processes.

Unlike the processes of ``multiprocessing`` they do not import the caller's main module (and with
it torch), end when the caller ends, however it ends, and when a damaged clip crashes one, it is
known which clip.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.machine import num_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_ITEMS_PER_WORKER = 20  # fewer are not worth a process
MOST_SECONDS = 900.0  # for one answer: whatever takes longer hangs


def num_helpers(num_items: int, wanted: int | None) -> int:
    """How many helpers so many items are worth; ``wanted``: None for one per core."""
    return min(wanted or num_cores(), -(-num_items // MIN_ITEMS_PER_WORKER))


class HelperDied(Exception):
    """A helper process ended, or was ended, in the middle of its work. The message says how."""


class Helper:
    """A process that runs ``module.function(*arguments)``; started again after a crash.

    The function answers questions, a line of JSON each, see `answer_questions`.
    """

    def __init__(self, module: str, function: str, *arguments: str) -> None:
        program = f"import sys; from {module} import {function}; {function}(*sys.argv[1:])"
        self._command = [sys.executable, "-c", program, *arguments]
        self._process: subprocess.Popen | None = None
        self._closed = False

    def ask(self, question: Any, most_seconds: float = MOST_SECONDS) -> Any:
        """The helper's answer. Raises HelperDied, also where it takes too long."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        hangs = threading.Event()
        limit = threading.Timer(most_seconds, self._give_up, [self._process, hangs])
        limit.daemon = True
        limit.start()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return self._read()
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            if hangs.is_set():
                why = f"decoding it took more than {most_seconds:g} s and was stopped"
                raise HelperDied(why) from None
            why = "out of memory?" if code == -9 else f"exit code {code}"
            raise HelperDied(f"the process that decoded it died ({why})") from None
        finally:
            limit.cancel()

    def close(self) -> None:
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @staticmethod
    def _give_up(process: subprocess.Popen, hangs: threading.Event) -> None:
        hangs.set()
        process.kill()

    def _start(self) -> None:
        if self._closed:
            raise Gesture3dError("the work was stopped")
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

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        return json.loads(line)


def answer_questions(answer: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
    """The helper's side: ``answer(question, ask_back)`` for every line until the input ends.

    ``ask_back(value)`` sends a value and returns the reply to it.
    """
    import cv2

    cv2.setNumThreads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer

    def send(value: Any) -> None:
        print(json.dumps(value), file=out, flush=True)

    def ask_back(value: Any) -> Any:
        send(value)
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        return json.loads(line)

    send("ready")
    for line in iter(sys.stdin.readline, ""):
        send(answer(json.loads(line), ask_back))


def in_helpers(
    helpers: Sequence[Helper], items: Sequence[Item], work: Callable[[Helper, Item], Result]
) -> Iterator[Result]:
    """``work(helper, item)`` for every item, in order, each helper at one item at a time."""
    idle: queue.SimpleQueue[Helper] = queue.SimpleQueue()
    for helper in helpers:
        idle.put(helper)

    def with_an_idle_one(item: Item) -> Result:
        helper = idle.get()
        try:
            return work(helper, item)
        finally:
            idle.put(helper)

    pool = ThreadPoolExecutor(len(helpers))
    try:
        yield from pool.map(with_an_idle_one, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for helper in helpers:
            helper.close()
        pool.shutdown(wait=True)
