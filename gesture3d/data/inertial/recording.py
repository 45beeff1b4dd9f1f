"""One recording as it was measured, and the windows that cover it."""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.csv_text import column_places, csv_rows
from gesture3d.data.inertial.signal import check_rate, cut_windows, prepare
from gesture3d.data.matlab import read_array
from gesture3d.data.numeric import listed, no_number, parse_numbers, read_file, read_named
from gesture3d.data.sets import Cut
from gesture3d.errors import Gesture3dError, naming

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialData
    from gesture3d.data.spec import InputSpec

RECORDING_SUFFIXES = frozenset((".csv", ".mat", ".txt"))


@dataclass(frozen=True)
class Columns:
    """How the columns of a ``.csv`` file that are no channels are named."""

    label: str = "label"
    subject: str = "subject"
    split: str = "split"
    time: str = "time"  # seconds
    window: str = "window"
    ignored: tuple[str, ...] = ()

    @property
    def special(self) -> tuple[str, ...]:
        """Those that mean something."""
        return self.label, self.subject, self.split, self.time, self.window


@dataclass(frozen=True)
class Table:
    """One CSV file: ``channels`` (T, D) by ``names``, and the text of the other columns."""

    path: Path
    names: tuple[str, ...]
    channels: np.ndarray
    texts: dict[str, list[str]]


def cut_recording(path: Path, config: InertialData, spec: InputSpec) -> Cut:
    """A recording filtered and cut by the code and settings of training and evaluation; one more
    window ends with the recording, so that all of it is covered.

    Raises:
        Gesture3dError: the recording cannot be read or does not fit the network.
    """
    import torch

    recording = read_recording(path, config, spec.channel_names)
    first_line = 2 if path.suffix.lower() == ".csv" else 1
    signal = prepare(recording, config, str(path), first_line)
    expected = spec.num_features
    if signal.shape[1] != expected:
        added = 3 * (config.gravity_hz is not None)
        raise Gesture3dError(
            f"{path}: {signal.shape[1] - added} channels; the network was trained on "
            f"{expected - added}"
        )
    windows, starts = cut_windows(signal, config, str(path))
    length = len(signal) if config.resample else config.window
    if starts[-1] + length < len(signal):
        starts.append(len(signal) - length)
        windows = np.concatenate([windows, signal[None, -length:]])
    rate = config.rate_hz
    spans = [(start / rate, (start + length) / rate) for start in starts]
    return Cut(list(torch.from_numpy(windows)), spans, signal, rate)


def read_recording(
    path: Path, config: InertialData, channel_names: Sequence[str] | None = None
) -> np.ndarray:
    """A recording as it was measured: (T, D), in the units of the training data.

    A ``.csv`` with a header (columns named label, time and so on are no channels; a time column is
    checked against the sampling rate), UTD-MHAD's ``.mat``, or HAPT's ``acc_….txt`` with its
    ``gyro_….txt`` beside it.

    Args:
        channel_names: columns of a ``.csv``, in the order that is wanted; others are left out.
            None: all channels as they stand.

    Raises:
        Gesture3dError: none of these, damaged, or without one of the channels.
    """
    if not path.is_file():
        raise Gesture3dError(f"{path}: no such recording")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        table = read_table(path, config)
        if channel_names is None:
            return table.channels
        missing = sorted(set(channel_names) - set(table.names))
        if missing:
            raise Gesture3dError(
                f"{path}, line 1: no column {listed(missing)}; the network was trained on "
                f"{listed(channel_names)}"
            )
        places = {name: column for column, name in enumerate(table.names)}
        return table.channels[:, [places[name] for name in channel_names]]
    if suffix == ".mat":
        with naming(path):
            content = read_file(path)
        return parse_mat(content, str(path))
    if suffix == ".txt" and path.name.startswith("acc_"):
        return read_pair(_numbers, str(path), str(path))
    raise Gesture3dError(f"{path}: not a recording: expected .csv, .mat, or acc_….txt of HAPT")


def _numbers(path: str, columns: int) -> np.ndarray:
    with naming(path):
        content = read_file(path)
    return parse_numbers(content, path, columns)


def read_table(path: Path, config: InertialData) -> Table:
    """A file's channels, not yet filtered; empty cells are NaN.

    Raises:
        Gesture3dError: no header, a row of another length, something that is no number, no
            channels, or times that are not those of ``rate_hz``.
    """
    rows = csv_rows(read_named(path), str(path))
    places = column_places(next(rows, (1, []))[1], str(path))
    columns = config.columns
    special = {*columns.special} & set(places)
    ignored = special | set(columns.ignored)
    names = tuple(name for name in places if name not in ignored)
    if places and not names:
        raise Gesture3dError(f"{path}, line 1: no columns with channels")
    with_times = columns.time in special and columns.window not in special
    texts: dict[str, list[str]] = {name: [] for name in special}
    channels, times = array.array("d"), []
    for line, row in rows:
        channels.extend([_number(row[places[n]], path, line, n) for n in names])
        for name, values in texts.items():
            values.append(sys.intern(row[places[name]].strip()))
        if with_times:
            times.append(_number(texts[columns.time][-1], path, line, columns.time))
    if not channels:
        raise Gesture3dError(f"{path}: a line with column names and at least one row are needed")
    if with_times:
        check_rate(np.array(times), config.rate_hz, str(path), first_line=2)
    return Table(path, names, np.array(channels).reshape(-1, len(names)), texts)


def _number(text: str, path: Path, line: int, column: str) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise Gesture3dError(f"{path}, line {line}: {column} {no_number(text)}") from None


def parse_mat(content: bytes, where: str) -> np.ndarray:
    """``d_iner`` of a .mat file (T, 6): acceleration in g; angular velocity, deg/s made rad/s.

    Raises:
        Gesture3dError: not such a file.
    """
    with naming(where):
        recording = read_array(content, "d_iner")
    if recording.ndim != 2 or recording.shape[1] != 6:
        raise Gesture3dError(f"{where}: 'd_iner' has shape {recording.shape}, expected (T, 6)")
    recording = recording.astype(np.float64)
    with np.errstate(invalid="ignore"):  # a NaN is a gap, of whatever bits
        recording[:, 3:] = np.deg2rad(recording[:, 3:])
    return recording


def read_pair(
    numbers: Callable[[str, int], np.ndarray], acceleration: str, where: str
) -> np.ndarray:
    """A raw recording (T, 6): acceleration in g, angular velocity in rad/s.

    Args:
        numbers: (name, columns) → the numbers of that file.
        acceleration: the name of the acc_…txt file; its gyro_…txt is beside it.

    Raises:
        Gesture3dError: a file is missing or damaged, or the two differ in length.
    """
    folder, _, name = acceleration.rpartition("acc_")
    gyroscope = f"{folder}gyro_{name}"
    acc, gyro = numbers(acceleration, 3), numbers(gyroscope, 3)
    if len(acc) != len(gyro):
        raise Gesture3dError(
            f"{where}: {len(acc)} samples, but {gyroscope} has {len(gyro)}; the channels of a "
            "recording must be of one length"
        )
    return np.concatenate([acc, gyro], axis=1)
