"""The exceptions for everything a user can cause."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path


class Gesture3dError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


class VideoError(Gesture3dError):
    """A clip that cannot be decoded completely. One line: path and reason."""

    def __init__(self, path: Path, reason: str) -> None:
        shown = str(path).encode(errors="backslashreplace").decode()
        super().__init__(f"{shown}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple:
        return VideoError, (self.path, self.reason)


@contextlib.contextmanager
def naming(where: object) -> Iterator[None]:
    """Put ``where: `` before the message of a `Gesture3dError` of the block."""
    try:
        yield
    except Gesture3dError as error:
        raise Gesture3dError(f"{where}: {error}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest of ``known``, or nothing where none is close."""
    close = difflib.get_close_matches(str(name)[:200], [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
