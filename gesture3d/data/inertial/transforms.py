"""Random changes of training windows (T, D) in physical units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.inertial.signal import sample_at

if TYPE_CHECKING:
    from gesture3d.data.inertial.stream import InertialAugmentation


def augment(
    window: np.ndarray,
    config: InertialAugmentation,
    deviations: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """A changed copy: as if the sensor sat a little differently, the person moved a little faster.

    Args:
        deviations: (D,) each channel's standard deviation over the training windows.
    """
    x = window
    if config.time_warp or config.shift:
        x = sample_at(x, warped_positions(len(x), config.time_warp, config.shift, rng))
    if config.rotation_degrees:
        rotation = random_rotation(config.rotation_degrees, rng).astype(x.dtype)
        vectors = x.reshape(len(x), -1, 3)  # every three channels are a vector
        x = (vectors @ rotation.T).reshape(x.shape)
    if config.scale != (1.0, 1.0):
        x = x * x.dtype.type(rng.uniform(*config.scale))
    if config.noise:
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        x = x + noise * (config.noise * deviations).astype(x.dtype)
    return x


def warped_positions(
    length: int, warp: float, shift: float, rng: np.random.Generator
) -> np.ndarray:
    """Where to read a window of ``length`` steps so that its speed varies smoothly by ±``warp``.

    The ends keep their places, but for a shift of the whole by up to ±``shift`` of its length.
    """
    speeds = np.interp(
        np.linspace(0, 3, length - 1), np.arange(4), 1 + rng.uniform(-warp, warp, size=4)
    )
    positions = np.concatenate([[0.0], np.cumsum(speeds)])
    positions *= (length - 1) / positions[-1]
    return positions + rng.uniform(-shift, shift) * length


def random_rotation(max_degrees: float, rng: np.random.Generator) -> np.ndarray:
    """(3, 3): by a uniform angle within ±``max_degrees`` about a uniform axis (Rodrigues)."""
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(-max_degrees, max_degrees))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
