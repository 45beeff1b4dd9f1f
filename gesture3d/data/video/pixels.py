"""From a decoded frame to the pixels that are kept of it: scaled, and in the wanted channels.

``rgb``              (H, W, 3), red, green, blue
``grey``             (H, W, 1)
``flow``             (H, W, 2): horizontal and vertical optical flow
``flow_magnitude``   (H, W, 3): the same, and its length
``followed``         (S, S, 3): like ``rgb``, where something moves in the clip, see `framing`

Optical flow is stored as a grey frame of twice the height: the horizontal component above the
vertical one. Level g stands for (g - 128) / 8 pixels of the stored frame to the next one, within
±15.9 pixels; x goes right, y down. The length ℓ is 128 + 8 ℓ, so that 128 is rest everywhere.
"""

from typing import Literal

import cv2
import numpy as np

Pixels = Literal["rgb", "grey", "flow", "flow_magnitude", "followed"]
FLOW_ZERO, FLOW_LEVELS_PER_PIXEL = 128, 8


def prepare_frame(
    frame: np.ndarray, short_side: int | None, pixels: Pixels, is_bgr: bool = False
) -> np.ndarray:
    """A decoded frame, uint8 (H, W, 3) or grey (H, W, 1), as ``pixels``, scaled.

    Args:
        short_side: of the result, in pixels; None keeps the size.
        is_bgr: the three channels are blue, green, red, as OpenCV decodes them, and stay so:
            `bgr_to_rgb` swaps them when the frames have become small.
    """
    if pixels in ("flow", "flow_magnitude"):
        middle = len(frame) // 2
        frame = np.dstack([frame[:middle, :, -1], frame[middle : 2 * middle, :, -1]])
        frame = resize_short_side(frame, short_side)
        return frame if pixels == "flow" else with_magnitude(frame)
    frame = resize_short_side(frame, short_side)
    if frame.shape[2] == 1:
        return np.repeat(frame, 3, axis=2) if pixels == "rgb" else frame
    if pixels == "grey":
        return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY if is_bgr else cv2.COLOR_RGB2GRAY)[..., None]
    return frame


def bgr_to_rgb(frames: np.ndarray) -> np.ndarray:
    """Swap blue and red of frames (..., W, 3), in place."""
    flat = frames.reshape(-1, *frames.shape[-2:])
    cv2.cvtColor(flat, cv2.COLOR_BGR2RGB, dst=flat)
    return frames


def resize_short_side(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    """A frame (H, W, C) scaled so that min(H, W) is ``short_side``; None leaves it as it is."""
    height, width = frame.shape[:2]
    short = min(height, width)
    if short_side is None or short == short_side:
        return frame
    size = (max(1, round(width * short_side / short)), max(1, round(height * short_side / short)))
    how = cv2.INTER_AREA if short_side < short else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=how).reshape(size[1], size[0], -1)


def flow_to_frame(flow: np.ndarray) -> np.ndarray:
    """Flow in pixels, float (H, W, 2) → the stored frame, uint8 (2 H, W)."""
    levels = np.rint(flow * FLOW_LEVELS_PER_PIXEL + FLOW_ZERO)
    return np.concatenate(np.moveaxis(np.clip(levels, 1, 255), 2, 0)).astype(np.uint8)


def frame_to_flow(frame: np.ndarray) -> np.ndarray:
    """The stored frame (2 H, W) → flow in pixels, float32 (H, W, 2)."""
    middle = len(frame) // 2
    levels = np.stack([frame[:middle], frame[middle:]], axis=2).astype(np.float32)
    return (levels - FLOW_ZERO) / FLOW_LEVELS_PER_PIXEL


def mirror_flow(clip: np.ndarray) -> np.ndarray:
    """What a mirror (of x) does to flow levels (T, H, W, C ≥ 2), beside moving pixels."""
    clip = clip.copy()
    clip[..., 0] = _opposite(clip[..., 0])
    return clip


def reverse_flow(clip: np.ndarray) -> np.ndarray:
    """What playing backwards does to flow levels (T, H, W, C ≥ 2), beside reordering frames."""
    clip = clip.copy()
    clip[..., :2] = _opposite(clip[..., :2])
    return clip


def with_magnitude(levels: np.ndarray) -> np.ndarray:
    """Flow levels (..., 2) → (..., 3): the same, and those of their length."""
    length = np.sqrt(((levels.astype(np.float32) - FLOW_ZERO) ** 2).sum(axis=-1, keepdims=True))
    length = np.minimum(np.rint(length + FLOW_ZERO), 255).astype(np.uint8)
    return np.concatenate([levels, length], axis=-1)


def _opposite(levels: np.ndarray) -> np.ndarray:
    return (2 * FLOW_ZERO - np.maximum(levels, 1).astype(np.int16)).astype(np.uint8)
