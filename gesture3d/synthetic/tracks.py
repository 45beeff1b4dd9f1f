"""Generated performances as a hand tracker would give them: joints in the picture, not rendered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gesture3d.rng import generator
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.hand import POSES
from gesture3d.synthetic.motion import Motion, perform
from gesture3d.synthetic.performer import Plan, Take, draw_performer
from gesture3d.synthetic.scene import CENTRE, FOCAL_LENGTH, HEIGHT, SUPERSAMPLING, WIDTH

FOCAL_PIXELS = FOCAL_LENGTH / SUPERSAMPLING
LEAST_INSIDE = 0.6  # of a hand's joints in the picture, or it is not seen


@dataclass(frozen=True)
class Performance:
    """One performance of a gesture.

    Attributes:
        joints: float32 (T, 2, 21, 3): the performer's left and right hand, see `hand_joints`.
    """

    key: str
    label: str
    performer: str
    joints: np.ndarray


def performances(split: str, count: int, seed: int) -> Iterator[Performance]:
    """``count`` performances of each gesture, by turns of a split's performers, of whom there are
    at least 40, or two for every three performances of a gesture.

    Half of the performers may stand across the room. A performance depends on the seed, the split,
    the gesture and its own number.
    """
    people = [
        draw_performer(generator(seed, "track performer", split, number), roams=number % 2 == 1)
        for number in range(max(40, -(-2 * count // 3)))
    ]
    for label in GESTURES:
        for index in range(count):
            number = index % len(people)
            rng = generator(seed, "track", split, label, index)
            person = people[number]
            motion = perform(label, person, rng, _GESTURES)
            joints = hand_joints(motion, person.shape.side)
            key = f"{split}/{label}/{index}"
            yield Performance(key, label, f"{split}-{number}", joints)


def _flick(usual: Callable[[Take], Plan], up: bool, pose: str) -> Callable[[Take], Plan]:
    """Up or down as usual, or by the fingers alone, the palm upright: bent at their roots towards
    the camera they straighten, or the reverse, and the hand follows a little."""
    flexions = [1, 4, 7, 10] if pose == "open" else [1, 4]  # of the first joints

    def plan(take: Take) -> Plan:
        if not take.chance(0.35):
            return usual(take)
        bent = POSES[pose].copy()
        for finger in flexions:
            bent[finger] += take.between(55, 90)
            bent[finger + 1] += take.between(0, 30)
        rotation = take.facing(take.between(-15, 35), take.between(0, 30))
        reach = take.between(0.01, 0.05) * take.size
        low = (take.place(y=reach), rotation, bent)
        high = (take.place(y=-reach), rotation, POSES[pose])
        return Plan(take.move(low, high) if up else take.move(high, low))

    return plan


_GESTURES = {
    **GESTURES,
    **{
        f"{name} {way}": _flick(GESTURES[f"{name} {way}"], way == "Up", pose)
        for name, pose in (("Swiping", "open"), ("Sliding Two Fingers", "two"))
        for way in ("Up", "Down")
    },
}
"""Those that are rendered, and what real hands do besides."""


def hand_joints(motion: Motion, side: int) -> np.ndarray:
    """Float32 (T, 2, 21, 3): x and y in pixels of the generated clips' frames (176×100), z away
    from the camera in the same scale, relative to the wrist; NaN where a hand is out of sight.

    Args:
        side: +1 where the right hand performs, -1 for the left one; see `HandShape`.
    """
    result = np.full((len(motion.joints), 2, 21, 3), np.nan, np.float32)
    result[:, int(side > 0)] = _projected(motion.joints)
    if motion.other:
        result[:, int(side < 0)] = _projected(motion.other.joints)
    return result


def _projected(joints: np.ndarray) -> np.ndarray:
    """(T, 21, 3) metres → pixels."""
    depth = np.maximum(joints[..., 2:], 0.05)
    place = CENTRE / SUPERSAMPLING + FOCAL_PIXELS * joints[..., :2] / depth
    away = FOCAL_PIXELS * (joints[..., 2:] - joints[:, :1, 2:]) / depth[:, :1]
    inside = ((place >= 0) & (place <= [WIDTH - 1, HEIGHT - 1])).all(axis=-1).mean(axis=-1)
    seen = inside >= LEAST_INSIDE
    return np.where(seen[:, None, None], np.concatenate([place, away], axis=-1), np.nan)
