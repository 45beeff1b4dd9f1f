"""Preprocessing and augmentation of skeleton sequences, each a function of joints (T, J, C).

Joints are float arrays: T frames, J joints, C coordinates (2 or 3). Lengths are in the data's
units, or in lengths of the reference chain behind `scale_to_length`. No function changes its input.
The random ones draw from the NumPy generator that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

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


# --- streams that do not end ---------------------------------------------------------------------


class Past(NamedTuple):
    """What the features of a stream carry from chunk to chunk.

    Attributes:
        count: frames so far, at most ``data.centre_frames``.
        means: (C + 1,), the running means of the joint's place and of the chain's length.
        last: (D,), the last frame's features, without differences.
    """

    count: int
    means: np.ndarray
    last: np.ndarray | None = None


def centre_on_running_mean(
    joints: np.ndarray, data: SkeletonData, past: Past | None
) -> tuple[np.ndarray, Past]:
    """Move the running mean of a joint's place to the origin, and divide by that of the length of
    ``data.scale_joints`` (a length of 0 changes nothing).

    Frame t of the stream counts max(1 / t, 1 / ``data.centre_frames``): the plain mean of all
    frames at first, then an exponential one. Nothing depends on later frames.
    """
    bones = np.diff(joints[:, list(data.scale_joints)], axis=1)
    length = np.linalg.norm(bones, axis=2).sum(axis=1)  # (T,)
    values = np.concatenate([joints[:, data.centre_joint], length[:, None]], axis=1)
    count, mean = (past.count, past.means) if past else (0, np.zeros(values.shape[1]))
    means = np.empty_like(values)
    for frame, value in enumerate(values):
        count = min(count + 1, data.centre_frames)
        mean = mean + (value - mean) / count
        means[frame] = mean
    centred = joints - means[:, None, :-1]
    scale = np.where(means[:, -1:] > 0, means[:, -1:], 1.0)[:, None]
    return centred / scale, Past(count, mean)


def features_of_chunk(
    joints: np.ndarray, data: SkeletonData, past: Past | None = None
) -> tuple[np.ndarray, Past]:
    """The next frames of a stream as the network's input: in any chunks those of `features` of the
    whole stream.

    Args:
        joints: (T, J, C), T ≥ 1.
        past: what the chunk before left; None: the stream begins.

    Returns:
        float32 (T, D), and what the next chunk needs.

    Raises:
        Gesture3dError: settings that need the whole sequence; those of `features`.
    """
    wrong = {"data.centre": data.centre not in ("none", "every_frame", "running_mean")}
    wrong["data.num_frames"] = data.num_frames is not None
    wrong["data.scale_joints"] = bool(data.scale_joints) and data.centre != "running_mean"
    for name in (name for name, is_wrong in wrong.items() if is_wrong):
        raise Gesture3dError(
            f"{name} needs the whole sequence, which a stream has not: train with "
            "data.centre=running_mean data.num_frames=null"
        )
    joints = _checked(joints, data)
    now = Past(0, np.zeros(0))
    if data.centre == "running_mean":
        joints, now = centre_on_running_mean(joints, data, past)
    elif data.centre == "every_frame":
        joints = centre_on_joint(joints, data.centre_joint, every_frame=True)
    flat = _flat(_relative(joints, data))
    found = flat
    if data.differences:
        before = flat[:1] if past is None else past.last[None]
        found = append_differences(np.concatenate([before, flat]))[1:]
    return found.astype(np.float32), now._replace(last=flat[-1])


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
    if data.hands:
        return _features_of_hands(np.asarray(joints, np.float64), data, rng)
    joints = _checked(joints, data)
    if data.centre == "running_mean":
        joints, _ = centre_on_running_mean(joints, data, None)
    else:
        if data.centre != "none":
            every_frame = data.centre == "every_frame"
            joints = centre_on_joint(joints, data.centre_joint, every_frame=every_frame)
        if data.scale_joints:
            joints = scale_to_length(joints, data.scale_joints)
    if rng is not None:
        joints = augment(joints, data.augmentation, rng)
    if data.num_frames is not None:
        joints = resample(joints, data.num_frames)
    flat = _flat(_relative(joints, data))
    return (append_differences(flat) if data.differences else flat).astype(np.float32)


def _checked(joints: np.ndarray, data: SkeletonData) -> np.ndarray:
    joints = np.asarray(joints, np.float64)
    for name, used in (("centre_joint", [data.centre_joint]), ("scale_joints", data.scale_joints)):
        for joint in used:
            if joint >= joints.shape[1]:
                raise Gesture3dError(
                    f"data.{name}: no joint {joint}; the sequences have joints 0 to "
                    f"{joints.shape[1] - 1}"
                )
    return joints


def _relative(joints: np.ndarray, data: SkeletonData) -> np.ndarray:
    """The joints, where ``data.relative`` the others than ``data.centre_joint`` relative to it."""
    if not data.relative:
        return joints
    centre = joints[:, data.centre_joint : data.centre_joint + 1]
    others = np.arange(joints.shape[1]) != data.centre_joint
    return joints - others[:, None] * centre


def _flat(joints: np.ndarray) -> np.ndarray:
    flat = joints.reshape(len(joints), -1)
    if not (np.abs(flat) <= LARGEST).all():
        raise Gesture3dError(
            f"centred, scaled and augmented, coordinates are beyond {LARGEST:g}; are the joints of "
            "data.scale_joints all at one place?"
        )
    return flat


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
