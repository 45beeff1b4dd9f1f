"""Anyone's long videos, with one CSV of the gestures in them: path, label, start, end (seconds)."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.annotated import annotation_lists
from gesture3d.data.index import Index
from gesture3d.data.video.streams import VideoStreams, read_streams
from gesture3d.settings import Fraction, Place


class StreamFolderData(VideoStreams):
    """Anyone's long videos: ``root/annotations.csv``, or ``train.csv``, ``validation.csv`` and
    ``test.csv`` there, and the videos that they name."""

    name: Literal["stream_folder"]
    root: Place = Path("data/streams")
    csv: Place | None = None  # of all streams, relative to here or to root, in place of these
    validation_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        lists = annotation_lists(self.root, self.csv)
        return read_streams(self, lists, missing_ok=missing_ok)
