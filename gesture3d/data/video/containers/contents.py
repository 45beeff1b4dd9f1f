"""What is found in a file."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Contents:
    """What a video file says about itself.

    Attributes:
        kind: mp4 (and mov), avi, matroska (and webm), ... or other.
        num_frames: how many its first video shows; None where only decoding can tell.
        problem: in what it is not whole; None where nothing is wrong.
        may_lack: so many of the frames may show nothing.
        has_video: False where it says that there is none.
        has_edits: it holds frames that it does not show, or may hold more of them, or plays for
            longer than they do.
    """

    kind: str
    num_frames: int | None
    problem: str | None = None
    may_lack: int = 0
    has_video: bool = True
    has_edits: bool = False


class Damaged(Exception):
    """The structure of a file breaks off. The message says where."""


def breaks_off(at: int) -> Damaged:
    return Damaged(f"damaged or cut off: its structure breaks off at byte {at}")


def cut_off(size: int, wanted: int) -> Damaged:
    return Damaged(f"is cut off: {size} of {wanted} bytes are there")


REORDERED = 16  # pictures at most lie between the place of one in the file and on the screen


def num_leading(times: Iterable[int]) -> int:
    """How many pictures right behind the first one are shown before it.

    They may refer to pictures before it, which are not there in a part of a video that was copied
    from behind a key frame on; then they cannot be decoded, and nothing is lost.

    Args:
        times: when the pictures are shown, in the order of the file.
    """
    times = iter(times)
    first, leading = next(times, 0), 0
    for time in times:
        if time >= first or leading == REORDERED:
            break
        leading += 1
    return leading
