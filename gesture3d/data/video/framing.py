"""The part of the picture in which something moves: a square that is the same in all frames.

Networks for clips see few pixels (48 × 48), in which the hand of a person across the room is two or
three of them. ``data.framing=motion`` cuts each clip down to the square that its motion fills,
before it is scaled, so that near and distant people are of one size to the network.

Frames are shifted against the camera's motion (phase correlation with their median; Kuglin and
Hines, 1975), and what then changes from frame to frame by more than noise and drifting light do is
weighted by how much. The square lies around the middle of that, `SIDE` times as large as it is
spread, inside the frame.
"""

from collections.abc import Sequence

import cv2
import numpy as np  # and no more: `run_onnx.py` uses this file alone

VERSION = "motion 1"  # of the way a square is found: another one voids decoded frames
SEEN = 16  # frames that the square is found in
LOOKED_AT = 48  # pixels of their short side
SHORT_SIDE = 240  # pixels of larger frames, that squares are cut out of
SIDE = 3.5  # of the square, in standard deviations of where something moves
LEAST = 0.35  # of the frame's short side
NOISE = 3.0  # times the median change between two frames is none yet
LEAST_CHANGE = 4.0  # levels
BETTER = 0.8  # of most pixels' difference from the median is left where a frame is shifted, at most

Square = tuple[int, int, int]  # top, left, side, in pixels


def seen_in(num_frames: int) -> np.ndarray:
    """The frames of a clip that its square is found in, ascending."""
    return np.arange(num_frames) if num_frames <= SEEN else np.arange(SEEN) * num_frames // SEEN


def kept_side(height: int, width: int) -> int:
    """The short side of the frames that squares are cut out of."""
    return min(SHORT_SIDE, height, width)


def moving_part(frames: Sequence[np.ndarray] | np.ndarray) -> Square:
    """Where in frames uint8 (H, W, 3), of one size, something moves: in the middle where nothing
    does. Looks at those of `seen_in` alone, which may be all that there are."""
    height, width = frames[0].shape[:2]
    short = min(height, width)
    small = _steady(np.stack([_small(frames[n]) for n in seen_in(len(frames)).tolist()]))
    changes = np.abs(np.diff(small, axis=0))
    noise = _medians(changes)[:, None, None] if len(changes) else 0.0
    moving = np.maximum(changes - np.maximum(NOISE * noise, LEAST_CHANGE), 0).sum(axis=0)
    total = moving.sum()
    if total <= 0:
        return (height - short) // 2, (width - short) // 2, short
    scale = height / small.shape[1], width / small.shape[2]
    rows, columns = (np.arange(n) + 0.5 for n in small.shape[1:])
    by_row, by_column = moving.sum(axis=1) / total, moving.sum(axis=0) / total
    centre = by_row @ rows, by_column @ columns
    spread = by_row @ (rows - centre[0]) ** 2 + by_column @ (columns - centre[1]) ** 2
    side = round(min(max(SIDE * spread**0.5 * min(scale), LEAST * short), short))
    top, left = (
        int(min(max(round(middle * pixels - side / 2), 0), length - side))
        for middle, pixels, length in zip(centre, scale, (height, width), strict=True)
    )
    return top, left, side


def cut(frame: np.ndarray, square: Square, short_side: int | None) -> np.ndarray:
    """The square of a frame (H, W, C), scaled to ``short_side``; None keeps its size."""
    top, left, side = square
    part = frame[top : top + side, left : left + side]
    if short_side in (None, side):
        return part
    how = cv2.INTER_AREA if short_side < side else cv2.INTER_LINEAR
    return cv2.resize(part, (short_side, short_side), interpolation=how)


def _small(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    factor = LOOKED_AT / min(height, width)
    size = round(width * factor), round(height * factor)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _steady(frames: np.ndarray) -> np.ndarray:
    """Frames (T, H, W) without the camera's motion and drifting light, as far as they are seen: a
    frame is shifted where most pixels come nearer to the median, so that no hand before an even
    wall is followed."""
    frames = frames - _medians(frames)[:, None, None]
    median = _medians(frames.transpose(1, 2, 0).reshape(-1, len(frames))).reshape(frames[0].shape)
    size = median.shape[::-1]
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    moved = np.empty_like(frames)
    for n, frame in enumerate(frames):
        # Not by its own window, which some versions multiply their arguments with in place.
        (right, down), _ = cv2.phaseCorrelate(median * window, frame * window)
        back = np.float32([[1, 0, right], [0, 1, down]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved[n] = cv2.warpAffine(frame, back, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    nearer = _medians(np.abs(moved - median)) < BETTER * _medians(np.abs(frames - median))
    return np.where(nearer[:, None, None], moved, frames)


def _medians(values: np.ndarray) -> np.ndarray:
    """Of each row (N, …), float32 (N,): what np.median gives, which does not sort in vectors."""
    values = np.sort(values.reshape(len(values), -1), axis=1)
    middle = values.shape[1] // 2
    return (values[:, middle - 1 + values.shape[1] % 2] + values[:, middle]) / np.float32(2)
