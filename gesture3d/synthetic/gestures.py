"""The 27 gestures of Jester as trajectories of a hand.

Directions are those **seen in the video frame**: a swipe to the left moves towards the frame's
left edge, a clockwise turn is clockwise on the screen, "away" is away from the performer and so
towards the camera. They do not depend on which hand performs them.

Each gesture is led in from a resting hand and out again; how (from below the frame or from a
raised resting hand; dropping, lowering, or holding still) is the performer's habit and never
depends on the gesture, nor does the length of the clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from gesture3d.synthetic.hand import POSES, axis_rotation, forward_kinematics, solve_elbow
from gesture3d.synthetic.performer import (
    Key,
    Performer,
    Plan,
    Take,
    Track,
    minimum_jerk,
    sample,
)

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


def _swipe(take: Take, direction: tuple[int, int], pose: str, reach: float) -> Plan:
    """Across the frame; ``direction`` in the image (x right, y down), ``reach`` in metres."""
    x, y = np.array(direction) * reach * take.size / 2
    fingers = pose == "two"
    if direction[0]:
        lean = take.between(6, 14) if fingers else take.between(12, 28)
        yaw, pitch = take.between(-15, 45), take.between(0, 25)
        turns = [take.facing(yaw, pitch, side * lean * direction[0]) for side in (-1, 1)]
    elif fingers:
        yaw, pitch = take.between(-15, 45), take.between(5, 30)
        turns = [take.facing(yaw, pitch + side * 10 * direction[1]) for side in (-1, 1)]
    elif take.chance(0.35):  # a flat hand across the body, palm leading
        turns = [take.across([0, direction[1], 0], take.between(0, 40))] * 2
    else:  # the hand hinges at the wrist: palm down on the way down, palm up on the way up
        yaw = take.between(-15, 25) + (180 if direction[1] < 0 else 0)
        near, far = take.between(55, 75), take.between(0, 12)
        turns = [take.facing(yaw, pitch) for pitch in (far, near)[:: direction[1]]]
    start = (take.place(-x, -y), turns[0], POSES[pose])
    end = (take.place(x, y), turns[1], POSES[pose])
    return Plan(take.move(start, end))


def _push(take: Take, away: bool, pose: str) -> Plan:
    """Towards the camera (away from the performer), or back from it."""
    yaw = take.between(-10, 15) + (180 if not away and take.chance(0.5) else 0)
    pitch = take.between(0, 20)
    rotation = take.facing(yaw, pitch)
    far = (take.place(z=0.17 * take.size), rotation, POSES[pose])
    near = (take.place(y=0.01, z=-0.13 * take.size), rotation, POSES[pose])
    return Plan(take.move(far, near) if away else take.move(near, far))


def _zoom(take: Take, opening: bool, closed: str, opened: str) -> Plan:
    """Fingers spread apart (zooming in) or close (zooming out)."""
    rotation = take.facing(take.between(10, 45), take.between(0, 25), take.between(-10, 10))
    shut, wide = ((take.place(), rotation, POSES[pose]) for pose in (closed, opened))
    return Plan(take.move(shut, wide) if opening else take.move(wide, shut))


def _turn(take: Take, clockwise: bool) -> Plan:
    """A clawed or open hand turned about the viewing axis, as one turns a knob."""
    half = take.between(55, 75) * (1 if clockwise else -1)
    yaw, pitch, roll = take.between(-10, 20), take.between(5, 50), take.between(-10, 10)
    pose = POSES["claw"] + take.between(0, 0.8) * (POSES["spread"] - POSES["claw"])
    ends = [(take.place(), take.facing(yaw, pitch, roll + turn), pose) for turn in (-half, half)]
    return Plan(take.move(*ends))


def _roll(take: Take, forward: bool) -> Plan:
    """The forearm across the body, the hand going round in circles about the lateral axis.

    Forward: over the top towards the camera, back underneath.
    """
    turns = take.between(1.2, 1.8) * (1 if forward else -1)
    start = take.between(0, 360)
    height, depth, tumble = 0.065 * take.size, 0.12 * take.size, take.between(45, 65)
    rotation = take.across([0, 0, 1], take.between(5, 30))

    def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        angle = np.deg2rad(start) + 2 * np.pi * turns * time
        offset = np.stack([0 * angle, -height * np.cos(angle), -depth * np.sin(angle)], axis=1)
        track.place += fade[:, None] * offset
        track.rotation[:] = axis_rotation(0, -fade * tumble * np.cos(angle)) @ track.rotation

    pose = POSES["open"] + take.between(0.0, 0.6) * (POSES["relaxed"] - POSES["open"])
    return Plan(take.hold(take.place(), rotation, pose), cycle)


def _thumb(take: Take, up: bool) -> Plan:
    """A fist with the thumb up or down."""
    forward = np.deg2rad(take.between(0, 55))
    palm = np.array([take.side * np.sin(forward), 0, np.cos(forward)])
    rotation = take.across(palm if up else -palm, np.rad2deg(forward))
    rotation = axis_rotation(2, take.between(-12, 12)) @ rotation
    bob = take.between(0.008, 0.02) * (-1 if up else 1)
    keys = [
        Key(0, take.place(y=-2 * bob), rotation, POSES["fist"]),
        Key(take.between(0.15, 0.25), take.place(), rotation, POSES["thumb"]),
        Key(take.between(0.4, 0.5), take.place(y=bob), rotation, POSES["thumb"]),
        Key(take.between(0.65, 0.75), take.place(), rotation, POSES["thumb"]),
        Key(1, take.place(), rotation, POSES["thumb"]),
    ]
    return Plan(keys)


def _shake(take: Take) -> Plan:
    """An open hand waved from side to side."""
    waves, start = take.between(2.8, 4.0), take.between(0, 2 * np.pi)
    sway, lean = 0.05 * take.size, take.between(14, 26)

    def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        wave = fade * np.sin(start + 2 * np.pi * waves * time)
        track.place[:, 0] += sway * wave
        track.rotation[:] = axis_rotation(2, lean * wave) @ track.rotation

    rotation = take.facing(take.between(-15, 25), take.between(0, 15))
    return Plan(take.hold(take.place(), rotation, POSES["open"]), cycle)


def _stop(take: Take) -> Plan:
    """An open palm raised to the camera and held there."""
    rotation = take.facing(take.between(-8, 8), take.between(-5, 8), take.between(-8, 8))
    pose = POSES["open"] + take.between(0, 0.6) * (POSES["spread"] - POSES["open"])
    before = (take.place(y=0.02, z=0.03), rotation, POSES["open"])
    there = (take.place(), rotation, pose)
    return Plan([Key(0, *before), Key(take.between(0.1, 0.2), *there), Key(1, *there)])


def _drum(take: Take) -> Plan:
    """The fingers tap one after the other, in waves from the little finger or from the index."""
    waves, order = take.between(2.5, 3.6), 1 if take.chance(0.5) else -1
    lift, strike = take.between(-8, 2), take.between(50, 68)

    def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        for finger in range(4):
            wave = np.sin(2 * np.pi * (waves * time - order * finger / 4.5))
            flexion = lift + (strike - lift) * (0.5 + 0.5 * wave)
            flexion = (1 - fade) * track.pose[:, 3 * finger + 1] + fade * flexion
            track.pose[:, 3 * finger + 1] = flexion
            track.pose[:, 3 * finger + 2] += fade * (0.35 * flexion - 5)

    if take.chance(0.4):
        rotation = take.across([0, 1, -0.6], take.between(20, 60))
    else:
        rotation = take.facing(take.between(-10, 30), take.between(10, 50))
    pose = POSES["open"] + 0.5 * (POSES["relaxed"] - POSES["open"])
    return Plan(take.hold(take.place(), rotation, pose), cycle)


def _nothing(take: Take) -> Plan:
    """The hand stays away, rests, is put down, or comes to rest."""
    kind = take.rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])
    away, resting = _rest(take, below=True), _rest(take, below=False)
    middle = take.between(0.3, 0.7)
    first, last = [(away, away), (resting, resting), (resting, away), (away, resting)][kind]
    keys = [Key(max(middle - 0.25, 0), *first), Key(min(middle + 0.25, 1), *last)]
    return Plan(keys, at_rest=True)


def _rest(take: Take, below: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A relaxed hand below the frame, or raised to the frame's lower edge."""
    drop = take.between(0.30, 0.36) if below else take.between(0.13, 0.16)
    x = -take.side * take.between(0.0, 0.08)
    rotation = take.facing(take.between(20, 70), take.between(10, 45), take.between(-10, 10))
    return take.place(x, drop, take.between(0.0, 0.06)), rotation, POSES["relaxed"]


