"""The 27 gestures of Jester as trajectories of a hand.

Directions are the **performer's**, as in Jester: a swipe to the left moves to the performer's
left, which is towards the right edge of a picture that no mirror has turned; a hand turns clockwise
as the performer sees it along the own forearm, as a screw is driven in; "away" is away from the
performer and so towards the camera. They do not depend on which hand performs them.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from gesture3d.synthetic.hand import POSES, axis_rotation, orientation
from gesture3d.synthetic.performer import Cycle, Key, Plan, Take, Track, minimum_jerk


def _swipe(take: Take, direction: tuple[int, int], pose: str, reach: float) -> Plan:
    """Across the frame; ``direction`` in the picture (x right, y down), ``reach`` in metres.

    The hand is carried across, flicked from the wrist, or swung about the elbow.
    """
    fingers = pose == "two"
    shape = _two_fingers(take) if fingers else POSES["open"]
    kind = str(take.rng.choice(["carry", "flick", "swing"], p=[0.4, 0.4, 0.2]))
    reach *= take.size * take.between(*{"flick": (0.32, 0.55)}.get(kind, (0.65, 1.05)))
    x, y = np.array(direction) * reach / 2
    turns = (_sideways if direction[0] else _upright)(
        take, direction[0] or direction[1], pose, kind
    )
    drop = take.between(0.02, 0.05) if kind == "swing" and direction[0] else 0.0
    start = (take.place(-x, -y + drop), turns[0], shape)
    end = (take.place(x, y + drop), turns[1], shape)

    def arc(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
        """Over the elbow: highest in the middle."""
        way = minimum_jerk(time)
        track.place[:, 1] -= 4 * drop * way * (1 - way)

    return Plan(take.move(start, end), arc if drop else None)


def _two_fingers(take: Take) -> np.ndarray:
    """Index and middle finger, together or apart, the thumb tucked in or loose."""
    apart = take.between(-0.2, 1.2)
    pose = POSES["two"] + np.array([7 * apart, 0, 0, -4 * apart, 0, 0, *[0] * 12])
    loose = take.between(0, 0.6) if take.chance(0.3) else 0.0
    pose[12:] += loose * (POSES["relaxed"][12:] - pose[12:])
    return pose


def _sideways(take: Take, to: int, pose: str, kind: str) -> list[np.ndarray]:
    """The hand's orientations before and after a swipe to the picture's left (-1) or right (1)."""
    yaw, pitch = take.between(-15, 45), take.between(0, 25)
    if kind == "flick":
        # From upright, or leaning against the way, until the fingers point along it; on the way
        # inward the palm leads, on the way outward the back of the hand does.
        near, far = take.between(-30, 5), take.between(40, 80)
        inward = to * take.side
        flat, open_ = take.between(50, 100), take.between(-15, 30)
        yaws = (open_, flat)[::inward]
        leans = (near, far) if inward > 0 or take.chance(0.4) else (-far, take.between(-10, 25))
        return [take.facing(y, pitch, to * lean) for y, lean in zip(yaws, leans, strict=True)]
    if pose == "two" and take.chance(0.4):  # the fingers point inward, across the body
        palm = [0, take.between(-0.3, 1), 1] if take.chance(0.7) else [0, 1, 0.3]
        return [take.across(palm, take.between(0, 40))] * 2
    lean = take.between(6, 14) if pose == "two" else take.between(12, 28)
    return [take.facing(yaw, pitch, side * lean * to) for side in (-1, 1)]


def _upright(take: Take, to: int, pose: str, kind: str) -> list[np.ndarray]:
    """The hand's orientations before and after a swipe up (-1) or down (1)."""
    fingers = pose == "two"
    if kind == "carry" and take.chance(0.5):
        if fingers:
            yaw, pitch = take.between(-15, 45), take.between(5, 30)
            return [take.facing(yaw, pitch + side * 10 * to) for side in (-1, 1)]
        # a flat hand across the body, palm leading
        return [take.across([0, to, 0], take.between(0, 40))] * 2
    # The hand hinges at the wrist: the palm comes down, or up to the camera; or palm up.
    palm_up = kind == "carry" and to < 0
    yaw = take.between(-15, 25) + (180 if palm_up else 0)
    near = take.between(45, 75) if fingers or palm_up else take.between(65, 135)
    far = take.between(0, 15)
    return [take.facing(yaw, pitch) for pitch in (far, near)[::to]]


def _push(take: Take, away: bool, pose: str) -> Plan:
    """Towards the camera (away from the performer), or back from it."""
    yaw = take.between(-10, 15) + (180 if not away and take.chance(0.5) else 0)
    pitch = take.between(0, 20)
    rotation = take.facing(yaw, pitch)
    shape = _two_fingers(take) if pose == "two" else POSES[pose]
    far = (take.place(z=0.17 * take.size), rotation, shape)
    near = (take.place(y=0.01, z=-0.13 * take.size), rotation, shape)
    return Plan(take.move(far, near) if away else take.move(near, far))


