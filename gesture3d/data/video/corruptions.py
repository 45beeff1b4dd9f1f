"""What cameras do to clips, each at any strength: the idea of ImageNet-C, for frames in a row.

``CORRUPTIONS[name](frames, strength, rng)`` → frames. Strength 0 gives the frames as they are, 1 is
as hard as a person still recognises a gesture in; the field's five are `STRENGTHS`. What is drawn
(directions, places, the noise) does not depend on the strength, which only scales it.

Lengths are shares of the frame's short side, so that a corruption is the same in small and in large
frames; only noise is of single pixels.

Source of the idea: Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from gesture3d.data.video.pixels import (
    FLOW_LEVELS_PER_PIXEL,
    FLOW_ZERO,
    bgr_to_rgb,
    with_magnitude,
)
from gesture3d.data.video.prepared.flow import SHORT_SIDE

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

Function = Callable[[np.ndarray, float, np.random.Generator, str], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One of `CORRUPTIONS`.

    Attributes:
        apply: (frames, strength, rng, modality) → frames; of depth one channel, of flow two.
        modalities: of the clips it can happen to.
        temporal: it changes the number or the order of the frames.
    """

    apply: Function
    modalities: tuple[str, ...] = ("rgb", "depth", "flow")
    temporal: bool = False

    def __call__(
        self,
        frames: np.ndarray,
        strength: float,
        rng: np.random.Generator,
        modality: str = "rgb",
    ) -> np.ndarray:
        """Corrupt a clip.

        Args:
            frames: uint8 (T, H, W, C), not written to: RGB or grey, depth, or levels of flow with
                or without their length, see `gesture3d.data.video.pixels`.
            strength: 0 … 1; of 0, the result is ``frames`` itself.

        Returns:
            uint8 (T', H, W, C), T' ≤ T.

        Raises:
            ValueError: another strength, or a modality to which it does not happen.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength {strength}: must be from 0 to 1")
        if modality not in self.modalities:
            raise ValueError(f"it does not happen to {modality}, only to {self.modalities}")
        if strength == 0:
            return frames
        channels = {"rgb": frames.shape[3], "depth": 1, "flow": 2}[modality]
        changed = self.apply(np.asarray(frames[..., :channels]), strength, rng, modality)
        if channels == frames.shape[3]:
            return changed
        return with_magnitude(changed) if modality == "flow" else np.repeat(changed, 3, axis=3)


# Light and colour: (frames, channels, strength, rng) → the level that each level becomes, float
# (T, 256, 1 or C).

LEVELS = np.arange(256, dtype=np.float32)[None, :, None]
Tables = Callable[[int, int, float, np.random.Generator], np.ndarray]


def _levels(tables: Tables) -> Corruption:
    def apply(frames: np.ndarray, strength: float, rng: np.random.Generator, _: str) -> np.ndarray:
        count, _, _, channels = frames.shape
        table = np.clip(np.rint(tables(count, channels, strength, rng)), 0, 255).astype(np.uint8)
        pairs = zip(frames, np.broadcast_to(table, (count, *table.shape[1:])), strict=True)
        return _each(lambda pair: cv2.LUT(pair[0], pair[1][None]), frames, pairs)

    return Corruption(apply, ("rgb",))


def _exposure_ramp(count: int, _: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """From bright to dark within the clip, or the other way: a factor of 4 to 1 / 4."""
    return LEVELS * np.exp(1.4 * strength * _either(rng) * _ramp(count))[:, None, None]


def _flicker(count: int, _: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Mains light: a beat of 2 to 8 frames, by a factor of e at most."""
    phases = 2 * np.pi * (rng.uniform(0.13, 0.5) * np.arange(count) + rng.random())
    return LEVELS * np.exp(strength * np.sin(phases))[:, None, None]


