"""Generated streams: long videos of the generated gestures, rendered here."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gesture3d.data.index import SPLITS, Index
from gesture3d.data.video.sets.jester import MIRROR_PAIRS
from gesture3d.data.video.streams import VideoStreams, read_streams
from gesture3d.settings import Place, Section

NumStreams = Annotated[int, Field(ge=1, le=100_000)]


class NumberOfStreams(Section):
    train: NumStreams = 300
    validation: NumStreams = 40
    test: NumStreams = 60


class SyntheticStreamData(VideoStreams):
    """Generated streams; ``seed`` is of what is generated."""

    name: Literal["synthetic_stream"]
    root: Place = Path("data/synthetic_stream")
    modality: Literal["rgb", "depth"] = "rgb"
    num_streams: NumberOfStreams = NumberOfStreams()
    # Clutter, things that move, a poor camera: in no stream, in all, in every second one.
    hard: bool | Literal["mixed"] = False

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        from dataclasses import replace

        from gesture3d.synthetic.performance import SPOTTED
        from gesture3d.synthetic.streams import generate_streams, performers_of

        counts = self.num_streams.model_dump()
        generate_streams(
            self.root, num_streams=counts, hard=self.hard, seed=self.seed, progress=progress
        )
        lists = {self.root / f"{split}.csv": split for split in SPLITS}
        index = read_streams(self, lists, SPOTTED, missing_ok)
        people = performers_of(self.root)
        pairs = {a: b for pair in MIRROR_PAIRS for a, b in (pair, pair[::-1])}
        items = [replace(item, group=people[item.path.stem]) for item in index.items]
        if self.modality == "depth":
            depth = self.root / "depth"
            items = [replace(item, content=depth / item.path.name) for item in items]
        return replace(index, items=items, mirror=pairs)
