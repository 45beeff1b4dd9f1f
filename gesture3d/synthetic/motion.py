"""A gesture performed in a clip: what hands and arms do in every frame.

Each gesture is led in and out; how (the hand rises from below the frame, from rest, or is there;
drops, is lowered, or stays) is the performer's habit and never depends on the gesture, nor does the
length of the clip, the distance or the height of the camera.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.hand import HandShape, forward_kinematics, solve_elbow
from gesture3d.synthetic.performer import Key, Performer, Plan, Take, Track, minimum_jerk, sample

MIN_FRAMES, MAX_FRAMES = 28, 44


@dataclass(frozen=True)
class Motion:
    """A performed clip; T frames, metres in camera axes."""

    joints: np.ndarray
    """(T, 21, 3)"""
    rotation: np.ndarray
    """(T, 3, 3): the hand's orientation."""
    elbow: np.ndarray
    """(T, 3)"""
    shoulder: np.ndarray
    """(3,)"""
    in_view: bool
    """Whether the performer sits in the picture; else only the arm reaches into it."""
    stand: np.ndarray
    """(3,): how far the performer is from the usual place, included in all of the above."""
    gesture: tuple[float, float] = (0.0, 1.0)
    """When in the clip (0 … 1) the gesture itself begins and ends."""
    other: "Motion | None" = None
    """What the other hand does where both are needed."""

    def at(self, frames: np.ndarray) -> "Motion":
        """Only these frames (N,)."""
        kept = {n: getattr(self, n)[frames] for n in ("joints", "rotation", "elbow")}
        return replace(self, **kept, other=self.other and self.other.at(frames))


def _lead_in_and_out(take: Take, keys: list[Key]) -> tuple[list[Key], float, float]:
    """Put a gesture's keys into the clip; also the clip times at which it begins and ends."""
    begin = take.between(0.14, 0.28)
    end = min(begin + take.performer.span * take.between(0.92, 1.05), 0.94)
    start = take.rng.choice(3, p=take.performer.starts)
    inside = [Key(begin + (end - begin) * k.time, k.place, k.rotation, k.pose) for k in keys]
    clip = list(inside)
    if inside[0].time > begin or start == 2:
        clip.insert(0, Key(begin, inside[0].place, inside[0].rotation, inside[0].pose))
    if start == 2:
        clip.insert(0, Key(0.0, inside[0].place, inside[0].rotation, inside[0].pose))
    else:
        rises = max(begin - take.between(0.14, 0.26), -0.02)
        clip.insert(0, Key(rises, *rest_near(take, inside[0], below=start == 0)))
    ending = take.rng.choice(3, p=take.performer.endings)
    if start == 2 and ending == 2:  # a hand that is there all the time would not be seen to come
        ending = 0
    if ending < 2:
        leaves = end + (take.between(0, 0.12) if end < 0.8 else 0.0)
        clip.append(Key(leaves, inside[-1].place, inside[-1].rotation, inside[-1].pose))
        clip.append(
            Key(leaves + take.between(0.13, 0.2), *rest_near(take, inside[-1], below=ending == 0))
        )
    return clip, begin, end


def rest_near(take: Take, key: Key, below: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At rest, more or less below where a gesture begins or ends."""
    place, rotation, pose = take.rest(below)
    share = take.between(0.2, 0.9)
    return np.array([share * key.place[0] + (1 - share) * place[0], *place[1:]]), rotation, pose


def tremble(take: Take, track: Track, times: np.ndarray) -> None:
    """Nobody holds still: slow drifts of a few millimetres and degrees."""
    for values, spread in ((track.place, 0.0025), (track.pose, 1.5)):
        for speed in (1.0, 2.3):
            phase = take.rng.uniform(0, 2 * np.pi, size=values.shape[1])
            size = take.rng.normal(0, spread, size=values.shape[1])
            values += size * np.sin(2 * np.pi * speed * times[:, None] + phase)


def perform(
    label: str,
    performer: Performer,
    rng: np.random.Generator,
    gestures: Mapping[str, Callable[[Take], Plan]] = GESTURES,
) -> Motion:
    """A performance of one of ``gestures``. Its number of frames does not depend on the label."""
    times = np.linspace(0, 1, int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1)))
    take = Take(performer, rng)
    plan = gestures[label](take)
    keys, begin, end = (plan.keys, 0.0, 1.0) if plan.at_rest else _lead_in_and_out(take, plan.keys)
    track = sample(keys, times)
    tremble(take, track, times)
    other = _in_the_mirror(track, take.home[0]) if plan.other else None
    time = (times - begin) / (end - begin)
    fade = minimum_jerk(np.minimum(time, 1 - time) / 0.1 + 0.3)
    if plan.cycle:
        plan.cycle(track, time, fade)
    in_view = bool(rng.random() < (0.6 if performer.stand[2] < 0.15 else 0.97))
    stand = performer.stand + rng.normal(0, [0.01, 0.005, 0.015])
    motion = move_arm(track, performer, performer.shape, stand, in_view)
    if other:
        plan.other(other, time, fade)
        second = replace(performer.shape, side=-take.side)
        motion = replace(motion, other=move_arm(other, performer, second, stand, in_view))
    return replace(motion, gesture=(begin, end))


def _in_the_mirror(track: Track, x: float) -> Track:
    """What the other hand does on the other side of ``x``."""
    mirror = np.array([-1.0, 1.0, 1.0])
    place = track.place * mirror + [2 * x, 0, 0]
    rotation = track.rotation * mirror[:, None] * mirror
    return Track(place, rotation, track.pose.copy())


def move_arm(
    track: Track, performer: Performer, shape: HandShape, stand: np.ndarray, in_view: bool
) -> Motion:
    """The joints and the arm behind a hand."""
    wrist = track.place - shape.reach_to_centre * track.rotation[:, :, 1]
    joints = forward_kinematics(shape, wrist, track.rotation, track.pose)
    shoulder = np.array([performer.body_x - shape.side * 0.17, 0.15 if in_view else 0.5, 0.88])
    elbow = solve_elbow(shape, wrist, shoulder)
    return Motion(joints + stand, track.rotation, elbow + stand, shoulder + stand, in_view, stand)
