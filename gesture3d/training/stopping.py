"""Stopping by SIGINT (Ctrl-C) or SIGTERM, after what is under way is safe."""

import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """The run was asked to stop and has been saved."""


@contextlib.contextmanager
def on_stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first SIGINT or SIGTERM; a second one of its kind acts as before."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def handler(number: int, _frame: object) -> None:
        stop()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
