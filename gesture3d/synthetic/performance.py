"""A performance that runs on: gesture after gesture by one person, and what lies between them.

Labelled are the 25 gestures proper, for as long as their own courses take. All else means nothing,
as in the clips of "No gesture" and "Doing other things": rests, the ways from and to them, gestures
broken off before their middle, scratching, counting, grabbing, reaching past, hands waved about.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from gesture3d.events import Event
from gesture3d.synthetic.folder import FPS
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.hand import POSES
from gesture3d.synthetic.motion import (
    MAX_FRAMES,
    MIN_FRAMES,
    Motion,
    move_arm,
    rest_near,
    tremble,
)
from gesture3d.synthetic.performer import (
    Cycle,
    Key,
    Performer,
    Plan,
    Take,
    Track,
    minimum_jerk,
    sample,
)

NO_GESTURES = ("No gesture", "Doing other things")
SPOTTED = tuple(label for label in GESTURES if label not in NO_GESTURES)
"""The gestures that a stream is searched for."""

REPEATS = 0.2
"""How often a gesture is made once more, within `REPEAT_SECONDS` of its end."""
REPEAT_SECONDS = 2.0

_BETWEEN = ("nothing", "other", "half", "fidget")
_SHARES = (0.42, 0.26, 0.17, 0.15)
_LASTING = ("Rolling", "Thumb", "Shaking", "Stop", "Drumming")
_BREAKABLE = [label for label in SPOTTED if not label.startswith(_LASTING)]
_SHORT_CLIP, _LONG_CLIP = MIN_FRAMES / FPS, MAX_FRAMES / FPS


@dataclass(frozen=True)
class _Layer:
    """A plan's cycle, on top of the keys from ``begin`` on, of which ``until`` (0 … 1) is done."""

    cycle: Cycle
    begin: float
    seconds: float
    of_other_hand: bool = False

    def apply(self, track: Track, times: np.ndarray) -> None:
        time = (times - self.begin) / self.seconds
        rows = slice(*np.searchsorted(time, [-0.03, 1.03]))  # outside, the fade is 0
        fade = minimum_jerk(np.minimum(time, 1 - time) / 0.1 + 0.3)
        part = Track(track.place[rows], track.rotation[rows], track.pose[rows])
        self.cycle(part, time[rows], fade[rows])


