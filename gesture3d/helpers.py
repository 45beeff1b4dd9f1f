"""Work on many clips in helper processes.

Unlike the processes of ``multiprocessing`` they do not import the caller's main module (and with
it torch), end when the caller ends, however it ends, and when a damaged clip crashes one, it is
known which clip.
"""

import collections
import ctypes
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.files import child_environment
from gesture3d.machine import num_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_ITEMS_PER_WORKER = 20  # fewer are not worth a process
MOST_SECONDS = 900.0  # for one answer: whatever takes longer hangs
ARRAY = "numpy.ndarray"  # the key that stands for one in JSON
LAST_SECONDS = 5.0  # for what is still read when nobody wants it any more


def num_helpers(num_items: int, wanted: int | None) -> int:
    """How many helpers so many items are worth; ``wanted``: None for one per core."""
    return min(wanted or num_cores(), -(-num_items // MIN_ITEMS_PER_WORKER))


class HelperDied(Exception):
    """A helper process ended, or was ended, in the middle of its work. The message says how."""


class NotStarted(Gesture3dError):
    """A helper process ended before it was ready: the program's, or the machine's fault."""


class Helper:
    """A process that runs ``module.function(*arguments)``; started again after a crash.

    The function answers questions, see `answer_questions`.
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
            _send(self._process.stdin, question)
            return _receive(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            if hangs.is_set():
                why = f"decoding it took more than {most_seconds:g} s and was stopped"
                raise HelperDied(why) from None
            why = "out of memory?" if code == -9 else f"exit code {code}"
            raise HelperDied(f"the process that decoded it died ({why})") from None
        finally:
            limit.cancel()

    def restart(self) -> None:
        """Leave what it is at, and begin anew with the next question."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def close(self) -> None:
        self._closed = True
        self.restart()

    @staticmethod
    def _give_up(process: subprocess.Popen, hangs: threading.Event) -> None:
        hangs.set()
        process.kill()

    def _start(self) -> None:
        if self._closed:
            raise Gesture3dError("the work was stopped")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is the parent's business
        )
        try:
            _receive(self._process.stdout)
        except EOFError:
            raise NotStarted("a process that decodes clips could not be started") from None


def answer_questions(answer: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
    """The helper's side: ``answer(question, ask_back)`` for every line until the input ends.

    ``ask_back(value)`` sends a value and returns the reply to it. Values are what JSON has, and in
    them numpy's arrays, whose bytes go as they are.
    """
    import cv2

    cv2.setNumThreads(1)
    if sys.platform == "linux":  # also where it hangs, and never sees that its input has ended
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print is no answer

    def receive() -> Any:
        try:
            return _receive(sys.stdin.buffer)
        except EOFError:
            sys.exit(0)

    def ask_back(value: Any) -> Any:
        _send(out, value)
        return receive()

    _send(out, "ready")
    while True:
        _send(out, answer(receive(), ask_back))


def _send(pipe: BinaryIO, value: Any) -> None:
    """A line of JSON, then the bytes of its arrays."""
    arrays: list[np.ndarray] = []

    def described(array: Any) -> dict:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array)} cannot be sent")
        arrays.append(np.ascontiguousarray(array))
        return {ARRAY: [array.dtype.str, array.shape]}

    pipe.write(json.dumps(value, default=described).encode() + b"\n")
    for array in arrays:
        pipe.write(array.reshape(-1).view(np.uint8))
    pipe.flush()


