"""Streams of joints out of clips of one gesture each, where a set has no streams to learn from.

One performer's gestures follow each other at varying speeds; between them the hand moves on, rests
in poses of no gesture (mixtures of frames of different classes), begins gestures and breaks them
off, and makes movements of no class. Only whole gestures are annotated.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gesture3d.data.skeleton.transforms import change_speed, rotate, time_warp
from gesture3d.events import Event

Clips = Mapping[str, Sequence[np.ndarray]]  # class → (T, J, C) each

SPEEDS = (0.8, 1.4)  # of a gesture
TRANSITION = (0.25, 1.2)  # seconds from one pose to the next
REST = (0.0, 2.0)  # seconds
RESTS = 0.75  # how often a gesture comes out of a rest
BROKEN = 0.35  # how often one begins and is broken off before
OTHER = 0.5  # how often a movement of no class comes before
REPEATS = 0.15  # how often the next one is of the same class
REACH = 1.0  # standard deviation of the places where rests are, in lengths of the hand


def splice_stream(
    clips: Clips, seconds: float, rate_hz: float, size: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[Event]]:
    """A stream of at least so many seconds that ends in a rest.

    Args:
        rate_hz: frames a second of the clips, and of the stream.
        size: of the hand (or body), in the clips' unit: how far it moves between gestures.

    Returns:
        Joints (T, J, C) and the gestures in them, in order.
    """
    made = _Course(clips, rate_hz, size, rng)
    names = list(clips)
    name = names[rng.integers(len(names))]
    made.rest()
    while made.num_frames < seconds * rate_hz:
        if rng.random() < BROKEN:
            made.broken_off(names[rng.integers(len(names))])
            made.rest()
        if rng.random() < OTHER:
            made.other()
        made.gesture(name)
        again = rng.random() < REPEATS
        name = name if again else names[rng.integers(len(names))]
        if rng.random() < RESTS:
            made.rest()
    made.rest()
    turned = rotate(np.concatenate(made.parts), (10.0, 10.0, 10.0), rng)
    return turned.astype(np.float32), made.events


class _Course:
    """A stream as it comes about. The first joint is the one that poses are relative to."""

    def __init__(self, clips: Clips, rate_hz: float, size: float, rng: np.random.Generator) -> None:
        self.clips, self.rate_hz, self.size, self.rng = clips, rate_hz, size, rng
        self.parts: list[np.ndarray] = []
        self.events: list[Event] = []
        self.num_frames = 0

    def gesture(self, name: str) -> None:
        clip = self._performed(name)
        self._go_to(clip[0])
        start = self.num_frames / self.rate_hz
        self._add(clip)
        self.events.append(Event(name, start, self.num_frames / self.rate_hz))

    def broken_off(self, name: str) -> None:
        """The first tenth to two fifths of a gesture."""
        clip = self._performed(name)
        clip = clip[: 2 + int(len(clip) * self.rng.uniform(0.1, 0.4))]
        self._go_to(clip[0])
        self._add(clip)

    def other(self) -> None:
        """A movement between those of two clips, one of them backwards."""
        one, other = (self._performed(name) for name in self._two_names())
        length = min(len(one), len(other))
        mixed = (one[:length] + other[:length][::-1]) / 2
        mixed = mixed[: max(2, int(length * self.rng.uniform(0.3, 0.8)))]
        self._go_to(mixed[0])
        self._add(mixed)

    def rest(self) -> None:
        """Somewhere near, moving a little, in a pose between those of two classes."""
        frames = [_random_frame(self.clips[name], self.rng) for name in self._two_names()]
        share = self.rng.uniform(0.3, 0.7)
        pose = share * frames[0] + (1 - share) * frames[1]
        pose = pose + self._place(REACH)
        self._go_to(pose)
        count = int(self.rng.uniform(*REST) * self.rate_hz)
        drift = self._drift(count, 0.3)
        self._add(pose + drift[:, None])

    def _performed(self, name: str) -> np.ndarray:
        """A clip in one of the ways to perform it, at a place near the last one."""
        clips = self.clips[name]
        clip = clips[self.rng.integers(len(clips))].astype(np.float64)
        clip = time_warp(change_speed(clip, *SPEEDS, self.rng), 0.3, self.rng)
        clip = rotate(clip - clip[0, 0], (5.0, 5.0, 5.0), self.rng)
        return clip + self._place(0.7 * REACH)

    def _place(self, reach: float) -> np.ndarray:
        coordinates = next(iter(self.clips.values()))[0].shape[2]
        return self.rng.normal(0.0, reach * self.size, coordinates)

    def _two_names(self) -> list[str]:
        names = list(self.clips)
        return [names[n] for n in self.rng.integers(0, len(names), 2)]

    def _go_to(self, pose: np.ndarray) -> None:
        """With minimum jerk (Flash and Hogan 1985), not quite straight."""
        if not self.parts:
            return
        count = int(self.rng.uniform(*TRANSITION) * self.rate_hz)
        share = np.arange(1, count + 1) / (count + 1)
        eased = (10 * share**3 - 15 * share**4 + 6 * share**5)[:, None, None]
        bend = self._drift(count, 0.3) * np.sin(np.pi * share)[:, None]
        last = self.parts[-1][-1]
        self._add(last + (pose - last) * eased + bend[:, None])

    def _drift(self, count: int, size: float, every: int = 10) -> np.ndarray:
        """Smooth noise (count, C) of this deviation, in sizes of the hand."""
        coordinates = next(iter(self.clips.values()))[0].shape[2]
        knots = self.rng.normal(0.0, size * self.size, (count // every + 2, coordinates))
        place, share = np.divmod(np.arange(count) / every, 1.0)
        place, share = place.astype(int), (share**2 * (3 - 2 * share))[:, None]
        return knots[place] * (1 - share) + knots[place + 1] * share

    def _add(self, joints: np.ndarray) -> None:
        if len(joints):
            self.parts.append(joints)
            self.num_frames += len(joints)


def _random_frame(clips: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    clip = clips[rng.integers(len(clips))]
    frame = clip[rng.integers(len(clip))].astype(np.float64)
    return frame - frame[0]
