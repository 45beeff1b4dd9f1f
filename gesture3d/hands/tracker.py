"""Following up to two hands from frame to frame, and through a clip."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.hands.detector import Hand, Landmarks, PalmDetector
from gesture3d.hands.engines import Engine, Network, Precision, load_network
from gesture3d.hands.geometry import (
    Square,
    is_same_hand,
    palm_centre,
    palm_length,
    square_about_joints,
    square_about_palm,
)
from gesture3d.hands.track import LEFT, NUM_JOINTS, RIGHT, HandTrack
from gesture3d.hands.weights import Size, find_weights

MIN_PRESENCE = 0.5
SEARCH_EVERY = 5  # frames, for a second hand while one is followed
REMEMBERED = 15  # frames that a lost hand is waited for, to go on as the same one
MAX_STEP = 3.0  # palm lengths from where it was lost, a hand may come back as the same one


@dataclass
class _Followed:
    """A hand that is followed, or was a moment ago. Its number is its identity in a clip."""

    number: int
    hand: Hand
    lost_for: int = 0
    evidence: float = 0.0  # sum of log-odds of being the right hand


@dataclass
class _State:
    """All that a stream carries from frame to frame."""

    followed: list[_Followed] = field(default_factory=list)
    frames: int = 0
    born: int = 0
    searches: int = 0


class HandTracker:
    """Hands in clips (`track`) and in streams (`step`).

    A hand is detected in a whole frame (and in its tiles in turn, where the whole shows none),
    then followed: its joints in one frame say where to look in the next. While one hand is
    followed, a second one is looked for in every fifth frame.

    Args:
        size: of the networks, lite or full.
        mirrored: the frames come from a camera that mirrors. Joints stay where they are in the
            frame; which hand is the performer's left changes.
        engine, precision: see `load_network`.
        networks: palm detector and landmarks, loaded already; ``size`` and so on do not count then.

    Raises:
        Gesture3dError: the weights are not there, or damaged.
    """

    def __init__(
        self,
        size: Size = "lite",
        *,
        mirrored: bool = False,
        engine: Engine = "auto",
        precision: Precision = "auto",
        networks: tuple[Network, Network] | None = None,
    ) -> None:
        if networks is None:
            paths = [find_weights(f"{name}_{size}") for name in ("palm_detection", "hand_landmark")]
            networks = tuple(load_network(path, engine, precision) for path in paths)
        self._detector, self._landmarks = PalmDetector(networks[0]), Landmarks(networks[1])
        self.mirrored = mirrored
        self.reset()

    def reset(self) -> None:
        """Begin another stream with the next `step`."""
        self._state = _State()

    def step(self, frame: np.ndarray, seconds: float) -> HandTrack:
        """The hands in the next frame, uint8 RGB (H, W, 3), of a stream: a track of one frame."""
        _check(frame)
        seen = {f.number: f for f in self._forward(frame, self._state)}
        sides = _sides_now(list(seen.values()))
        placed = [{sides[number]: each.hand for number, each in seen.items()}]
        return self._as_track(placed, frame.shape, np.array([seconds], np.float64))

    def track(
        self,
        frames: Sequence[np.ndarray],
        seconds: Sequence[float] | None = None,
        *,
        fps: float = 30.0,
        backwards: bool = True,
    ) -> HandTrack:
        """The hands in a clip.

        Args:
            frames: uint8 RGB (T, H, W, 3), all of one size.
            seconds: (T,) when each was taken; None: ``fps`` frames a second.
            backwards: follow each hand back in time, too, from where it was found, and decide over
                the whole clip which is the left one. Without: what `step` gives, frame by frame.

        Raises:
            Gesture3dError: no frames, or of other kinds.
        """
        if not len(frames):
            raise Gesture3dError("hands: a clip without frames")
        times = np.arange(len(frames)) / fps if seconds is None else np.asarray(seconds, np.float64)
        state = _State()
        placed: list[dict[int, Hand]] = []
        seen: list[dict[int, Hand]] = []
        for frame in frames:
            _check(frame, frames[0].shape)
            followed = self._forward(frame, state)
            seen.append({f.number: f.hand for f in followed})
            sides = _sides_now(followed)
            placed.append({sides[f.number]: f.hand for f in followed})
        if backwards:
            same = self._backwards(frames, seen)
            placed = _placed(seen, same)
        return self._as_track(placed, frames[0].shape, times)

    def _forward(self, frame: np.ndarray, state: _State) -> list[_Followed]:
        """The hands in the next frame of a stream whose ``state`` is carried on."""
        followed = [f for f in state.followed if not f.lost_for]
        hands = self._landmarks.read(frame, [square_about_joints(f.hand.joints) for f in followed])
        now: list[_Followed] = []
        for one, hand in sorted(zip(followed, hands, strict=True), key=lambda pair: pair[0].number):
            if _is_seen(hand, [f.hand for f in now]):
                now.append(replace(one, hand=hand, evidence=one.evidence + _log_odds(hand)))
        lost = [
            replace(f, lost_for=f.lost_for + 1)
            for f in state.followed
            if f.number not in {n.number for n in now} and f.lost_for < REMEMBERED
        ]
        if not now or (len(now) < 2 and state.frames % SEARCH_EVERY == 0):
            for hand in self._search(frame, [f.hand for f in now], state):
                now.append(_known_again(hand, lost, state))
                lost = [f for f in lost if f.number != now[-1].number]
        state.followed, state.frames = now + lost, state.frames + 1
        return now

    def _search(self, frame: np.ndarray, known: list[Hand], state: _State) -> list[Hand]:
        """Hands that are not followed yet: in the whole frame, else in one of its tiles."""
        found = self._detect(frame, known, (0, 0, frame.shape[1], frame.shape[0]))
        if not found and not known:
            windows = tiles(*frame.shape[:2])
            found = self._detect(frame, known, windows[state.searches % len(windows)])
            state.searches += 1
        return found

    def _detect(
        self, frame: np.ndarray, known: list[Hand], window: tuple[int, int, int, int]
    ) -> list[Hand]:
        squares = [square_about_palm(p.box, p.points) for p in self._detector.detect(frame, window)]
        squares = [s for s in squares if not any(_is_at(s, hand) for hand in known)]
        found: list[Hand] = []
        for hand in self._landmarks.read(frame, squares[: 3 - len(known)]):
            if len(known) + len(found) < 2 and _is_seen(hand, [*known, *found]):
                found.append(hand)
        return found

    def _backwards(
        self, frames: Sequence[np.ndarray], seen: list[dict[int, Hand]]
    ) -> dict[int, int]:
        """Follow every hand back from where it appears, into ``seen``, until it is lost or meets
        one that was seen there; then they are one: number → a smaller one, that it is, too."""
        same: dict[int, int] = {}
        starts = [
            (time, number)
            for time in range(1, len(seen))
            for number in seen[time]
            if number not in seen[time - 1]
        ]
        for start, number in starts:
            hand = seen[start][number]
            for time in range(start - 1, -1, -1):
                (hand,) = self._landmarks.read(frames[time], [square_about_joints(hand.joints)])
                if hand.presence < MIN_PRESENCE:
                    break
                met = [n for n, h in seen[time].items() if is_same_hand(hand.joints, h.joints)]
                if met:
                    _unite(number, met[0], same, seen)
                if met or len(seen[time]) == 2 or number in seen[time]:
                    break
                seen[time][number] = hand
        return same

    def _as_track(
        self, placed: list[dict[int, Hand]], shape: tuple[int, ...], seconds: np.ndarray
    ) -> HandTrack:
        joints = np.full((len(placed), 2, NUM_JOINTS, 3), np.nan, np.float32)
        world, presence = joints.copy(), np.zeros((len(placed), 2), np.float32)
        for time, hands in enumerate(placed):
            for side, hand in hands.items():
                place = time, 1 - side if self.mirrored else side
                joints[place], world[place] = hand.joints, hand.world
                presence[place] = min(hand.presence, 1.0)
        return HandTrack(joints, world, presence, shape[1], shape[0], seconds)


def tiles(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Overlapping squares in which small hands are looked for: left, top, width, height."""
    side = max(min(height, width) * 2 // 3, 1)

    def starts(length: int) -> list[int]:
        count = max(math.ceil((length - side) / (side * 0.6)), 1) + 1
        return sorted({round(n * (length - side) / (count - 1)) for n in range(count)})

    return [(x, y, side, side) for y in starts(height) for x in starts(width)]


def _check(frame: np.ndarray, shape: tuple[int, ...] | None = None) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise Gesture3dError(
            f"hands: a frame of shape {frame.shape} and type {frame.dtype}; expected uint8 "
            "(height, width, 3), RGB"
        )
    if shape is not None and frame.shape != shape:
        raise Gesture3dError(f"hands: a frame of shape {frame.shape} among those of {shape}")


def _is_seen(hand: Hand, others: list[Hand]) -> bool:
    """Whether it is a hand, and another one than the others."""
    return hand.presence >= MIN_PRESENCE and not any(
        is_same_hand(hand.joints, other.joints) for other in others
    )


def _is_at(square: Square, hand: Hand) -> bool:
    """Whether a square is about this hand."""
    centre = palm_centre(hand.joints)
    return math.hypot(square.x - centre[0], square.y - centre[1]) < 0.35 * square.side


def _log_odds(hand: Hand) -> float:
    """That it is a right hand; one frame does not decide alone."""
    right = min(max(hand.looks_right, 0.02), 0.98)
    return math.log(right / (1 - right))


def _known_again(hand: Hand, lost: list[_Followed], state: _State) -> _Followed:
    """A hand that was found, as the one that was lost near there, or as a new one."""
    centre = palm_centre(hand.joints)

    def distance(one: _Followed) -> float:
        apart = np.linalg.norm(palm_centre(one.hand.joints) - centre)
        return float(apart) / max(palm_length(one.hand.joints), palm_length(hand.joints), 1.0)

    near = min(lost, key=distance, default=None)
    if near is not None and distance(near) < MAX_STEP:
        return _Followed(near.number, hand, evidence=near.evidence + _log_odds(hand))
    state.born += 1
    return _Followed(state.born, hand, evidence=_log_odds(hand))


def _sides_now(followed: list[_Followed]) -> dict[int, int]:
    """Number → side, by what has been seen of each hand so far; two hands are of two sides."""
    if len(followed) == 2:
        first, second = followed
        is_right = first.evidence > second.evidence
        return {
            first.number: RIGHT if is_right else LEFT,
            second.number: LEFT if is_right else RIGHT,
        }
    return {f.number: RIGHT if f.evidence > 0 else LEFT for f in followed}


def _identity(number: int, same: dict[int, int]) -> int:
    while number in same:
        number = same[number]
    return number


def _unite(number: int, other: int, same: dict[int, int], seen: list[dict[int, Hand]]) -> None:
    """Note that two numbers are one hand's, unless both are seen in one frame."""
    smaller, larger = sorted(_identity(n, same) for n in (number, other))
    together = any({smaller, larger} <= {_identity(n, same) for n in hands} for hands in seen)
    if smaller != larger and not together:
        same[larger] = smaller


def _placed(seen: list[dict[int, Hand]], same: dict[int, int]) -> list[dict[int, Hand]]:
    """Hands by their sides, decided over the whole clip."""

    groups = [{_identity(n, same): hand for n, hand in hands.items()} for hands in seen]
    evidence: dict[int, float] = {}
    for hands in groups:
        for number, hand in hands.items():
            evidence[number] = evidence.get(number, 0.0) + _log_odds(hand)
    sides: dict[int, int] = {}
    for number in sorted(evidence, key=lambda n: -abs(evidence[n])):
        wanted = RIGHT if evidence[number] > 0 else LEFT
        beside = {n for hands in groups if number in hands for n in hands if n in sides}
        taken = {sides[n] for n in beside}
        sides[number] = 1 - wanted if wanted in taken and 1 - wanted not in taken else wanted
    placed = []
    for hands in groups:
        by_side: dict[int, Hand] = {}
        for number, hand in hands.items():
            side = sides[number] if sides[number] not in by_side else 1 - sides[number]
            by_side[side] = hand
        placed.append(by_side)
    return placed
