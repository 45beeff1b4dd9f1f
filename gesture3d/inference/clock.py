"""A stream's fixed frame rate by timestamps: 10, 30 or a varying number of frames a second become
the rate that the network was trained at, the same in time and whatever the chunks."""

import math
from typing import NamedTuple

from gesture3d.errors import Gesture3dError

EARLY = 0.25  # of a tick: how long before it a frame may be, so that jitter moves none to the next


class Ticks(NamedTuple):
    """What a frame is to the stream.

    Attributes:
        seconds: of the ticks that the frame stands for: none, it is left out; several, it is
            repeated where frames are missing.
        restarts: the frame comes after a gap, and the stream begins anew with it: so must the
            network, with `initial_state`.
    """

    seconds: tuple[float, ...]
    restarts: bool = False


class Clock:
    """Which frames stand for the ticks of a fixed rate.

    Ticks are at begin + n / ``rate_hz``, where the stream begins with its first frame. For a tick
    stands the first frame that is not more than `EARLY` of a tick's length before it: it is known
    when it arrives, and lies at most one distance between frames behind the tick. Frames that are
    the first for no tick are left out; where frames are further apart than ticks, each stands for
    all that have passed.

    Args:
        rate_hz: ticks a second.
        gap_seconds: after a longer time without frames the stream begins anew.
        state: of a clock whose stream goes on, see `state`.

    Raises:
        Gesture3dError: a rate or gap that is not positive.
    """

    def __init__(
        self, rate_hz: float, gap_seconds: float = 1.0, state: tuple[float, ...] | None = None
    ) -> None:
        if not (0 < rate_hz < math.inf and gap_seconds > 0):
            raise Gesture3dError(
                f"a stream of {rate_hz} frames a second with gaps from {gap_seconds} s on: both "
                "must be more than 0"
            )
        self.rate_hz, self.gap_seconds = rate_hz, gap_seconds
        self._begin, self._last, self._next = state or (math.nan, math.nan, 0)

    @property
    def state(self) -> tuple[float, ...]:
        """When the stream began, its last frame (both NaN before any), and the next tick's number;
        all that there is to go on."""
        return self._begin, self._last, self._next

    def push(self, seconds: float) -> Ticks:
        """What a frame of this time, in seconds of any clock, is to the stream.

        Raises:
            Gesture3dError: no finite time, or one before the last frame's; the frame is as never
                given, and the stream can go on.
        """
        if not math.isfinite(seconds):
            raise Gesture3dError(f"a frame at {seconds} s: give each frame its time")
        if seconds < self._last:
            raise Gesture3dError(
                f"a frame at {seconds:.3f} s after one at {self._last:.3f} s: timestamps must not "
                "run backwards; begin a new stream where the camera's clock was set"
            )
        restarts = seconds - self._last > self.gap_seconds
        if restarts or math.isnan(self._last):
            self._begin, self._next = seconds, 0
        self._last = seconds
        passed = math.floor((seconds - self._begin) * self.rate_hz + EARLY + 1e-9)
        ticks = range(int(self._next), passed + 1)
        self._next = ticks.stop if ticks else self._next
        return Ticks(tuple(self._begin + n / self.rate_hz for n in ticks), restarts)
