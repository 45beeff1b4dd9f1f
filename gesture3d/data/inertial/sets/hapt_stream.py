"""HAPT's recordings as they were made: activities, and the transitions between them, in sequence.

Source and subjects: see `hapt`. What lies between the labelled stretches has no label.
"""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gesture3d.data.archive import Archive
from gesture3d.data.index import Index, Item
from gesture3d.data.inertial.sets.hapt import NUM_BASIC, class_names, recording
from gesture3d.data.inertial.streams import InertialStreams
from gesture3d.errors import Gesture3dError, naming
from gesture3d.events import Event
from gesture3d.settings import Place

RECORDED_HZ = 50.0


class HAPTStreamData(InertialStreams):
    """``HAPT Data Set.zip``, or its folder: a stream a recording, the official test subjects as
    ``test``. Activities last for many seconds and most follow one another at once, so that the
    online decision is chosen by the F1 of segments."""

    spotted_by: ClassVar[str] = "segment_f1"

    name: Literal["hapt_stream"]
    root: Place = Path("data/uci_hapt")
    postural_transitions: bool = True  # all 12 classes; else the transitions have no label
    decimation: Annotated[int, Field(ge=1, le=10)] = 2  # of every so many samples the last is kept
    rate_hz: Literal[50.0, 25.0, 12.5, 10.0, 5.0] = 25.0  # behind that

    @property
    def recorded_hz(self) -> float:
        return self.rate_hz * self.decimation

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """Raises Gesture3dError: missing or damaged files, labels outside their recording."""
        if self.recorded_hz != RECORDED_HZ:
            raise Gesture3dError(
                f"data.rate_hz={self.rate_hz:g} with data.decimation={self.decimation}: their "
                f"product must be the {RECORDED_HZ:g} Hz of the recordings"
            )
        archive = Archive(self.root, "RawData/labels.txt", "HAPT")
        names = class_names(archive)
        tested = set(archive.whole_numbers("Test/subject_id_test.txt", 1)[:, 0].tolist())
        filters = self.model_copy(update={"rate_hz": RECORDED_HZ})
        found: dict[tuple[int, int], Item] = {}
        stretches = archive.whole_numbers("RawData/labels.txt", 5).tolist()
        for line, (experiment, user, activity, first, last) in enumerate(stretches, 1):
            if (experiment, user) not in found:
                with naming(f"{archive.where('RawData/labels.txt')}, line {line}"):
                    signal = recording(archive, experiment, user, filters)
                found[experiment, user] = Item(
                    f"exp{experiment:02d}_user{user:02d}",
                    -1,
                    signal[self.decimation - 1 :: self.decimation],
                    str(user),
                    "test" if user in tested else "train",
                    len(signal),
                    events=(),
                    rate_hz=self.rate_hz,
                )
            item = found[experiment, user]
            if not 1 <= first <= last <= item.num_frames or not 1 <= activity <= len(names):
                raise Gesture3dError(
                    f"{archive.where('RawData/labels.txt')}, line {line}: activity {activity}, "
                    f"samples {first} to {last}; the recording has {item.num_frames} samples"
                )
            if self.postural_transitions or activity <= NUM_BASIC:
                event = Event(names[activity - 1], (first - 1) / RECORDED_HZ, last / RECORDED_HZ)
                found[experiment, user] = replace(item, events=(*item.events, event))
        kept = names if self.postural_transitions else names[:NUM_BASIC]
        return Index(kept, [replace(item, num_frames=None) for item in found.values()])
