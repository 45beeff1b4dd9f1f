"""Settings of the sets of skeleton sequences."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gesture3d.config.video import ClipsPerClass
from gesture3d.settings import (
    DataSection,
    Degrees,
    Factor,
    Fraction,
    Frames,
    Name,
    NonNegative,
    Place,
    PositiveInt,
    Section,
    Seed,
    Workers,
)

Joint = Annotated[int, Field(ge=0, lt=10_000)]
NumJoints = Annotated[int, Field(ge=1, le=10_000)]


class SkeletonAugmentation(Section):
    """Random changes of training skeletons, after centring and scaling; none by default.

    Lengths are in the data's units, or in lengths of `scale_joints` where that is set. The
    functions are in `gesture3d.data.skeleton.transforms`.
    """

    rotation_degrees: tuple[Degrees, Degrees, Degrees] = (0.0, 0.0, 0.0)  # ± about x, y, z
    scale: tuple[Factor, Factor] = (1.0, 1.0)  # one factor for all axes, drawn from this range
    translation: NonNegative = 0.0  # ± on each axis
    noise: NonNegative = 0.0  # standard deviation, each coordinate apart
    time_warp: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # largest relative change of speed
    speed: tuple[Factor, Factor] = (1.0, 1.0)  # a factor from this range; 2 plays twice as fast
    joint_dropout: Fraction = 0.0  # probability that a joint stands still at its mean
    one_at_a_time: bool = False  # each sample gets one of these changes or none, as likely each

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "SkeletonAugmentation":
        for name in ("scale", "speed"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


class SkeletonData(DataSection):
    """What every set of skeleton sequences has: preprocessing, augmentation and how it is split.

    Preprocessing, in this order: centring, scale, (augmentation,) resampling, differences; the
    z-scores are part of the network (`gesture3d.models.sequence.Standardised`).
    """

    centre: Literal["none", "first_frame", "every_frame"] = "none"
    centre_joint: Joint = 0  # moved to the origin
    # Neighbours in this chain of joints: the chain's mean length becomes 1. Empty: no scaling.
    scale_joints: tuple[Joint, ...] = ()
    num_frames: Frames | None = None  # resample to this many; None: keep the own length
    differences: bool = False  # append the change from frame to frame to the coordinates
    standardise: bool = True  # z-scores by the training set's mean and deviation
    augmentation: SkeletonAugmentation = SkeletonAugmentation()
    # Test fold: of the official protocol, each group in turn, or k folds of whole groups.
    folds: Literal["official", "leave_one_group_out", "k_fold"] = "official"
    num_folds: Annotated[int, Field(ge=2, le=10_000)] = 5  # of k_fold
    fold: PositiveInt = 1
    # Groups (subjects) of the training part that choose the best epoch. Empty: train on all.
    validation_groups: tuple[Name, ...] = ()
    bucket_by_length: bool = True  # training batches of similar lengths; the same samples
    num_workers: Workers = 0  # processes that load batches
    seed: Seed = 0  # of a random split

    @model_validator(mode="after")
    def _chain_of_joints(self) -> "SkeletonData":
        if len(self.scale_joints) == 1:
            raise ValueError("scale_joints needs two joints or more, or none")
        return self


class UTDSkeletonData(SkeletonData):
    """UTD-MHAD: ``Skeleton.zip``, or the folder unpacked from it. Groups: subjects 1 to 8."""

    name: Literal["utd_mhad_skeleton"]
    root: Place = Path("data/utd_mhad")


class SFINGE3DData(SkeletonData):
    """SFINGE3D: ``Dictionary.zip``, or its folder. Groups: blocks of six instances."""

    name: Literal["sfinge3d"]
    root: Place = Path("data/sfinge3d")


class SHREC17Data(SkeletonData):
    """SHREC'17 track in its official layout. Groups: subjects 1 to 28."""

    name: Literal["shrec17"]
    root: Place = Path("data/HandGestureDataset_SHREC2017")
    num_classes: Literal[14, 28] = 14


class SBUKinectData(SkeletonData):
    """SBU Kinect Interaction in its official layout. Groups: pairs of people, s01s02 ..."""

    name: Literal["sbu_kinect"]
    root: Place = Path("data/sbu_kinect")


class SkeletonFolderData(SkeletonData):
    """Anyone's sequences: ``root/<class>/<sequence>.npy`` (.npz, .csv, .skeleton), or a CSV that
    lists them.

    The CSV's columns: path, label, and perhaps split (train, validation, test) and group.
    """

    name: Literal["skeleton_folder"]
    root: Place = Path("data/skeletons")
    csv: Place | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    group_column: str = "group"
    frames_column: str = "frames"
    ignore_columns: tuple[Name, ...] = ()
    num_joints: NumJoints | None = None  # of files with a flat row a frame; None: row / 3
    num_bodies: Literal[1, 2] = 1  # of 25 joints each, out of .skeleton files
    validation_share: Fraction = 0.0
    test_share: Fraction = 0.2


class SyntheticJointsData(SkeletonData):
    """The joints of the generated stand-in for Jester; rendered on first use."""

    name: Literal["synthetic_joints"]
    root: Place = Path("data/synthetic")
    clips_per_class: ClipsPerClass = ClipsPerClass()
    hard: bool = False
