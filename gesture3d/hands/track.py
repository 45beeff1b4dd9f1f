"""What is known of the hands in a clip, frame by frame, and its file."""

import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError, naming
from gesture3d.files import atomic_path
from gesture3d.zips import ZipReader

LEFT, RIGHT = 0, 1  # the performer's
NUM_JOINTS = 21  # wrist, then four of thumb, index, middle, ring and little finger, root to tip
MAX_FRAMES = 100_000
_MAX_BYTES = 1 << 27  # of one array


@dataclass(frozen=True, eq=False)
class HandTrack:
    """The two hands of one performer in T frames. Hand 0 is the performer's left, 1 the right.

    Attributes:
        joints: float32 (T, 2, 21, 3): x to the right and y down in pixels of the frame, where the
            centre of its first pixel is (0, 0); z away from the camera in the same scale, relative
            to the wrist. NaN where the hand is not seen.
        world: float32 (T, 2, 21, 3): the same joints in metres about the hand's centre, axes as
            those of ``joints``. NaN where the hand is not seen.
        presence: float32 (T, 2) in 0 … 1: how sure it is that there is a hand; 0 where not seen.
        width, height: pixels of the frames.
        seconds: float64 (T,): when each frame was taken, ascending.

    Raises:
        Gesture3dError: arrays of other shapes, or values that contradict the above.
    """

    joints: np.ndarray
    world: np.ndarray
    presence: np.ndarray
    width: int
    height: int
    seconds: np.ndarray

    def __post_init__(self) -> None:
        num_frames = len(self.seconds) if np.ndim(self.seconds) == 1 else 0
        if not 1 <= num_frames <= MAX_FRAMES:
            raise Gesture3dError(
                f"hands: seconds of shape {np.shape(self.seconds)}; expected (frames,), "
                f"1 to {MAX_FRAMES:,} frames"
            )
        each = (num_frames, 2, NUM_JOINTS, 3)
        for name, shape in (("joints", each), ("world", each), ("presence", each[:2])):
            if (found := np.shape(getattr(self, name))) != shape:
                raise Gesture3dError(f"hands: {name} of shape {found}; expected {shape}")
        if not (np.isfinite(self.seconds).all() and (np.diff(self.seconds) >= 0).all()):
            raise Gesture3dError("hands: seconds must be finite and ascend")
        if not (0 < self.width < 1 << 16 and 0 < self.height < 1 << 16):
            raise Gesture3dError(f"hands: frames of {self.width}x{self.height} pixels")
        if not ((self.presence >= 0) & (self.presence <= 1)).all():  # False for NaN, too
            raise Gesture3dError("hands: presence must be in 0 … 1")
        for name in ("joints", "world"):
            values = getattr(self, name)
            missing = np.isnan(values)
            if np.isinf(values).any() or (missing != ~self.seen[:, :, None, None]).any():
                raise Gesture3dError(
                    f"hands: {name} must be finite where presence is above 0, else NaN"
                )

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def seen(self) -> np.ndarray:
        """Bool (T, 2): which hands are seen."""
        return self.presence > 0

    @property
    def normalised(self) -> np.ndarray:
        """The joints as MediaPipe gives them: x and z in widths of the frame, y in heights, from
        its upper left corner."""
        shift = np.array([0.5, 0.5, 0], np.float32)
        return (self.joints + shift) / np.array([self.width, self.height, self.width], np.float32)

    def mirrored(self) -> "HandTrack":
        """The track of the mirrored clip: left for right, and the hands change places."""
        joints, world = self.joints[:, ::-1].copy(), self.world[:, ::-1].copy()
        joints[..., 0] = self.width - 1 - joints[..., 0]
        world[..., 0] *= -1
        presence = self.presence[:, ::-1].copy()
        return HandTrack(joints, world, presence, self.width, self.height, self.seconds)

    def save(self, path: Path) -> None:
        """Write it as ``.npz``, atomically: an array for each attribute.

        Raises:
            Gesture3dError: ``path`` is something else than a file.
            OSError: it cannot be written.
        """
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "HandTrack":
        """Read what `save` wrote. Nothing is unpickled.

        Raises:
            Gesture3dError: no such file, or other contents.
        """
        names = [field.name for field in fields(cls)]
        with naming(path):
            try:
                with ZipReader(path) as archive:
                    if sorted(archive.names) != sorted(f"{name}.npy" for name in names):
                        raise ValueError(f"not the arrays {', '.join(names)}")
                    values = {name: _array(archive.read(f"{name}.npy"), name) for name in names}
            except OSError as error:
                raise Gesture3dError(f"cannot be read ({error.strerror or error})") from None
            except Exception as error:  # zipfile and NumPy raise of every kind on damaged files
                reason = " ".join(str(error).split())[:120] or type(error).__name__
                raise Gesture3dError(f"no file of hand joints ({reason})") from None
            return cls(**values)


def _array(content: bytes, name: str) -> np.ndarray | int:
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{name} has {len(content):,} bytes")
    values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if values.dtype.kind != ("i" if name in ("width", "height") else "f"):
        raise ValueError(f"{name} of type {values.dtype}")
    if name in ("width", "height"):
        return int(values)
    return values.astype(np.float64 if name == "seconds" else np.float32)
