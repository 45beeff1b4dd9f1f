"""Recordings in, timelines out: which activity from when to when."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gesture3d.data.inertial.sets.hapt import read_pair
from gesture3d.data.inertial.sets.inertial_folder import InertialFolderData, read_table
from gesture3d.data.inertial.sets.utd_mhad_inertial import parse_mat
from gesture3d.data.inertial.signal import cut_windows, prepare
from gesture3d.data.inertial.stream import InertialData
from gesture3d.data.numeric import listed, parse_numbers, read_file
from gesture3d.data.walk import Walk
from gesture3d.errors import Gesture3dError, naming
from gesture3d.inference.classifier import NOT_FINITE, Classifier

RECORDING_SUFFIXES = (".csv", ".mat", ".txt")


@dataclass(frozen=True)
class Stretch:
    """An activity from ``start`` to ``stop`` (seconds) with its mean probability (0..1)."""

    start: float
    stop: float
    name: str
    probability: float


@dataclass(frozen=True)
class Timeline:
    """Attributes: channels (T, D) as the windows were cut from them, rate_hz, stretches."""

    path: Path
    channels: np.ndarray
    rate_hz: float
    stretches: list[Stretch]


def classify_recording(classifier: Classifier, path: Path | str) -> Timeline:
    """The activities of one recording, equal neighbours merged.

    The recording is filtered and cut by the code and settings that the network was trained and
    evaluated with. Where windows overlap, their probabilities are averaged; one more window ends
    with the recording, so that all of it is covered.

    Raises:
        Gesture3dError: the recording cannot be read or does not fit the network.
    """
    path, config = Path(path), classifier.experiment.data
    if not isinstance(config, InertialData):
        raise Gesture3dError(f"{classifier.weights}: made for clips, not for recordings")
    recording = read_recording(path, config, classifier.description.channel_names)
    first_line = 2 if path.suffix.lower() == ".csv" else 1
    channels = prepare(recording, config, str(path), first_line)
    expected = classifier.description.num_features
    if channels.shape[1] != expected:
        added = 3 * (config.gravity_hz is not None)
        raise Gesture3dError(
            f"{path}: {channels.shape[1] - added} channels; the network was trained on "
            f"{expected - added}"
        )
    windows, starts = cut_windows(channels, config, str(path))
    length = len(channels) if config.resample else config.window
    if starts[-1] + length < len(channels):
        starts.append(len(channels) - length)
        windows = np.concatenate([windows, channels[None, -length:]])
    scores = [classifier.scores(part) for part in torch.from_numpy(windows).split(500)]
    probabilities = torch.cat(scores).softmax(1).numpy()
    if not np.isfinite(probabilities).all():
        raise Gesture3dError(f"{path}: {NOT_FINITE}")
    stretches = merge(probabilities, starts, length, config.rate_hz, classifier.class_names)
    return Timeline(path, channels, config.rate_hz, stretches)


def merge(
    probabilities: np.ndarray,
    starts: list[int],
    length: int,
    rate_hz: float,
    class_names: list[str],
) -> list[Stretch]:
    """Windows of ``length`` samples as a timeline.

    Args:
        probabilities: (N, classes), of the windows that begin at ``starts`` (ascending).
    """
    edges = sorted({*starts, *(start + length for start in starts)})
    pieces = []  # between two edges the same windows count
    for start, stop in itertools.pairwise(edges):
        first = bisect.bisect_left(starts, stop - length)
        last = bisect.bisect_right(starts, start)
        if first < last:
            mean = probabilities[first:last].mean(axis=0)
            pieces.append((start, stop, int(mean.argmax()), float(mean.max())))
    stretches = []
    for label, group in itertools.groupby(pieces, key=lambda piece: piece[2]):
        group = list(group)
        lengths = np.array([stop - start for start, stop, _, _ in group])
        mean = float((lengths * [p for *_, p in group]).sum() / lengths.sum())
        first, last = group[0][0], group[-1][1]
        stretches.append(Stretch(first / rate_hz, last / rate_hz, class_names[label], mean))
    return stretches


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
        if not isinstance(config, InertialFolderData):
            config = InertialFolderData(name="inertial_folder", rate_hz=config.rate_hz)
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


def find_recordings(path: Path | str, walk: Walk | None = None) -> list[Path]:
    """The recording at a path, or those in a folder and below.

    Args:
        walk: collects what cannot be read; folders that it has been in are not entered again.

    Raises:
        Gesture3dError: the path does not exist, or has none in it.
    """
    path, walk = Path(path), walk or Walk()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise Gesture3dError(f"{path}: no such file or directory")
    if walk.has_entered(path):
        return []
    found = [
        p
        for p in walk.files_below(path, RECORDING_SUFFIXES)
        if p.suffix.lower() != ".txt" or p.name.startswith("acc_")
    ]
    if not found:
        raise Gesture3dError(f"{path}: no recordings ({', '.join(RECORDING_SUFFIXES)}) in it")
    return found
