"""Settings of the sets of clips."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gesture3d.settings import (
    DataSection,
    Factor,
    Fraction,
    Frames,
    Name,
    Place,
    PositiveInt,
    Section,
    Seed,
    Workers,
)


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
    # Mirroring and playing backwards swap labels; refused for data sets that do not declare which.
    horizontal_flip: bool = False
    time_reversal: bool = False

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "Augmentation":
        for name in ("crop_scale", "time_span", "gain", "channel_gain"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


Modality = Literal["rgb", "depth", "flow"]


class VideoData(DataSection):
    """What every set of clips has: how many frames, how large, how augmented."""

    # Flow is computed by `tools/prepare.py flow`; which sets have depth is said where they are.
    modality: Modality = "rgb"
    # rgb: 3, or 1 for grey; depth: 1, or 3 equal ones; flow: 2, or 3 with its magnitude.
    # None: the first of these.
    channels: Literal[1, 2, 3] | None = None
    num_frames: Frames = 16
    size: Annotated[int, Field(ge=8, le=1024)] = 112  # pixels, height = width
    # uniform: spread over the whole clip; dense: a window of frames that lie frame_stride apart.
    sampling: Literal["uniform", "dense"] = "uniform"
    frame_stride: Frames = 2
    temporal_jitter: bool = True  # in training, of uniform sampling; the paper's
    # Evaluation averages over eval_clips choices of frames × eval_crops places of the crop.
    eval_clips: Annotated[int, Field(ge=1, le=64)] = 1
    eval_crops: Literal[1, 3] = 1
    augmentation: Augmentation = Augmentation()
    classes: tuple[Name, ...] | None = None  # only these, in this order; None: all
    few_shot: PositiveInt | None = None  # training clips a class, None: all
    subset_seed: Seed = 0  # which clips few_shot takes; more shots include fewer shots
    # Clips to leave out by key: here, or in a file (a key a line; text behind a tab is ignored).
    exclude: tuple[Name, ...] = ()
    exclude_list: Place | None = None
    # Folders of frames with gaps in their numbers: refused, or taken as they are.
    frame_gaps: Literal["refuse", "allow"] = "refuse"
    # A clip that cannot be decoded fails the run, or is left out and counted.
    on_bad_clip: Literal["fail", "exclude"] = "fail"
    # Decode every clip once into one memory-mapped file of frames that are `cache_size` pixels
    # high (None: decode the video files in every epoch).
    cache_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    num_workers: Workers = 0  # processes that load batches

    @property
    def pixels(self) -> str:
        """How frames are read: ``rgb``, ``grey``, ``flow`` or ``flow_magnitude``."""
        return _PIXELS[self.modality, self.channels]

    @property
    def frame_rules(self) -> tuple[str, str]:
        """How `gesture3d.data.video.frames` is to take folders of frames."""
        return self.modality, self.frame_gaps

    @property
    def num_channels(self) -> int:
        """Channels of a frame."""
        return {"rgb": 3, "grey": 1, "flow": 2, "flow_magnitude": 3}[self.pixels]

    @model_validator(mode="after")
    def _channels_fit(self) -> "VideoData":
        if (self.modality, self.channels) not in _PIXELS:
            allowed = [c for m, c in _PIXELS if m == self.modality and c is not None]
            raise ValueError(
                f"channels {self.channels} does not fit modality {self.modality}: one of {allowed}"
            )
        a = self.augmentation
        if self.modality == "flow" and (
            a.rotation_degrees or a.gain != (1.0, 1.0) or a.channel_gain != (1.0, 1.0)
        ):
            raise ValueError(
                "augmentation.rotation_degrees, gain and channel_gain would falsify flow vectors; "
                "leave them out"
            )
        return self


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


NumClips = Annotated[int, Field(ge=1, le=100_000)]


class ClipsPerClass(Section):
    train: NumClips = 60
    validation: NumClips = 8
    test: NumClips = 8


class SyntheticData(VideoData):
    """The generated stand-in for Jester; rendered on first use."""

    name: Literal["synthetic"]
    root: Place = Path("data/synthetic")
    clips_per_class: ClipsPerClass = ClipsPerClass()
    hard: bool = False
    seed: Seed = 0


class JesterData(VideoData):
    """Jester v1 in its official layout, clips as video files or frame folders."""

    name: Literal["jester"]
    root: Place = Path("data/jester")
    modality: Literal["rgb", "flow"] = "rgb"


class IsoGDData(VideoData):
    """ChaLearn IsoGD with its official lists, clips as videos or folders of frames."""

    name: Literal["isogd"]
    root: Place = Path("data/isogd")


class UTDMHADDepthData(VideoData):
    """The depth clips of UTD-MHAD: tested on subjects 2, 4, 6, 8, trained on the others."""

    name: Literal["utd_mhad_depth"]
    root: Place = Path("data/utd_mhad")
    modality: Literal["depth"] = "depth"
    # What validates is taken from the training subjects 1, 3, 5, 7.
    validation_subjects: tuple[Literal[1, 3, 5, 7], ...] = ()
    validation_trials: tuple[Literal[1, 2, 3, 4], ...] = ()


class FolderData(VideoData):
    """Anyone's clips: ``root/<class>/<clip>``, or a CSV of path, label, split and group."""

    name: Literal["folder"]
    root: Place = Path("data/clips")
    csv: Place | None = None  # relative to here or to root; its paths, to itself or to root
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"  # train, validation or test
    group_column: str = "group"  # clips of one group stay in one split
    frames_column: str = "frames"  # how many frames a clip has, which is then checked
    ignore_columns: tuple[Name, ...] = ()
    # depth: folders of 16-bit frames (mm, 0 = nothing there), or clips that show depth in grey.
    modality: Modality = "rgb"
    # Which groups to hold out ...
    validation_groups: tuple[Name, ...] = ()
    test_groups: tuple[Name, ...] = ()
    # ... or, where neither these nor splits are given: which shares of each class.
    validation_share: Fraction = 0.2
    test_share: Fraction = 0.0
    seed: Seed = 0
