"""What a network or a template reads of hands: numbers a frame that mean the same for every camera.

Joints are (T, 2, 21, 3), as in `gesture3d.hands.track.HandTrack`: the performer's left and right
hand, x to the right and y down in pixels, z away from the camera in the same scale; NaN where a
hand is not seen. Lengths become palms: root mean squares of the palm's bones, about 6.5 cm.

The hand that acts comes first, as if it were a right one: where it is the left, its shape is
mirrored about the palm, and its way through the picture is not, as directions are the performer's.
"""

from typing import NamedTuple

import numpy as np

from gesture3d.errors import Gesture3dError

NUM_JOINTS = 21  # wrist, then thumb, index, middle, ring and little finger, root to tip
PALM = (0, 5, 9, 13, 17)  # wrist and the roots of the four fingers
HOLD = 0.3  # see `even_pace`
SMALL_WAY = 1.0  # palms: the extent below which a course becomes smaller
_PALM_BONES = ((0, 5), (0, 9), (0, 13), (0, 17), (5, 17))


class Columns(NamedTuple):
    """Which of the features of a frame are what, see `hand_features`."""

    course: slice = slice(0, 2)
    shape: slice = slice(2, 44)
    way: slice = slice(44, 46)
    speed: slice = slice(46, 48)
    depth: slice = slice(48, 50)
    presence: slice = slice(50, 51)
    motion: slice = slice(51, 93)
    other_way: slice = slice(93, 95)
    other_presence: slice = slice(95, 96)
    other_shape: slice = slice(96, 138)


COLUMNS = Columns()
NUM_FEATURES = 138


def as_hands(joints: np.ndarray) -> np.ndarray:
    """(T, 21 or 42, 2 or 3) → (T, 2, 21, 3): of the left and of the right hand, or of one, which is
    taken for the right. A hand whose numbers are all 0 in a frame is not seen there.

    Raises:
        Gesture3dError: another number of joints.
    """
    num_frames, count, size = joints.shape
    if count not in (NUM_JOINTS, 2 * NUM_JOINTS):
        raise Gesture3dError(
            f"{count} joints a frame; hands have {NUM_JOINTS} each: of one hand, or of the left, "
            "then of the right"
        )
    hands = np.full((num_frames, 2, NUM_JOINTS, 3), np.nan)
    given = joints.reshape(num_frames, -1, NUM_JOINTS, size)
    known = np.where((given == 0).all(axis=(2, 3), keepdims=True), np.nan, given)
    hands[:, 2 - given.shape[1] :, :, :size] = known
    if size == 2:
        hands[..., 2] = np.where(np.isnan(hands[..., 0]), np.nan, 0.0)
    return hands


def seen(joints: np.ndarray) -> np.ndarray:
    """Bool (T, 2): which hands are there."""
    return np.isfinite(joints[..., 0, 0])


def palm_centre(joints: np.ndarray) -> np.ndarray:
    """(…, 21, 3) → (…, 2), pixels."""
    return joints[..., PALM, :2].mean(axis=-2)


def apparent_size(joints: np.ndarray) -> np.ndarray:
    """(…, 21, 3) → (…): the palm's bones in pixels, root mean square, however the hand is turned.

    Inverse to the distance from the camera.
    """
    one, other = (joints[..., list(ends), :] for ends in zip(*_PALM_BONES, strict=True))
    return np.sqrt(((one - other) ** 2).sum(axis=-1).mean(axis=-1))


def about_palm(joints: np.ndarray) -> np.ndarray:
    """(…, 21, 3) → (…, 21, 3): joints from the palm's centre, all three coordinates."""
    return joints - joints[..., PALM, :].mean(axis=-2, keepdims=True)


def acting_hand(joints: np.ndarray) -> int:
    """The hand (0 left, 1 right) that goes and changes the farthest, in palms, while it is seen."""
    return int(np.argmax([_travel(joints[:, hand]) for hand in (0, 1)]))


def _travel(hand: np.ndarray) -> float:
    hand = hand[np.isfinite(hand[:, 0, 0])]
    if not len(hand):
        return -1.0
    size = max(float(np.median(apparent_size(hand))), 1e-6)
    shapes = about_palm(hand)
    spread = palm_centre(hand).std(axis=0).sum() + shapes.std(axis=0).mean()
    return len(hand) ** 0.5 * (0.1 + float(spread) / size)  # what is seen longer counts more


def as_one_hand(joints: np.ndarray) -> np.ndarray:
    """The joints with both hands' under the name of the one that is seen longer, where the two are
    hardly ever seen together: one hand whose name a detector changed."""
    there = seen(joints)
    if there.all(axis=1).sum() > 0.1 * there.any(axis=1).sum():
        return joints
    hand = int(there.sum(axis=0).argmax())
    joined = np.full_like(joints, np.nan)
    joined[:, hand] = np.where(there[:, hand, None, None], joints[:, hand], joints[:, 1 - hand])
    return joined


def fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Straight lines over the frames (T,) that are not ``known``; at the ends the nearest value.

    Of ``known`` frames at least one. Known ones stay as they are.
    """
    if known.all():
        return values
    times = np.arange(len(values))
    kept = times[known]
    position = np.interp(times, kept, np.arange(len(kept)))
    return _at(values[kept], position)


def even_pace(hand: np.ndarray, num_frames: int, hold: float) -> np.ndarray:
    """Frames (num_frames,) of a hand (T, 21, 3), whole and between them, that are not evenly apart
    in time but in how far the hand goes and changes: holding still takes little of the sequence.

    Args:
        hold: the share of the sequence that is given to time all the same; 1: evenly in time.
    """
    size = max(float(np.median(apparent_size(hand))), 1e-6)
    smooth = _smoothed(np.concatenate([palm_centre(hand)[:, None], about_palm(hand)[..., :2]], 1))
    change = np.linalg.norm(np.diff(smooth, axis=0), axis=-1) / size
    way = change[:, 0] + change[:, 1:].mean(axis=1)
    share = (1 - hold) * way / max(way.sum(), 1e-6) + hold / max(len(way), 1)
    passed = np.concatenate([[0.0], np.cumsum(share)])
    return np.interp(np.linspace(0.0, passed[-1], num_frames), passed, np.arange(len(hand)))


def _smoothed(values: np.ndarray) -> np.ndarray:
    """The mean of each frame and its neighbours."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def _at(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    left = np.minimum(position.astype(int), max(len(values) - 2, 0))
    right = np.minimum(left + 1, len(values) - 1)
    share = (position - left).reshape(-1, *[1] * (values.ndim - 1))
    return values[left] * (1 - share) + values[right] * share


def hand_features(joints: np.ndarray, num_frames: int, hold: float = HOLD) -> np.ndarray:
    """Float32 (num_frames, `NUM_FEATURES`), from the first frame to the last that shows the acting
    hand, at an `even_pace`. Which column is what: `COLUMNS`.

    - course: the palm's way from its mean over the way's extent, so that a large circle is as a
      small one; of much less than a palm it stays small;
    - shape: joints about the palm in the picture, in eighths of the clip's median palm;
    - way: as the course, in palms; speed: its change from frame to frame, × 4;
    - depth: log of the apparent size over its median, × 2, and its change, × 8;
    - presence: 1 where the hand is seen, less where it is interpolated;
    - motion: the change of the shape, × 2;
    - of the other hand its way from the acting one's palm, presence and shape, 0 where not seen.

    The same for a clip that is shifted, seen from twice as far, or played at another speed; a clip
    that a mirror shows has the same but for the signs of what goes sideways.

    All zeros where no hand is seen in two frames.
    """
    joints = as_one_hand(joints)
    there = seen(joints)
    acting = acting_hand(joints)
    visible = there[:, acting]
    if visible.sum() < 2:
        return np.zeros((num_frames, NUM_FEATURES), np.float32)
    first, last = np.flatnonzero(visible)[[0, -1]]
    joints, visible = joints[first : last + 1], visible[first : last + 1]
    both = there[first : last + 1].all(axis=1)
    hand = fill(joints[:, acting].astype(np.float64), visible)
    sizes = np.maximum(apparent_size(hand), 1e-6)
    size = float(np.median(sizes))
    frames = even_pace(hand, num_frames, hold)
    hand = _at(hand, frames) / size
    centre = palm_centre(hand)
    way = centre - centre.mean(axis=0)
    log_size = np.log(_at(np.clip(sizes / size, 0.2, 5.0), frames))[:, None]
    sign = np.array([1.0 if acting == 1 else -1.0, 1.0])
    shape = _shape(hand, sign)
    presence = _at(visible[:, None].astype(np.float64), frames)
    parts = [_course(way), shape, way, 4 * _change(way)]
    parts += [2 * log_size, 8 * _change(log_size), presence, 2 * _change(shape)]
    if both.any():
        other = _at(fill(joints[:, 1 - acting].astype(np.float64), both), frames) / size
        share = _at(both[:, None].astype(np.float64), frames)
        parts += [(palm_centre(other) - centre) * sign * share / 2, share]
        parts += [_shape(other, sign) * share]
    else:
        parts += [np.zeros((num_frames, count)) for count in (2, 1, 42)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _course(way: np.ndarray) -> np.ndarray:
    extent = np.sqrt((way**2).sum(axis=1).mean())
    return way / np.hypot(extent, SMALL_WAY)


def _shape(hand: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """(T, 42): joints about the palm, as of a right hand."""
    return (about_palm(hand)[..., :2] * sign / 8).reshape(len(hand), -1)


def _change(values: np.ndarray) -> np.ndarray:
    return np.diff(values, axis=0, prepend=values[:1])
