"""Gestures in a stream: from when to when each lasts, and files of them.

A file is a CSV whose first line names at least the columns ``path,label,start,end``; ``decided``
and ``score`` may follow, others are left. Seconds are those of the stream's own clock, its first
frame at 0; ``end`` is when the gesture is over. A row with nothing but a path is a stream without
gestures; rows labelled `NO_GESTURE` are left out, since all is that which has no other label.
"""

import csv
import io
import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.text import csv_text, one_line

NO_GESTURE = "No gesture"
"""The class of all that lies between the gestures of a stream."""

COLUMNS = ("path", "label", "start", "end")
MORE_COLUMNS = ("decided", "score")
ROUNDING = 1e-3  # seconds; by so much a written time may be off
MAX_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Event:
    """One gesture in a stream, annotated or found.

    Attributes:
        label: the name of its class.
        start, end: seconds; ``start < end``.
        decided: when the program knew, seconds; None: annotated, or found with the whole stream.
        score: of the decision, where it has one (a probability, 0..1, of our own decisions).
    """

    label: str
    start: float
    end: float
    decided: float | None = None
    score: float | None = None

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


def read_annotations(
    path: Path | str, *, may_overlap: bool = False, labels: Sequence[str] | None = None
) -> dict[str, list[Event]]:
    """The events of each stream, streams in the order of the file, events by their start.

    Args:
        may_overlap: of one stream, as what a program found may do.
        labels: the classes that there are; None: any.

    Returns:
        Path, as it is written there (relative to the file's folder, by convention) → events.

    Raises:
        Gesture3dError: no such file, another format, a time that is no number or negative, an end
            that is not behind its start, an unknown label, events that overlap; with the line.
    """
    path = Path(path)
    found: dict[str, list[tuple[Event, int]]] = {}
    for line, cells in _rows(path):
        where = f"{path}, line {line}"
        name = cells["path"]
        if not name:
            raise Gesture3dError(f"{where}: no path")
        events = found.setdefault(name, [])
        if any(cells[column] for column in COLUMNS[1:]):
            event = _event(cells, where)
            label = event.label
            if label == NO_GESTURE:
                continue
            events.append((event, line))
            if labels is not None and label not in labels:
                known = ", ".join(list(labels)[:20]) + (", …" if len(labels) > 20 else "")
                raise Gesture3dError(f"{where}: label {_shown(label)}; expected one of {known}")
    if not found:
        raise Gesture3dError(f"{path}: no annotations in it")
    for name, numbered in found.items():
        numbered.sort(key=lambda pair: (pair[0].start, pair[0].end))
        if not may_overlap:
            _refuse_overlap(name, numbered, path)
    return {name: [event for event, _ in numbered] for name, numbered in found.items()}


def check_within(events: Iterable[Event], seconds: float, where: str, clip: float = 0.0) -> list:
    """The events, where all lie within a stream that lasts so long.

    Args:
        seconds: from 0 to the end of its last frame.
        clip: by how much an end may lie behind (seconds); it is then set to the stream's end.

    Raises:
        Gesture3dError: an event that ends behind the stream.
    """
    kept = []
    for event in events:
        if event.end > seconds + max(clip, ROUNDING) or event.start >= seconds:
            raise Gesture3dError(
                f"{where}: {one_line(event.label, 40)} from {event.start:g} to {event.end:g} s; "
                f"the stream ends at {seconds:g} s: correct the annotation, or its unit (seconds)"
            )
        kept.append(replace(event, end=min(event.end, seconds)))
    return kept


