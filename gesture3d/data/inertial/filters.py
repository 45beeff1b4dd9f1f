"""Filters of whole recordings (T, D), and what is made of gravity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialData

FILTER_ORDER = 3  # of every Butterworth filter (Anguita et al., ESANN 2013)


def lowpass(x: np.ndarray, cutoff_hz: float, rate_hz: float) -> np.ndarray:
    """Butterworth filter along the first axis, without delay; -6 dB at ``cutoff_hz``."""
    from scipy import signal

    sections = signal.butter(FILTER_ORDER, cutoff_hz, fs=rate_hz, output="sos")
    padding = min(int(3 * rate_hz / cutoff_hz), len(x) - 1)
    return signal.sosfiltfilt(sections, x, axis=0, padlen=padding)


def acceleration(x: np.ndarray, where: str) -> np.ndarray:
    """The first three channels of (T, D). Raises Gesture3dError: there are fewer."""
    if x.shape[1] < 3:
        raise Gesture3dError(f"{where}: data.gravity_hz needs three channels of acceleration")
    return x[:, :3]


def split_gravity(
    x: np.ndarray, gravity: np.ndarray | None, config: InertialData, where: str
) -> np.ndarray:
    """Filtered channels (T, D) as float32: with gravity (T, 3), body acceleration, the other
    channels, total acceleration.

    Raises:
        Gesture3dError: what is not finite.
    """
    if gravity is not None:
        x = np.concatenate([x[:, :3] - gravity, x[:, 3:], x[:, :3]], axis=1)
    if not np.isfinite(x).all():
        raise Gesture3dError(
            f"{where}: filtered at data.lowpass_hz={config.lowpass_hz}, "
            f"data.gravity_hz={config.gravity_hz}, it is not finite; choose other frequencies"
        )
    return x.astype(np.float32)
