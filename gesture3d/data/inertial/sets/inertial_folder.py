"""Anyone's inertial recordings or windows as CSV files with a header."""

import array
import csv
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture3d.config import InertialFolderData
from gesture3d.data.inertial.dataset import Windows
from gesture3d.data.inertial.signal import check_rate, cut_windows, prepare
from gesture3d.data.numeric import bad_value, listed, read_file, separator_of, shown, text_lines
from gesture3d.data.walk import Walk
from gesture3d.errors import Gesture3dError, did_you_mean, naming


@dataclass(frozen=True)
class Table:
    """One CSV file: ``channels`` (T, D) by ``names``, and the text of the other columns."""

    path: Path
    names: tuple[str, ...]
    channels: np.ndarray
    texts: dict[str, list[str]]


def read_inertial_folder(config: InertialFolderData) -> Windows:
    """Windows of all ``.csv`` files below ``root`` (or of that one file).

    A file is one recording, a row a sample. Its columns: ``label``; perhaps ``subject`` (default:
    the file's name), ``split`` and ``time`` (seconds, checked against ``rate_hz``); all others are
    channels. Each stretch of rows with one label, subject and split is cut into windows; rows
    with an empty label are left out. With a column ``window``, each stretch of rows with the same
    value in it is a window as it stands, and nothing is filtered.

    Raises:
        Gesture3dError: anything wrong with a file, with its line; stretches without any window.
    """
    root = config.root
    walk = Walk()
    paths = [root] if root.is_file() else walk.files_below(root, [".csv"])
    if root.is_dir():
        walk.report(progress=False)
    if not paths:
        raise Gesture3dError(f"{root}: no .csv files there; point data.root at your recordings")
    parts, keys, labels, subjects, splits = [], [], [], [], []
    names: tuple[str, ...] | None = None
    for path in paths:
        table = read_table(path, config)
        names = names or table.names
        if table.names != names:
            raise Gesture3dError(
                f"{path}: channels {listed(table.names)}, but {paths[0]} has {listed(names)}"
            )
        if config.label_column not in table.texts:
            raise Gesture3dError(f"{path}, line 1: no column {config.label_column!r}")
        for windows, starts, (label, subject, split) in _cut(table, config):
            key = path.stem if path == root else path.relative_to(root).with_suffix("").as_posix()
            parts.append(windows)
            keys += [f"{key}:{start + 2}" for start in starts]  # the line of its first row
            labels += [label] * len(starts)
            subjects += [subject] * len(starts)
            splits += [split] * len(starts)
    if not parts:
        raise Gesture3dError(
            f"{root}: no stretch of one label holds {config.window} samples; choose a smaller "
            "data.window, or data.resample=true"
        )
    _check_test_subjects(config, subjects, splits)
    splits = [
        s or ("test" if who in config.test_subjects else "train")
        for s, who in zip(splits, subjects, strict=True)
    ]
    class_names = tuple(sorted(set(labels)))
    number_of = {name: number for number, name in enumerate(class_names)}
    numbers = np.array([number_of[label] for label in labels])
    return Windows(np.concatenate(parts), keys, numbers, subjects, splits, class_names, names)


def _check_test_subjects(
    config: InertialFolderData, subjects: list[str], splits: list[str]
) -> None:
    if config.test_subjects and any(splits):
        raise Gesture3dError(
            f"data.test_subjects: the recordings come with a split already, in the column "
            f"{config.split_column!r}"
        )
    known = sorted(set(subjects))
    for subject in config.test_subjects:
        if subject not in known:
            raise Gesture3dError(
                f"data.test_subjects: no windows of subject {subject!r}; there are "
                f"{listed(known)}.{did_you_mean(subject, known)}"
            )


def read_table(path: Path, config: InertialFolderData) -> Table:
    """A file's channels, not yet filtered; empty cells are NaN.

    Raises:
        Gesture3dError: no header, a row of another length, something that is no number, no
            channels, or times that are not those of ``rate_hz``.
    """
    with naming(path):
        content = read_file(path)
    rows = _rows(content, path)
    header = [name.strip() for _, row in itertools.islice(rows, 1) for name in row]
    places: dict[str, int] = {}
    for column, name in enumerate(header):
        if not name or name in places:
            what = f"is called {shown(name)}, as an earlier one is" if name else "has no name"
            raise Gesture3dError(f"{path}, line 1: column {column + 1} {what}")
        places[name] = column
    roles = ("label", "subject", "split", "time", "window")
    special = {getattr(config, f"{role}_column") for role in roles} & set(places)
    ignored = special | set(config.ignore_columns)
    names = tuple(name for name in header if name not in ignored)
    if header and not names:
        raise Gesture3dError(f"{path}, line 1: no columns with channels")
    with_times = config.time_column in special and config.window_column not in special
    texts: dict[str, list[str]] = {name: [] for name in special}
    channels, times = array.array("d"), []
    for line, row in rows:
        if len(row) != len(header):
            raise Gesture3dError(f"{path}, line {line}: {len(row)} cells, {len(header)} columns")
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


def _rows(content: bytes, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a CSV."""
    reader = csv.reader(text_lines(content, str(path)), delimiter=separator_of(content))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise Gesture3dError(f"{path}, line {reader.line_num}: {error}") from None


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