def _draw_in_the_air(take: Take) -> Plan:
    """A pointing finger draws a circle, an eight, a triangle or a zigzag."""
    figures = {
        "circle": [(np.cos(a), np.sin(a)) for a in np.linspace(0, 4 * np.pi, 17)],
        "eight": [(np.sin(a), np.sin(2 * a)) for a in np.linspace(0, 2 * np.pi, 17)],
        "triangle": [(0, -1), (1, 1), (-1, 1), (0, -1), (1, 1)],
        "zigzag": [(-1, -1), (-0.5, 1), (0, -1), (0.5, 1), (1, -1)],
    }
    points = np.array(figures[str(take.rng.choice(list(figures)))]) * [0.08, 0.06] * take.size
    points = points * ([-1, 1] if take.chance(0.5) else [1, 1])
    rotation = take.facing(take.between(-10, 30), take.between(15, 50))
    return Plan(_point_along(take, [(x, y, 0.0, rotation) for x, y in points]))


def _poke(take: Take) -> Plan:
    """Point at two or three things."""
    stops = []
    for _ in range(int(take.rng.integers(2, 4))):
        x, y = take.between(-0.1, 0.1), take.between(-0.06, 0.06)
        rotation = take.facing(take.between(-10, 30), take.between(35, 65))
        stops += [(x, y, 0.04, rotation), (x, y, -0.05, rotation)]
    return Plan(_point_along(take, stops))


