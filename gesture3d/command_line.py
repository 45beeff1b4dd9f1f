"""How every command-line tool starts and ends."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from gesture3d.errors import Gesture3dError
from gesture3d.machine import is_main_process, keep_freed_memory


def run_command_line(main: Callable[[], int | None]) -> None:
    """Run a tool's ``main`` and exit: one line instead of a traceback for what a user can cause.

    ``main`` imports torch itself, after this has set how its threads wait for each other: asleep
    rather than spinning, which costs little on idle cores and saves most of the time on busy ones.

    Exit codes: 0 done (or what ``main`` returns), 2 bad input, 130 interrupted.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = main() or 0
    except Gesture3dError as error:
        if is_main_process():
            print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # who reads the output has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:  # a full disk, a missing permission, ...
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C: as always, but at once while torch is imported, whose C++ would abort on it."""
    importing = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(importing, "_initializing", False):
        os.write(2, b"interrupted\n")
        os._exit(130)
    signal.default_int_handler(number, frame)


def add_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    """The option ``--set KEY=VALUE …``, once or several times."""
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=meaning
    )
