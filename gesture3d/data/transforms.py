"""Spatial and colour changes of whole clips: one draw, the same for every frame."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gesture3d.config import Augmentation


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
        # Area averaging costs four times as much; up to this ratio two pixels a side are enough.
        shrinks = max(self.height, self.width) > 1.5 * size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        out = np.empty((len(clip), size, size, clip.shape[3]), np.uint8)
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        for frame, target in zip(clip, out, strict=True):
            region = self._rotated(frame) if self.rotation_degrees else frame[rows, columns]
            resized = cv2.resize(region, (size, size), dst=target, interpolation=how)
            if resized.ndim == 2:  # OpenCV drops a single channel, and with it the target
                target[..., 0] = resized
        if self.flip:
            out = out[:, :, ::-1]
        return out if self.gains is None else scale_channels(out, self.gains)

    def _rotated(self, frame: np.ndarray) -> np.ndarray:
        centre = (self.left + (self.width - 1) / 2, self.top + (self.height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, self.rotation_degrees, 1.0)
        matrix[:, 2] -= self.left, self.top
        size = (self.width, self.height)
        return cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REFLECT_101)


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
