"""Anyone's inertial recordings or windows as CSV files with a header."""

import itertools
from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.index import Index, refuse_same_files
from gesture3d.data.inertial.recording import Columns, Table, read_table
from gesture3d.data.inertial.signal import cut_windows, prepare
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.data.numeric import bad_value, listed, shown
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Name, Place


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

    @property
    def columns(self) -> Columns:
        return Columns(
            self.label_column,
            self.subject_column,
            self.split_column,
            self.time_column,
            self.window_column,
            self.ignore_columns,
        )

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
        refuse_same_files(paths)
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
