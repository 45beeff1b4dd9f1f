"""What is found in a file."""

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