def write_events(path: Path, streams: Mapping[str, Iterable[Event]]) -> None:
    """Write the events of each stream, atomically; `read_annotations` reads them back exactly.

    The columns ``decided`` and ``score`` are written where an event has one of them.

    Raises:
        Gesture3dError: the file cannot be written.
    """
    streams = {name: list(events) for name, events in streams.items()}
    given = {
        column
        for column, event in itertools.product(MORE_COLUMNS, itertools.chain(*streams.values()))
        if getattr(event, column) is not None
    }
    columns = (*COLUMNS[1:], *(column for column in MORE_COLUMNS if column in given))
    rows: list[list] = [["path", *columns]]
    for name, events in streams.items():
        rows += [[name, *map(_cell, (getattr(e, c) for c in columns))] for e in events]
        if not events:
            rows.append([name, *[""] * len(columns)])
    write_text(path, csv_text(rows))


def _cell(value: str | float | None) -> str:
    """The fewest digits that give the same number back."""
    return value if isinstance(value, str) else "" if value is None else repr(float(value))


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """(line, column → cell) of every row; separated by comma, semicolon or tab."""
    try:
        if path.stat().st_size > MAX_BYTES or not path.is_file():
            raise Gesture3dError(f"{path}: no file, or larger than {MAX_BYTES:,} bytes; split it")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Gesture3dError(f"{path}: no such file of annotations") from None
    except OSError as error:
        raise Gesture3dError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Gesture3dError(f"{path}: not a text file in UTF-8") from None
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            if not header:
                header = [cell.strip().lower() for cell in row]
                _check_header(header, path)
                continue
            if len(row) != len(header):
                raise Gesture3dError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, {len(header)} columns"
                )
            cells = dict(zip(header, map(str.strip, row), strict=True))
            yield reader.line_num, cells
    except csv.Error as error:
        raise Gesture3dError(f"{path}, line {reader.line_num}: not a CSV: {error}") from None
    if not header:
        raise Gesture3dError(f"{path}: nothing in it; expected {','.join(COLUMNS)} and rows")


def _check_header(header: list[str], path: Path) -> None:
    missing = [column for column in COLUMNS if header.count(column) != 1]
    if missing:
        raise Gesture3dError(
            f"{path}, line 1: {', '.join(missing)} must be there once; expected a first line "
            f"{','.join(COLUMNS)}, found {_shown(','.join(header))}"
        )


def _event(cells: Mapping[str, str], where: str) -> Event:
    if not cells["label"]:
        raise Gesture3dError(f"{where}: times, but no label")
    start, end = (_seconds(cells, column, where) for column in ("start", "end"))
    if start is None or end is None:
        raise Gesture3dError(f"{where}: {_shown(cells['label'])} needs a start and an end")
    if not start < end:
        raise Gesture3dError(
            f"{where}: {_shown(cells['label'])} ends at {end:g} s, not behind its start {start:g} s"
        )
    decided = _seconds(cells, "decided", where)
    return Event(sys.intern(cells["label"]), start, end, decided, _number(cells, "score", where))


def _seconds(cells: Mapping[str, str], column: str, where: str) -> float | None:
    found = _number(cells, column, where)
    if found is not None and found < 0:
        raise Gesture3dError(f"{where}: {column} {found:g} s; the stream begins at 0")
    return found


def _number(cells: Mapping[str, str], column: str, where: str) -> float | None:
    text = cells.get(column, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise Gesture3dError(f"{where}: {column} {_shown(text)} is no number") from None
    if not math.isfinite(number):
        raise Gesture3dError(f"{where}: {column} {_shown(text)}; expected a finite number")
    return number


def _refuse_overlap(name: str, numbered: list[tuple[Event, int]], path: Path) -> None:
    for (first, above), (second, below) in itertools.pairwise(numbered):
        if second.start < first.end - ROUNDING:
            raise Gesture3dError(
                f"{path}, lines {above} and {below}: in {_shown(name)}, {_shown(first.label)} "
                f"({first.start:g} to {first.end:g} s) and {_shown(second.label)} "
                f"({second.start:g} to {second.end:g} s) overlap; one gesture at a time"
            )


def _shown(text: str) -> str:
    return repr(one_line(text, 60))
