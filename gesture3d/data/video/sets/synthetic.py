"""The generated stand-in for Jester: its 27 classes, rendered here, in Jester's layout."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gesture3d.data.index import Index
from gesture3d.data.sets import DataSet
from gesture3d.data.video.sets.jester import read_jester
from gesture3d.data.video.stream import VideoData
from gesture3d.settings import Place, Section

NumClips = Annotated[int, Field(ge=1, le=100_000)]


class ClipsPerClass(Section):
    train: NumClips = 60
    validation: NumClips = 8
    test: NumClips = 8


class GeneratedSet(DataSet):
    """The settings of what is generated on first use; ``seed`` is of its clips."""

    root: Place = Path("data/synthetic")
    clips_per_class: ClipsPerClass = ClipsPerClass()
    # Clutter, things that move, a poor camera: in no clip, in all, in every second of a class.
    hard: bool | Literal["mixed"] = False

    def generate(self, progress: bool) -> None:
        from gesture3d.synthetic.generate import generate

        per_class = self.clips_per_class.model_dump()
        generate(
            self.root, clips_per_class=per_class, hard=self.hard, seed=self.seed, progress=progress
        )


class SyntheticData(GeneratedSet, VideoData):
    """The generated stand-in for Jester."""

    name: Literal["synthetic"]

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        from gesture3d.data.video.prepared.flow import prepare_flow
        from gesture3d.data.video.prepared.places import flow_folder

        self.generate(progress)
        folder = "depth" if self.modality == "depth" else "rgb"
        index = read_jester(self.root, folder, missing_ok)
        if self.modality == "flow":
            prepare_flow(index, flow_folder(self), progress=progress)
        return index
