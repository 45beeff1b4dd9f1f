"""Settings of the sets of inertial recordings."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gesture3d.settings import (
    DataSection,
    Factor,
    Fraction,
    Name,
    NonNegative,
    Place,
    PositiveInt,
    Rate,
    Section,
    Workers,
)


class InertialAugmentation(Section):
    """Random changes of training windows, in physical units; none by default.

    See `gesture3d.data.inertial.transforms`.
    """

    rotation_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0  # largest, about any axis
    scale: tuple[Factor, Factor] = (1.0, 1.0)  # one factor per window, drawn from this range
    noise: NonNegative = 0.0  # relative to each channel's deviation
    time_warp: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # largest relative change of speed
    shift: Fraction = 0.0  # largest shift in time, as a share of the window

    @model_validator(mode="after")
    def _range_ascends(self) -> "InertialAugmentation":
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be [low, high] with 0 < low <= high, not {self.scale}")
        return self


class InertialData(DataSection):
    """What every set of inertial recordings has: filters, windows, augmentation and splits.

    Filters act on whole recordings, in this order (0 or None: left out); see
    `gesture3d.data.inertial.signal.prepare`.
    """

    rate_hz: Rate = 50.0
    median_steps: Annotated[int, Field(ge=0, le=10_000)] = (
        0  # median filter over so many samples, odd
    )
    lowpass_hz: Rate | None = None  # 3rd-order Butterworth
    # Split the first three channels (total acceleration) below this into gravity and body: the
    # channels become body acceleration, the others, total acceleration.
    gravity_hz: Rate | None = None
    # Gaps (NaN) are interpolated up to this; longer ones are errors. None: any length.
    max_gap_seconds: Annotated[float, Field(gt=0.0, le=1e9)] | None = 0.5
    window: Annotated[int, Field(ge=2, le=100_000)] = 128  # samples
    step: PositiveInt = 64  # samples from one window's start to the next one's
    # Stretch whole recordings to `window` samples instead of cutting windows out of them.
    resample: bool = False
    augmentation: InertialAugmentation = InertialAugmentation()
    # Subjects of the training part that choose the best epoch. Empty: train on all.
    validation_subjects: tuple[Name, ...] = ()
    # The original's habit: choose the best epoch on the test set. For comparisons only.
    validate_on_test: bool = False
    num_workers: Workers = 0  # processes that load batches

    @model_validator(mode="after")
    def _filters_are_possible(self) -> "InertialData":
        if self.median_steps and self.median_steps % 2 == 0:
            raise ValueError(f"median_steps must be odd or 0, not {self.median_steps}")
        for name in ("lowpass_hz", "gravity_hz"):
            value = getattr(self, name)
            if value is not None and value >= self.rate_hz / 2:
                raise ValueError(f"{name} {value} must be below rate_hz / 2 = {self.rate_hz / 2}")
        return self


class HAPTData(InertialData):
    """HAPT (UCI): ``HAPT Data Set.zip``, or the folder unpacked from it. Subjects 1 to 30."""

    name: Literal["hapt"]
    root: Place = Path("data/uci_hapt")
    postural_transitions: bool = False  # all 12 classes instead of the 6 basic activities


class UCIHARData(InertialData):
    """UCI HAR v1: the official zip or folder with its nine ``Inertial Signals``; windows as given.

    Subjects 1 to 30.
    """

    name: Literal["uci_har"]
    root: Place = Path("data/uci_har")


class OpportunityData(InertialData):
    """Opportunity challenge: the official ``.dat`` files (or the zip), gestures and NULL.

    Subjects are the recordings' names, S1-ADL1 and so on.
    """

    name: Literal["opportunity"]
    root: Place = Path("data/opportunity")


class UTDInertialData(InertialData):
    """UTD-MHAD: ``Inertial.zip``, or the folder unpacked from it. Subjects 1 to 8."""

    name: Literal["utd_mhad_inertial"]
    root: Place = Path("data/utd_mhad")


class InertialFolderData(InertialData):
    """Anyone's recordings or windows as CSV files with a header; see `read_inertial_folder`."""

    name: Literal["inertial_folder"]
    root: Place = Path("data/recordings")  # a folder of .csv files, or one
    label_column: str = "label"
    subject_column: str = "subject"
    split_column: str = "split"  # train, validation or test
    time_column: str = "time"  # seconds
    window_column: str = "window"  # rows of one number are a window that was cut already
    ignore_columns: tuple[Name, ...] = ()
    test_subjects: tuple[Name, ...] = ()
