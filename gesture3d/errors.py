"""The one exception for everything a user can cause, and how command lines end on it."""

import difflib
import sys
from collections.abc import Callable, Iterable


class Gesture3dError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest of ``known``, or nothing where none is close."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def run_command_line(main: Callable[[], int | None]) -> None:
    """Run a tool's ``main`` and exit: one line instead of a traceback for what a user can cause.

    Exit codes: 0 done (or what ``main`` returns), 2 bad input, 130 interrupted.
    """
    try:
        code = main() or 0
    except Gesture3dError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:  # a full disk, a missing permission, ...
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