def _point_along(take: Take, stops: list[tuple[float, float, float, np.ndarray]]) -> list[Key]:
    """Lead the pointing finger evenly through places (x, y, z from home) and orientations."""
    times = np.linspace(0, 1, len(stops))
    return [
        Key(time, take.place(x, y, z), rotation, POSES["point"])
        for time, (x, y, z, rotation) in zip(times, stops, strict=True)
    ]


def _grab(take: Take) -> Plan:
    """Reach out, close the hand, take something away."""
    yaw, pitch, to = take.between(-20, 40), take.between(10, 50), take.between(-0.08, 0.08)
    rotation = take.facing(yaw, pitch)
    keys = [
        Key(0, take.place(to), rotation, POSES["relaxed"]),
        Key(0.3, take.place(to, -0.02, -0.06), rotation, POSES["claw"]),
        Key(0.55, take.place(to, -0.02, -0.06), rotation, POSES["fist"]),
        Key(1, take.place(-to, 0.05, 0.05), rotation, POSES["fist"]),
    ]
    return Plan(keys)


def _count(take: Take) -> Plan:
    """Count from one to four with the fingers."""
    rotation = take.facing(take.between(-20, 20), take.between(0, 20))
    poses = ["fist", "point", "two", "three", "four"]
    moments = [(i + d) / 5 for i in range(5) for d in (0.1, 0.8)]
    return Plan([Key(t, take.place(), rotation, POSES[poses[int(t * 5)]]) for t in moments])


def _fist_about(take: Take) -> Plan:
    """A fist knocks, or swings to and fro."""
    swing = np.array([0.0, 0.04, 0.03]) if take.chance(0.5) else np.array([0.07, 0.0, 0.02])
    beats = take.between(2, 4)

    def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        track.place += (fade * np.sin(2 * np.pi * beats * time))[:, None] * swing

    rotation = take.facing(take.between(-20, 180), take.between(0, 40))
    pose = POSES["fist"] if take.chance(0.7) else POSES["horns"]
    return Plan(take.hold(take.place(), rotation, pose), cycle)


def _scratch(take: Take) -> Plan:
    """Scratch the head, the chin or the other arm."""
    x, y = take.side * take.between(0.05, 0.13), take.between(-0.07, 0.09)
    strokes = take.between(4, 6)

    def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        stroke = fade * np.sin(2 * np.pi * strokes * time)
        track.place[:, 1] += 0.012 * stroke
        track.pose[:, 2:12:3] += 25 * stroke[:, None]

    rotation = take.across([0.2 * take.side, 0.5, 1], take.between(-30, 10))
    rotation = axis_rotation(2, -take.side * take.between(20, 70)) @ rotation
    place = take.place(x, y, take.between(0.1, 0.18))
    return Plan(take.hold(place, rotation, POSES["claw"]), cycle)


def _something_else(take: Take) -> Plan:
    kinds = [_draw_in_the_air, _grab, _count, _poke, _fist_about, _scratch]
    return kinds[take.rng.integers(len(kinds))](take)


_LEFT, _RIGHT, _DOWN, _UP = (-1, 0), (1, 0), (0, 1), (0, -1)

_FULL = {"closed": "pinch all", "opened": "spread"}
_TWO = {"closed": "pinch", "opened": "wide pinch"}

