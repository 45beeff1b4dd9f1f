"""Recordings as arrays (T, D): what becomes the network's input, in windows. Pure functions, used
in training, evaluation and classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.inertial.causal import filter_chunk
from gesture3d.data.inertial.filters import acceleration, lowpass, split_gravity
from gesture3d.data.inertial.gaps import gap_limit, interpolate_gaps
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialData


def prepare(
    recording: np.ndarray, config: InertialData, where: str = "recording", first_line: int = 1
) -> np.ndarray:
    """A recording as it was measured → the channels that windows are cut from.

    Gaps are interpolated, then a median filter and a low-pass filter take the noise away, then a
    low-pass filter splits the acceleration into gravity and body. All filters are without delay
    (Butterworth filters run forwards and backwards); with ``causal_filters`` they see nothing of
    the future, see `gesture3d.data.inertial.causal`.

    Args:
        recording: (T, D); with ``gravity_hz`` the first three channels are the acceleration.
        first_line: of the recording in its file, for messages.

    Returns:
        float32 (T, D), or (T, D + 3) with ``gravity_hz``: body acceleration, the other channels,
        total acceleration, as in UCI HAR.

    Raises:
        Gesture3dError: a gap that is too long, a value that is infinite or too large.
    """
    if len(recording) == 0:
        raise Gesture3dError(f"{where}: has no samples")
    if config.causal_filters:
        return filter_chunk(recording, config, None, where, first_line)[0]
    limit = gap_limit(config)
    x = interpolate_gaps(np.asarray(recording, dtype=np.float64), limit, where, first_line)
    if config.median_steps > 1:
        from scipy import ndimage

        x = ndimage.median_filter(x, size=(config.median_steps, 1), mode="nearest")
    if config.lowpass_hz is not None:
        x = lowpass(x, config.lowpass_hz, config.rate_hz)
    gravity = None
    if config.gravity_hz is not None:
        gravity = lowpass(acceleration(x, where), config.gravity_hz, config.rate_hz)
    return split_gravity(x, gravity, config, where)


def window_starts(start: int, stop: int, window: int, step: int) -> range:
    """Where windows that lie wholly in ``start … stop - 1`` begin."""
    return range(start, stop - window + 1, step)


def cut_windows(
    x: np.ndarray, config: InertialData, where: str, start: int = 0, stop: int | None = None
) -> tuple[np.ndarray, list[int]]:
    """Windows (N, window, D) of a stretch of a recording, and where each begins.

    With ``resample`` the whole stretch becomes one window.

    Raises:
        Gesture3dError: the stretch is shorter than a window.
    """
    stop = len(x) if stop is None else stop
    if config.resample:
        if stop - start < 2:
            raise Gesture3dError(f"{where}: {stop - start} samples; at least 2 are needed")
        positions = np.linspace(start, stop - 1, config.window)
        return sample_at(x, positions)[None], [start]
    starts = list(window_starts(start, stop, config.window, config.step))
    if not starts:
        raise Gesture3dError(
            f"{where}: {stop - start} samples, but a window takes {config.window}; choose a "
            "smaller data.window, or data.resample=true"
        )
    return np.stack([x[s : s + config.window] for s in starts]), starts


def sample_at(x: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(T, D) at fractional steps, linearly interpolated; beyond the ends, the end's value."""
    positions = np.clip(positions, 0, len(x) - 1)
    below = np.minimum(positions.astype(int), max(len(x) - 2, 0))
    share = (positions - below)[:, None].astype(x.dtype)
    above = np.minimum(below + 1, len(x) - 1)
    return x[below] * (1 - share) + x[above] * share


def check_rate(times: np.ndarray, rate_hz: float, where: str, first_line: int = 1) -> None:
    """Raise Gesture3dError unless these times (seconds) are those of ``rate_hz``, within 5 %, and
    ascend without a jump of more than a second."""
    steps = np.diff(times)
    if len(steps) == 0:
        return
    wrong = np.flatnonzero(~(steps > 0) | (steps > 1.0 + 1.05 / rate_hz))
    if len(wrong):
        row = wrong[0]
        raise Gesture3dError(
            f"{where}, line {first_line + row + 1}: the time goes from {times[row]:g} to "
            f"{times[row + 1]:g} s; split the recording there"
        )
    found = 1 / np.median(steps)
    if abs(found / rate_hz - 1) > 0.05:
        raise Gesture3dError(
            f"{where}: sampled at {found:.1f} Hz, but data.rate_hz is {rate_hz:g}; resample the "
            "recording, or train at its own rate"
        )
