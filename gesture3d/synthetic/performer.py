"""Who performs: a person's body, looks and habits, and how that person moves a hand.

A trajectory is a short list of keys (time, place, orientation, pose) that the hand passes with
minimum-jerk speed, plus an optional cyclic movement on top (waving, rolling, drumming).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from gesture3d.synthetic.hand import POSES, HandShape, axis_rotation, draw_shape, orientation


@dataclass(frozen=True)
class Performer:
    """One person: body, looks and habits. Lengths in metres, angles in degrees, colours BGR."""

    shape: HandShape
    skin: np.ndarray
    cloth: np.ndarray
    sleeve: float
    """How much of the forearm the sleeve covers, from the elbow: 0 none, 1 up to the wrist."""
    home: np.ndarray
    """(3,): where the middle of the hand is while it performs."""
    body_x: float
    amplitude: float
    span: float
    """The part of a clip that the gesture itself takes."""
    starts: np.ndarray
    """(3,): how often a clip starts with the hand below the frame, at rest, or in its place."""
    endings: np.ndarray
    """(3,): how often the hand drops out of the frame, is lowered, or holds still at the end."""
    tilt: np.ndarray
    """(3,): habitual yaw, pitch and roll of the hand."""
    stand: np.ndarray
    """(3,): how far the person is from the usual place in front of the camera: x, y, z."""


_SKINS = np.array(
    [[172, 196, 236], [140, 172, 222], [110, 146, 200], [78, 108, 160], [52, 74, 116]]
)


def draw_performer(rng: np.random.Generator, roams: bool = False) -> Performer:
    """A random person, who sits at the camera, or with ``roams`` may stand across the room."""
    shape = draw_shape(rng)
    tone = rng.uniform(0, len(_SKINS) - 1.001)
    skin = _SKINS[int(tone)] + (tone % 1) * (_SKINS[int(tone) + 1] - _SKINS[int(tone)])
    hue, saturation, value = rng.uniform(0, 180), rng.uniform(20, 190), rng.uniform(40, 220)
    cloth = cv2.cvtColor(np.uint8([[[hue, saturation, value]]]), cv2.COLOR_HSV2BGR)[0, 0]
    endings = rng.dirichlet([1.5, 0.8, 0.5])
    start = [(0.1, 0.8, 0.1), (0.5, 0.4, 0.1), (0.88, 0.07, 0.05)][rng.integers(3)]
    stand = _draw_stand(rng, roams)
    aside = rng.uniform(0, 0.10) + (rng.uniform(0, 0.14) if stand[2] > 0.15 else 0)
    return Performer(
        shape=shape,
        skin=skin * rng.uniform(0.93, 1.05, size=3),
        cloth=cloth.astype(np.float64),
        sleeve=float(rng.choice([0.0, 0.35, 0.8, 0.92], p=[0.25, 0.15, 0.3, 0.3])),
        home=np.array([-shape.side * aside, rng.uniform(-0.01, 0.025), rng.uniform(0.46, 0.56)]),
        body_x=rng.uniform(-0.08, 0.08),
        amplitude=rng.uniform(0.85, 1.15),
        span=rng.uniform(0.45, 0.72),
        starts=np.array(start),
        endings=endings,
        tilt=rng.normal(0, 4, size=3),
        stand=stand,
    )


def _draw_stand(rng: np.random.Generator, roams: bool) -> np.ndarray:
    """At the camera; who roams is half the time farther back or across the room, and then the
    camera is at any height.

    The farther away, the more of the frame there is beside and above the hand.
    """
    kind = rng.choice(3, p=[0.55, 0.25, 0.2])
    back = rng.uniform(*_BACK[kind if roams else 0])
    room = 0.38 * back  # metres that the frame gains on every side, at the least
    return np.array(
        [rng.uniform(-0.7, 0.7) * room, rng.uniform(-0.4, 0.45) * room, back]
    ) + rng.uniform(-1, 1, size=3) * [0.02, 0.02, 0]


_BACK = ((-0.02, 0.12), (0.15, 0.5), (0.5, 1.3))


@dataclass(frozen=True)
class Key:
    """A moment of a trajectory: time in the clip (0 … 1), middle of the hand, orientation, pose."""

    time: float
    place: np.ndarray
    rotation: np.ndarray
    pose: np.ndarray


@dataclass
class Track:
    """Sampled keys: places (T, 3), rotations (T, 3, 3), poses (T, 18)."""

    place: np.ndarray
    rotation: np.ndarray
    pose: np.ndarray


Cycle = Callable[[Track, np.ndarray, np.ndarray], None]
"""Changes a track in place, given the gesture's own time (T,) 0 … 1 and a fade (T,) 0 … 1."""