def _zoom(take: Take, opening: bool, closed: str, opened: str) -> Plan:
    """Fingers spread apart (zooming in) or close (zooming out)."""
    lean = take.side * take.between(-10, 65)
    rotation = take.facing(take.between(5, 60), take.between(0, 25), lean)
    wide_pose = POSES[opened]
    if opened == "spread":  # or the flat hand, the thumb away from it
        wide_pose = wide_pose + take.between(0, 0.8) * (POSES["open"] - wide_pose)
        wide_pose[12:] = POSES["spread"][12:]
    shut, wide = (take.place(), rotation, POSES[closed]), (take.place(), rotation, wide_pose)
    return Plan(take.move(shut, wide) if opening else take.move(wide, shut))


def _turn(take: Take, clockwise: bool) -> Plan:
    """A clawed or open hand turned as one turns a knob; clockwise for the performer.

    About the viewing axis with the fingers up; or the forearm rolls, the fingers pointing more or
    less to the camera; or the raised forearm rolls, from the palm seen to the back of the hand,
    which is clockwise of a right hand although its fingers then sweep clockwise in the picture,
    too, or from the back to the palm.
    """
    sense = 1 if clockwise else -1
    pose = POSES["claw"] + take.between(0, 0.8) * (POSES["spread"] - POSES["claw"])
    kind = str(take.rng.choice(["wrist", "forearm", "raised"], p=[0.2, 0.4, 0.4]))
    if kind == "raised":
        pose = POSES["claw"]
        yaw, pitch = take.between(-20, 10), take.between(5, 30)
        palm = take.facing(yaw, pitch)
        back = take.facing(yaw + take.between(115, 140), pitch, take.side * take.between(15, 50))
        ends = [palm, back][:: sense * take.side]
        return Plan(take.move(*[(take.place(), rotation, pose) for rotation in ends]))
    half = np.deg2rad(take.between(50, 75)) * sense
    if kind == "wrist":
        middle = take.facing(take.between(-10, 20), take.between(5, 50), take.between(-10, 10))
        axis = np.array([0.0, 0.0, -1.0])
    else:  # the thumb up in the middle, the fingers along the axis
        rise, aside = np.deg2rad(take.between(5, 55)), take.side * np.deg2rad(take.between(-10, 30))
        axis = np.array([np.sin(aside), -np.sin(rise), -np.cos(rise)])
        along = axis - np.array([0, take.between(0, 0.5), 0])
        middle = axis_rotation(2, take.tilt[2]) @ orientation(along, [take.side, 0, 0])
        axis = axis / np.linalg.norm(axis)
        half *= take.between(1.0, 1.25)
    ends = [cv2.Rodrigues(angle * axis)[0] @ middle for angle in (-half, half)]
    return Plan(take.move(*[(take.place(), rotation, pose) for rotation in ends]))


def _roll(take: Take, forward: bool) -> Plan:
    """The forearm across the body, the hand going round in circles about the lateral axis.

    Forward: over the top towards the camera, back underneath. With one hand, or with both, half a
    turn apart.
    """
    both = take.chance(0.35)
    turns = take.between(1.0, 1.7) * (1 if forward else -1)
    start = take.between(0, 360)
    radius = take.between(0.06, 0.08) if both else take.between(0.065, 0.11)
    height, depth = radius * take.size, radius * take.size * take.between(1.0, 1.4)
    tumble = take.between(25, 60)
    rotation = take.across([0, 0.6, 1] if both else [0, take.between(0, 1), 1], take.between(5, 30))

    def circle(phase: float) -> Cycle:
        def cycle(track: Track, time: np.ndarray, fade: np.ndarray) -> None:
            angle = np.deg2rad(start + phase) + 2 * np.pi * turns * time
            offset = np.stack([0 * angle, -height * np.cos(angle), -depth * np.sin(angle)], axis=1)
            track.place += fade[:, None] * offset
            track.rotation[:] = axis_rotation(0, -fade * tumble * np.cos(angle)) @ track.rotation

        return cycle

    pose = POSES["open"] + take.between(0.0, 0.6) * (POSES["relaxed"] - POSES["open"])
    aside = -take.side * 0.05 if both else 0.0
    keys = take.hold(take.place(aside, z=0.02), rotation, pose)
    return Plan(keys, circle(0), other=circle(180) if both else None)


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
    waves, start = take.between(2.4, 3.6), take.between(0, 2 * np.pi)
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
    away, resting = take.rest(below=True), take.rest(below=False)
    middle = take.between(0.3, 0.7)
    first, last = [(away, away), (resting, resting), (resting, away), (away, resting)][kind]
    keys = [Key(max(middle - 0.25, 0), *first), Key(min(middle + 0.25, 1), *last)]
    return Plan(keys, at_rest=True)


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


_LEFT, _RIGHT, _DOWN, _UP = (1, 0), (-1, 0), (0, 1), (0, -1)
"""The performer's, in the picture: x right, y down."""

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