GESTURES: dict[str, Callable[[Take], Plan]] = {
    "Swiping Left": partial(_swipe, direction=_LEFT, pose="open", reach=0.30),
    "Swiping Right": partial(_swipe, direction=_RIGHT, pose="open", reach=0.30),
    "Swiping Down": partial(_swipe, direction=_DOWN, pose="open", reach=0.20),
    "Swiping Up": partial(_swipe, direction=_UP, pose="open", reach=0.20),
    "Pushing Hand Away": partial(_push, away=True, pose="open"),
    "Pulling Hand In": partial(_push, away=False, pose="open"),
    "Sliding Two Fingers Left": partial(_swipe, direction=_LEFT, pose="two", reach=0.24),
    "Sliding Two Fingers Right": partial(_swipe, direction=_RIGHT, pose="two", reach=0.24),
    "Sliding Two Fingers Down": partial(_swipe, direction=_DOWN, pose="two", reach=0.16),
    "Sliding Two Fingers Up": partial(_swipe, direction=_UP, pose="two", reach=0.16),
    "Pushing Two Fingers Away": partial(_push, away=True, pose="two"),
    "Pulling Two Fingers In": partial(_push, away=False, pose="two"),
    "Rolling Hand Forward": partial(_roll, forward=True),
    "Rolling Hand Backward": partial(_roll, forward=False),
    "Turning Hand Clockwise": partial(_turn, clockwise=True),
    "Turning Hand Counterclockwise": partial(_turn, clockwise=False),
    "Zooming In With Full Hand": partial(_zoom, opening=True, **_FULL),
    "Zooming Out With Full Hand": partial(_zoom, opening=False, **_FULL),
    "Zooming In With Two Fingers": partial(_zoom, opening=True, **_TWO),
    "Zooming Out With Two Fingers": partial(_zoom, opening=False, **_TWO),
    "Thumb Up": partial(_thumb, up=True),
    "Thumb Down": partial(_thumb, up=False),
    "Shaking Hand": _shake,
    "Stop Sign": _stop,
    "Drumming Fingers": _drum,
    "No gesture": _nothing,
    "Doing other things": _something_else,
}
"""Jester's 27 labels in the official order, each with the function that plans it."""


def _lead_in_and_out(take: Take, keys: list[Key]) -> tuple[list[Key], float, float]:
    """Put a gesture's keys into the clip; also the clip times at which it begins and ends."""
    begin = take.between(0.16, 0.24)
    end = min(begin + take.performer.span * take.between(0.95, 1.05), 0.94)
    below = take.chance(take.performer.starts_below)
    inside = [Key(begin + (end - begin) * k.time, k.place, k.rotation, k.pose) for k in keys]
    clip = [Key(take.between(-0.02, 0.03), *_rest(take, below)), *inside]
    if inside[0].time > begin:
        clip.insert(1, Key(begin, inside[0].place, inside[0].rotation, inside[0].pose))
    ending = take.rng.choice(3, p=take.performer.endings)
    if ending < 2:
        place, rotation, pose = _rest(take, below=ending == 0)
        place = np.array([0.7 * inside[-1].place[0] + 0.3 * place[0], *place[1:]])
        clip.append(Key(end + take.between(0.14, 0.2), place, rotation, pose))
    return clip, begin, end


def _tremble(take: Take, track: Track, times: np.ndarray) -> None:
    """Nobody holds still: slow drifts of a few millimetres and degrees."""
    for values, spread in ((track.place, 0.0025), (track.pose, 1.5)):
        for speed in (1.0, 2.3):
            phase = take.rng.uniform(0, 2 * np.pi, size=values.shape[1])
            size = take.rng.normal(0, spread, size=values.shape[1])
            values += size * np.sin(2 * np.pi * speed * times[:, None] + phase)


def perform(label: str, performer: Performer, rng: np.random.Generator) -> Motion:
    """A performance of one of ``GESTURES``. Its number of frames does not depend on the label."""
    times = np.linspace(0, 1, int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1)))
    take = Take(performer, rng)
    plan = GESTURES[label](take)
    keys, begin, end = (plan.keys, 0.0, 1.0) if plan.at_rest else _lead_in_and_out(take, plan.keys)
    track = sample(keys, times)
    if plan.cycle:
        time = (times - begin) / (end - begin)
        fade = minimum_jerk(np.minimum(time, 1 - time) / 0.1 + 0.3)
        plan.cycle(track, time, fade)
    _tremble(take, track, times)
    shape = performer.shape
    wrist = track.place - shape.reach_to_centre * track.rotation[:, :, 1]
    joints = forward_kinematics(shape, wrist, track.rotation, track.pose)
    in_view = bool(rng.random() < 0.6)
    shoulder = np.array([performer.body_x - shape.side * 0.17, 0.15 if in_view else 0.5, 0.88])
    elbow = solve_elbow(shape, wrist, shoulder)
    return Motion(joints, track.rotation, elbow, shoulder, in_view)