def _gamma(_: int, __: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Dark or bright shades drowned: an exponent of 3 or 1 / 3."""
    return 255 * (LEVELS / 255) ** np.exp(1.1 * strength * _either(rng))


def _low_contrast(_: int, __: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Fog, or a dark hand on dark ground: an eighth of the contrast, around any level."""
    level = rng.uniform(40, 215)
    return level + (1 - 0.875 * strength) * (LEVELS - level)


def _white_balance(
    count: int, channels: int, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """From one cast to its opposite within the clip; grey has the brightness that is left of it."""
    cast = rng.standard_normal(3)
    cast = 0.6 * strength * (cast - cast.mean()) / np.ptp(cast)
    gains = np.exp(2 * cast * _ramp(count)[:, None])[:, None]
    return LEVELS * (gains if channels == 3 else gains @ [[0.299], [0.587], [0.114]])


# The sensor, the lens, and the file.


def _sensor_noise(
    frames: np.ndarray, strength: float, rng: np.random.Generator, modality: str
) -> np.ndarray:
    """Of photons and of the amplifier: 45 levels in a middle grey; 25 of depth, whose 0 stays."""
    size = frames[0].size
    bank = rng.standard_normal(2 * size, dtype=np.float32)  # each frame has a stretch of it
    starts = rng.integers(0, size, len(frames))
    noise = np.stack([bank[start : start + size] for start in starts]).reshape(frames.shape)
    if modality == "depth":
        noisy = np.clip(np.rint(frames + 25 * strength * noise), 1, 255).astype(np.uint8)
        return np.where(frames == 0, 0, noisy)
    noise *= (strength * np.sqrt(900 + 9 * LEVELS.ravel()))[frames]
    noise += frames
    return np.clip(np.rint(noise, out=noise), 0, 255, out=noise).astype(np.uint8)


def _motion_blur(
    frames: np.ndarray, strength: float, rng: np.random.Generator, _: str
) -> np.ndarray:
    """A camera that moves while the shutter is open: lines of a quarter of the short side."""
    length = 0.25 * strength * min(frames.shape[1:3])
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.clip(x * np.cos(angle) + y * np.sin(angle), -length / 2, length / 2)
    distance = np.hypot(x - along * np.cos(angle), y - along * np.sin(angle))
    kernel = np.maximum(0, 1 - distance)
    kernel /= kernel.sum()
    return _each(lambda frame: cv2.filter2D(frame, -1, kernel), frames)


def _defocus(frames: np.ndarray, strength: float, _: np.random.Generator, __: str) -> np.ndarray:
    """A Gaussian blur; its standard deviation is 4.5 % of the short side."""
    sigma = 0.045 * strength * min(frames.shape[1:3])
    return _each(lambda frame: cv2.GaussianBlur(frame, (0, 0), sigma), frames)


def _compression(
    frames: np.ndarray, strength: float, _: np.random.Generator, __: str
) -> np.ndarray:
    """JPEG, of quality 95 down to 7. Flow is stored as `pixels` says, one part above the other."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(95 * (7 / 95) ** strength)]
    _, height, width, channels = frames.shape

    def there_and_back(frame: np.ndarray) -> np.ndarray:
        stored = np.concatenate([frame[..., 0], frame[..., 1]]) if channels == 2 else frame
        read = cv2.imdecode(cv2.imencode(".jpg", stored, quality)[1], cv2.IMREAD_UNCHANGED)
        return np.moveaxis(read.reshape(2, height, width), 0, 2) if channels == 2 else read

    if channels != 3:
        return _each(there_and_back, frames)
    return bgr_to_rgb(_each(there_and_back, bgr_to_rgb(frames.copy())))  # as OpenCV has them


def _resolution(
    frames: np.ndarray, strength: float, _: np.random.Generator, modality: str
) -> np.ndarray:
    """A short side of 14 pixels, enlarged. Depth is not mixed: the nearest pixel's is taken."""
    height, width = frames.shape[1:3]
    short = min(height, width)
    scale = (min(14, short / 4) / short) ** strength
    small = max(1, round(width * scale)), max(1, round(height * scale))
    down, up = cv2.INTER_AREA, cv2.INTER_LINEAR
    if modality == "depth":
        down = up = cv2.INTER_NEAREST_EXACT
    return _each(
        lambda frame: cv2.resize(
            cv2.resize(frame, small, interpolation=down), (width, height), interpolation=up
        ),
        frames,
    )


# The camera's motion: (frames, strength, rng) → for each frame the zoom, the roll (radians) and the
# shift in x and y (shares of the short side), float (T, 4).

Path = Callable[[int, float, np.random.Generator], np.ndarray]


def _motion(path: Path) -> Corruption:
    return Corruption(
        lambda frames, strength, rng, modality: _move(
            frames, path(len(frames), strength, rng), modality
        )
    )


def _camera_shake(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A hand that trembles: by 6 % of the short side and 3 degrees, standard deviations."""
    jitter = rng.standard_normal((count + 2, 3))
    jitter = (jitter[:-2] + 2 * jitter[1:-1] + jitter[2:]) / np.sqrt(6)
    return np.column_stack([np.ones(count), strength * jitter * (0.05, 0.06, 0.06)])


def _slow_pan(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """In any direction, by half of the short side from the first to the last frame."""
    angle = rng.uniform(0, 2 * np.pi)
    shift = 0.25 * strength * _ramp(count)[:, None] * (np.cos(angle), np.sin(angle))
    return np.column_stack([np.ones(count), np.zeros(count), shift])


def _zoom(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """During the clip in or out, to 1.8 times the size or from it, or to and from 0.55."""
    along = (1 + _either(rng) * _ramp(count)) / 2
    zoom = np.exp(0.6 * strength * _either(rng) * along)
    return np.column_stack([zoom, np.zeros((count, 3))])


def _rolling_crop(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A part of the picture that goes round within it, and rolls by 20 degrees."""
    turns = _either(rng) * np.pi * _ramp(count) + rng.uniform(0, 2 * np.pi)
    around = 0.2 * strength * np.column_stack([np.cos(turns), np.sin(turns)])
    roll = 0.35 * strength * np.sin(turns + rng.uniform(0, 2 * np.pi))
    return np.column_stack([np.full(count, 1 + 0.4 * strength), roll, around])


def _move(frames: np.ndarray, path: np.ndarray, modality: str) -> np.ndarray:
    """The picture zoomed and rolled about its middle, and shifted.

    Pixels from outside are those of the edge, of depth background. What moves in the picture moves
    on with it: flow of v at x becomes that from A x to A' (x + v), A and A' being the motions of
    this frame and the next. It is in pixels of the frames of which it was computed, whose short
    side is taken to be `SHORT_SIDE`, or that of these frames where they are larger.
    """
    height, width = frames.shape[1:3]
    short, middle = min(height, width), np.array([width - 1, height - 1]) / 2
    zoom, roll = path[:, 0], path[:, 1]
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    turn = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)  # (T, 2, 2)
    shift = middle - turn @ middle + short * path[:, 2:]
    matrices = np.concatenate([turn, shift[..., None]], 2)
    border, how, outside = cv2.BORDER_REPLICATE, cv2.INTER_LINEAR, 0
    if modality != "rgb":
        border, outside = cv2.BORDER_CONSTANT, FLOW_ZERO if modality == "flow" else 0
        how = cv2.INTER_NEAREST if modality == "depth" else cv2.INTER_LINEAR
    moved = _each(
        lambda pair: cv2.warpAffine(
            pair[0], pair[1], (width, height), None, how, border, (outside,) * 4
        ),
        frames,
        zip(frames, matrices, strict=True),
    )
    if modality != "flow":
        return moved
    after = np.concatenate([matrices[1:], 2 * matrices[-1:] - matrices[-2:][:1]])
    y, x = np.mgrid[:height, :width]
    places = np.stack([x, y], 2)
    scale = FLOW_LEVELS_PER_PIXEL * max(SHORT_SIDE / short, 1)
    for frame, here, there in zip(moved, matrices, after, strict=True):
        source = (places - here[:, 2]) @ np.linalg.inv(here[:, :2]).T
        camera = source @ there[:, :2].T + there[:, 2] - places
        own = (frame.astype(np.float32) - FLOW_ZERO) @ there[:, :2].T
        frame[...] = np.clip(np.rint(own + scale * camera + FLOW_ZERO), 1, 255)
    return moved


# Time: (frames, strength, rng) → which frames there are, ascending.

Choice = Callable[[int, float, np.random.Generator], np.ndarray]


def _time(choice: Choice) -> Corruption:
    def apply(
        frames: np.ndarray, strength: float, rng: np.random.Generator, modality: str
    ) -> np.ndarray:
        chosen = choice(len(frames), strength, rng)
        return _flow_between(frames, chosen) if modality == "flow" else frames[chosen]

    return Corruption(apply, temporal=True)


def _frame_drops(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Frames that are lost at random, 80 %; players show the one before in their place."""
    kept = rng.random(count) >= 0.8 * strength
    kept[0] = True
    return np.maximum.accumulate(np.where(kept, np.arange(count), 0))


def _frame_rate(count: int, strength: float, _: np.random.Generator) -> np.ndarray:
    """A slower camera: every fourth frame."""
    chosen = (np.arange(count) * (1 + 3 * strength)).astype(np.int64)
    return chosen[chosen < count]


def _cut(count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The first or the last half is missing."""
    left = max(1, round(count * (1 - 0.5 * strength)))
    return np.arange(left) + (count - left) * int(rng.random() < 0.5)


def _unfinished(count: int, strength: float, _: np.random.Generator) -> np.ndarray:
    """Only the beginning was seen: a fifth of the frames is left."""
    return np.arange(max(1, round(count * share_seen(strength))))


def share_seen(strength: float) -> float:
    """How much of a clip ``unfinished`` leaves, 0..1."""
    return 1 - 0.8 * strength


def _flow_between(frames: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """From each chosen frame to the next: the sum of the flow on the way; of none, rest."""
    vectors = frames.astype(np.int32) - FLOW_ZERO
    sums = np.concatenate([np.zeros_like(vectors[:1]), vectors.cumsum(0, dtype=np.int32)])
    between = sums[np.append(chosen[1:], chosen[-1] + 1)] - sums[chosen]
    return np.clip(between + FLOW_ZERO, 1, 255).astype(np.uint8)


def _occluder(
    frames: np.ndarray, strength: float, rng: np.random.Generator, modality: str
) -> np.ndarray:
    """A thing of one colour before the middle, a square of half the short side; of depth, near."""
    height, width = frames.shape[1:3]
    short = min(height, width)
    side = 0.5 * np.sqrt(strength) * short
    x, y = np.array([width, height]) / 2 + rng.uniform(-0.3, 0.3, 2) * short
    colour = rng.integers(20, 236, frames.shape[3])
    covered = frames.copy()
    rows = slice(max(0, round(y - side / 2)), round(y + side / 2))
    columns = slice(max(0, round(x - side / 2)), round(x + side / 2))
    covered[:, rows, columns] = {"rgb": colour, "depth": 250, "flow": FLOW_ZERO}[modality]
    return covered


def _each(function: Callable, frames: np.ndarray, arguments=None) -> np.ndarray:
    """A function of every frame, into a new clip: OpenCV drops a single channel."""
    out = np.empty(frames.shape, np.uint8)
    for row, argument in zip(out, frames if arguments is None else arguments, strict=True):
        row[...] = function(argument).reshape(row.shape)
    return out


def _ramp(count: int) -> np.ndarray:
    """From -1 to 1, (T,)."""
    return np.linspace(-1, 1, count)


def _either(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


CORRUPTIONS: dict[str, Corruption] = {
    "exposure_ramp": _levels(_exposure_ramp),
    "flicker": _levels(_flicker),
    "gamma": _levels(_gamma),
    "low_contrast": _levels(_low_contrast),
    "white_balance": _levels(_white_balance),
    "sensor_noise": Corruption(_sensor_noise, ("rgb", "depth")),
    "motion_blur": Corruption(_motion_blur, ("rgb",)),
    "defocus": Corruption(_defocus, ("rgb",)),
    "compression": Corruption(_compression),
    "resolution": Corruption(_resolution),
    "camera_shake": _motion(_camera_shake),
    "slow_pan": _motion(_slow_pan),
    "zoom": _motion(_zoom),
    "rolling_crop": _motion(_rolling_crop),
    "frame_drops": _time(_frame_drops),
    "frame_rate": _time(_frame_rate),
    "cut": _time(_cut),
    "occluder": Corruption(_occluder),
}

BY_NAME = CORRUPTIONS | {"unfinished": _time(_unfinished)}
"""With what is no fault of a camera, and no part of means: how early a gesture is recognised."""
