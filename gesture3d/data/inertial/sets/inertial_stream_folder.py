"""Anyone's long inertial recordings, with one CSV of the gestures in them (seconds)."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.annotated import annotation_lists, read_annotated
from gesture3d.data.index import Index
from gesture3d.data.inertial.recording import read_recording
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.inertial.streams import InertialStreams
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Fraction, Place


class InertialStreamFolderData(InertialStreams):
    """Anyone's recordings, CSV files with a column a channel, ``rate_hz`` rows a second: see
    `annotation_lists`."""

    name: Literal["inertial_stream_folder"]
    root: Place = Path("data/recording_streams")
    csv: Place | None = None  # of all recordings, in place of the files in root
    validation_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        lists = annotation_lists(self.root, self.csv)
        index = read_annotated(lists, self.root, self._signal, self.rate_hz)
        widths = {item.content.shape[1]: item for item in index.items}
        if len(widths) > 1:
            (one, first), (other, second) = list(widths.items())[:2]
            raise Gesture3dError(
                f"{first.where} has {one} channels, {second.where} {other}: they must be the same"
            )
        return index

    def _signal(self, path: Path) -> np.ndarray:
        return prepare(read_recording(path, self), self, str(path), 2)
