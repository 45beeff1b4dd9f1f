"""What detectors do to joints, for training on joints that none has found.

Each is a function of joints (T, 42, 3), of the left, then of the right hand, NaN where it is not
seen, and of the NumPy generator that it draws from. None changes its input.
"""

import numpy as np

from gesture3d.hands.features import COLUMNS, NUM_JOINTS, apparent_size, palm_centre

_PARTS = (
    (COLUMNS.course, COLUMNS.way, COLUMNS.speed),
    (COLUMNS.depth,),
    (COLUMNS.shape, COLUMNS.motion),
    (COLUMNS.other_way, COLUMNS.other_presence, COLUMNS.other_shape),
)


def jitter(joints: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise, in palms, up to this deviation: on every coordinate apart, and as much of it
    that drifts slowly, in each joint from one offset to another; in depth twice as much."""
    deviation = rng.uniform(0.0, deviation)
    sizes = np.repeat(apparent_size(_hands(joints)), NUM_JOINTS, axis=1)[..., None]
    ends = rng.normal(0.0, deviation, (2, *joints.shape[1:]))
    share = np.linspace(0.0, 1.0, len(joints))[:, None, None]
    offsets = rng.normal(0.0, deviation, joints.shape) + (1 - share) * ends[0] + share * ends[1]
    return joints + sizes * offsets * [1.0, 1.0, 2.0]


def deepen(joints: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Depths times one factor from [low, high]: how deep a hand is, is a detector's guess."""
    return joints * [1.0, 1.0, rng.uniform(low, high)]


def lose_frames(joints: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Each hand is lost for a while: in stretches, the rather the faster it goes.

    Args:
        share: of the frames at most, 0..1; how much is drawn.
    """
    found = joints.copy()
    centres = palm_centre(_hands(joints))  # (T, 2, 2)
    speeds = np.linalg.norm(np.diff(centres, axis=0, prepend=centres[:1]), axis=2)
    for hand, speed in enumerate(np.nan_to_num(speeds).T):
        lost = rng.uniform(0.0, share)
        wish = speed / max(speed.max(), 1e-6) + rng.uniform(0.0, 1.5, len(joints))
        wish = np.convolve(wish, np.ones(3) / 3, mode="same")
        of_hand = slice(hand * NUM_JOINTS, (hand + 1) * NUM_JOINTS)
        found[wish > np.quantile(wish, 1.0 - lost), of_hand] = np.nan
    return found


def find_late(joints: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Of the frames in which a hand is seen the first and the last ones are lost, up to this share
    of them each."""
    there = np.flatnonzero(np.isfinite(joints[..., 0]).any(axis=1))
    first, last = (int(rng.uniform(0.0, share) * len(there)) for _ in range(2))
    found = joints.copy()
    found[there[:first]] = np.nan
    found[there[len(there) - last :]] = np.nan
    return found


def swap_hands(joints: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """With this probability left is taken for right, from some frame on or in the whole clip."""
    if rng.random() >= probability:
        return joints
    start = 0 if rng.random() < 0.5 else int(rng.integers(len(joints)))
    swapped = np.roll(joints[start:], NUM_JOINTS, axis=1)
    return np.concatenate([joints[:start], swapped])


def hide_parts(features: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """`hand_features` of which each of four parts is 0 with this probability: where the hand goes,
    its depth, its shape, the other hand. So none of them may be relied on alone."""
    hidden = features.copy()
    for part in _PARTS:
        if rng.random() < probability:
            for columns in part:
                hidden[:, columns] = 0.0
    return hidden


def _hands(joints: np.ndarray) -> np.ndarray:
    """(T, 42, 3) → (T, 2, 21, 3)."""
    return joints.reshape(len(joints), 2, NUM_JOINTS, 3)
