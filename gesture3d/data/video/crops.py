"""Spatial and colour changes of whole clips: one draw, the same for every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from gesture3d.data.video.stream import Augmentation


@dataclass(frozen=True)
class Crop:
    """A rectangle of the frame that becomes the network's square input.

    Attributes:
        top, left, height, width: the rectangle in pixels of the frame.
        rotation_degrees: the rectangle is turned about its centre, counter-clockwise.
        flip: mirror left and right.
        gains: one factor per colour channel, or None.
    """

    top: int
    left: int
    height: int
    width: int
    rotation_degrees: float = 0.0
    flip: bool = False
    gains: tuple[float, ...] | None = None

    def apply(self, clip: np.ndarray, size: int) -> np.ndarray:
        """uint8 (T, H, W, C) → uint8 (T, size, size, C)."""
        return self.finish(np.stack([self.cut(frame, size) for frame in clip]))

    def cut(self, frame: np.ndarray, size: int) -> np.ndarray:
        """The rectangle of one frame, uint8 (H, W, C) → (size, size, C); `finish` does the rest."""
        if self.rotation_degrees:
            region = self._rotated(frame)
        else:
            bottom, right = self.top + self.height, self.left + self.width
            region = frame[self.top : bottom, self.left : right]
        return resize_square(region, size)

    def finish(self, clip: np.ndarray) -> np.ndarray:
        """What is left to do when the rectangle is cut out: mirror and colours."""
        if self.flip:
            clip = clip[:, :, ::-1]
        return clip if self.gains is None else scale_channels(clip, self.gains)

    def _rotated(self, frame: np.ndarray) -> np.ndarray:
        centre = (self.left + (self.width - 1) / 2, self.top + (self.height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, self.rotation_degrees, 1.0)
        matrix[:, 2] -= self.left, self.top
        size = (self.width, self.height)
        return cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REFLECT_101)


def resize_square(region: np.ndarray, size: int) -> np.ndarray:
    """A region (H, W, C) as (size, size, C), without aliasing.

    Large ones are first averaged over whole blocks of pixels (a rest narrower than a block is cut
    off at the lower and right edge), which is 6 times faster than averaging over fractions of
    pixels; the remaining factor below 2 is interpolated.
    """
    height, width = region.shape[:2]
    block = min(height, width) // size
    if block > 1:
        height, width = height // block, width // block
        region = region[: height * block, : width * block]
        region = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
    shrinks = max(height, width) > 1.5 * size  # up to this ratio two pixels a side are enough
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(region, (size, size), interpolation=how)
    return resized.reshape(size, size, -1)  # OpenCV drops a single channel


def central_crop(height: int, width: int) -> Crop:
    """The square of the short side in the middle of the frame: evaluation."""
    side = min(height, width)
    return Crop((height - side) // 2, (width - side) // 2, side, side)


def evaluation_crops(height: int, width: int, num_crops: int) -> list[Crop]:
    """Squares of the short side: the central one, or three from one end of the long side to the
    other."""
    side = min(height, width)
    if num_crops == 1:
        return [central_crop(height, width)]
    shares = np.linspace(0, 1, num_crops)
    return [
        Crop(round((height - side) * share), round((width - side) * share), side, side)
        for share in shares
    ]


def random_crop(
    height: int, width: int, augmentation: Augmentation, rng: np.random.Generator
) -> Crop:
    """Draw a crop of a frame of ``height`` × ``width`` pixels: training.

    Its side is a share ``crop_scale`` of the short side, stretched by ``aspect``; it lies
    anywhere in the frame, or within ±``shift`` of the centre, and always inside the frame.
    """
    a = augmentation
    short = min(height, width)
    side = short * rng.uniform(*a.crop_scale)
    stretch = (1 + a.aspect) ** (rng.uniform(-1, 1) / 2)
    crop_height = min(max(round(side / stretch), 1), height)
    crop_width = min(max(round(side * stretch), 1), width)
    top = _random_start(height, crop_height, short, a.shift, rng)
    left = _random_start(width, crop_width, short, a.shift, rng)
    crop = Crop(top, left, crop_height, crop_width)
    if a.rotation_degrees:
        crop = replace(crop, rotation_degrees=rng.uniform(-1, 1) * a.rotation_degrees)
    if a.gain != (1.0, 1.0) or a.channel_gain != (1.0, 1.0):
        gains = rng.uniform(*a.gain) * rng.uniform(*a.channel_gain, size=3)
        crop = replace(crop, gains=tuple(gains))
    if a.horizontal_flip:
        crop = replace(crop, flip=bool(rng.random() < 0.5))
    return crop


def scale_channels(clip: np.ndarray, gains: tuple[float, ...]) -> np.ndarray:
    """Multiply each colour channel of uint8 (T, H, W, C) by its factor, saturating at 255."""
    levels = np.arange(256, dtype=np.float32)[:, None] * np.asarray(gains, np.float32)
    table = np.minimum(np.rint(levels), 255).astype(np.uint8)[None]
    frames, height, width, channels = clip.shape
    table = table[..., :channels]
    flat = np.ascontiguousarray(clip).reshape(frames * height, width, channels)
    return cv2.LUT(flat, table).reshape(clip.shape)


def _random_start(
    length: int, crop: int, short: int, shift: float | None, rng: np.random.Generator
) -> int:
    room = length - crop
    if shift is None:
        return int(rng.integers(0, room + 1))
    start = room / 2 + rng.uniform(-shift, shift) * short
    return int(min(max(round(start), 0), room))