class _Course:
    """A performance as it comes about: keys of both hands in seconds, and layers on top."""

    def __init__(self, performer: Performer, rng: np.random.Generator) -> None:
        self.performer, self.rng = performer, rng
        take = Take(performer, rng)
        self.keys = [Key(0.0, *take.rest(below=rng.random() < performer.starts[0]))]
        self.other_keys = [_mirrored(Key(0.0, *take.rest(below=True)), take.home[0])]
        self.layers: list[_Layer] = []
        self.performed: list[Event] = []
        self.is_up = False

    @property
    def time(self) -> float:
        return self.keys[-1].time

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def go(self, seconds: float, *where: np.ndarray) -> None:
        """Move the hand there, or with no place wait."""
        last = self.keys[-1]
        where = where or (last.place, last.rotation, last.pose)
        self.keys.append(Key(self.time + seconds, *where))

    def gesture(self, label: str, gap: float | None = None) -> None:
        """A whole gesture; ``gap``: seconds after the one before, which it repeats."""
        take = Take(self.performer, self.rng)
        plan = GESTURES[label](take)
        self._lead_in(take, plan.keys[0], gap)
        start = self.time
        span = self.performer.span * take.between(0.92, 1.05)
        self._follow(take, plan, span * take.between(_SHORT_CLIP, _LONG_CLIP))
        self.performed.append(Event(label, round(start, 3), round(self.time, 3)))

    def other_motion(self) -> None:
        """Something that means nothing."""
        take = Take(self.performer, self.rng)
        kind = take.rng.choice(3, p=[0.5, 0.3, 0.2])
        plan = [GESTURES["Doing other things"], _wave_about, _reach][kind](take)
        self._lead_in(take, plan.keys[0])
        self._follow(take, plan, take.between(1.2, 3.5))
        self.lead_out(take)

    def half_gesture(self) -> None:
        """A gesture broken off before its middle."""
        take = Take(self.performer, self.rng)
        plan = None
        while plan is None or plan.cycle:
            plan = GESTURES[str(take.rng.choice(_BREAKABLE))](take)
        cut = take.between(0.25, 0.48)
        there = sample(plan.keys, np.array([cut]))
        last = Key(cut, there.place[0], there.rotation[0], there.pose[0])
        keys = [key for key in plan.keys if key.time < cut]
        self._lead_in(take, keys[0])
        span = self.performer.span * take.between(_SHORT_CLIP, _LONG_CLIP)
        self._follow(take, Plan([*keys, last]), span)
        self.lead_out(take)

    def fidget(self) -> None:
        """Rest longer, the hand put elsewhere once or twice."""
        take = Take(self.performer, self.rng)
        for _ in range(int(take.rng.integers(1, 3))):
            self.go(take.between(0.3, 0.9), *rest_near(take, self.keys[-1], take.chance(0.4)))
            self.go(take.between(0.5, 2.5))
        self.is_up = False

    def lead_out(self, take: Take | None = None) -> None:
        """Hold still for a moment; then drop the hand, lower it, or leave it relaxed in the air."""
        take = take or Take(self.performer, self.rng)
        clip, last = take.between(_SHORT_CLIP, _LONG_CLIP), self.keys[-1]
        ending = take.rng.choice(3, p=self.performer.endings)
        self.go(take.between(0, 0.12) * clip)
        self.is_up = ending == 2
        if self.is_up:
            self._relax(take, take.between(0.3, 0.6))
        else:
            where = rest_near(take, last, below=ending == 0)
            self.go(take.between(0.13, 0.2) * clip, *where)
            self.go(min(0.2 + take.rng.exponential(1.0), 6.0))

    def _lead_in(self, take: Take, first: Key, gap: float | None = None) -> None:
        """Bring the hand to where something begins."""
        where = first.place, first.rotation, first.pose
        rises = take.between(0.14, 0.26) * take.between(_SHORT_CLIP, _LONG_CLIP)
        if gap is None:
            self.go(take.between(0.35, 0.8) if self.is_up else rises, *where)
        elif gap > 1.2 and take.chance(0.5):  # down and up again
            self.go(0.08 * gap)
            self.go(0.4 * gap, *rest_near(take, self.keys[-1], below=False))
            self.go(0.52 * gap, *where)
        else:
            back = 0.46 * gap if take.chance(0.7) else 0.0
            self.go(0.08 * gap)
            if back:
                self._relax(take, back, first)
            self.go(0.92 * gap - back, *where)

    def _relax(self, take: Take, seconds: float, towards: Key | None = None) -> None:
        """Take the hand back and down a little, half open."""
        last = self.keys[-1]
        place = last.place if towards is None else 0.5 * (last.place + towards.place)
        aside = np.array([0, 0.03, 0.05]) + take.rng.normal(0, 0.015, size=3)
        rotation = take.facing(take.between(0, 40), take.between(10, 50), take.between(-10, 10))
        self.go(seconds, place + aside, rotation, POSES["relaxed"])

    def _follow(self, take: Take, plan: Plan, seconds: float) -> None:
        """Do what is planned, its own time 0 … 1 in that many seconds."""
        begin = self.time
        keys = [replace(key, time=begin + seconds * key.time) for key in plan.keys]
        self.keys += keys
        if plan.cycle:
            self.layers.append(_Layer(plan.cycle, begin, seconds))
        if plan.other:  # comes from below and goes there again
            self.layers.append(_Layer(plan.other, begin, seconds, of_other_hand=True))
            x = take.home[0]
            away = _mirrored(Key(0, *take.rest(below=True)), x)
            while self.other_keys[-1].time > begin - 0.2:  # still on its way down
                self.other_keys.pop()
            last = self.other_keys[-1]
            self.other_keys.append(replace(last, time=max(begin - 0.6, last.time)))
            self.other_keys += [_mirrored(key, x) for key in keys]
            self.other_keys.append(replace(away, time=keys[-1].time + take.between(0.4, 0.7)))


