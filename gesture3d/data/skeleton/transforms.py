"""Preprocessing and augmentation of skeleton sequences, each a function of joints (T, J, C).

Joints are float arrays: T frames, J joints, C coordinates (2 or 3). Lengths are in the data's
units, or in lengths of the reference chain behind `scale_to_length`. No function changes its input.
The random ones draw from the NumPy generator that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.numeric import LARGEST
from gesture3d.errors import Gesture3dError
from gesture3d.hands import noise
from gesture3d.hands.features import as_hands, hand_features

if TYPE_CHECKING:
    from gesture3d.data.skeleton.stream import SkeletonAugmentation, SkeletonData

# --- preprocessing -------------------------------------------------------------------------------


def centre_on_joint(joints: np.ndarray, joint: int, *, every_frame: bool) -> np.ndarray:
    """Move one joint to the origin: in every frame, or where it is in the first frame.

    The first keeps all differences between joints and loses where the body goes; the second keeps
    the movement of the whole body as well.
    """
    return joints - (joints[:, joint : joint + 1] if every_frame else joints[:1, joint : joint + 1])


def chain_length(joints: np.ndarray, chain: Sequence[int]) -> float:
    """The length of a chain of joints: the sum of its bones, averaged over the frames."""
    bones = np.diff(joints[:, list(chain)], axis=1)  # (T, bones, C)
    return float(np.linalg.norm(bones, axis=2).sum(axis=1).mean())


def scale_to_length(joints: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """Divide by the `chain_length`, which becomes 1; a chain of length 0 changes nothing."""
    length = chain_length(joints, chain)
    return joints / length if length > 0 else joints


def resample(joints: np.ndarray, num_frames: int) -> np.ndarray:
    """Linear interpolation to ``num_frames`` at equal distances, first and last frame kept."""
    return _at(joints, np.linspace(0, len(joints) - 1, num_frames))


def append_differences(features: np.ndarray) -> np.ndarray:
    """(T, D) → (T, 2 D): each frame, and its change since the frame before (0 in the first)."""
    return np.concatenate([features, np.diff(features, axis=0, prepend=features[:1])], axis=1)


# --- augmentation --------------------------------------------------------------------------------


def rotate(joints: np.ndarray, degrees: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Turn about the origin by angles within ±``degrees`` about the axes x, then y, then z.

    Two-dimensional joints turn by the last angle only. Lengths and angles in the body stay.
    """
    angles = np.deg2rad(degrees) * rng.uniform(-1, 1, 3)
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[other, one], turn[one, other] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    if joints.shape[2] == 2:
        cosine, sine = np.cos(angles[2]), np.sin(angles[2])
        matrix = np.array([[cosine, -sine], [sine, cosine]])
    return joints @ matrix.T


def random_scale(
    joints: np.ndarray, low: float, high: float, rng: np.random.Generator
) -> np.ndarray:
    """Multiply by one factor from [low, high] (DeepGRU's: 0.7 to 1.3); proportions stay."""
    return joints * rng.uniform(low, high)


def random_translation(joints: np.ndarray, limit: float, rng: np.random.Generator) -> np.ndarray:
    """Shift everything by within ±limit on each axis (DeepGRU's: 1); differences stay."""
    return joints + rng.uniform(-limit, limit, joints.shape[2])


