"""Foreign text (names of files and classes, messages) where it could be taken for something else.

What a terminal, a line, a table or a picture cannot hold is written as Python would: ``\\x1b``.
"""

import csv
import re
from collections.abc import Iterable
from typing import Any

# Control characters, line separators, changes of the writing direction, undecodable bytes.
_COMMANDS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_LINE = re.compile(f"[{_COMMANDS}]")
_ON_A_TERMINAL = re.compile(rf"(?![\n\t])[{_COMMANDS}]")
_BESIDE_BARS = re.compile(rf"(?![\n\t\r]|\x1b\[A)[{_COMMANDS}]")
# An underscore inside a word and a "<" before a number are no markup.
_MARKUP = re.compile(r"[\\`*|$~\[\]]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=[A-Za-z#])")


def escaped(text: str) -> str:
    """Every character by its number: ``\\n``, ``\\u6325``."""
    return text.encode("unicode_escape").decode("ascii")


def one_line(text: Any, limit: int | None = None) -> str:
    """Text on one line, without control characters, and with at most ``limit`` characters."""
    line = _IN_A_LINE.sub(lambda found: escaped(found[0]), str(text))
    if limit is None or len(line) <= limit:
        return line
    end = (limit - 1) // 3
    return f"{line[: limit - 1 - end]}…{line[len(line) - end :]}"


def for_terminal(text: str, *, with_bars: bool = False) -> str:
    """Text of one or several lines that gives a terminal no commands.

    Args:
        with_bars: but those of tqdm's progress bars (to the start of the line, up).
    """
    commands = _BESIDE_BARS if with_bars else _ON_A_TERMINAL
    return commands.sub(lambda found: escaped(found[0]), text)


def lines_of(text: str) -> list[str]:
    """The lines of a text file. What `str.splitlines` takes for ends as well may be in names."""
    return re.split(r"\r\n|\r|\n", text)


def markdown(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", one_line(text))


def markdown_code(text: str, language: str = "") -> list[str]:
    """Lines of Markdown: a block of code, whatever is in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """CSV with lines ending in ``\\n`` that gives back every text, also one with a lone ``\\r``."""

    class Lines(list):
        def write(self, line: str) -> None:
            self.append(line.removesuffix("\r\n") + "\n")

    lines = Lines()
    # With the terminator "\n" alone, a "\r" would be written without quotes, and end a line.
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)