@dataclass(frozen=True)
class Plan:
    """What a gesture does, in its own time 0 … 1."""

    keys: list[Key]
    cycle: Cycle | None = None
    other: Cycle | None = None
    """The same for the other hand, which mirrors the keys; None: one hand is enough."""
    at_rest: bool = False
    """The keys are the whole clip: no gesture to lead in and out of."""


def minimum_jerk(time: np.ndarray) -> np.ndarray:
    """The course of a human reach: 0 to 1 with no speed and no acceleration at both ends."""
    t = np.clip(time, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


class Take:
    """One performance: the performer plus what is random this time."""

    def __init__(self, performer: Performer, rng: np.random.Generator):
        self.performer, self.rng = performer, rng
        self.side = performer.shape.side
        self.size = performer.amplitude * rng.uniform(0.93, 1.07)
        self.home = performer.home + rng.normal(0, [0.012, 0.008, 0.012])
        self.tilt = performer.tilt + rng.normal(0, 4, size=3)

    def place(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
        """A point x metres right of and y metres below home as seen there, z metres behind it.

        x and y grow with the depth, so that moving in z alone stays at one point of the image.
        """
        depth = max(self.home[2] + z, 0.3)
        scale = depth / self.home[2]
        return np.array([(self.home[0] + x) * scale, (self.home[1] + y) * scale, depth])

    def facing(self, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
        """A raised hand, palm to the camera, then: pitch (fingertips towards the camera), yaw
        (palm inward, to the body's midline), roll (clockwise in the image); degrees."""
        yaw, pitch, roll = np.array([yaw, pitch, roll]) + self.tilt
        upright = orientation([0, -1, 0], [0, 0, -1])
        turned = axis_rotation(1, -self.side * yaw) @ axis_rotation(0, pitch)
        return axis_rotation(2, roll) @ turned @ upright

    def across(self, palm: np.ndarray, forward: float = 0.0) -> np.ndarray:
        """Fingers pointing inward across the body, turned ``forward`` degrees to the camera."""
        angle = np.deg2rad(forward)
        tilt = axis_rotation(2, self.tilt[2]) @ axis_rotation(0, self.tilt[1])
        return tilt @ orientation([self.side * np.cos(angle), 0, -np.sin(angle)], palm)

    def rest(self, below: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A relaxed hand below the frame, or raised to the frame's lower edge."""
        drop = self.between(0.30, 0.40) if below else self.between(0.13, 0.17)
        x = -self.side * self.between(0.0, 0.08)
        rotation = self.facing(self.between(20, 70), self.between(10, 45), self.between(-10, 10))
        return self.place(x, drop, self.between(0.0, 0.06)), rotation, POSES["relaxed"]

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def move(self, start: tuple, end: tuple) -> list[Key]:
        """Wait a moment at ``start``, go to ``end`` (each: place, rotation, pose), wait there."""
        leave, arrive = self.between(0.02, 0.12), self.between(0.84, 0.95)
        return [Key(0, *start), Key(leave, *start), Key(arrive, *end), Key(1, *end)]

    def hold(self, *what: np.ndarray) -> list[Key]:
        return [Key(0, *what), Key(1, *what)]


def sample(keys: list[Key], times: np.ndarray) -> Track:
    """Pass through the keys at the given times (T,), at rest in each; still before and after."""
    moments = np.array([key.time for key in keys])
    after = np.clip(np.searchsorted(moments, times, side="right"), 1, len(keys) - 1)
    start, end = moments[after - 1], moments[after]
    blend = minimum_jerk((times - start) / np.maximum(end - start, 1e-6))
    places = np.stack([key.place for key in keys])
    poses = np.stack([key.pose for key in keys])
    between = [
        cv2.Rodrigues(a.rotation.T @ b.rotation)[0][:, 0] for a, b in itertools.pairwise(keys)
    ]
    steps = [cv2.Rodrigues(between[i - 1] * f)[0] for i, f in zip(after, blend, strict=True)]
    rotations = np.stack([key.rotation for key in keys])[after - 1] @ np.stack(steps)
    mix = blend[:, None]
    return Track(
        place=(1 - mix) * places[after - 1] + mix * places[after],
        rotation=rotations,
        pose=(1 - mix) * poses[after - 1] + mix * poses[after],
    )
