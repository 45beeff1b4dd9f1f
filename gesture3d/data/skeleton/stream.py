"""Skeleton sequences: the settings of every set, and joints (T, J, C) as features (T, D)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import read_named
from gesture3d.data.sets import DataSet, Opened
from gesture3d.errors import Gesture3dError, naming
from gesture3d.settings import Degrees, Factor, Fraction, Frames, NonNegative, Section

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.batch import Sample
    from gesture3d.data.spec import InputSpec

Joint = Annotated[int, Field(ge=0, lt=10_000)]


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
    # What detectors do to hands (data.hands), see `gesture3d.hands.noise`; ``jitter`` is in palms.
    jitter: NonNegative = 0.0
    hand_depth: tuple[Factor, Factor] = (1.0, 1.0)  # depths within a hand, times one factor
    lost_frames: Fraction = 0.0  # share at most
    found_late: Fraction = 0.0  # share of the frames at both ends, at most each
    swapped_hands: Fraction = 0.0  # probability that left is taken for right
    hidden_parts: Fraction = 0.0  # probability of each part of a hand's features to be 0
    one_at_a_time: bool = False  # each sample gets one of these changes or none, as likely each

    @model_validator(mode="after")
    def _ranges_ascend(self) -> SkeletonAugmentation:
        for name in ("scale", "speed", "hand_depth"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


class SkeletonData(DataSet):
    """What every set of skeleton sequences has: preprocessing and augmentation.

    Preprocessing, in this order: centring, scale, (augmentation,) resampling, differences; the
    z-scores are part of the network (`gesture3d.models.sequence.Standardised`).
    """

    stream: ClassVar[str] = "skeleton"
    own_suffix: ClassVar[str | None] = None  # of files in the set's own format
    input_settings: ClassVar[frozenset[str]] = frozenset(
        (
            *("num_frames", "centre", "centre_joint", "centre_frames", "scale_joints"),
            *("relative", "differences", "hands"),
        )
    )
    training_settings: ClassVar[tuple[str, ...]] = (
        *DataSet.training_settings,
        *("bucket_by_length", "standardise"),
    )

    # running_mean: where the joint is on the average of the frames so far, nothing of the future;
    # then the chain of scale_joints has the running mean length 1. As streams are prepared.
    centre: Literal["none", "first_frame", "every_frame", "running_mean"] = "none"
    centre_joint: Joint = 0  # moved to the origin
    centre_frames: Frames = 80  # of running_mean: 4 s at 20 frames a second
    relative: bool = False  # the other joints to centre_joint: the hand's shape wherever it is
    # Neighbours in this chain of joints: the chain's mean length becomes 1. Empty: no scaling.
    scale_joints: tuple[Joint, ...] = ()
    num_frames: Frames | None = None  # resample to this many; None: keep the own length
    differences: bool = False  # append the change from frame to frame to the coordinates
    # Joints are 21 of a hand, or of the left, then of the right one, all 0 where it is not seen: in
    # place of centring, scale and differences, the features of `gesture3d.hands.features`.
    hands: bool = False
    standardise: bool = True  # z-scores by the training set's mean and deviation
    augmentation: SkeletonAugmentation = SkeletonAugmentation()
    bucket_by_length: bool = True  # training batches of similar lengths; the same samples

    @model_validator(mode="after")
    def _chain_of_joints(self) -> SkeletonData:
        if len(self.scale_joints) == 1:
            raise ValueError("scale_joints needs two joints or more, or none")
        if self.hands and self.num_frames is None:
            raise ValueError("hands needs num_frames, to which every sequence is resampled")
        return self

    def present(self, index: Index, missing_ok: object = ()) -> Index:
        """Raises Gesture3dError: joints with wrong values, or of different shapes."""
        from gesture3d.data.skeleton.files import check_joints

        first = index.items[0]
        for item in index.items:
            check_joints(item.content, item.place)
            shape, expected = item.content.shape[1:], first.content.shape[1:]
            if shape != expected:
                raise Gesture3dError(
                    f"{item.place}: {shape[0]} joints of {shape[1]} coordinates, but "
                    f"{first.place} has {expected[0]} of {expected[1]}"
                )
        return index

    def open(self, index: Index, progress: bool) -> Opened:
        return Opened(index, self._read, self._length)

    def _read(self, item: Item, rng: np.random.Generator | None) -> Sample:
        from gesture3d.data.batch import Sample

        return Sample(item.key, self._features(item.content, item.place, rng), item.label)

    def _length(self, item: Item) -> int:
        return self.num_frames or len(item.content)

    def _features(
        self, joints: np.ndarray, where: object, rng: np.random.Generator | None = None
    ) -> Tensor:
        import torch

        from gesture3d.data.skeleton.transforms import features

        with naming(where):
            return torch.from_numpy(features(joints, self, rng))

    def sample(self, joints: np.ndarray, where: object) -> Tensor:
        """Joints (T, J, C) as evaluation sees them, float32 (T, D)."""
        return self._features(joints, where)

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        from gesture3d.data.spec import InputSpec

        return InputSpec("sequences", (self.num_frames, num_features), None, channel_names)

    @property
    def suffixes(self) -> frozenset[str]:
        from gesture3d.data.skeleton.files import PLAIN_SUFFIXES

        return frozenset(filter(None, (*PLAIN_SUFFIXES, self.own_suffix)))

    def load(self, path: Path) -> Tensor:
        """Float32 (T, D). Raises Gesture3dError with the frame, where that is known."""
        return self._features(self.joints_of(path), path)

    def joints_of(self, path: Path) -> np.ndarray:
        """Joints (T, J, C) of a file in the plain formats, or in the set's own."""
        from gesture3d.data.skeleton.files import plain_joints

        content, suffix = read_named(path, self.suffixes), path.suffix.lower()
        if suffix == self.own_suffix:
            return self.parse(content, str(path))
        return plain_joints(content, str(path), suffix)

    def parse(self, content: bytes, where: str) -> np.ndarray:
        """Joints (T, J, C) of a file in the set's own format."""
        raise NotImplementedError

    @property
    def fits_inputs(self) -> bool:
        return self.standardise

    @property
    def by_length(self) -> bool:
        return self.bucket_by_length
