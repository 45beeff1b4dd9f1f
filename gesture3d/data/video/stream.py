"""Sets of clips: the settings of every set, and how videos become samples."""

from __future__ import annotations

import tempfile
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from gesture3d.data.index import Index
from gesture3d.data.sets import DataSet, Opened
from gesture3d.settings import Factor, Fraction, Frames, Section

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.spec import InputSpec


class Augmentation(Section):
    """Random changes of training clips, the same for all frames of a clip; none by default."""

    # Side of the crop as a share of the short side of the frame.
    crop_scale: tuple[Fraction, Fraction] = (1.0, 1.0)
    # The crop's width / height is drawn from [1 / (1 + aspect), 1 + aspect].
    aspect: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    # Place of the crop: anywhere in the frame, or within ±shift (share of the short side) of the
    # centre.
    shift: Fraction | None = None
    # Share of the clip's duration that is sampled from.
    time_span: tuple[Fraction, Fraction] = (1.0, 1.0)
    # Brightness of all channels and of single channels is multiplied by factors from these.
    gain: tuple[Factor, Factor] = (1.0, 1.0)
    channel_gain: tuple[Factor, Factor] = (1.0, 1.0)
    # Rotation of the crop by a uniform angle within ±rotation_degrees.
    rotation_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    # Share of the clips to which one or two of `gesture3d.data.video.corruptions` happen, any that
    # leave the number of frames, of any strength.
    corruption: Fraction = 0.0
    # Mirroring and playing backwards swap labels; refused for data sets that do not declare which.
    horizontal_flip: bool = False
    time_reversal: bool = False

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Augmentation:
        for name in ("crop_scale", "time_span", "gain", "channel_gain"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


Modality = Literal["rgb", "depth", "flow"]


class VideoData(DataSet):
    """What every set of clips has: how many frames, how large, how augmented."""

    stream: ClassVar[str] = "video"
    kind: ClassVar[str] = "clips"
    input_settings: ClassVar[frozenset[str]] = frozenset(
        (
            *("num_frames", "size", "channels", "sampling", "frame_stride", "cache_size"),
            *("framing", "eval_clips", "eval_crops"),
        )
    )
    training_settings: ClassVar[tuple[str, ...]] = (*DataSet.training_settings, "temporal_jitter")

    # Flow is computed by `tools/prepare.py flow`; which sets have depth is said where they are.
    modality: Modality = "rgb"
    # rgb: 3, or 1 for grey; depth: 1, or 3 equal ones; flow: 2, or 3 with its magnitude.
    # None: the first of these.
    channels: Literal[1, 2, 3] | None = None
    num_frames: Frames = 16
    size: Annotated[int, Field(ge=8, le=1024)] = 112  # pixels, height = width
    # whole: frames as they are; motion: of RGB clips the square in which something moves.
    framing: Literal["whole", "motion"] = "whole"
    # uniform: spread over the whole clip; dense: a window of frames that lie frame_stride apart.
    sampling: Literal["uniform", "dense"] = "uniform"
    frame_stride: Frames = 2
    temporal_jitter: bool = True  # in training, of uniform sampling; the paper's
    # Evaluation averages over eval_clips choices of frames × eval_crops places of the crop.
    eval_clips: Annotated[int, Field(ge=1, le=64)] = 1
    eval_crops: Literal[1, 3] = 1
    augmentation: Augmentation = Augmentation()
    # The camera shows people as a mirror does: frames, flow too, are turned back as they are read.
    mirrored_camera: bool = False
    # Folders of frames with gaps in their numbers: refused, or taken as they are.
    frame_gaps: Literal["refuse", "allow"] = "refuse"
    # A clip that cannot be decoded fails the run, or is left out and counted.
    on_bad_clip: Literal["fail", "exclude"] = "fail"
    # Decode every clip once into one memory-mapped file of frames that are `cache_size` pixels
    # high (None: decode the video files in every epoch).
    cache_size: Annotated[int, Field(ge=8, le=1024)] | None = None

    @property
    def pixels(self) -> str:
        """How frames are read: ``rgb``, ``grey``, ``flow``, ``flow_magnitude`` or ``followed``."""
        return "followed" if self.follows else _PIXELS[self.modality, self.channels]

    @property
    def follows(self) -> bool:
        """Whether clips are cut down to where something moves, see `framing`."""
        return self.framing == "motion"

    @property
    def frame_rules(self) -> tuple[str, str, str]:
        """How frames are to be taken, see `gesture3d.data.video.frames`: those of streams are
        labelled by the second."""
        return self.modality, self.frame_gaps, "steady" if self.streams else ""

    @property
    def num_channels(self) -> int:
        """Channels of a frame."""
        channels = {"rgb": 3, "grey": 1, "flow": 2, "flow_magnitude": 3, "followed": 3}
        return channels[self.pixels]

    @model_validator(mode="after")
    def _channels_fit(self) -> VideoData:
        if (self.modality, self.channels) not in _PIXELS:
            allowed = [c for m, c in _PIXELS if m == self.modality and c is not None]
            raise ValueError(
                f"channels {self.channels} does not fit modality {self.modality}: one of {allowed}"
            )
        if self.follows and _PIXELS[self.modality, self.channels] != "rgb":
            raise ValueError("framing motion is for modality rgb, with channels 3 or null")
        a = self.augmentation
        if self.modality == "flow" and (
            a.rotation_degrees or a.gain != (1.0, 1.0) or a.channel_gain != (1.0, 1.0)
        ):
            raise ValueError(
                "augmentation.rotation_degrees, gain and channel_gain would falsify flow vectors; "
                "leave them out"
            )
        return self

    def present(self, index: Index, missing_ok: Container[str] = ()) -> Index:
        """The same clips, their paths real ones, and those of their optical flow where that is
        wanted.

        Raises:
            Gesture3dError: two clips are one file; there is no flow of some clip.
        """
        from gesture3d.data.video.prepared.flow import flow_index

        index = index.with_real_paths()
        if self.modality == "flow":
            index = flow_index(index, self, missing_ok).with_real_paths()
        return index

    def open(self, index: Index, progress: bool) -> Opened:
        """Clips without those that are known to be bad, decoded once where that is wanted.

        Raises:
            Gesture3dError: bad clips, where they are not to be left out; augmentation that the set
                does not declare.
        """
        from gesture3d.data.video.clips import ReadClip
        from gesture3d.data.video.prepared.open import open_clips

        index, cache, left_out = open_clips(index, self, progress)
        return Opened(index, ReadClip(self, index, cache), left_out=left_out)

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        from gesture3d.data.spec import InputSpec

        return InputSpec("clips", (self.num_frames, self.num_channels, self.size, self.size))

    @property
    def suffixes(self) -> frozenset[str]:
        from gesture3d.data.video.reading import VIDEO_SUFFIXES

        return frozenset(VIDEO_SUFFIXES)

    def load(self, path: Path) -> Tensor:
        """Uint8 (T, C, H, W), or (V, T, C, H, W) of V views; flow is computed where it is read.

        Raises:
            VideoError: the clip cannot be decoded.
        """
        from gesture3d.data.video.clips import load_clip
        from gesture3d.data.video.prepared.flow import is_flow, write_flow

        if self.modality != "flow" or is_flow(path):
            return load_clip(path, self)
        with tempfile.TemporaryDirectory() as folder:
            flow = Path(folder) / "flow.avi"
            write_flow(path, flow, rules=self.frame_rules)
            return load_clip(flow, self)

    @property
    def may_lack_samples(self) -> bool:
        return self.on_bad_clip == "exclude"

    @property
    def title(self) -> str:
        """``synthetic_rgb``, ``utd_mhad_depth``."""
        if self.name.endswith(self.modality):
            return self.name
        return f"{self.name}_{self.modality}"


_PIXELS = {
    ("rgb", None): "rgb",
    ("rgb", 3): "rgb",
    ("rgb", 1): "grey",
    ("depth", None): "grey",
    ("depth", 1): "grey",
    ("depth", 3): "rgb",
    ("flow", None): "flow",
    ("flow", 2): "flow",
    ("flow", 3): "flow_magnitude",
}
