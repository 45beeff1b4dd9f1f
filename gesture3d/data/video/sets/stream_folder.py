"""Anyone's long videos, with one CSV of the gestures in them: path, label, start, end (seconds)."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import SPLITS, Index
from gesture3d.data.video.streams import VideoStreams, read_streams
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Fraction, Place


class StreamFolderData(VideoStreams):
    """Anyone's long videos: ``root/annotations.csv``, or ``train.csv``, ``validation.csv`` and
    ``test.csv`` there, and the videos that they name."""

    name: Literal["stream_folder"]
    root: Place = Path("data/streams")
    csv: Place | None = None  # of all streams, relative to here or to root, in place of these
    validation_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_streams(self, self._lists(), missing_ok=missing_ok)

    def _lists(self) -> dict[Path, str]:
        if self.csv:
            return {self.csv if self.csv.is_file() else self.root / self.csv: ""}
        given = {self.root / f"{split}.csv": split for split in SPLITS}
        given = {path: split for path, split in given.items() if path.is_file()}
        alone = self.root / "annotations.csv"
        if alone.is_file() and given:
            raise Gesture3dError(f"{alone} and {next(iter(given))}: take one of them, or data.csv")
        return given or {alone: ""}