def perform_stream(
    performer: Performer, rng: np.random.Generator, seconds: float
) -> tuple[Motion, list[Event]]:
    """A performance of at least ``seconds``, which goes on until what has begun is done."""
    course = _Course(performer, rng)
    gestures = itertools.chain.from_iterable(
        rng.permutation(SPOTTED) for _ in itertools.repeat(None)
    )
    between = {
        "nothing": lambda: None,
        "other": course.other_motion,
        "half": course.half_gesture,
        "fidget": course.fidget,
    }
    course.go(course.between(0.2, 2.0))
    while course.time < seconds:
        between[str(rng.choice(_BETWEEN, p=_SHARES))]()
        if course.time < seconds:
            label = str(next(gestures))
            course.gesture(label)
            if rng.random() < REPEATS:
                course.gesture(label, gap=course.between(0.5, 0.9 * REPEAT_SECONDS))
            course.lead_out()
    return _motion(course), course.performed


def _motion(course: _Course) -> Motion:
    performer, rng = course.performer, course.rng
    times = np.arange(int(course.time * FPS)) / FPS
    take = Take(performer, rng)
    track = sample(course.keys, times)
    tremble(take, track, times / 3)
    two_handed = any(layer.of_other_hand for layer in course.layers)
    other = sample(course.other_keys, times) if two_handed else None
    for layer in course.layers:
        layer.apply(other if layer.of_other_hand else track, times)
    in_view = bool(rng.random() < (0.6 if performer.stand[2] < 0.15 else 0.97))
    stand = performer.stand + rng.normal(0, [0.01, 0.005, 0.015])
    motion = move_arm(track, performer, performer.shape, stand, in_view)
    if other:
        shape = replace(performer.shape, side=-performer.shape.side)
        motion = replace(motion, other=move_arm(other, performer, shape, stand, in_view))
    return motion


def _mirrored(key: Key, x: float) -> Key:
    """The other hand's, on the other side of ``x``."""
    mirror = np.array([-1.0, 1.0, 1.0])
    place = key.place * mirror + [2 * x, 0, 0]
    return replace(key, place=place, rotation=key.rotation * mirror[:, None] * mirror)


def _wave_about(take: Take) -> Plan:
    """Hands as they go along with talking: here and there, half open, turned anyhow."""

    def key(time: float) -> Key:
        pose = POSES[str(take.rng.choice(["open", "claw", "two"]))]
        return Key(
            time,
            take.place(
                take.between(-0.12, 0.12), take.between(-0.06, 0.1), take.between(-0.05, 0.12)
            ),
            take.facing(take.between(-10, 80), take.between(0, 60), take.between(-30, 30)),
            POSES["relaxed"] + take.between(0, 0.9) * (pose - POSES["relaxed"]),
        )

    times = np.sort(take.rng.uniform(0.1, 0.9, size=int(take.rng.integers(1, 5))))
    keys = [key(time) for time in (0.0, *times.tolist(), 1.0)]
    sway = take.rng.normal(0, 0.02, size=3)

    def differs(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        """What the other hand does not do likewise."""
        track.place += (fade * np.sin(2 * np.pi * 1.5 * time))[:, None] * sway

    return Plan(keys, other=differs if take.chance(0.3) else None)


def _reach(take: Take) -> Plan:
    """Reach for something beside the camera, do something there, come back."""
    x, y = take.between(0.08, 0.22) * take.rng.choice([-1, 1]), take.between(-0.08, 0.14)
    rotation = take.facing(take.between(-20, 70), take.between(40, 85), take.between(-30, 30))
    near = take.place(x, y, take.between(-0.14, -0.04))
    back = take.place(0.3 * x, 0.12, 0.05)
    arrives, leaves = take.between(0.3, 0.4), take.between(0.6, 0.7)
    pose = POSES[str(take.rng.choice(["claw", "point", "relaxed", "open"]))]
    return Plan(
        [
            Key(0, back, rotation, POSES["relaxed"]),
            Key(arrives, near, rotation, pose),
            Key(leaves, near, rotation, POSES["claw"]),
            Key(1, back, rotation, POSES["relaxed"]),
        ]
    )
