"""Values that are missing in recordings (T, D), and values that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.numeric import LARGEST
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialData


def gap_limit(config: InertialData) -> float | None:
    """Samples that a gap may have at most."""
    return None if config.max_gap_seconds is None else config.max_gap_seconds * config.rate_hz


def interpolate_gaps(
    x: np.ndarray,
    limit: float | None,
    where: str,
    first_line: int = 1,
    unit: str = "line",
    setting: str = "data.max_gap_seconds",
) -> np.ndarray:
    """NaNs replaced by straight lines between their neighbours, at the ends by the nearest value.

    A channel without a single value becomes 0 (where ``limit`` is None).

    Args:
        limit: samples that a gap may have at most; None: any number.
        unit, setting: what a row is, and which setting gives the limit, for messages.

    Raises:
        Gesture3dError: a longer gap, or a value that is infinite or too large, with its line.
    """
    check_values(x, where, first_line, unit)
    missing = np.isnan(x)
    if not missing.any():
        return x
    x = x.copy()
    steps = np.arange(len(x))
    for channel in np.flatnonzero(missing.any(axis=0)):
        gap = missing[:, channel]
        if limit is not None:
            edges = np.flatnonzero(np.diff(np.concatenate([[0], gap, [0]]).astype(int)))
            starts, lengths = edges[::2], edges[1::2] - edges[::2]
            if lengths.max() > limit:
                first = starts[lengths.argmax()]
                raise Gesture3dError(
                    f"{where}, {unit} {first_line + first}: channel {channel + 1} has no values "
                    f"for {lengths.max()} samples; at most {limit:g} are interpolated ({setting})"
                )
        known = steps[~gap]
        x[gap, channel] = np.interp(steps[gap], known, x[known, channel]) if len(known) else 0.0
    return x


def check_values(x: np.ndarray, where: str, first_line: int = 1, unit: str = "line") -> None:
    """Raise Gesture3dError where a value is infinite or beyond `LARGEST`, with its line."""
    if (np.abs(x) > LARGEST).any():
        row, channel = np.argwhere(np.abs(x) > LARGEST)[0]
        value = x[row, channel]
        what = "infinite" if np.isinf(value) else f"{value:g}, beyond the {LARGEST:g} that is taken"
        raise Gesture3dError(f"{where}, {unit} {first_line + row}: channel {channel + 1} is {what}")