def add_noise(joints: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise on every coordinate apart; the mean over many draws stays."""
    return joints + rng.normal(0.0, deviation, joints.shape)


def time_warp(joints: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Play some parts faster and others slower, smoothly; length, first and last frame stay.

    Args:
        strength: largest relative change of the speed, below 1, so that time never runs back.
    """
    if len(joints) < 3:
        return joints
    u = np.linspace(0.0, 1.0, len(joints))
    position = u.copy()
    for wave in (1, 2):  # each changes the speed by at most strength / 2
        amplitude = rng.uniform(-1, 1) * strength / 2
        position += amplitude * np.sin(np.pi * wave * u) / (np.pi * wave)
    return _at(joints, np.clip(position, 0.0, 1.0) * (len(joints) - 1))


def change_speed(
    joints: np.ndarray, low: float, high: float, rng: np.random.Generator
) -> np.ndarray:
    """Play faster by a factor from [low, high]: T / factor frames; first and last frame stay."""
    factor = rng.uniform(low, high)
    return resample(joints, max(round(len(joints) / factor), 1))


def drop_joints(joints: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Let each joint, with this probability, stand still at its mean place; the others stay."""
    dropped = rng.random(joints.shape[1]) < probability
    return np.where(dropped[:, None], joints.mean(axis=0, keepdims=True), joints)


def augment(
    joints: np.ndarray, settings: SkeletonAugmentation, rng: np.random.Generator
) -> np.ndarray:
    """All of the above that the settings ask for, in a fixed order, or one of them or none."""
    s = settings
    changes: list[tuple[bool, Callable[[np.ndarray], np.ndarray]]] = [
        (any(s.rotation_degrees), lambda x: rotate(x, s.rotation_degrees, rng)),
        (s.scale != (1.0, 1.0), lambda x: random_scale(x, *s.scale, rng)),
        (s.translation > 0, lambda x: random_translation(x, s.translation, rng)),
        (s.joint_dropout > 0, lambda x: drop_joints(x, s.joint_dropout, rng)),
        (s.time_warp > 0, lambda x: time_warp(x, s.time_warp, rng)),
        (s.speed != (1.0, 1.0), lambda x: change_speed(x, *s.speed, rng)),
        (s.noise > 0, lambda x: add_noise(x, s.noise, rng)),
        (s.hand_depth != (1.0, 1.0), lambda x: noise.deepen(x, *s.hand_depth, rng)),
        (s.jitter > 0, lambda x: noise.jitter(x, s.jitter, rng)),
        (s.lost_frames > 0, lambda x: noise.lose_frames(x, s.lost_frames, rng)),
        (s.found_late > 0, lambda x: noise.find_late(x, s.found_late, rng)),
        (s.swapped_hands > 0, lambda x: noise.swap_hands(x, s.swapped_hands, rng)),
    ]
    wanted = [change for is_wanted, change in changes if is_wanted]
    if s.one_at_a_time:
        wanted = [*wanted, lambda x: x]
        wanted = [wanted[rng.integers(len(wanted))]]
    for change in wanted:
        joints = change(joints)
    return joints


# --- from joints to the network's input ----------------------------------------------------------


def features(
    joints: np.ndarray, data: SkeletonData, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The network's input for one sequence; the one way to it, in training and in use.

    Args:
        joints: (T, J, C), T ≥ 1.
        rng: of the augmentation; None: no augmentation.

    Returns:
        float32 (T', D): T' = ``data.num_frames`` or T; D = J · C, twice that with differences; of
        hands see `gesture3d.hands.features.hand_features`.

    Raises:
        Gesture3dError: the settings name a joint that there is not, or make numbers that are not
            finite or too large for a network.
    """
    joints = np.asarray(joints, np.float64)
    if data.hands:
        return _features_of_hands(joints, data, rng)
    for name, used in (("centre_joint", [data.centre_joint]), ("scale_joints", data.scale_joints)):
        for joint in used:
            if joint >= joints.shape[1]:
                raise Gesture3dError(
                    f"data.{name}: no joint {joint}; the sequences have joints 0 to "
                    f"{joints.shape[1] - 1}"
                )
    if data.centre != "none":
        every_frame = data.centre == "every_frame"
        joints = centre_on_joint(joints, data.centre_joint, every_frame=every_frame)
    if data.scale_joints:
        joints = scale_to_length(joints, data.scale_joints)
    if rng is not None:
        joints = augment(joints, data.augmentation, rng)
    if data.num_frames is not None:
        joints = resample(joints, data.num_frames)
    flat = joints.reshape(len(joints), -1)
    if not (np.abs(flat) <= LARGEST).all():
        raise Gesture3dError(
            f"centred, scaled and augmented, coordinates are beyond {LARGEST:g}; are the joints of "
            "data.scale_joints all at one place?"
        )
    return (append_differences(flat) if data.differences else flat).astype(np.float32)


def _features_of_hands(
    joints: np.ndarray, data: SkeletonData, rng: np.random.Generator | None
) -> np.ndarray:
    hands = as_hands(joints)
    if rng is None:
        return hand_features(hands, data.num_frames)
    flat = hands.reshape(len(joints), -1, 3)  # NaN where one is not seen
    changed = augment(flat, data.augmentation, rng)
    found = hand_features(changed.reshape(len(changed), *hands.shape[1:]), data.num_frames)
    return noise.hide_parts(found, data.augmentation.hidden_parts, rng)


def _at(joints: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The joints at fractional frames within [0, T - 1], linearly interpolated."""
    left = np.minimum(positions.astype(int), max(len(joints) - 2, 0))
    right = np.minimum(left + 1, len(joints) - 1)
    share = (positions - left)[:, None, None]
    return joints[left] * (1 - share) + joints[right] * share