def _receive(pipe: BinaryIO) -> Any:
    """What was sent. Raises EOFError: the other side has ended."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError

    def read(found: dict) -> Any:
        if ARRAY not in found:
            return found
        array = np.empty(found[ARRAY][1], found[ARRAY][0])
        if pipe.readinto(array.reshape(-1).view(np.uint8)) < array.nbytes:
            raise EOFError
        return array

    return json.loads(line, object_hook=read)


class HelperPool:
    """Helpers that work side by side, each at one item at a time.

    They live until `close`, over several calls of `map`.
    """

    def __init__(self, helpers: Sequence[Helper]) -> None:
        self._helpers = helpers
        self._idle: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        for helper in helpers:
            self._idle.put(helper)
        # Its threads live as long as the helpers, which end with the thread that started them.
        self._threads = ThreadPoolExecutor(len(helpers))

    def map(
        self, items: Iterable[Item], work: Callable[[Helper, Item], Result], ahead: int = 1000
    ) -> Iterator[Result]:
        """``work(helper, item)`` for every item, in order.

        Args:
            ahead: items that are begun, or done, before the next result is taken.
        """

        def with_an_idle_one(item: Item) -> Result:
            helper = self._idle.get()
            try:
                return work(helper, item)
            finally:
                self._idle.put(helper)

        items = iter(items)
        begun = collections.deque(
            self._threads.submit(with_an_idle_one, item) for item in itertools.islice(items, ahead)
        )
        try:
            while begun:
                result = begun.popleft().result()
                for item in itertools.islice(items, 1):
                    begun.append(self._threads.submit(with_an_idle_one, item))
                yield result
        finally:
            for future in begun:
                future.cancel()

    def close(self) -> None:
        """End the helpers, whatever they are at."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for helper in self._helpers:
            helper.close()
        self._threads.shutdown(wait=True)


def in_helpers(
    helpers: Sequence[Helper], items: Iterable[Item], work: Callable[[Helper, Item], Result]
) -> Iterator[Result]:
    """``work(helper, item)`` for every item, in order; then the helpers end."""
    pool = HelperPool(helpers)
    try:
        yield from pool.map(items, work)
    finally:
        pool.close()


def in_threads(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    late: Callable[[Item], Result],
    num_threads: int,
    most_seconds: float = MOST_SECONDS,
    ahead: int = 16,
) -> Iterator[Result]:
    """``work(item)`` for every item, in order, ``num_threads`` at a time.

    Where one takes more than ``most_seconds``, ``late(item)`` is its result, and another thread
    takes the place of the one that hangs, which ends with the program.
    """
    tasks: queue.SimpleQueue[_Timed | None] = queue.SimpleQueue()

    def run() -> None:
        while (task := tasks.get()) is not None:
            task.run(work)
            if task.is_late:
                return  # another one is in this one's place

    threads: set[threading.Thread] = set()

    def start() -> None:
        thread = threading.Thread(target=run, daemon=True)
        threads.add(thread)
        thread.start()

    for _ in range(num_threads):
        start()
    remaining, begun = iter(items), collections.deque()
    try:
        while True:
            for item in itertools.islice(remaining, max(ahead, num_threads) - len(begun)):
                begun.append(_Timed(item))
                tasks.put(begun[-1])
            if not begun:
                return
            task = begun.popleft()
            if not task.wait(most_seconds):
                threads.discard(task.thread)
                start()
                yield late(task.item)
            else:
                yield task.result()
    finally:
        for task in begun:
            task.is_late = True
        for _ in range(num_threads):
            tasks.put(None)
        for thread in threads:  # one that still ends while the program ends can abort it
            thread.join(timeout=LAST_SECONDS)


class _Timed:
    """An item at work in a thread."""

    def __init__(self, item: Any) -> None:
        self.item, self.is_late = item, False
        self._begun, self._done = threading.Event(), threading.Event()
        self._found: Any = None
        self._problem: BaseException | None = None

    def run(self, work: Callable[[Any], Any]) -> None:
        if self.is_late:  # nobody waits any more
            return
        self._started, self.thread = time.monotonic(), threading.current_thread()
        self._begun.set()
        try:
            self._found = work(self.item)
        except BaseException as problem:  # is raised where the result is taken
            self._problem = problem
        self._done.set()

    def wait(self, most_seconds: float) -> bool:
        """Until it is done; False where it takes too long."""
        self._begun.wait()
        left = self._started + most_seconds - time.monotonic()
        self.is_late = not self._done.wait(max(left, 0.0))
        return not self.is_late

    def result(self) -> Any:
        if self._problem:
            raise self._problem
        return self._found
