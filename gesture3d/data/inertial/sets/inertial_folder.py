"""Anyone's inertial recordings or windows as CSV files with a header."""

import array
import itertools
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.csv_text import column_places, csv_rows
from gesture3d.data.index import Index
from gesture3d.data.inertial.signal import check_rate, cut_windows, prepare
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.data.numeric import bad_value, listed, read_named, shown
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Name, Place


@dataclass(frozen=True)
class Table:
    """One CSV file: ``channels`` (T, D) by ``names``, and the text of the other columns."""

    path: Path
    names: tuple[str, ...]
    channels: np.ndarray
    texts: dict[str, list[str]]


class InertialFolderData(InertialData):
    """Anyone's recordings or windows as CSV files with a header; see `read`."""

    name: Literal["inertial_folder"]
    root: Place = Path("data/recordings")  # a folder of .csv files, or one
    label_column: str = "label"
    subject_column: str = "subject"
    split_column: str = "split"  # train, validation or test
    time_column: str = "time"  # seconds
    window_column: str = "window"  # rows of one number are a window that was cut already
    ignore_columns: tuple[Name, ...] = ()

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """Windows of all ``.csv`` files below ``root`` (or of that one file).

        A file is one recording, a row a sample. Its columns: ``label``; perhaps ``subject``
        (default: the file's name), ``split`` and ``time`` (seconds, checked against ``rate_hz``);
        all others are channels. Each stretch of rows with one label, subject and split is cut into
        windows; rows with an empty label are left out. With a column ``window``, each stretch of
        rows with the same value in it is a window as it stands, and nothing is filtered.

        Raises:
            Gesture3dError: anything wrong with a file, with its line; stretches without any window.
        """
        from gesture3d.data.walk import Walk

        root = self.root
        walk = Walk()
        paths = [root] if root.is_file() else walk.files_below(root, [".csv"])
        if root.is_dir():
            walk.report(progress=False)
        if not paths:
            raise Gesture3dError(f"{root}: no .csv files there; point data.root at your recordings")
        parts, keys, labels, subjects, splits = [], [], [], [], []
        names: tuple[str, ...] | None = None
        for path in paths:
            table = read_table(path, self)
            names = names or table.names
            if table.names != names:
                raise Gesture3dError(
                    f"{path}: channels {listed(table.names)}, but {paths[0]} has {listed(names)}"
                )
            if self.label_column not in table.texts:
                raise Gesture3dError(f"{path}, line 1: no column {self.label_column!r}")
            for windows, starts, (label, subject, split) in _cut(table, self):
                key = (
                    path.stem if path == root else path.relative_to(root).with_suffix("").as_posix()
                )
                parts.append(windows)
                keys += [f"{key}:{start + 2}" for start in starts]  # the line of its first row
                labels += [label] * len(starts)
                subjects += [subject] * len(starts)
                splits += [split] * len(starts)
        if not parts:
            raise Gesture3dError(
                f"{root}: no stretch of one label holds {self.window} samples; choose a smaller "
                "data.window, or data.resample=true"
            )
        class_names = tuple(sorted(set(labels)))
        number_of = {name: number for number, name in enumerate(class_names)}
        numbers = [number_of[label] for label in labels]
        windows = np.concatenate(parts)
        return windows_index(class_names, windows, keys, numbers, subjects, splits, names)


def read_table(path: Path, config: InertialFolderData) -> Table:
    """A file's channels, not yet filtered; empty cells are NaN.

    Raises:
        Gesture3dError: no header, a row of another length, something that is no number, no
            channels, or times that are not those of ``rate_hz``.
    """
    rows = csv_rows(read_named(path), str(path))
    places = column_places(next(rows, (1, []))[1], str(path))
    roles = ("label", "subject", "split", "time", "window")
    special = {getattr(config, f"{role}_column") for role in roles} & set(places)
    ignored = special | set(config.ignore_columns)
    names = tuple(name for name in places if name not in ignored)
    if places and not names:
        raise Gesture3dError(f"{path}, line 1: no columns with channels")
    with_times = config.time_column in special and config.window_column not in special
    texts: dict[str, list[str]] = {name: [] for name in special}
    channels, times = array.array("d"), []
    for line, row in rows:
        channels.extend([_number(row[places[n]], path, line, n) for n in names])
        for name, values in texts.items():
            values.append(sys.intern(row[places[name]].strip()))
        if with_times:
            times.append(_number(texts[config.time_column][-1], path, line, config.time_column))
    if not channels:
        raise Gesture3dError(f"{path}: a line with column names and at least one row are needed")
    if with_times:
        check_rate(np.array(times), config.rate_hz, str(path), first_line=2)
    return Table(path, names, np.array(channels).reshape(-1, len(names)), texts)


def _number(text: str, path: Path, line: int, column: str) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise Gesture3dError(f"{path}, line {line}: {column} {shown(text)} is no number") from None


def _cut(table: Table, config: InertialFolderData):
    """(windows, their first rows, (label, subject, split)) for every labelled stretch."""
    path, count = table.path, len(table.channels)
    stem = [path.stem] * count
    labels = table.texts[config.label_column]
    subjects = table.texts.get(config.subject_column, stem)
    splits = table.texts.get(config.split_column, [""] * count)
    given = config.window_column in table.texts
    numbers = table.texts.get(config.window_column, [""] * count)
    signal = table.channels if given else prepare(table.channels, config, str(path), first_line=2)
    if given and (bad := bad_value(signal)) is not None:
        value = f"the value {signal[bad]:g}" if signal[bad] == signal[bad] else "an empty value"
        raise Gesture3dError(f"{path}, line {bad[0] + 2}: a window with {value}")
    rows = zip(labels, subjects, splits, numbers, strict=True)
    for (label, subject, split, _), stretch in itertools.groupby(
        range(count), key=list(rows).__getitem__
    ):
        stretch = list(stretch)
        start, stop = stretch[0], stretch[-1] + 1
        where = f"{path}, line {start + 2}"
        if split not in ("", "train", "validation", "test"):
            raise Gesture3dError(
                f"{where}: split {shown(split)}; must be train, validation or test"
            )
        if not label:
            continue
        if given and stop - start != config.window and not config.resample:
            raise Gesture3dError(
                f"{where}: a window of {stop - start} rows, but data.window is {config.window}"
            )
        if stop - start < config.window and not config.resample:
            continue
        windows, starts = cut_windows(signal, config, where, start, stop)
        yield windows.astype(np.float32), starts, (label, subject, split)
