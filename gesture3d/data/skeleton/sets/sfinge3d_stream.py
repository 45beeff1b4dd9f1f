"""SFINGE3D's long recordings: 13 gestures to be found in streams of a Leap-like hand, 20 Hz.

The set's protocol: the dictionary of clips is there to train on, the recordings to test; see
`gesture3d.evaluation.spotting.sfinge`. Spliced streams are easier than recordings, so that
thresholds chosen on them fire too often: some recordings are there to choose on. Source: see
`sfinge3d`.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import is_count, read_named
from gesture3d.data.skeleton.sets.sfinge3d import SFINGE3DData, sfinge_joints
from gesture3d.data.skeleton.splice import splice_stream
from gesture3d.data.skeleton.streams import SkeletonStreams
from gesture3d.data.skeleton.transforms import chain_length
from gesture3d.data.streams import stream_classes
from gesture3d.errors import Gesture3dError, naming
from gesture3d.events import Event, check_within
from gesture3d.rng import generator
from gesture3d.settings import Place
from gesture3d.zips import ZipReader

RATE_HZ = 20.0
HAND = (0, 8)  # joints: the palm and the base of the middle finger
NumStreams = Annotated[int, Field(ge=1, le=100_000)]


class SFINGE3DStreamData(SkeletonStreams):
    """``Dictionary.zip`` spliced into streams to train on, the recordings of ``Sequences*.zip`` (or
    the folders of these names) to choose on and to test; seconds are frames / 20."""

    own_suffix: ClassVar[str] = ".txt"
    spotted_by: ClassVar[str] = "sfinge"

    name: Literal["sfinge3d_stream"]
    root: Place = Path("data/sfinge3d")
    rate_hz: Literal[20.0] = RATE_HZ
    num_train: NumStreams = 240
    stream_seconds: Annotated[float, Field(ge=1.0, le=3600.0)] = 40.0
    # The numbers of the recordings to choose on, where they are there; the others are to test.
    validation_recordings: tuple[Annotated[int, Field(ge=1)], ...] = tuple(range(1, 25, 2))

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        dictionary = SFINGE3DData(name="sfinge3d", root=self.root).read(progress)
        names = dictionary.class_names
        clips = {name: [] for name in names}
        for item in dictionary.items:
            clips[names[item.label]].append(item.content)
        lacking = [name for name, own in clips.items() if not own]
        if lacking:
            raise Gesture3dError(f"{self.root}: class {lacking[0]} has no clip to make streams of")
        return Index(stream_classes(names), [*self._spliced(clips), *self._recordings(names)])

    def parse(self, content: bytes, where: str) -> np.ndarray:
        return sequence_joints(content, where)

    def _spliced(self, clips: dict[str, list[np.ndarray]]) -> Iterator[Item]:
        size = float(np.mean([chain_length(c, HAND) for own in clips.values() for c in own]))
        for number in range(self.num_train):
            rng = generator(self.seed, "splice", "train", number)
            joints, events = splice_stream(clips, self.stream_seconds, RATE_HZ, size, rng)
            key = f"train-{number:04d}"
            yield Item(key, -1, joints, None, "train", events=tuple(events), rate_hz=RATE_HZ)

    def _recordings(self, names: tuple[str, ...]) -> Iterator[Item]:
        files = _sequence_files(self.root)
        for place in [place for place in files if place.endswith("sequencesGT.csv")]:
            text, folder = files[place].decode("ascii", "replace"), place[: -len("sequencesGT.csv")]
            for number, events in ground_truth(text, place, names):
                where = f"{folder}{number}.txt"
                if where not in files:
                    raise Gesture3dError(f"{place}: sequence {number}, but no {where}")
                joints = sequence_joints(files[where], where)
                # Two annotations of the set end one frame behind their file.
                events = check_within(events, len(joints) / RATE_HZ, where, clip=1 / RATE_HZ)
                key = f"Sequences/{number}"
                split = "validation" if number in self.validation_recordings else "test"
                known = {"split": split, "where": where, "rate_hz": RATE_HZ}
                yield Item(key, -1, joints, events=tuple(events), **known)


def _sequence_files(root: Path) -> dict[str, bytes]:
    """Place → content, of the zips and folders of recordings; none where there are none."""
    found = {}
    for path in sorted(root.glob("Sequences*")):
        if path.is_dir():
            found |= {str(p): read_named(p) for p in sorted(path.rglob("*")) if p.is_file()}
        elif path.suffix.lower() == ".zip":
            with naming(path), ZipReader(path) as archive:
                names = [n for n in archive.names if not n.endswith("/") and "__MACOSX" not in n]
                found |= {f"{path}/{name}": archive.read(name) for name in names}
    return found


def sequence_joints(content: bytes, where: str) -> np.ndarray:
    """A recording (T, 20, 3): as the clips, but separated by commas."""
    return sfinge_joints(content.replace(b",", b";"), where)


def ground_truth(
    text: str, where: str, names: tuple[str, ...]
) -> Iterator[tuple[int, list[Event]]]:
    """(sequence, its gestures), seconds, of lines ``sequence,number,label,first,last,label,…``.

    Raises:
        Gesture3dError: a line of another form, with its number.
    """
    for line, row in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in row.split(",") if cell.strip()]
        if not cells:
            continue
        right = all(map(is_count, cells)) and len(cells) == 2 + 3 * int(([*cells, "0"])[1])
        events = []
        for place in range(2, len(cells), 3) if right else ():
            label, first, last = cells[place : place + 3]
            right = right and label in names and int(first) < int(last)
            events.append(Event(label, int(first) / RATE_HZ, (int(last) + 1) / RATE_HZ))
        if not right:
            raise Gesture3dError(
                f"{where}, line {line}: {row[:60]!r}; expected a sequence, the number of gestures, "
                "and of each its label (1 to 13), first and last frame"
            )
        yield int(cells[0]), events
