"""How every command-line tool starts and ends."""

import argparse
import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO

from gesture3d.errors import Gesture3dError
from gesture3d.machine import is_main_process, is_out_of_memory, keep_freed_memory
from gesture3d.text import for_terminal, one_line

LONGEST_MESSAGE = 2000  # characters


def run_command_line(main: Callable[[], int | None]) -> None:
    """Run a tool's ``main`` and exit: one line instead of a traceback for what a user can cause.

    ``main`` imports torch itself, after this has set how its threads wait for each other: asleep
    rather than spinning, which costs little on idle cores and saves most of the time on busy ones.
    What is printed meanwhile gives the terminal no commands, and what it cannot show has numbers.

    Exit codes: 0 done (or what ``main`` returns), 2 bad input, 130 interrupted, 141 nobody reads
    the output any more.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    _guard(sys.stdout)
    _guard(sys.stderr, with_bars=True)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = main() or 0
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        code = 130
    except BrokenPipeError:  # who reads the output has seen enough, as in `... | head`
        code = 141
    except Exception as error:
        message = _one_line(error)
        if message is None:
            raise
        if is_main_process() or not isinstance(error, Gesture3dError):  # all meet that one
            _say(f"error: {message}")
        code = 2
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            try:
                stream.flush()
            except OSError:  # closed or full: nothing more can be said, at the exit neither
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _one_line(error: Exception) -> str | None:
    """What to say of an error that a user can cause; None of a fault of the program."""
    if isinstance(error, Gesture3dError):
        return str(error)
    if is_out_of_memory(error):
        last_line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        return (
            "out of memory: take smaller batches (train.batch_size, train.eval_batch_size, "
            "--batch-size), smaller or shorter samples (data.size, data.num_frames) or fewer "
            f"workers (data.num_workers); it was: {one_line(last_line, 300)}"
        )
    if isinstance(error, OSError):  # a full disk, a missing permission, ...
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    if isinstance(error, UnicodeEncodeError) and sys.getfilesystemencoding() != "utf-8":
        return f"{error.object!r}: no name of a file under this locale; set PYTHONUTF8=1"
    if "DataLoader worker" in str(error):
        from gesture3d.data.loader import explain_dead_worker

        return explain_dead_worker(error)
    return None


def _say(message: str) -> None:
    """Why the tool ends, where anyone listens."""
    with contextlib.suppress(OSError):
        print(one_line(message, LONGEST_MESSAGE), file=sys.stderr)


def _guard(stream: TextIO | None, *, with_bars: bool = False) -> None:
    """Let a stream escape what it cannot encode, and what a terminal would obey."""
    if isinstance(stream, io.TextIOWrapper):  # not where a caller collects the text
        stream.reconfigure(errors="backslashreplace")
        write = stream.write
        cut = _cut if with_bars else str  # what is said, never results
        stream.write = lambda text: write(for_terminal(cut(text), with_bars=with_bars))


def _cut(text: str) -> str:
    """Without the rest of endless lines: argparse repeats whatever it was given."""
    if len(text) <= LONGEST_MESSAGE:
        return text
    return "\n".join(
        line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"
        for line in text.split("\n")
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C: as always, but at once while torch is imported, whose C++ would abort on it."""
    importing = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(importing, "_initializing", False):
        os.write(2, b"interrupted\n")
        os._exit(130)
    signal.default_int_handler(number, frame)


def whole(highest: int) -> Callable[[str], int]:
    """The type of an option that takes 1 … ``highest``."""

    def read(text: str) -> int:
        value = int(text[:20])
        if not 1 <= value <= highest:
            raise argparse.ArgumentTypeError(f"{value}: must be from 1 to {highest}")
        return value

    read.__name__ = "whole number"  # as argparse names it
    return read


def seconds(text: str) -> float:
    """The type of an option that takes a time: more than none, ten days at most."""
    value = float(text[:20])
    if not 0.0 < value <= 864_000.0:
        raise argparse.ArgumentTypeError(f"{value:g}: must be more than 0, and at most 864000")
    return value


def share(text: str) -> float:
    """The type of an option that takes a share of something, but for none or all of it."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: not a share such as 0.95") from None
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 1")
    return value


def add_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    """The option ``--set KEY=VALUE …``, once or several times."""
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=meaning
    )


def add_record(parser: argparse.ArgumentParser) -> None:
    """The option ``--record FILE.csv``."""
    parser.add_argument(
        "--record",
        type=Path,
        metavar="CSV",
        help="write the row of this result, or replace it, in a table such as configs/results.csv, "
        "and the tables of the README.md beside it",
    )


def how_to_start(tool: str, *options: str | Path) -> str:
    """The command for a tool, in the way in which this program was started: ``python tools/…`` or
    ``gesture3d …``, with ``uv run`` where that was before it. What is no tool is told the second.
    """
    started = next((word for word in sys.orig_argv[1:] if not word.startswith("-")), "")
    script = Path(started).with_name(f"{tool}.py") if started.endswith(".py") else Path()
    is_uv = "UV_RUN_RECURSION_DEPTH" in os.environ
    if script.is_file():
        words = [*(["uv", "run"] if is_uv else sys.orig_argv[:1]), str(script)]
    else:
        words = [*(["uv", "run"] if is_uv else []), "gesture3d", tool]
    return shlex.join([*words, *map(str, options)])


def as_typed(tool: str) -> str:
    """This command: the tool, and its options as they were given."""
    return shlex.join([f"tools/{tool}.py", *sys.argv[1:]])
