"""Filters of inertial recordings that see nothing of the future, carried through a stream.

They are those of `signal.prepare` in one pass: a gap repeats the last value, the median is of the
last samples, and Butterworth filters run forwards only, so that they delay what they pass. They
start as if the first sample had always been.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gesture3d.data.inertial.filters import FILTER_ORDER, acceleration, split_gravity
from gesture3d.data.inertial.gaps import check_values, gap_limit
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialData


class Past(NamedTuple):
    """What the filters carry from chunk to chunk; sections are those of `scipy.signal.sosfilt`.

    Attributes:
        value: (D,), each channel's last value.
        missing: (D,), for how many samples it has been missing.
        recent: (median_steps - 1, D), the last samples.
        lowpass, gravity: (sections, 2, channels); None where there is no such filter.
    """

    value: np.ndarray
    missing: np.ndarray
    recent: np.ndarray
    lowpass: np.ndarray | None
    gravity: np.ndarray | None


def filter_chunk(
    chunk: np.ndarray,
    config: InertialData,
    past: Past | None = None,
    where: str = "stream",
    first_line: int = 1,
) -> tuple[np.ndarray, Past]:
    """The next samples of a stream, filtered: in any chunks those of the whole recording.

    Args:
        chunk: (T, D), T ≥ 1, as it was measured; NaN where values are missing, which are 0 before a
            channel's first.
        past: what the chunk before left; None: the stream begins.

    Returns:
        float32 (T, D), or (T, D + 3) with ``gravity_hz``, as `signal.prepare`; what the next needs.

    Raises:
        Gesture3dError: a gap that is too long, a value that is infinite or too large; then what the
            chunk before left still is what there is to go on from.
    """
    x = np.asarray(chunk, dtype=np.float64)
    if past is not None and x.shape[1] != len(past.value):
        raise Gesture3dError(f"{where}: {x.shape[1]} channels, but before {len(past.value)}")
    check_values(x, where, first_line)
    x, value, missing = _hold_gaps(x, past, gap_limit(config), where, first_line)
    recent, lowpass, gravity = (past.recent, past.lowpass, past.gravity) if past else (None,) * 3
    x, recent = _trailing_median(x, max(config.median_steps, 1), recent)
    if config.lowpass_hz is not None:
        x, lowpass = _one_pass(x, config.lowpass_hz, config.rate_hz, lowpass)
    low = None
    if config.gravity_hz is not None:
        total = acceleration(x, where)
        low, gravity = _one_pass(total, config.gravity_hz, config.rate_hz, gravity)
    return split_gravity(x, low, config, where), Past(value, missing, recent, lowpass, gravity)


def _hold_gaps(
    x: np.ndarray, past: Past | None, limit: float | None, where: str, first_line: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, D) with the last value where one is missing; the last values; since when they are."""
    value, before = (
        (past.value, past.missing)
        if past
        else (np.zeros(x.shape[1]), np.zeros(x.shape[1], np.int64))
    )
    steps = np.arange(len(x))[:, None]
    known = np.maximum.accumulate(np.where(np.isnan(x), -1, steps), axis=0)  # -1: before the chunk
    missing = np.where(known < 0, steps + 1 + before, steps - known)
    if limit is not None and (missing > limit).any():
        row, channel = np.argwhere(missing > limit)[0]
        raise Gesture3dError(
            f"{where}, line {first_line + row}: channel {channel + 1} has had no values for "
            f"{missing[row, channel]} samples; at most {limit:g} are repeated "
            "(data.max_gap_seconds)"
        )
    held = np.where(known < 0, value, np.take_along_axis(x, np.maximum(known, 0), axis=0))
    return held, held[-1], missing[-1]


def _trailing_median(
    x: np.ndarray, steps: int, recent: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample and the ``steps`` - 1 before it, in which the first one has always been."""
    if recent is None:
        recent = np.repeat(x[:1], steps - 1, axis=0)
    x = np.concatenate([recent, x])
    windows = np.lib.stride_tricks.sliding_window_view(x, steps, axis=0)
    return np.median(windows, axis=-1), x[len(x) - steps + 1 :]


def _one_pass(
    x: np.ndarray, cutoff_hz: float, rate_hz: float, state: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Butterworth filter along the first axis; -3 dB at ``cutoff_hz``."""
    from scipy.signal import sosfilt

    sections, steady = _butterworth(cutoff_hz, rate_hz)
    if state is None:
        state = steady[:, :, None] * x[0]
    return sosfilt(sections, x, axis=0, zi=state)


@functools.cache
def _butterworth(cutoff_hz: float, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """The filter's sections, and their state where 1 has always been."""
    from scipy.signal import butter, sosfilt_zi

    sections = butter(FILTER_ORDER, cutoff_hz, fs=rate_hz, output="sos")
    return sections, sosfilt_zi(sections)
